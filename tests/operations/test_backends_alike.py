"""Operations at random (seeded) on files and on SQLite at once: what they answer, refuse and keep never differs."""
from __future__ import annotations

import json
import random
import re
import warnings
from types import SimpleNamespace

import pytest
from conftest import TABLES, size

from milestone_persist import MilestoneError, open_store
from milestone_persist.coordination import snapshots
from milestone_persist.opening.place import begin_call, make_store
from milestone_persist.storage.interface import Storage
from milestone_persist.storage.jsonfiles.store import FileStorage

AGENTS = ("a", "A", "ä/b")
SESSIONS = ("planning-m-1", "execution-m-1", "x")
KEYS = ("k", "K", "a=k", "milestone-plan")
STAMPS = re.compile(r'"file_stamp": "[^"]*"')  # of the file of a record, which each backend has of its own


class Side:
    """One of the two: stores that stay open, as of several processes, and one that is opened for a single call."""

    def __init__(self, tmp_path, backend, clock):
        self.root = tmp_path / backend
        self.root.mkdir()
        self.surroundings = {"directory": self.root / "data", "clock": clock,
                             "environ": {"MILESTONE_BACKEND": backend, "AGENT_ID": "a"}}
        make_store(begin_call(str(self.root / "data"), self.surroundings["environ"], clock))
        self.stores = [open_store(**self.surroundings) for _ in range(2)]
        storage = self.stores[0].storage()
        storage.execute("UPDATE agent_coordination_config SET updated_at = :now", {"now": storage.now()})

    def call(self, number, name, args, options):
        """The kind of answer, the answer or what was refused, and the warnings."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                got = self._give(number, name, args, options)
            except MilestoneError as error:
                got = {"refused": type(error).__name__, "text": str(error), "data": getattr(error, "data", None)}
        return json.dumps([got, [str(each.message) for each in told]]).replace(str(self.root), "")

    def _give(self, number, name, args, options):
        if number < len(self.stores):
            return getattr(self.stores[number], name)(*args, **options)
        with open_store(**self.surroundings) as store:
            return getattr(store, name)(*args, **options)

    def rows(self):
        with open_store(**self.surroundings) as store:
            storage = store.storage()
            rows = {table: sorted(STAMPS.sub("", json.dumps(row, sort_keys=True))
                                  for row in storage.execute(f"SELECT * FROM {table}")) for table in TABLES}
            assert [found for found in store.doctor() if found["severity"] == "unsound"] == []
        return rows

    def close(self):
        for store in self.stores:
            store.close()


def choose(chance, points):
    """An operation, its arguments and its options, any of which may be left out."""
    pick, number = chance.choice, chance.randrange
    agent, session, key, milestone = pick(AGENTS), pick(SESSIONS), pick(KEYS), pick("mn")
    text = pick(("v", '{"x": 1}', "é\n"))
    name, args, options = pick((
        ("register_agent", (agent, pick(("validation", "x-own")), milestone, session), {"capabilities": '["x"]'}),
        ("save_agent_state", (agent, key, text), {"ttl_seconds": pick((1, 30, 400)), "if_version": number(3)}),
        ("save_agent_state", (agent, key, text), {"state_type": "temp_data"}),
        ("save_many", (agent, {pick(KEYS): text for _ in range(2)}), {"ttl_seconds": 60}),
        ("load_agent_state", (agent, key), {"full": True, "session": session}),
        ("delete_agent_state", (agent, key), {"session": session}),
        ("send_agent_message", (agent, pick(("", *AGENTS)), "x-t", {"n": text}), {"priority": 9, "key": pick("pq")}),
        ("broadcast_agent_message", (agent, "x-b", {}), {"key": pick("pq")}),
        ("get_agent_messages", (agent, True), {"limit": 1, "lease": pick((5, 60)), "max_bytes": 50}),
        ("get_agent_messages", (agent,), {"taken": True, "brief": True}),
        ("acknowledge_agent_message", (agent, number(1, 9)), {}),
        ("requeue_agent_message", (agent, number(1, 9)), {}),
        ("list_agent_messages", (agent,), {"sent": True, "state": pick(("pending", "acknowledged"))}),
        ("get_agent_messages", (agent, True), {}),
        ("create_agent_checkpoint", (agent,), {"checkpoint_type": "automatic", "key": pick("pq")}),
        ("restore_agent_checkpoint", (pick(points[-9:]),), {}),
        ("update_agent_status", (agent,), {"status": pick(("active", "completed", "failed")), "task": "t"}),
        ("agent_heartbeat", (agent,), {"health": "degraded"}),
        ("batch", ([["save_agent_state", agent, key, text], ["load_agent_state", pick(AGENTS), key]],),
         {"atomic": True}),
        (pick(("recover_milestone_session", "complete_planning_session", "complete_coordination_session",
               "resume_session_agents", "restart_incomplete_phases", "abandon_session", "get_session_status",
               "save_planning_artifacts")), (session,), {}),
        (pick(("list_agent_state", "list_agent_checkpoints", "briefing")), (agent,), {}),
        (pick(("list_coordination_sessions", "detect_interrupted_sessions", "list_coordination_events")), (), {}),
        (pick(("cleanup_stale_coordination", "cleanup_failed_sessions")), (pick((0.5, 20)),), {}),
        ("acquire_milestone_lock", (milestone,), {"owner": agent, "ttl": 9}),
        ("create_milestone_record", (milestone, "title: x\n"), {"key": pick("pq")}),
    ))
    return name, args, {option: value for option, value in options.items() if chance.random() < 0.4}


@pytest.fixture
def draw(monkeypatch):
    """Lets the next call draw the same ids as the other side; on both, whoever may look for silent agents does."""
    drawn = random.Random()
    monkeypatch.setattr(snapshots, "os", SimpleNamespace(
        urandom=lambda size: drawn.getrandbits(8 * size).to_bytes(size, "big")))
    for kind in (Storage, FileStorage):
        monkeypatch.setattr(kind, "has_looked", lambda store: False)
    return drawn.seed


@pytest.mark.parametrize("seed", range(size(2, 8)))
def test_files_and_sqlite_answer_alike(tmp_path, clock, draw, seed):
    chance, points = random.Random(seed), ["cp-none"]
    sides = [Side(tmp_path, backend, clock) for backend in ("file", "hybrid")]
    for step in range(1, size(120, 300) + 1):
        clock.advance(chance.choice((*[0.01] * 40, *[1, 40, 700] * 10, 900000)))
        number, now, call = chance.randrange(3), clock.seconds, choose(chance, points)
        answers = []
        for side in sides:
            draw(step)
            clock.seconds = now  # which waiting moves
            answers.append(side.call(number, *call))
        assert answers[0] == answers[1], (step, call)
        points += re.findall(r"\bcp-[0-9]+-[0-9a-f]+", answers[0])
        if step % 20 == 0:
            files, rows = (side.rows() for side in sides)
            assert files == rows, (step, call)
    for side in sides:
        side.close()
