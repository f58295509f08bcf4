"""The cost of a call does not grow with the history: counted in SQLite's own steps, or in files read, not in time."""
from __future__ import annotations

import shutil

import pytest

from milestone_persist.base.found import open_found, read_found
from milestone_persist.coordination import liveness, membership
from milestone_persist.hooks.answering import answer
from milestone_persist.hooks.occasion import Occasion
from milestone_persist.opening.place import open_for
from milestone_persist.operations import (
    agents,
    briefing,
    checkpoints,
    cleanup,
    messages,
    milestones,
    overview,
    recovery,
    sending,
    sessions,
    state,
    taking,
)
from milestone_persist.records import files
from milestone_persist.records.files import stamp_of
from milestone_persist.storage.jsonfiles import journal

FEW, MANY = 1_500, 150_000  # history is counted up to 1,000
HISTORY = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, created_at, delivered_at,
                            processed_at, acknowledged_at)
SELECT 's', 'a', 'b', 'x-n', '{}', '2025-01-01', '2025-01-01', '2025-01-01', '2025-01-01' FROM n"""
NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
ENDED_AGENTS = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows / 10)
INSERT INTO agent_registry (agent_id, agent_type, session_id, status, last_heartbeat)
SELECT 'old-' || i, 'validation', 'old', 'completed', '2025-01-01' FROM n"""
STATE = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows / 10)
INSERT INTO agent_state (agent_id, state_key, state_value) SELECT 'old-0', 'key-' || i, 'v' FROM n"""
BUSY_AGENTS = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000 + :rows / 10)
INSERT INTO agent_registry (agent_id, agent_type, session_id, status)  -- more than are looked through for suggestions
SELECT 'busy-' || i, 'validation', 'busy', 'active' FROM n"""
CROWD = "UPDATE coordination_sessions SET agent_count = 2001 + :rows / 10 WHERE session_id = 'busy'"
FULL_INBOX = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows / 10 + 2000)
INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload)
SELECT 'busy', 'a', 'full', 'x-n', '{}' FROM n"""
EVENTS = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO events (event, session_id, agent_id) SELECT 'x', 's', 'a' FROM n"""

CALLS = {
    "take": lambda s: taking.get_agent_messages(s, "b", True, 2),
    "look": lambda s: taking.get_agent_messages(s, "b"),
    "send": lambda s: sending.send_agent_message(s, "a", "b", "error_report", "{}"),
    "acknowledge": lambda s: messages.acknowledge_agent_message(s, "b", 1),
    "register": lambda s: agents.register_agent(s, "c", "validation", "m", "s"),
    "register elsewhere": lambda s: agents.register_agent(s, "b", "validation", "m", "other"),
    "register into a crowd": lambda s: agents.register_agent(s, "c", "validation", "m", "busy"),
    "heartbeat": lambda s: agents.agent_heartbeat(s, "a", "healthy"),
    "fail": lambda s: agents.update_agent_status(s, "b", "failed"),
    "complete": lambda s: agents.update_agent_status(s, "b", "completed"),
    "take in": lambda s: membership.admit_agent(s, "stranger"),
    "save": lambda s: state.save_agent_state(s, "a", "k", "v", "temp_data", 60),
    "load": lambda s: state.load_agent_state(s, "a", "k", ""),
    "checkpoint": lambda s: checkpoints.create_agent_checkpoint(s, "b"),
    "detect": lambda s: recovery.detect_interrupted_sessions(s),
    "list active": lambda s: sessions.list_coordination_sessions(s, "active"),
    "send to a stranger": lambda s: sending.send_agent_message(s, "a", "nobody-at-all-99", "error_report", "{}"),
    "hook": lambda s: answer(s, Occasion("Stop", {"session_id": "x"})),
    "briefing": lambda s: briefing.briefing(s, "b"),
    "session status": lambda s: sessions.get_session_status(s, "s"),
    "recovery status": lambda s: recovery.get_session_recovery_status(s),
    "recover": lambda s: recovery.recover_milestone_session(s, "s"),
    "status": lambda s: overview.status(s, "s"),
    "mark stale": lambda s: liveness.mark_stale_agents(s, 3600),
}
FULL = {
    "register": lambda s: agents.register_agent(s, "full", "validation", "m", "busy"),
    "take": lambda s: taking.get_agent_messages(s, "full", True, 2, max_bytes=300),
    "send": lambda s: sending.send_agent_message(s, "a", "full", "error_report", "{}"),
    "heartbeat": lambda s: agents.agent_heartbeat(s, "full", "healthy"),
    "complete": lambda s: agents.update_agent_status(s, "full", "completed"),
    "session status": lambda s: sessions.get_session_status(s, "busy"),
    "status of another session": lambda s: sessions.get_session_status(s, "s"),
    "recovery status": lambda s: recovery.get_session_recovery_status(s),
    "recover": lambda s: recovery.recover_milestone_session(s, "busy"),
    "status": lambda s: overview.status(s),
    "status of one session": lambda s: overview.status(s, "s"),
    "cleanup": lambda s: cleanup.cleanup_stale_coordination(s),
}


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    """Two databases that differ only in how much has been done with."""
    return make_stores(tmp_path_factory, HISTORY, ENDED_AGENTS, BUSY_AGENTS, CROWD, STATE, EVENTS)


@pytest.fixture(scope="module")
def inboxes(tmp_path_factory):
    """Two databases that differ only in how much lies in one inbox, and has gone through another in these days."""
    return make_stores(tmp_path_factory, FULL_INBOX, HISTORY.replace("'2025-01-01'", NOW))


def make_stores(tmp_path_factory, *scripts):
    """A database with FEW rows of each kind, and one with MANY."""
    made = {}
    for rows in (FEW, MANY):
        folder = tmp_path_factory.mktemp("history")
        storage = open_for(str(folder), {"MILESTONE_BACKEND": "hybrid"}, make=True)
        agents.register_agent(storage, "busy-0", "validation", "m", "busy")
        agents.register_agent(storage, "old-0", "validation", "m", "old")
        agents.register_agent(storage, "full", "validation", "m", "busy")
        for agent in ("a", "b"):  # in the session that an agent nobody registered is taken into
            agents.register_agent(storage, agent, "validation", "m", "s")
        with storage.transaction():
            for script in scripts:
                storage.execute(script, {"rows": rows})
            for _ in range(5):
                sending.send_agent_message(storage, "a", "b", "error_report", "{}")
        storage.close()
        made[rows] = folder / "coordination.db"
    return made


def steps(path, call, tmp_path):
    """How many virtual-machine steps a call takes on a copy of a database, by tens."""
    counted = [0]

    def count():
        counted[0] += 1

    (tmp_path / "coordination.db").write_bytes(path.read_bytes())
    storage = open_for(str(tmp_path), {"MILESTONE_BACKEND": "hybrid"}, make=True)
    try:
        with storage.snapshot():
            storage.execute("SELECT 1 FROM events LIMIT 1")  # the schema is read
        storage.connection.set_progress_handler(count, 10)
        call(storage)
        return counted[0]
    finally:
        storage.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_call_costs_the_same_after_a_long_history(histories, tmp_path, name):
    few, many = (steps(histories[rows], CALLS[name], tmp_path) for rows in (FEW, MANY))
    assert 0 < many <= few * 1.2 + 5


@pytest.mark.parametrize("name", FULL)
def test_a_call_costs_the_same_beside_a_full_inbox(inboxes, tmp_path, name):
    few, many = (steps(inboxes[rows], FULL[name], tmp_path) for rows in (FEW, MANY))
    assert 0 < many <= few * 1.2 + 5


def test_a_call_that_reads_its_history_would_be_noticed(histories, tmp_path):
    def scan(storage):
        storage.execute("SELECT count(*) FROM agent_messages WHERE acknowledged_at > '2024'")

    few, many = (steps(histories[rows], scan, tmp_path) for rows in (FEW, MANY))
    assert many > few * 50


@pytest.mark.parametrize("index, call", [
    ("agent_messages_pending", CALLS["take"]), ("agent_messages_pending", CALLS["look"]),
    ("agent_messages_taken", CALLS["complete"]), ("agent_messages_taken", CALLS["fail"]),
    ("agent_registry_alive", CALLS["mark stale"]), ("agent_registry_alive", CALLS["detect"]),
    ("agent_registry_failed", CALLS["detect"]),
])
def test_the_partial_indexes_are_used(histories, tmp_path, index, call):
    statements = []
    (tmp_path / "coordination.db").write_bytes(histories[FEW].read_bytes())
    storage = open_for(str(tmp_path), {"MILESTONE_BACKEND": "hybrid"}, make=True)
    storage.connection.set_trace_callback(statements.append)
    call(storage)
    storage.connection.set_trace_callback(None)
    plans = []
    for statement in statements:
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            plans += [row["detail"] for row in storage.execute("EXPLAIN QUERY PLAN " + statement)]
    storage.close()
    assert any(f"INDEX {index} " in plan for plan in plans), plans
    assert not [plan for plan in plans if plan.startswith("SCAN agent_") and "INDEX" not in plan]


FEW_AGENTS, MANY_AGENTS = 4, 60
OWN = {
    **{name: CALLS[name] for name in ("register", "register elsewhere")},
    **{name: CALLS[name] for name in ("take", "look", "send", "acknowledge", "heartbeat", "save", "load")},
    "register again": lambda s: agents.register_agent(s, "a", "validation", "m", "a"),
    "list keys": lambda s: state.list_agent_state(s, "a"),
    "delete": lambda s: state.delete_agent_state(s, "a", "k"),
    "set status": lambda s: agents.update_agent_status(s, "a", "active", task="t"),
    "load nothing": lambda s: state.load_agent_state(s, "a", "none", ""),
    "look where nothing is": lambda s: taking.get_agent_messages(s, "a"),
}


@pytest.fixture(scope="module")
def file_stores(tmp_path_factory):
    """Two stores of files that differ only in how many others there are."""
    made = {}
    for rows in (FEW_AGENTS, MANY_AGENTS):
        made[rows] = tmp_path_factory.mktemp("files")
        storage = open_for(str(made[rows]), {"MILESTONE_BACKEND": "file"}, make=True)
        with storage.transaction():
            for name in ("a", "b", "one-in-s", *(f"other-{number}" for number in range(rows))):
                agents.register_agent(storage, name, "validation", "m", name[-1])
                state.save_agent_state(storage, name, "k", "v", ttl_seconds=3600)
            sending.send_agent_message(storage, "a", "b", "error_report", "{}")
            storage.execute(HISTORY, {"rows": rows * 25})  # a hundred of a file
        storage.close()
    return made


def opens(folder, call, tmp_path, monkeypatch):
    """How many files of a copy of a store a call reads, which opens it."""
    read = []
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    monkeypatch.setattr(journal, "open_found", lambda path: read.append(path) or open_found(path))
    storage = open_for(str(copy), {"MILESTONE_BACKEND": "file"})
    call(storage)
    storage.close()
    assert read
    return len(read)


@pytest.mark.parametrize("name", OWN)
def test_a_call_of_one_agent_reads_no_file_of_another(file_stores, tmp_path, monkeypatch, name):
    few, many = (opens(file_stores[rows], OWN[name], tmp_path, monkeypatch) for rows in (FEW_AGENTS, MANY_AGENTS))
    assert few == many


def test_a_call_that_reads_the_files_of_others_would_be_noticed(file_stores, tmp_path, monkeypatch):
    few, many = (opens(file_stores[rows], CALLS["detect"], tmp_path, monkeypatch) for rows in (FEW_AGENTS, MANY_AGENTS))
    assert many - few >= MANY_AGENTS - FEW_AGENTS


RECORDS = {
    "create": lambda s: milestones.create_milestone_record(s, "new", "title: new"),
    "update": lambda s: milestones.update_milestone_record(s, "ms-1", "title: changed"),
    "read": lambda s: milestones.read_milestone_record(s, "ms-1"),
    "delete": lambda s: milestones.delete_milestone_record(s, "ms-1"),
}


def looks(directory, rows, call, monkeypatch):
    """How many record files a call looks at where there are so many."""
    seen = []
    storage = open_for(str(directory), {"MILESTONE_BACKEND": "hybrid"}, make=True)
    with storage.transaction():
        for number in range(rows):
            milestones.create_milestone_record(storage, f"ms-{number}", "title: one of many")
    with monkeypatch.context() as patch:
        patch.setattr(files, "stamp_of", lambda path: seen.append(path) or stamp_of(path))
        patch.setattr(files, "read_found", lambda path, **how: seen.append(path) or read_found(path, **how))
        call(storage)
    storage.close()
    return len(seen)


@pytest.mark.parametrize("name", RECORDS)
def test_a_call_for_one_record_looks_at_no_file_of_another(tmp_path, monkeypatch, name):
    few, many = (looks(tmp_path / str(rows), rows, RECORDS[name], monkeypatch) for rows in (3, 40))
    assert few == many


def test_a_call_that_looks_at_all_records_would_be_noticed(tmp_path, monkeypatch):
    assert looks(tmp_path, 40, milestones.list_milestones, monkeypatch) >= 40
