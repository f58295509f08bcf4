"""What tests of the file backend share: its storage as other processes open it, its rows and its files."""
from __future__ import annotations

import pytest

from milestone_persist.base.tables import TABLES
from milestone_persist.storage.call import Clock
from milestone_persist.storage.jsonfiles.store import FileStorage


@pytest.fixture
def opened(directory):
    """Opens the storage itself, as a process of its own would; all are closed at the end."""
    storages = []

    def opened(create=True):
        storages.append(FileStorage(str(directory), Clock(), {}, create))
        return storages[-1]

    yield opened
    for storage in storages:
        storage.close()


def rows_of(storage):
    with storage.snapshot():
        return {table: sorted(map(repr, storage.execute(f"SELECT * FROM {table}"))) for table in TABLES}


def files_below(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def insert_agent(storage, name):
    storage.execute("INSERT INTO coordination_sessions (session_id) VALUES ('s') ON CONFLICT (session_id) DO NOTHING")
    storage.execute("INSERT INTO agent_registry (agent_id, agent_type, session_id) VALUES (:a, 'validation', 's')",
                    {"a": name})
