"""What a power cut may take: a new name is synced with its folder, and that of a new folder with the one above."""
from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat

import pytest

from milestone_persist import open_store
from milestone_persist.storage.files import write_whole
from milestone_persist.storage.sqlite.safe_copy import back_up


@pytest.fixture
def unsynced(monkeypatch):
    """Tells which folders have got a name by os.replace, os.link or os.mkdir and were not synced since."""
    dirty = {}

    def watch(name):
        real = getattr(os, name)

        def call(*args, **options):
            done = real(*args, **options)
            home = os.path.dirname(str(args[0] if name == "mkdir" else args[1]))
            dirty[os.stat(home).st_ino] = home
            return done
        monkeypatch.setattr(os, name, call)

    def sync(descriptor, real=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            dirty.pop(os.fstat(descriptor).st_ino, None)
        real(descriptor)

    for name in ("replace", "link", "mkdir"):
        watch(name)
    monkeypatch.setattr(os, "fsync", sync)
    return dirty.values


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_that_is_written_whole_is_on_the_disk(tmp_path, unsynced, replace):
    for name in ("a", "b"):
        write_whole(str(tmp_path / "new" / "folder" / name), b"x", replace)
    assert [*unsynced()] == [] and (tmp_path / "new" / "folder").stat().st_mode & 0o777 == 0o700


def test_a_copy_that_is_kept_before_the_schema_changes_is_on_the_disk(tmp_path, unsynced):
    path = tmp_path / "coordination.db"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    connection.close()
    back_up(str(path), "before")
    assert [*unsynced()] == [] and len([*(tmp_path / "backups").iterdir()]) == 1


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_a_data_directory_that_is_made_and_written_to_is_on_the_disk(directory, unsynced, environ):
    store = open_store(directory, environ=environ)  # the program makes it, and not a copy
    store.save_agent_state("a", "k", "v")
    store.create_milestone_record("ms", "title: Mine")
    store.send_agent_message("a", "a", "error_report", {})
    store.get_agent_messages("a", True)
    store.acknowledge_agent_message("a", 1)
    store.close()
    assert [*unsynced()] == []


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("knows_the_call", [True, False])
def test_on_macos_the_cache_of_the_drive_is_flushed_too(tmp_path, monkeypatch, connect, knows_the_call):
    """What is asked of the system there, for our own files and by SQLite; elsewhere fsync does it."""
    asked = []

    def control(descriptor, command, *args, real=fcntl.fcntl):
        if command != "full":
            return real(descriptor, command, *args)
        asked.append(descriptor)
        if not knows_the_call:
            raise OSError(errno.ENOTSUP, "not supported")
        return 0

    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", "full", raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda descriptor, real=os.fsync: asked.append("fsync") or real(descriptor))
    write_whole(str(tmp_path / "file"), b"x", False)
    assert len(asked) == (2 if knows_the_call else 4) and ("fsync" in asked) is not knows_the_call
    store = connect()
    store.save_agent_state("a", "k", "v")
    assert store.storage().execute("PRAGMA fullfsync") == [{"fullfsync": 1}]
