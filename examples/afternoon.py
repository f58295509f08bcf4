"""A realistic afternoon as sample data: 12 agents, 4 phases, 2 crashes and 3,000 events, made by the real operations.

    python3 examples/afternoon.py DIRECTORY [MINUTES]

makes a new store in DIRECTORY whose afternoon has just ended, or has just come to the given minute. The same seed gives
the same afternoon.
"""
from __future__ import annotations

import json
import random
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from milestone_persist import open_store  # noqa: E402
from milestone_persist.storage.call import Clock  # noqa: E402

MILESTONE, SESSION = "ms-142", "execution-ms-142-1"
COORDINATOR, TRACKER, GIT, CHECKER = "coord-ms-142", "track-ms-142", "git-ms-142", "check-ms-142"
MINUTES = 270  # how long the afternoon is
START = 1773320400.0  # 2026-03-12 13:00:00 UTC
TICK = 15  # seconds
PHASES = {"design": (0, 45), "spec": (45, 110), "task": (110, 140), "execute": (140, MINUTES)}
# id: type, phase, the minutes in which it begins and ends
AGENTS = {
    COORDINATOR: ("milestone-coordinator", None, 0, 268),
    TRACKER: ("progress-tracker", None, 2, 267),
    "design-ms-142-1": ("design-phase", "design", 3, 49),
    "design-ms-142-2": ("design-phase", "design", 4, 47),
    "spec-ms-142-1": ("spec-phase", "spec", 45, 114),
    "spec-ms-142-2": ("spec-phase", "spec", 46, 112),
    "task-ms-142-1": ("task-phase", "task", 108, 146),
    "impl-ms-142-1": ("feature-implementation", "execute", 140, 255),
    "impl-ms-142-2": ("feature-implementation", "execute", 141, 196),
    "impl-ms-142-3": ("feature-implementation", "execute", 143, 258),
    GIT: ("git-operations", "execute", 150, 264),
    CHECKER: ("validation", "execute", 150, 262),
}
CRASHES = {"spec-ms-142-2": (78, 91), "impl-ms-142-2": (196, None)}  # when it dies, when it is back
NOTICED = 11  # minutes after a crash in which it is noticed
RESULTS = {"design": "design-phase-results", "spec": "spec-api", "task": "task-list",
           "execute": "execute-phase-results"}
TASKS = ["cart totals", "address form", "payment retries", "guest checkout", "order e-mails", "tax rules",
         "currency rounding", "stock reservation", "coupon stacking", "order history"]
FILES = ["src/cart/totals.py", "src/checkout/address.py", "src/payment/retry.py", "src/checkout/guest.py",
         "src/mail/order.py", "src/tax/rules.py", "src/money/rounding.py", "src/stock/reserve.py", "docs/checkout.md",
         "tests/test_totals.py", "tests/test_retry.py"]


class HandClock(Clock):
    """Time that stands still until it is moved."""

    def __init__(self, seconds: float = START) -> None:
        self.seconds = seconds

    def time(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Afternoon:
    """The afternoon of one session in an open store, whose clock it moves and in whose environ it names who acts."""

    def __init__(self, store, clock, environ, seed=142, events=3000):
        self.store, self.clock, self.environ = store, clock, environ
        self.random, self.wanted, self.begin = random.Random(seed), events, clock.seconds
        self.due = {agent: {} for agent in AGENTS}  # minute in which an agent does a thing next
        self.dead, self.minute = set(), 0.0

    def run(self, until=MINUTES):
        """Let it pass until that minute, in one transaction."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.store.initialize_agent_coordination()  # a store is made by its first operation
            with self.store.storage().transaction("session:" + SESSION):
                self._prepare()
                while self.minute < min(until, MINUTES - 1):
                    self._tick()
                    self.minute += TICK / 60
                    self.clock.seconds = self.begin + 60 * self.minute
                if until >= MINUTES:
                    self._fill(self.wanted - 2)  # completing the session adds two
                    self.environ["AGENT_ID"] = ""
                    self.store.finalize_milestone_execution(SESSION)

    def _prepare(self):
        self.store.set_storage_config("session_timeout", "600")
        self.store.create_milestone_record(MILESTONE, f"id: {MILESTONE}\ntitle: Checkout that survives a lost "
                                                      "connection\nstatus: active\npriority: high\n")

    def _tick(self):
        for at, action in self._schedule():
            if at <= self.minute < at + TICK / 60:
                action()
        for agent in self._at_work():
            self.environ["AGENT_ID"] = agent
            self._work(agent)
        self._fill(round(self.wanted * self.minute / MINUTES))

    def _schedule(self):
        """What happens at a minute: agents come and go, die and are noticed, phases change."""
        for agent, (_, _, begin, end) in AGENTS.items():
            yield begin, lambda agent=agent: self._register(agent)
            if CRASHES.get(agent, (0, 1))[1]:
                yield end, lambda agent=agent: self._complete(agent)
        for phase, (begin, end) in PHASES.items():
            yield begin + 5, lambda phase=phase: self._enter(phase)
            yield min(end - 3, 252), lambda phase=phase: self._save_result(phase)
        for agent, (at, back) in CRASHES.items():
            yield at, lambda agent=agent: self._crash(agent)
            yield at + NOTICED, self._notice
            if back:
                yield back, lambda agent=agent: self._register(agent)
            else:
                yield at + NOTICED + 1, lambda agent=agent: self._hand_on(agent, "impl-ms-142-3")

    def _at_work(self):
        return [agent for agent, (_, _, begin, end) in AGENTS.items()
                if begin + 0.1 < self.minute < end and agent not in self.dead]

    def _register(self, agent):
        self.environ["AGENT_ID"] = agent
        self.dead.discard(agent)
        kind, phase, *_ = AGENTS[agent]
        self.store.register_agent(agent, kind, MILESTONE, SESSION, [kind])
        self.store.update_agent_status(agent, phase=phase, task=self.random.choice(TASKS))
        if agent != COORDINATOR:
            self._send(COORDINATOR, agent, "task_assignment", {"task": self.random.choice(TASKS), "phase": phase}, 8)

    def _complete(self, agent):
        self.environ["AGENT_ID"] = agent
        self.store.create_agent_checkpoint(agent, "phase_completion")
        if agent != COORDINATOR:
            self._send(agent, COORDINATOR, "completion_notification", {"result": "done", "agent": agent}, 7)
        self.store.get_agent_messages(agent, True)
        self.store.update_agent_status(agent, "completed")

    def _crash(self, agent):
        """It takes a task and is never heard from again."""
        self._send(COORDINATOR, agent, "task_assignment", {"task": "payment retries", "files": FILES[2:4]}, 9)
        self.environ["AGENT_ID"] = agent
        self.store.get_agent_messages(agent, True)
        self.dead.add(agent)

    def _notice(self):
        self.environ["AGENT_ID"] = COORDINATOR
        self.store.cleanup_stale_coordination(10)

    def _hand_on(self, dead, heir):
        for message in self.store.get_agent_messages(dead, False):
            self._send(COORDINATOR, heir, message["message_type"], {**message["payload"], "taken_over_from": dead}, 9)
            self.environ["AGENT_ID"] = COORDINATOR
            self.store.acknowledge_agent_message(dead, message["id"])

    def _enter(self, phase):
        self.environ["AGENT_ID"] = COORDINATOR
        self.store.update_session_progress(SESSION, self._progress(), phase)
        self.store.broadcast_agent_message(COORDINATOR, "phase_transition", {"phase": phase}, 7)

    def _save_result(self, phase):
        agent = next(name for name, (_, own, _, end) in AGENTS.items() if own == phase and end > self.minute)
        self.environ["AGENT_ID"] = agent
        self.store.save_agent_state(agent, RESULTS[phase], json.dumps({"phase": phase, "files": FILES[:5]}))
        self.store.create_agent_checkpoint(agent, "phase_completion")

    def _progress(self):
        return min(100, int(100 * (self.minute / MINUTES) ** 1.1))

    def _is_due(self, agent, what, least, most):
        """Whether it is time for that again, which is every so many minutes."""
        due = self.due[agent].setdefault(what, self.minute + self.random.uniform(0, most))
        if self.minute < due:
            return False
        self.due[agent][what] = self.minute + self.random.uniform(least, most)
        return True

    def _work(self, agent):
        store, chance = self.store, self.random
        if self._is_due(agent, "heartbeat", 1.5, 2.5):
            store.agent_heartbeat(agent, chance.choices(("healthy", "degraded"), (30, 1))[0],
                                  cpu=round(chance.uniform(3, 85), 1), memory=round(chance.uniform(180, 900), 1))
        if self._is_due(agent, "inbox", 2, 5):
            store.get_agent_messages(agent, True)
        if self._is_due(agent, "progress", 6, 12):
            store.save_agent_state(agent, "progress-" + agent, json.dumps({
                "done": int(self.minute), "task": chance.choice(TASKS), "next": chance.choice(FILES)}), "progress")
        if self._is_due(agent, "report", 3, 8):
            self._report(agent)
        if self._is_due(agent, "checkpoint", 18, 30):
            store.create_agent_checkpoint(agent, "automatic")
        if agent == TRACKER and self._is_due(agent, "session", 4, 8):
            store.update_session_progress(SESSION, self._progress())

    def _report(self, agent):
        """A message to one that is at work."""
        others = [name for name in self._at_work() if name != agent]
        if not others:
            return
        other = self.random.choice([COORDINATOR, *others]) if agent != COORDINATOR else self.random.choice(others)
        kind = self.random.choices(("progress_update", "coordination_request", "validation_result", "error_report"),
                                   (8, 3, 2, 1))[0]
        self._send(agent, TRACKER if other == agent else other, kind, {
            "task": self.random.choice(TASKS), "file": self.random.choice(FILES),
            "note": self.random.choice(("as planned", "one test is red", "waits for a review", "needs a decision"))})

    def _send(self, sender, recipient, kind, payload, priority=5):
        self.environ["AGENT_ID"] = sender
        self.store.send_agent_message(sender, recipient, kind, payload, priority)

    def _fill(self, wanted):
        """What agents do all the time: files, tests, commits, as events until there are so many in all."""
        [row] = self.store.storage().execute("SELECT count(*) AS n FROM events")
        for number in range(row["n"], wanted):
            agent = self.random.choice(self._at_work() or [COORDINATOR])
            self.environ["AGENT_ID"] = agent
            event, detail = self.random.choice((
                ("file_changed", self.random.choice(FILES)), ("file_changed", self.random.choice(FILES)),
                ("file_read", self.random.choice(FILES)), ("tests_run", f"{self.random.randint(40, 260)} passed"),
                ("commit_made", f"{self.random.randrange(16 ** 7):07x} {self.random.choice(TASKS)}"),
                ("review_noted", self.random.choice(TASKS)), ("command_run", f"exit 0, {number % 47} s")))
            self.store.log_milestone_event(event, MILESTONE, detail)


def make_afternoon(directory, until=MINUTES, start=START, seed=142, events=3000, environ=None):
    """Make the store and let the afternoon pass until that minute; the store, open, and its clock."""
    clock = HandClock(start)
    environ = {"SESSION_ID": SESSION, **(environ or {})}
    store = open_store(directory, clock=clock, environ=environ)
    Afternoon(store, clock, environ, seed, events).run(until)
    return store, clock


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    minutes = float(sys.argv[2]) if len(sys.argv) == 3 else MINUTES
    made, _ = make_afternoon(str(Path(sys.argv[1]).resolve()), minutes, time.time() - 60 * min(minutes, MINUTES))
    print(made.directory)
    made.close()
