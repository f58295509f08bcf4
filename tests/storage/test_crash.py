"""A process killed at its n-th statement, for n = 1, 2, … (unless at full size, only some) until a run gets through:
the data is as before or after."""
from __future__ import annotations

import shutil
import sqlite3

import pytest
from conftest import size
from killing import run_until

from milestone_persist import open_store

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
def scene(store):
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


@pytest.mark.parametrize("name", CALLS)
def test_a_call_killed_anywhere_happened_whole_or_not_at_all(cli, directory, clock, scene, name):
    words = CALLS[name] + ([scene] if name == "restore" else [])
    database = directory / "coordination.db"
    image, before, seen = database.read_bytes(), rows(directory), []
    clock.advance(60)
    for number in range(1, 200, size(2, 1)):
        status = run_until(number, lambda: cli(*words).status)
        seen.append(rows(directory))
        if status == 0:
            break
        assert status == -9
        for path in directory.glob("coordination.db-*"):
            path.unlink()
        database.write_bytes(image)
    after = seen.pop()
    assert status == 0 and after != before and len(seen) > 3
    assert all(state in (before, after) for state in seen)


def test_a_database_whose_making_was_killed_is_made_by_the_next_call(cli, directory):
    for number in range(1, 1000, size(9, 3)):
        status = run_until(number, lambda: cli("save-agent-state", "a", "k", "v").status)
        with open_store(directory) as store:
            seen = store.load_agent_state("a", "k", "none")
        assert seen == "v" or status and seen == "none"  # or killed behind the commit, before it could say so
        if status == 0:
            break
        shutil.rmtree(directory, ignore_errors=True)  # it need not be there yet
    assert status == 0 and number > 40
