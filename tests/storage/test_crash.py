"""A process killed at its n-th statement, for n = 1, 2, … (unless at full size, only some) until a run gets through:
the data is as before or after."""
from __future__ import annotations

import shutil
import sqlite3
import sys

import pytest
from conftest import size

from milestone_persist import open_store

# Runs a command line, and kills itself (as kill -9 does) when it is about to run the n-th statement.
CHILD = """
import os, signal, sqlite3, sys
left = int(sys.argv[1])

class Cursor(sqlite3.Cursor):
    def execute(self, sql, *rest):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(sql, *rest)

class Connection(sqlite3.Connection):
    def cursor(self, factory=Cursor):
        return super().cursor(factory)

    def execute(self, *given):
        return self.cursor().execute(*given)

connect = sqlite3.connect
sqlite3.connect = lambda *args, **options: connect(*args, factory=Connection, **options)
sys.argv[:2] = ["milestone_persist"]
from milestone_persist.cli.process import run
run()
"""
NOW = "2026-01-01 00:01:00.000"
CALLS = {
    "register": ["register-agent", "new", "milestone-coordinator", "ms-2", "planning-2", '["a"]'],
    "revive": ["register-agent", "b", "validation", "ms-1", "s-2"],
    "save": ["save-agent-state", "a", "k", "changed"],
    "take in and save": ["save-agent-state", "stranger", "k", "v"],
    "send": ["send-agent-message", "a", "b", "error_report", "{}"],
    "broadcast": ["broadcast-agent-message", "a", "error_report", "{}"],
    "take": ["get-agent-messages", "b", "true"],
    "fail": ["update-agent-status", "b", "failed"],
    "restore": ["restore-agent-checkpoint"],
    "make a milestone": ["create-milestone-from-planning", "planning-1", "ms-1"],
}


@pytest.fixture
def backend():
    return "hybrid"


@pytest.fixture
def scene(store, directory):
    """Agents a and b, with state, a checkpoint, messages taken and pending; returns the checkpoint's id."""
    store.register_agent("a", "validation", "ms-1", "planning-1")
    store.register_agent("b", "validation", "ms-1", "planning-1")
    for key in ("k", "l", "milestone-plan"):
        store.save_agent_state("a", key, "some")
    checkpoint = store.create_agent_checkpoint("a")["checkpoint_id"]
    store.delete_agent_state("a", "l")
    for _ in range(3):
        store.send_agent_message("a", "b", "error_report", {})
    store.get_agent_messages("b", True, 2)
    store.close()
    return checkpoint


def rows(directory):
    """All that is stored, but for the ids that are different each time; it is sound."""
    connection = sqlite3.connect(directory / "coordination.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kept = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    finally:
        connection.close()
    kept["agent_checkpoints"] = [row[1:] for row in kept["agent_checkpoints"]]
    kept["events"] = [row[:-1] for row in kept["events"]]
    kept.pop("sqlite_sequence")
    kept["milestones"] = [row[:8] for row in kept["milestones"]]
    return kept


def run_child(run, number, words):
    return run([sys.executable, "-S", "-c", CHILD, number, *words], MILESTONE_NOW=NOW, PYTHONPATH=":".join(sys.path))


@pytest.mark.parametrize("name", CALLS)
def test_a_call_killed_anywhere_happened_whole_or_not_at_all(run, directory, scene, name):
    words = CALLS[name] + ([scene] if name == "restore" else [])
    database = directory / "coordination.db"
    image, before, seen = database.read_bytes(), rows(directory), []
    for number in range(1, 200, size(2, 1)):
        done = run_child(run, number, words)
        seen.append(rows(directory))
        if done.status == 0:
            break
        assert done.status == -9
        for path in directory.glob("coordination.db-*"):
            path.unlink()
        database.write_bytes(image)
    after = seen.pop()
    assert done.status == 0 and after != before and len(seen) > 3
    assert all(state in (before, after) for state in seen)


def test_a_database_whose_making_was_killed_is_made_by_the_next_call(run, directory):
    for number in range(1, 200, size(3, 1)):
        done = run_child(run, number, ["save-agent-state", "a", "k", "v"])
        with open_store(directory) as store:
            assert store.load_agent_state("a", "k", "none") == ("v" if done.status == 0 else "none")
        if done.status == 0:
            break
        shutil.rmtree(directory, ignore_errors=True)  # it need not be there yet
    assert done.status == 0 and number > 40
