"""A large store goes through every backend and back while others write to it."""
from __future__ import annotations

import json
import threading

import pytest
from conftest import size

from milestone_persist import StorageError, open_store
from milestone_persist.base.tables import TABLES

MILESTONES, AGENTS, MESSAGES, KEYS = size((40, 100, 300, 80), (120, 300, 5_000, 1_500))
WHEN = "2026-01-01 00:00:00.000"

# (backend, whether PostgreSQL is set for who moves everything, and for the writer)
LEGS = [("hybrid", False, False), ("database", False, False), ("database", True, False), ("file", True, True),
        ("database", True, True), ("hybrid", True, True), ("file", True, True)]


def make_rows():
    """The rows of a large store."""
    for n in range(MILESTONES):
        yield "milestones", {"id": f"MS-{n}", "title": f"t{n}", "data": f"title: t{n}\n", "created_at": WHEN,
                             "updated_at": WHEN}
    for n in range(10):
        yield "coordination_sessions", {"session_id": f"planning-{n}", "milestone_id": f"MS-{n}",
                                        "operation_type": "planning", "agent_count": AGENTS // 10,
                                        "created_at": WHEN, "last_activity": WHEN}
    for n in range(AGENTS):
        yield "agent_registry", {"agent_id": f"agent-{n}", "agent_type": "scope-analyzer",
                                 "session_id": f"planning-{n % 10}", "milestone_id": f"MS-{n % 10}",
                                 "spawn_time": WHEN, "last_heartbeat": WHEN}
    for n in range(1, MESSAGES + 1):
        done = WHEN if n % 4 else None
        yield "agent_messages", {"id": n, "session_id": f"planning-{n % 10}", "from_agent": f"agent-{n % AGENTS}",
                                 "to_agent": f"agent-{n % 97}", "message_type": "progress_update", "created_at": WHEN,
                                 "payload": json.dumps({"n": n, "text": "it's 🎉\n\\"}), "delivered_at": done,
                                 "processed_at": done, "acknowledged_at": done}
    for n in range(KEYS):
        yield "agent_state", {"agent_id": f"agent-{n % AGENTS}", "state_key": f"key-{n}", "state_value": f"'{n}'\n$(x)",
                              "created_at": WHEN, "updated_at": WHEN}


class Writer(threading.Thread):
    """Another process's part: opens the store again for every write, and keeps count of those that were confirmed."""

    def __init__(self, directory, environ):
        super().__init__()
        self.directory, self.environ = directory, {**environ, "SESSION_ID": "execution-writer"}
        self.confirmed, self.told, self.over = [], [], threading.Event()

    def run(self):
        number = 0
        while not self.over.is_set() and number < 25:
            number += 1
            try:
                with open_store(self.directory, environ=self.environ) as store:
                    store.save_agent_state("writer", f"{id(self)}-{number}", "x")
                self.confirmed.append(f"{id(self)}-{number}")
            except StorageError as error:
                self.told.append(str(error))


def export(store, path):
    """The lines of an export without what the writers, and moving itself, added."""
    lines = open_lines(store.export_coordination(str(path))["file"])[:-1]  # the last counts those too
    return [line for line in lines if "writer" not in line]


def open_lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def test_everything_comes_back_and_no_confirmed_write_is_lost(tmp_path, postgresql_environ):
    directory, source = tmp_path / "data", tmp_path / "source.jsonl"
    rows = [{"table": table, "row": row} for table, row in make_rows()]
    numbers = {"agent_messages": MESSAGES, "agent_health_log": 0, "events": 0}
    source.write_text("\n".join(map(json.dumps, [
        {"format": "milestone_persist", "version": 1}, *rows,
        {"last_numbers": numbers, "rows": {table: sum(row["table"] == table for row in rows) for table in TABLES}},
    ])) + "\n")
    with open_store(directory, environ={"MILESTONE_BACKEND": "file", "SESSION_ID": "execution-writer"}) as store:
        store.import_coordination(str(source))
        store.save_agent_state("writer", "first", "x")
        before = export(store, tmp_path / "before.jsonl")
    confirmed = ["first"]
    for backend, environ, theirs in LEGS:
        environ, theirs = (postgresql_environ if shared else {} for shared in (environ, theirs))
        writer = Writer(directory, theirs)
        writer.start()
        try:
            assert moved(directory, backend, environ)
        finally:
            writer.over.set()
            writer.join()
        assert theirs != environ or writer.told == []
        confirmed += writer.confirmed
        with open_store(directory, environ=environ) as store:
            assert store.get_current_storage_backend() == backend
    with open_store(directory, environ={}) as store:
        assert {row["state_key"] for row in store.list_agent_state("writer")} >= set(confirmed)
        assert len(confirmed) > 4, "the writers were kept out all the time"
        assert export(store, tmp_path / "after.jsonl") == before
        assert store.send_agent_message("agent-1", "agent-2", "progress_update", {})["id"] > MESSAGES


def moved(directory, backend, environ):
    """Migrate as `migrate_storage_backend` of a command line does: whatever is set, from what is in use."""
    from milestone_persist.moving.scaling import choose_backend
    from milestone_persist.opening.place import open_for

    store = open_for(str(directory), environ, in_use=True)
    try:
        return choose_backend(store, backend)
    finally:
        store.close()


@pytest.fixture(autouse=True)
def quiet(recwarn):
    """Nothing here may warn."""
    yield
    assert not recwarn.list
