"""What must hold after every call, whatever it was: numbers, versions, counts beside lists, JSON beside text."""
from __future__ import annotations

import io
import json

from milestone_persist import MilestoneError, open_store
from milestone_persist.base.errors import Incomplete
from milestone_persist.cli.main import Console
from milestone_persist.cli.main import main as run_command
from milestone_persist.registry import find_operation

PAUSE = 4  # calls between two comparisons of counts, which are a dozen calls
WRITING = ("briefing", "get_agent_messages")  # may change rows, though they need not


def is_strange(value):
    """Whether a value is not said by a word of a command line."""
    return not isinstance(value, (str, int, bool)) or value in ("-", "\ud800") or str(value).startswith("-")


def say(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


LOSING = ("cleanup_stale_coordination", "cleanup_failed_sessions", "batch")  # messages may go, and it is said
STATES = """SELECT id, to_agent, retry_count, acknowledged_at, dead_lettered_at, CASE
    WHEN acknowledged_at IS NOT NULL THEN 'acknowledged' WHEN dead_lettered_at IS NOT NULL THEN 'dead'
    WHEN delivered_at IS NOT NULL THEN 'taken' ELSE 'pending' END AS state FROM agent_messages"""
VERSIONS = "SELECT agent_id, state_key, version, state_value, saved_in FROM agent_state"


class Watch:
    """What must hold after every call, looked at by nobody's store on one side."""

    def __init__(self, side):
        self.side, self.store = side, open_store(**side.nobody)
        self.versions, self.last, self.looked = {}, 0, 0

    def look(self):
        """The messages by number, and the values by key."""
        storage = self.store.storage()
        return ({row["id"]: row for row in storage.execute(STATES)},
                {(row["agent_id"], row["state_key"]): row for row in storage.execute(VERSIONS)})

    def judge(self, before, name, answer):
        """What does not hold after a call."""
        messages, values = self.look()
        gone = before[0].keys() - messages.keys()
        if gone and name not in LOSING:
            yield f"messages are gone: {sorted(gone)}"
        new = messages.keys() - before[0].keys()
        if new and min(new) <= self.last:
            yield f"a number is given again: {sorted(new)} after {self.last}"
        self.last = max([self.last, *messages])
        if name == "get_agent_messages" and isinstance(answer, list):
            yield from self.judge_taken(before[0], messages, answer)
        agents = {row["agent_id"] for row in self.store.storage().execute("SELECT agent_id FROM agent_registry")}
        for key, row in values.items():
            kept = self.versions.get(key)
            if kept and row["version"] < kept["version"]:
                yield f"the version of {key} falls from {kept['version']} to {row['version']}"
            if kept and row["version"] == kept["version"] and row != kept:
                yield f"{key} has changed and its version has not: {kept} {row}"
        self.versions = {key: row for key, row in {**self.versions, **values}.items() if key[0] in agents}
        self.looked += 1
        if self.looked % PAUSE == 1:
            yield from self.compare_counts(messages)

    def judge_taken(self, before, messages, answer):
        for row in answer:
            number = row["id"]
            if before.get(number, {}).get("state") == "acknowledged":
                yield f"{number} was acknowledged, and is shown again"

    def compare_output(self, name, args, options):
        """What the command line prints as JSON and as text, beside the data of the same call."""
        op = find_operation(name)
        if op.creates or op.existing or op.name in WRITING or any(map(is_strange, (*args, *options.values()))):
            return
        words = [op.name, *map(say, args)]
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            words += [] if value is False else [flag if value is True else f"{flag}={say(value)}"]
        try:
            data, failed = getattr(self.store, op.name)(*args, **options), False
        except MilestoneError as error:
            data, failed = error.data if isinstance(error, Incomplete) else None, True
        status, text, _ = self.print(*words)
        same, found, _ = self.print("--json", *words)
        if status != same or bool(status) != failed:
            yield f"status {status}, with --json {same}, in Python {'an error' if failed else 'none'}"
        elif found and json.loads(found) != json.loads(json.dumps(data)):
            yield f"--json prints {found}, Python gives {data}"
        elif not failed and name.startswith("list_") and isinstance(data, list) and data and "event" not in data[0]:
            first = "state_key" if "state_key" in data[0] else next(iter(data[0]))
            missing = [row for row in data if str(row[first]) not in text]
            if missing:
                yield f"{text!r} lacks {missing}"

    def print(self, *words):
        out, err = io.BytesIO(), io.BytesIO()
        environ = {**self.side.nobody["environ"], "MILESTONE_DIR": str(self.side.nobody["directory"])}
        status = run_command([*words], Console(io.BytesIO(), out, err, environ, self.side.clock))
        return status, out.getvalue().decode(), err.getvalue().decode()

    def compare_counts(self, messages):
        """Counts and lists that tell of the same."""
        store, states = self.store, [row["state"] for row in messages.values()]
        told = store.get_session_recovery_status()
        sessions = store.list_coordination_sessions()
        if told["sessions"]["total"] != len(sessions) or told["messages"]["total"] != len(messages):
            yield f"totals: {told}"
        for state in ("pending", "taken", "acknowledged", "dead"):
            listed = sum(len(store.list_agent_messages(agent, state=state, limit=10 ** 6))
                         for agent in {row["to_agent"] for row in messages.values()})
            if told["messages"][state] != listed:
                yield f"{state}: {told['messages'][state]} counted, {listed} listed, {states.count(state)} rows"
        for session in sessions:
            name = session["session_id"]
            status, agents = store.get_session_status(name), store.list_session_agents(name)
            if not session["agent_count"] == status["agent_count"] == len(status["agents"]) == len(agents):
                yield f"agents of {name}: {session['agent_count']} {status['agent_count']} {len(agents)}"
        planned = store.list_planning_sessions()["sessions"]
        if {each["id"] for each in planned} != {each["session_id"] for each in sessions
                                                if each["operation_type"] == "planning"}:
            yield f"planning sessions: {planned}"

    def close(self):
        self.store.close()
