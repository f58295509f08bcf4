"""The file backend killed at any call, or on a disk that fails or is full: all or nothing."""
from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys

import pytest
from file_store import files_below, insert_agent, rows_of

from milestone_persist import StorageError
from milestone_persist.storage.call import Clock
from milestone_persist.storage.jsonfiles.journal import JOURNAL
from milestone_persist.storage.jsonfiles.store import HEAD, FileStorage


@pytest.fixture
def backend():
    return "file"


CALLS = ("open", "write", "fsync", "replace", "unlink", "mkdir")


def _die_at_call(number):
    """Kill this process at the n-th system call that changes a file; a write is cut in half first."""
    left = [number]

    def wrap(name, real):
        def call(*args, **options):
            left[0] -= 1
            if left[0] == 0:
                if name == "write":
                    real(args[0], args[1][:len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)
        setattr(os, name, call)

    for name in CALLS:
        wrap(name, getattr(os, name))


def _survives(number, work):
    """Run `work` in a child that dies at its n-th call; whether it got through."""
    child = os.fork()
    if child == 0:
        _die_at_call(number)
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _change_much(directory):
    storage = FileStorage(str(directory), Clock(), {})
    with storage.transaction():
        storage.execute("DELETE FROM agent_state WHERE state_key = 'old'")
        storage.execute("UPDATE agent_registry SET status = 'paused'")
        insert_agent(storage, "b")
        storage.execute("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
                        "VALUES ('s', 'a', 'b', 'progress_update', '{}')")
        storage.execute("UPDATE agent_messages SET delivered_at = 'x', acknowledged_at = 'x' WHERE id = 1")


def test_killed_at_any_call_the_rows_are_as_before_or_as_after(opened, directory):
    storage = opened()
    insert_agent(storage, "a")
    storage.execute("INSERT INTO agent_state (agent_id, state_key, state_value) VALUES ('a', 'old', 'v')")
    for _ in range(2):
        storage.execute("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
                        "VALUES ('s', 'a', 'b', 'progress_update', '{}')")
    before, aside = rows_of(storage), directory.parent / "aside"
    os.rename(directory, aside)
    seen, number, through = [], 0, False
    while not through:
        number += 1
        subprocess.run(["cp", "-a", aside, directory], check=True)
        through = _survives(number, lambda: _change_much(directory))
        after = FileStorage(str(directory), Clock(), {})
        rows = rows_of(after)
        seen.append(rows == before)
        if rows != before:
            assert (len(rows["agent_messages"]), len(rows["agent_registry"]), rows["agent_state"]) == (3, 2, [])
            assert "paused" in rows["agent_registry"][0] and "acknowledged_at': 'x'" in rows["agent_messages"][0]
        assert after.check() == []
        insert_agent(after, "c")
        after.close()
        subprocess.run(["rm", "-r", directory], check=True)
    assert number > 20 and seen == sorted(seen, reverse=True) and {*seen} == {True, False}


def test_a_file_store_killed_while_it_is_made_can_be_made_again(directory):
    number, through = 0, False
    while not through:
        number += 1
        through = _survives(number, lambda: FileStorage(str(directory), Clock(), {}))
        storage = FileStorage(str(directory), Clock(), {})
        assert storage.check() == [] and len(storage.execute("SELECT * FROM agent_coordination_config")) > 5
        storage.close()
        subprocess.run(["rm", "-r", directory], check=True)
    assert number > 10


def test_each_step_is_on_the_disk_before_the_next(opened, monkeypatch):
    storage, steps = opened(), []

    def note(name, real):
        def call(*args):
            steps.append(name if name == "fsync" else f"{name} {os.path.basename(args[-1])}")
            return real(*args)
        return call

    for name in ("fsync", "replace", "unlink"):
        monkeypatch.setattr(os, name, note(name, getattr(os, name)))
    insert_agent(storage, "a")
    del steps[:]
    storage.execute("UPDATE agent_registry SET status = 'paused'")
    parts, folders = ["fsync"] * 2, ["fsync"] * 2
    assert steps == [*parts, "fsync", f"replace {JOURNAL}", "fsync", "replace a.json",
                     f"replace {HEAD}", *folders, f"unlink {JOURNAL}"]


def test_the_folders_of_what_changed_and_those_above_are_synced(tmp_path, monkeypatch):
    directory, synced, real = tmp_path / "new" / ".milestones", set(), os.fsync

    def note(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    storage = FileStorage(str(directory), Clock(), {})
    insert_agent(storage, "a")
    storage.execute("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, "
                    "delivered_at, acknowledged_at) VALUES ('s', 'a', 'a', 'progress_update', '{}', 'x', 'x')")
    storage.close()
    folders = [directory.parent, directory, *(path for path in directory.rglob("*") if path.is_dir())]
    assert {path.name for path in folders} >= {"acknowledged", "agent-messages", "agent-registry", "config"}
    assert [path for path in folders if path.stat().st_ino not in synced] == []


def _leave_journal(directory, contents):
    (directory / JOURNAL).write_text(contents if isinstance(contents, str) else json.dumps(contents))


def test_a_reader_looks_through_what_a_crash_left_and_a_writer_carries_it_out(opened, directory):
    storage = opened()
    for name in ("a", "b"):
        insert_agent(storage, name)
    row = json.loads((directory / "agent-registry/a.json").read_text())
    head = json.loads((directory / HEAD).read_text())
    _leave_journal(directory, {"agent-registry/a.json": json.dumps({**row, "status": "failed"}),
                               "agent-registry/b.json": None, "agent-registry/c.json": json.dumps(
                                   {**row, "agent_id": "c"}), HEAD: json.dumps({**head, "generation": 99})})
    files = files_below(directory)
    for one in (storage, opened(), opened(create=False)):
        rows = one.execute("SELECT * FROM agent_registry ORDER BY agent_id")
        assert [(row["agent_id"], row["status"]) for row in rows] == [("a", "failed"), ("c", "active")]
        assert one.check() == []
    assert files_below(directory) == files
    insert_agent(storage, "d")
    assert not (directory / JOURNAL).exists()
    assert sorted(os.listdir(directory / "agent-registry")) == ["a.json", "c.json", "d.json"]


@pytest.mark.parametrize("contents", ["{", "[]", '{"../outside": "x"}', '{"/etc/x": "x"}', '{"a/../../x": "x"}', "3"])
def test_a_journal_that_is_none_is_not_carried_out(opened, directory, contents):
    storage = opened()
    _leave_journal(directory, contents)
    files = files_below(directory.parent)
    for sql in ("SELECT 1", "DELETE FROM events"):
        with pytest.raises(StorageError, match=JOURNAL):
            storage.execute(sql)
    assert files_below(directory.parent) == files


def test_a_full_disk_changes_nothing(opened, directory, monkeypatch):
    storage = opened()
    insert_agent(storage, "a")
    before, files, write = rows_of(storage), files_below(directory), os.write

    def full(descriptor, data):
        write(descriptor, data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="free some space"):
        insert_agent(storage, "b")
    assert rows_of(storage) == before and files_below(directory) == files


def _fail_from(monkeypatch, number):
    """From the n-th rename on, but for that of the journal, the disk fails."""
    real, left = os.replace, [number]

    def replace(part, path):
        left[0] -= not path.endswith(JOURNAL)
        if left[0] <= 0:
            raise OSError(5, "Input/output error")
        return real(part, path)

    monkeypatch.setattr(os, "replace", replace)


def test_a_change_that_has_not_begun_is_taken_back(opened, directory, monkeypatch):
    storage = opened()
    insert_agent(storage, "a")
    files = files_below(directory)
    _fail_from(monkeypatch, 1)
    with pytest.raises(StorageError, match="cannot write .*Input/output"):
        insert_agent(storage, "b")
    assert files_below(directory) == files
    monkeypatch.undo()
    for one in (storage, opened()):
        assert [row["agent_id"] for row in one.execute("SELECT * FROM agent_registry")] == ["a"]


def test_a_change_that_has_begun_is_decided_and_read_even_if_the_disk_fails_then(opened, directory, monkeypatch):
    storage = opened()
    _fail_from(monkeypatch, 2)
    with storage.transaction():
        insert_agent(storage, "a")
    for one in (storage, opened()):
        assert [row["agent_id"] for row in one.execute("SELECT * FROM agent_registry")] == ["a"]
        with pytest.raises(StorageError, match="cannot write"):
            one.execute("DELETE FROM agent_registry")
    monkeypatch.undo()
    for one in (storage, opened()):
        insert_agent(one, f"b{id(one)}")
    assert len(opened().execute("SELECT * FROM agent_registry")) == 3 and not (directory / JOURNAL).exists()


@pytest.mark.parametrize("stays", [False, True])
def test_a_journal_that_cannot_be_synced_is_taken_back_or_told_of(opened, directory, monkeypatch, stays):
    storage = opened()
    insert_agent(storage, "a")
    files, unlink = files_below(directory), os.unlink

    def fail(descriptor, real=os.fsync):
        if (directory / JOURNAL).exists():
            raise OSError(5, "Input/output error")
        real(descriptor)

    def refuse(path):
        if stays and path.endswith(JOURNAL):
            raise OSError(30, "Read-only file system")
        unlink(path)

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StorageError, match=f"the change waits in {JOURNAL}" if stays else "cannot write"):
        insert_agent(storage, "b")
    monkeypatch.undo()
    assert stays or files_below(directory) == files
    for one in (storage, opened()):
        names = [row["agent_id"] for row in one.execute("SELECT * FROM agent_registry")]
        assert names == (["a", "b"] if stays else ["a"])


def test_a_disk_that_fills_up_leaves_a_store_that_can_be_read(store, connect, directory, monkeypatch):
    room, write, saved = 1_000_000, os.write, {}

    def write_if_there_is_room(descriptor, data):
        used = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        if used >= room:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:room - used])

    monkeypatch.setattr(os, "write", write_if_there_is_room)
    refused = 0
    for number in range(12):
        key, value = f"k{number % 5}", str(number) * 150_000
        try:
            store.save_agent_state("a", key, value)
            saved[key] = value
        except StorageError as error:
            assert "free some space" in str(error)
            refused += 1
        for one in (store, connect()):
            assert {name: one.load_agent_state("a", name) for name in saved} == saved
            assert one.doctor()
    assert refused and saved
    store.delete_agent_state("a", "k0")
    store.save_agent_state("a", "k9", "v")


if sys.platform == "darwin":  # forking after threads is not safe there
    del test_killed_at_any_call_the_rows_are_as_before_or_as_after
    del test_a_file_store_killed_while_it_is_made_can_be_made_again
