"""Sequences of operations, deaths and recoveries at random (seeded): what must hold, holds after each of them."""
import random
import sqlite3

import pytest
from conftest import size

from milestone_persist import Refused, UsageError
from milestone_persist.base.times import format_time

STEPS = 700
AGENT_TYPES = ("milestone-coordinator", "scope-analyzer", "estimation-agent", "design-phase", "spec-phase",
               "validation", "feature-implementation")
KEYS = ("planning-scope", "planning-estimates", "milestone-plan", "design-phase-results", "spec-x", "task-x",
        "execute-phase-results", "notes")
IMPOSSIBLE = {  # what must never be found: a query for each
    "acknowledged and pending": """
        SELECT id FROM agent_messages
        WHERE acknowledged_at IS NOT NULL AND (delivered_at IS NULL OR dead_lettered_at IS NOT NULL)""",
    "a dead letter before the retry limit": """
        SELECT id FROM agent_messages WHERE dead_lettered_at IS NOT NULL AND retry_count < 3""",
    "a count that is not that of the rows": """
        SELECT session_id FROM coordination_sessions s WHERE agent_count <>
        (SELECT count(*) FROM agent_registry a WHERE a.session_id = s.session_id)""",
    "an agent at work in an ended session": """
        SELECT agent_id FROM agent_registry a JOIN coordination_sessions s ON s.session_id = a.session_id
        WHERE s.status IN ('completed', 'abandoned') AND a.status IN ('spawning', 'active', 'paused')""",
    "a message held by an agent that failed": """
        SELECT m.id FROM agent_messages m JOIN agent_registry a ON a.agent_id = m.to_agent
        WHERE a.status = 'failed' AND a.last_heartbeat <= a.completion_time AND m.delivered_at IS NOT NULL
        AND m.acknowledged_at IS NULL AND m.dead_lettered_at IS NULL""",
    "a completed session that is not at 100 %": """
        SELECT session_id FROM coordination_sessions WHERE status = 'completed' AND progress <> 100""",
}


@pytest.fixture
def directory(memory):
    return memory / ".milestones"


class World:
    """A store, and beside it what is known to be true of it."""

    def __init__(self, store, clock, database, seed):
        self.store, self.clock, self.random = store, clock, random.Random(seed)
        self.database = sqlite3.connect(database, isolation_level=None)
        self.sent, self.acknowledged, self.results = set(), set(), set()
        self.mortal = 0  # messages that may be gone: those reported to have gone with a session

    def pick(self, words):
        return self.random.choice(list(words))

    def agents(self):
        return [row[0] for row in self.database.execute(
            "SELECT agent_id FROM agent_registry WHERE status IN ('spawning', 'active') ORDER BY agent_id")]

    def sessions(self):
        return [row[0] for row in self.database.execute(
            "SELECT session_id FROM coordination_sessions ORDER BY session_id")]

    def register(self):
        kind = self.pick(("planning", "execution", "validation"))
        self.store.register_agent(f"agent-{self.random.randrange(12)}", self.pick(AGENT_TYPES), "ms-1",
                                  f"{kind}-{self.random.randrange(9)}")

    def save(self):
        agent, key = self.pick(self.agents()), self.pick(KEYS)
        self.store.save_agent_state(agent, key, '{"by": "%s"}' % agent)

    def send(self):
        sent = self.store.send_agent_message(self.pick(self.agents()), self.pick(self.agents()), "task_assignment", {})
        self.sent.add(sent["id"])

    def take(self):
        taken = self.store.get_agent_messages(self.pick(self.agents()), True, self.random.randrange(1, 4))
        assert not {message["id"] for message in taken} & self.acknowledged, "acknowledged, and handed out again"

    def acknowledge(self):
        rows = self.database.execute("SELECT to_agent, id FROM agent_messages WHERE delivered_at IS NOT NULL "
                                     "AND acknowledged_at IS NULL AND dead_lettered_at IS NULL ORDER BY id").fetchall()
        if rows:
            self.store.acknowledge_agent_message(*self.pick(rows))

    def end_agent(self):
        self.store.update_agent_status(self.pick(self.agents()), self.pick(("completed", "failed", "failed")))

    def pass_time(self):
        self.clock.seconds += self.pick((1, 60, 299, 301, 1801, 7200, 90000))

    def clean_up(self):
        if self.random.random() < 0.5:
            told = self.store.cleanup_stale_coordination(30)["removed"]
        else:
            told = self.store.cleanup_failed_sessions(self.pick((1, 24)))
        self.mortal += told["messages_lost"]

    def recover(self):
        """Run a printed option; run it again; what it ends in is the same."""
        option = self.pick(self.store.recover_milestone_session(self.pick(self.sessions()))["options"] or [None])
        if option is None:
            return
        (name, *words), options = option["command"], {}
        if "--error" in words:
            *words, _, options["error"] = words
        held = self.held_by_the_dead()
        getattr(self.store, name)(*words, **options)
        assert not held & self.acknowledged_there(), "what a dead agent had taken counts as done"
        once = self.rows()
        try:
            getattr(self.store, name)(*words, **options)
        except Refused:
            pass
        assert self.rows() == once, option["command"]

    def held_by_the_dead(self):
        silent = format_time(self.clock.seconds - 1800)
        return {row[0] for row in self.database.execute(
            "SELECT m.id FROM agent_messages m JOIN agent_registry a ON a.agent_id = m.to_agent "
            "WHERE m.delivered_at IS NOT NULL AND m.acknowledged_at IS NULL AND m.dead_lettered_at IS NULL "
            "AND a.status IN ('spawning', 'active') AND a.last_heartbeat <= ?", [silent])}

    def acknowledged_there(self):
        return {row[0] for row in self.database.execute(
            "SELECT id FROM agent_messages WHERE acknowledged_at IS NOT NULL")}

    def rows(self):
        return [self.database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in
                ("coordination_sessions", "agent_registry", "agent_messages", "agent_state")]

    def crash(self):
        """An operation is killed before it commits."""
        storage = self.store.storage()
        with pytest.raises(InterruptedError), storage.transaction("crash"):
            self.step(crashing=True)
            raise InterruptedError

    def step(self, crashing=False):
        actions = [self.register, self.register, self.save, self.save, self.send, self.send, self.take, self.take,
                   self.acknowledge, self.end_agent, self.pass_time, self.recover, self.recover]
        if crashing:
            actions = [self.register, self.save, self.acknowledge, self.end_agent]
        action = self.pick(actions if crashing else [*actions, self.clean_up, self.crash])
        try:
            action()
        except (Refused, UsageError, IndexError):  # IndexError: there is nobody to pick
            pass

    def check(self):
        for what, query in IMPOSSIBLE.items():
            assert self.database.execute(query).fetchall() == [], what
        there = dict(self.database.execute("SELECT id, acknowledged_at IS NOT NULL FROM agent_messages"))
        assert {key for key in self.acknowledged if key in there} <= {key for key, done in there.items() if done}
        dead = {row[0] for row in self.database.execute(
            "SELECT id FROM agent_messages WHERE dead_lettered_at IS NOT NULL")}
        self.acknowledged |= {key for key, done in there.items() if done} | dead
        lost = self.sent - set(there) - self.acknowledged
        assert len(lost) == self.mortal, "messages were lost that nobody told of"


@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("seed", range(size(3, 6)))
def test_what_must_hold_holds_after_every_step(store, clock, directory, seed, request):
    world = World(store, clock, directory / "coordination.db", seed)
    request.addfinalizer(world.database.close)
    for number in range(STEPS):
        world.step()
        try:
            world.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, step {number}: {error}") from error
