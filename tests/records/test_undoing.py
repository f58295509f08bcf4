"""Files that a transaction writes and moves: as they were if it fails, and durable before it has succeeded."""
from __future__ import annotations

import errno
import os
import sqlite3
import stat

import pytest

from milestone_persist import StorageError
from milestone_persist.opening.place import open_for
from milestone_persist.records import undo as undoing
from milestone_persist.records.undo import move_file, set_aside, write_file, write_new
from milestone_persist.storage.files import write_whole

FILES = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)


@pytest.fixture
def storage(directory, environ, clock):
    storage = open_for(str(directory), environ, clock, make=True)
    yield storage
    storage.close()


def change_files(storage):
    write_file(storage, "active/old.yaml", b"changed")
    write_new(storage, "active/new.yaml", b"new")
    move_file(storage, "active/moved.yaml", "completed/moved.yaml")
    set_aside(storage, "active")
    write_file(storage, "active/last.yaml", b"last")


def files(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for folder in ("active", "completed", "backups")
            for path in (directory / folder).rglob("*") if path.is_file()}


@LOCAL
@pytest.mark.parametrize("fault", ["an error", "the commit"])
def test_a_transaction_that_fails_leaves_no_trace_in_files(storage, directory, monkeypatch, fault):
    for name in ("old", "moved"):
        write_whole(str(directory / "active" / f"{name}.yaml"), name.encode())
    before = files(directory)

    def fail():
        storage.rollback()
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="the disk is full"), storage.transaction():
        with storage.transaction():
            change_files(storage)
        if fault == "an error":
            raise StorageError("the disk is full")
        monkeypatch.setattr(storage, "commit", fail)
    assert files(directory) == before
    monkeypatch.undo()
    with storage.transaction():
        change_files(storage)
    after = files(directory)
    assert sorted(after.values()) == [b"changed", b"last", b"moved", b"new"]
    with pytest.raises(StorageError), storage.transaction():
        raise StorageError("later")
    assert files(directory) == after


@LOCAL
def test_a_new_file_takes_no_others_place(storage, directory):
    write_whole(str(directory / "active" / "x.yaml"), b"mine")
    with pytest.raises(FileExistsError), storage.transaction():
        write_new(storage, "active/x.yaml", b"theirs")
    assert files(directory) == {"active/x.yaml": b"mine"}


@LOCAL
def test_what_cannot_be_put_back_is_told_and_the_rest_is_put_back(storage, directory):
    told = []
    storage.warn = told.append
    write_whole(str(directory / "active" / "x.yaml"), b"mine")
    with pytest.raises(sqlite3.Error), storage.transaction():
        write_file(storage, "active/x.yaml", b"theirs")
        write_new(storage, "active/y.yaml", b"new")
        os.unlink(directory / "active" / "y.yaml")
        raise sqlite3.Error
    assert files(directory) == {"active/x.yaml": b"mine"}
    assert len(told) == 1 and "could not be put back" in told[0]


KEEPS_FILES = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)


@KEEPS_FILES
@pytest.mark.parametrize("room", [0, 1])
def test_an_update_on_a_disk_that_fills_up_changes_nothing(store, directory, monkeypatch, room):
    store.create_milestone_record("ms-1", "title: old")
    before, names, left = files(directory), sorted(os.listdir(directory)), [room]
    real, storage = undoing.write_whole, store.storage()

    def write(path, data, replace=True):
        if not left[0]:
            raise StorageError("the disk is full")
        left[0] -= 1
        real(path, data, replace)

    def fail():
        storage.rollback()
        raise StorageError("the disk is full")

    with monkeypatch.context() as patched, pytest.raises(StorageError, match="the disk is full"):
        patched.setattr(undoing, "write_whole", write)
        patched.setattr(storage, "commit", fail)
        store.update_milestone_record("ms-1", "title: new")
    assert files(directory) == before and sorted(os.listdir(directory)) == names
    assert store.read_milestone_record("ms-1") == "title: old"
    store.update_milestone_record("ms-1", "title: new")
    assert store.read_milestone_record("ms-1") == "title: new"
    assert sorted(os.listdir(directory)) == names


@LOCAL
def test_a_file_that_is_written_twice_is_as_it_was_before_both(storage, directory):
    write_whole(str(directory / "active" / "x.yaml"), b"mine")
    (directory / ".kept-0").write_bytes(b"of one who was killed")
    with pytest.raises(StorageError), storage.transaction():
        for text in (b"one", b"two"):
            write_file(storage, "active/x.yaml", text)
        raise StorageError
    assert files(directory) == {"active/x.yaml": b"mine"}


@FILES
def test_a_record_whose_writer_was_killed_is_read_and_written(store, directory):
    store.create_milestone_record("ms-1", "title: old")
    os.link(directory / "active" / "ms-1.yaml", directory / ".kept-0")
    assert store.read_milestone_record("ms-1") == "title: old"
    store.update_milestone_record("ms-1", "title: new")
    assert files(directory)["active/ms-1.yaml"] == b"title: new"


@FILES
@pytest.mark.parametrize("call, number", [("unlink", 1), ("fsync", 2)])
def test_a_new_record_that_cannot_be_made_durable_is_not_there(store, directory, monkeypatch, call, number):
    real, left = getattr(os, call), [number]

    def fail(*given):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, "Input/output error")
        return real(*given)

    store.create_milestone_record("ms-0", "title: other")
    with monkeypatch.context() as patched, pytest.raises(StorageError, match="Input/output error"):
        patched.setattr(os, call, fail)
        store.create_milestone_record("ms-1", "title: new")
    assert "active/ms-1.yaml" not in files(directory)
    store.create_milestone_record("ms-1", "title: new")


@LOCAL
def test_without_hard_links_a_copy_is_kept(storage, directory, monkeypatch):
    write_whole(str(directory / "active" / "x.yaml"), b"mine")

    def refuse(old, new):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageError), storage.transaction():
        write_file(storage, "active/x.yaml", b"theirs")
        raise StorageError
    assert files(directory) == {"active/x.yaml": b"mine"}


@pytest.fixture
def steps(monkeypatch):
    """Notes each sync, by what is synced, and each rename."""
    noted, sync, rename = [], os.fsync, os.replace

    def note_sync(descriptor):
        noted.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def note_rename(old, new):
        noted.append(("rename", str(new)))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_rename)
    return noted


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="tells files by /proc")
BOTH = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)


@pytest.mark.parametrize("code, refused", [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_folders_is_used_all_the_same(tmp_path, monkeypatch, code, refused):
    sync = os.fsync

    def fail(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    if refused:
        with pytest.raises(StorageError, match="cannot write"):
            write_whole(str(tmp_path / "x"), b"x")
    else:
        write_whole(str(tmp_path / "new" / "x"), b"x")


@LOCAL
def test_a_file_that_was_written_but_is_not_durable_is_put_back(storage, directory, monkeypatch):
    write_whole(str(directory / "active" / "x.yaml"), b"mine")
    rename, sync = os.replace, os.fsync

    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    def rename_and_break(old, new):
        rename(old, new)
        monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(StorageError, match="Input/output error"), storage.transaction():
        monkeypatch.setattr(os, "replace", rename_and_break)
        try:
            write_file(storage, "active/x.yaml", b"theirs")
        finally:
            monkeypatch.setattr(os, "replace", rename)
            monkeypatch.setattr(os, "fsync", sync)
    assert files(directory) == {"active/x.yaml": b"mine"}


@needs_proc
@BOTH
def test_a_record_is_durable_before_success(store, directory, steps):
    store.create_milestone_record("ms-1", "x")
    assert ("sync", str(directory)) in steps  # the new folder
    record = str(directory / "active" / "ms-1.yaml")
    steps.clear()
    store.update_milestone_record("ms-1", "y")
    assert steps.index(("rename", record)) < steps.index(("sync", str(directory / "active")))
    steps.clear()
    store.delete_milestone_record("ms-1")
    for folder in ("active", "completed"):
        assert steps.index(("rename", record.replace("active", "completed"))) < steps.index(
            ("sync", str(directory / folder)))


@needs_proc
@BOTH
def test_a_setting_is_durable_before_success(store, directory, steps):
    store.migrate_storage_backend(store.get_current_storage_backend())
    assert steps[-1] == ("sync", str(directory / "config"))


@needs_proc
def test_an_export_and_a_backup_are_durable_before_success(store, tmp_path, steps):
    for write in (store.export_coordination, store.backup_coordination):
        steps.clear()
        write(str(tmp_path / "new" / write.__name__))
        assert ("sync", str(tmp_path / "new")) in steps
