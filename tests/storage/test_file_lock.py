"""The lock of the file backend: in order of arrival, shared by readers, with a limit, told by whom it is kept."""
from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading

import pytest

from milestone_persist import StorageError
from milestone_persist.base.errors import Busy
from milestone_persist.storage.jsonfiles import lock as lock_module
from milestone_persist.storage.jsonfiles.lock import FileLock

HOLD = ("import fcntl, os, sys; held = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "fcntl.flock(held, getattr(fcntl, sys.argv[2])); print('ready', flush=True); sys.stdin.readline()")
CAN_TELL = os.path.exists("/proc/locks")


@pytest.fixture
def hold(tmp_path):
    """Starts another process that has a lock on one of the two files, until it gets a line."""
    running = []

    def hold(ending, kind="LOCK_EX"):
        words = [sys.executable, "-c", HOLD, str(tmp_path / f"store{ending}"), kind]
        running.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert running[-1].stdout.readline() == b"ready\n"
        return running[-1]

    yield hold
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def locks(tmp_path):
    """Two that ask for the same lock."""
    mine, other = FileLock(str(tmp_path / "store")), FileLock(str(tmp_path / "store"))
    yield mine, other
    mine.release()
    other.release()


def test_readers_share_it_and_a_writer_has_it_alone(locks):
    mine, other = locks
    mine.acquire(exclusive=False)
    other.acquire(exclusive=False, seconds=0)
    mine.release()
    with pytest.raises(Busy, match="is busy"):
        mine.acquire(exclusive=True, seconds=0)
    other.release()
    mine.acquire(exclusive=True, seconds=0)
    for exclusive in (False, True):
        with pytest.raises(Busy, match="is busy"):
            other.acquire(exclusive, seconds=0)
    assert mine.is_held and not other.is_held


@pytest.mark.parametrize("exclusive", [False, True])
def test_who_has_just_had_it_does_not_overtake_the_first_in_line(locks, hold, exclusive):
    """Nobody has it: the first in line is about to have it, and whoever comes now is behind."""
    mine, _ = locks
    mine.acquire(exclusive=True)
    mine.release()
    first = hold(".queue")
    with pytest.raises(Busy, match=r"store\.queue is busy") as caught:
        mine.acquire(exclusive, seconds=0.02)
    assert not CAN_TELL or f"process {first.pid}, " in str(caught.value)
    first.communicate(b"\n")
    mine.acquire(exclusive, seconds=30)  # the thread that was left behind may have it for an instant


@pytest.mark.parametrize("kind, doing", [("LOCK_EX", "writing"), ("LOCK_SH", "reading")])
def test_the_error_tells_who_has_it_and_what_for(locks, hold, kind, doing):
    holder = hold(".lock", kind)
    with pytest.raises(Busy, match=r"store\.lock is busy") as caught:
        locks[0].acquire(exclusive=True, seconds=0.02)
    if CAN_TELL:
        assert f"process {holder.pid}, " in str(caught.value) and f" has been {doing} for 0.02 s" in str(caught.value)


@pytest.mark.parametrize("ending", [".queue", ".lock"])
def test_who_waits_has_it_when_the_one_before_is_done(locks, hold, ending):
    holder, done = hold(ending), []
    waiting = threading.Thread(target=lambda: done.append(locks[0].acquire(exclusive=True)))
    waiting.start()
    holder.communicate(b"\n")
    waiting.join()
    assert done == [None] and locks[0].is_held


@pytest.mark.parametrize("ending", [".queue", ".lock"])
def test_one_that_gave_up_holds_nobody_up(locks, hold, ending):
    mine, other = locks
    holder = hold(ending)
    for exclusive in (True, False, True):
        with pytest.raises(Busy):
            mine.acquire(exclusive, seconds=0.01)
    holder.communicate(b"\n")
    other.acquire(exclusive=True)
    other.release()
    mine.acquire(exclusive=True)


def test_where_no_thread_can_be_started_the_wait_has_a_limit_too(locks, hold, monkeypatch):
    def refuse(*words):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    holder = hold(".lock")
    with pytest.raises(Busy):
        locks[0].acquire(exclusive=True, seconds=0.02)
    holder.communicate(b"\n")
    locks[0].acquire(exclusive=True, seconds=30)


def test_where_there_are_no_locks_nothing_is_done_without_one(locks, monkeypatch):
    def refuse(*words):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match=r"store\.lock \(Operation not supported\): its file system has no locks"):
        locks[0].acquire(exclusive=True)
    assert not locks[0].is_held


def test_a_forked_child_does_not_give_back_what_its_parent_has(locks):
    mine, other = locks
    mine.acquire(exclusive=True)
    child = os.fork()
    if not child:
        mine.release()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(Busy):
        other.acquire(exclusive=True, seconds=0)


@pytest.mark.parametrize("new", [None, b""], ids=["removed", "replaced"])
def test_a_lock_on_a_file_that_was_removed_is_none(locks, tmp_path, new):
    mine, other = locks
    mine.acquire(exclusive=True)
    mine.require_held()
    (tmp_path / "store.lock").unlink()
    if new is not None:
        (tmp_path / "store.lock").write_bytes(new)
    with pytest.raises(StorageError, match="was removed or replaced while this call had its lock: nothing was done"):
        mine.require_held()
    other.acquire(exclusive=True, seconds=0)
    other.require_held()
    mine.release()
    other.require_held()


def test_who_waits_for_a_file_that_is_removed_meanwhile_has_the_lock_of_the_new_one(locks, tmp_path, monkeypatch):
    mine, other = locks
    enter, path = lock_module.Line.enter, tmp_path / "store.lock"

    def remove_and_enter(line, alone, seconds):
        monkeypatch.setattr(lock_module.Line, "enter", enter)
        path.unlink()
        return enter(line, alone, seconds)

    monkeypatch.setattr(lock_module.Line, "enter", remove_and_enter)
    mine.acquire(exclusive=True, seconds=30)
    mine.require_held()
    with pytest.raises(Busy):
        other.acquire(exclusive=True, seconds=0)


@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_where_the_lock_is_taken_away_two_writers_lose_and_mix_nothing(store, connect, directory, monkeypatch):
    """The second writes while the first is about to decide, and had its parts beside those of the first."""
    store.save_agent_state("a", "k", "v")
    other, require_held = connect(), FileLock.require_held

    def let_other_write(lock):
        monkeypatch.setattr(FileLock, "require_held", require_held)
        (directory / "file-store.lock").unlink()
        other.save_agent_state("b", "k", "of the other")
        lock.require_held()

    monkeypatch.setattr(FileLock, "require_held", let_other_write)
    with pytest.raises(StorageError, match="nothing was done"):
        store.save_agent_state("a", "k", "w")
    third = connect()
    assert [third.load_agent_state(agent, "k") for agent in "ab"] == ["v", "of the other"]
    store.save_agent_state("a", "k", "w")
    assert third.load_agent_state("a", "k") == "w" and third.doctor()
    assert not [*directory.glob("*.part")]


def test_a_folder_that_became_a_file_meanwhile_is_no_internal_error(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    lock = FileLock(str(folder / "store"))
    lock.acquire(exclusive=True)
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("")
    with pytest.raises(StorageError, match="removed or replaced"):
        lock.require_held()
    lock.release()
