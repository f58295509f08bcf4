"""What status 0 said survives a power cut: every change a call makes on the disk is synced before it ends.

The calls of the whole process are seen from outside, those of SQLite too.
"""
from __future__ import annotations

import errno
import os
import re
import sqlite3
import sys

import pytest
from conftest import ROOT

from milestone_persist import StorageError

SEEN = "pwrite64,write,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,link,linkat,mkdir,mkdirat," \
       "openat"
LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (\d+)", re.M)
# What may come back after a power cut, or be lost, without harm: locks, indexes, what is done once more, and logs.
HARMLESS = re.compile(r"(\.lock|\.queue|-shm|-wal|\.part|\.pyc(\.\d+)?|file-store\.journal|\.kept-\d+|being-made"
                      r"|\.jsonl)$")


class Disk:
    """The files whose contents, and the folders whose names, were changed and not synced since."""

    def __init__(self, directory):
        self.home = str(directory)
        self.there = {os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names}
        self.unsynced = set()

    def replay(self, trace):
        for name, words, _ in LINE.findall(trace):
            paths, [*opened] = re.findall(r'"(/[^"]*)"', words), re.findall(r"^\d+<([^>]*)>", words)
            if opened and "sync" in name:
                self.unsynced.discard(opened[0])
            elif opened and opened[0].startswith(self.home):
                self.unsynced |= {opened[0]} & {path for path in self.there if not path.endswith("-shm")}
            elif paths and paths[-1].startswith(self.home):
                self.on_name(name, words, paths)
        return {os.path.relpath(path, self.home) for path in self.unsynced}

    def on_name(self, name, words, paths):
        new, was_there = paths[-1], paths[-1] in self.there
        if name == "openat" and ("O_CREAT" not in words or was_there):
            return
        if name.startswith("unlink"):
            self.there.discard(new)
            self.unsynced.discard(new)
        else:
            self.there.add(new)
        if name.startswith("rename"):
            self.there.discard(paths[0])
            if paths[0] in self.unsynced:
                self.unsynced.symmetric_difference_update(paths)
        if not HARMLESS.search(new):
            self.unsynced.add(os.path.dirname(new))


@pytest.fixture
def unsynced(run, need, directory, tmp_path):
    """What a call in a process of its own leaves unsynced: unsynced("save-agent-state", …)."""
    def unsynced(*words):
        disk, trace = Disk(directory), tmp_path / "trace"
        done = run([need("strace"), "-f", "-y", "-qq", "-s", "0", "-e", "trace=" + SEEN, "-o", trace,
                    sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py", *words])
        assert done.status == 0, done
        return disk.replay(trace.read_text(errors="replace"))

    return unsynced


ON_DISK = pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)
IN_SQLITE = pytest.mark.parametrize("backend", ["hybrid", "database"], indirect=True)
CALLS = {
    "save": ["save-agent-state", "a", "k", "v"],
    "send": ["send-agent-message", "a", "a", "error_report", "{}"],
    "setting": ["set-storage-config", "message_retry_limit", "5"],
    "record": ["create-milestone-record", "ms-1", "title: x"],
    "update": ["update-milestone-record", "ms-0", "title: y"],
    "archive": ["delete-milestone-record", "ms-0"],
    "backup": ["backup-coordination"],
    "export": ["export-coordination"],
}


@ON_DISK
@pytest.mark.parametrize("name", CALLS)
def test_a_call_leaves_nothing_that_a_power_cut_takes(connect, unsynced, name):
    store = connect()
    store.register_agent("a", "validation", "ms-0", "s")
    store.create_milestone_record("ms-0", "title: x")
    store.close()
    assert unsynced(*CALLS[name]) == set()


@ON_DISK
def test_the_first_call_leaves_nothing_that_a_power_cut_takes(unsynced):
    assert unsynced(*CALLS["save"]) == set()


@IN_SQLITE
def test_a_call_with_a_log_that_others_keep_open_leaves_nothing_that_a_power_cut_takes(connect, directory, unsynced):
    connect().save_agent_state("a", "k", "v")
    others = sqlite3.connect(directory / "coordination.db")
    others.execute("PRAGMA journal_mode = WAL")
    others.execute("SELECT * FROM agent_state").fetchall()
    try:
        assert unsynced(*CALLS["save"]) == set()
    finally:
        others.close()


@IN_SQLITE
def test_the_setting_counts_at_once_for_whoever_has_the_store_open(connect, unsynced):
    def level():
        with store.storage().transaction():
            return store.storage().execute("PRAGMA synchronous")[0]["synchronous"]

    store, other = connect(), connect()
    assert level() == 2
    store.set_storage_config("synchronous", "normal")
    assert level() == 1 and unsynced(*CALLS["save"]) == {"."}
    other.set_storage_config("synchronous", "full")
    assert level() == 2 and unsynced(*CALLS["save"]) == set()


@IN_SQLITE
def test_what_is_done_but_cannot_be_synced_is_said_to_be_done(connect, monkeypatch):
    def fail(folder):
        raise OSError(errno.EIO, "Input/output error", folder)

    store = connect()
    store.create_milestone_record("ms-1", "title: x")
    with monkeypatch.context() as patched:
        patched.setattr("milestone_persist.storage.sqlite.store.sync_directory", fail)
        for call in (lambda: store.send_agent_message("a", "a", "error_report", {}),
                     lambda: store.create_milestone_record("ms-2", "title: y"),
                     lambda: store.update_milestone_record("ms-1", "title: z")):
            with pytest.raises(StorageError, match="this was done, but .*coordination.db could not be synced"):
                call()
    assert len(store.get_agent_messages("a")) == 1
    assert [store.read_milestone_record(name) for name in ("ms-1", "ms-2")] == ["title: z", "title: y"]
