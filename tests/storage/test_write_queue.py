"""Writers wait in line: one after the other in order, with a limit, and never for one that is gone."""
from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from milestone_persist import StorageError
from milestone_persist.storage import write_queue
from milestone_persist.storage.sqlite import embedded
from milestone_persist.storage.sqlite.store import SqliteStorage

pytestmark = pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
HOLD = ("import fcntl, os, sys; held = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(held, fcntl.LOCK_EX); "
        "print('ready', flush=True); sys.stdin.readline()")


def lock_file(store):
    return os.path.join(store.directory, "coordination.db-queue")


def is_free(path):
    """Whether nobody writes: what another process would find."""
    other = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(other)


@pytest.fixture(params=["queue"])
def holder(store, request):
    """Another process that is in front of the queue, or only the first in line, and stays there."""
    store.save_agent_state("a", "k", "v")
    held = os.path.join(store.directory, "coordination.db-" + request.param)
    process = subprocess.Popen([sys.executable, "-c", HOLD, held], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.communicate()


def test_who_writes_is_in_front_of_the_queue_until_it_is_committed(store):
    store.save_agent_state("a", "k", "v")
    storage = store.storage()
    assert is_free(lock_file(store))
    with storage.transaction():
        assert not is_free(lock_file(store))
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        assert not is_free(lock_file(store))
    assert is_free(lock_file(store))
    with storage.snapshot():
        assert is_free(lock_file(store))


def test_what_a_commit_copies_out_of_the_log_is_copied_in_front_of_the_queue(store, monkeypatch):
    """With a write-ahead log: a checkpoint of one process and a commit of another must not meet."""
    storage = store.storage()
    storage.run("PRAGMA journal_mode = WAL")
    storage.run("PRAGMA wal_autocheckpoint = 1")
    path, seen = lock_file(store), []

    def written():
        return os.stat(storage.path).st_mtime_ns

    fetch = storage.fetch

    def watch(sql, *given):
        """Run a statement; of a COMMIT note whether it has written to the database, and whether others could write."""
        before = written()
        done = fetch(sql, *given)
        if sql == "COMMIT":
            seen.append((written() > before, is_free(path)))
        return done

    with storage.transaction():
        storage.execute("UPDATE agent_coordination_config SET value = '31' WHERE key = 'heartbeat_interval'")
        monkeypatch.setattr(storage, "fetch", watch)
    monkeypatch.undo()
    assert seen == [(True, False)]


@pytest.mark.parametrize("end", ["commit", "error", "refused"])
def test_the_queue_goes_on_however_a_transaction_ends(store, end):
    storage = store.storage()
    if end == "commit":
        store.save_agent_state("a", "k", "v")
    elif end == "error":
        with pytest.raises(ZeroDivisionError), storage.transaction():
            raise ZeroDivisionError
    else:
        with pytest.raises(StorageError), storage.transaction():
            storage.execute("UPDATE no_such_table SET x = 1")
    assert is_free(lock_file(store))


def test_the_wait_has_a_limit_and_the_error_says_who_is_in_front(store, holder, monkeypatch, dump):
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.05)
    before = dump()
    with pytest.raises(StorageError, match=r"coordination\.db is busy: another process.* has been writing for 0\.05 s"
                       ) as caught:
        store.save_agent_state("a", "k", "w")
    if os.path.exists("/proc/locks"):
        assert f"process {holder.pid}, " in str(caught.value)
    assert dump() == before


@pytest.mark.parametrize("holder", ["line"], indirect=True)
def test_who_has_just_written_does_not_overtake_the_first_in_line(store, holder, monkeypatch):
    """Nobody is in front: the first in line is about to be, and whoever comes now is behind it."""
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.05)
    assert is_free(lock_file(store))
    with pytest.raises(StorageError, match="is busy") as caught:
        store.save_agent_state("a", "k", "w")
    if os.path.exists("/proc/locks"):
        assert f"process {holder.pid}, " in str(caught.value)
    assert store.load_agent_state("a", "k") == "v"
    holder.communicate(b"\n")
    assert store.save_agent_state("a", "k", "w")["version"] == 2


def test_one_that_gave_up_does_not_hold_up_those_behind_it(store, holder, monkeypatch):
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.05)
    for _ in range(3):
        with pytest.raises(StorageError):
            store.save_agent_state("a", "k", "w")
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 30.0)
    holder.communicate(b"\n")
    store.save_agent_state("a", "k", "w")
    assert store.load_agent_state("a", "k") == "w"


def test_the_place_of_a_killed_process_is_free_at_once(store, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert store.save_agent_state("a", "k", "w")["version"] == 2


def test_who_waits_is_let_in_when_the_one_in_front_is_done(store, holder):
    done = []
    other = threading.Thread(target=lambda: done.append(store.save_agent_state("a", "k", "w")["version"]))
    other.start()
    holder.communicate(b"\n")
    other.join()
    assert done == [2]


def test_where_no_thread_can_be_started_the_wait_has_a_limit_too(store, holder, monkeypatch):
    def refuse(*words):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.05)
    with pytest.raises(StorageError, match="is busy"):
        store.save_agent_state("a", "k", "w")
    holder.communicate(b"\n")
    assert store.save_agent_state("a", "k", "w")["version"] == 2


def test_threads_of_one_process_stand_in_the_same_queue(store):
    path = os.path.join(store.directory, "coordination.db")
    front, next_one = write_queue.WriteQueue(path), write_queue.WriteQueue(path)
    assert front.enter(1)
    assert not next_one.enter(0)
    front.leave()
    assert next_one.enter(0)
    assert not front.enter(0.01)
    next_one.close()
    assert front.enter(30)
    front.close()
    assert is_free(lock_file(store))


def test_a_forked_child_does_not_keep_its_parents_place(store):
    store.save_agent_state("a", "k", "v")
    with store.storage().transaction():
        child = os.fork()
        if not child:
            os._exit(has_open(lock_file(store)))
        assert os.waitpid(child, 0)[1] == 0
        assert not is_free(lock_file(store))
        assert has_open(lock_file(store))


def has_open(path):
    """Whether this process has a file open."""
    for number in range(200):
        try:
            if os.path.samestat(os.fstat(number), os.stat(path)):
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize("fault", ["no locks", "no file"])
def test_where_there_is_no_queue_writing_goes_on(store, fault, monkeypatch):
    def refuse(*words):
        raise OSError(95, "Operation not supported")

    if fault == "no locks":
        monkeypatch.setattr(fcntl, "flock", refuse)
    else:
        monkeypatch.setattr(write_queue, "make_file", refuse)
    with write_queue_of(store) as storage:
        with storage.transaction():
            storage.execute("UPDATE agent_coordination_config SET value = '31' WHERE key = 'heartbeat_interval'")
        assert storage.execute("SELECT value FROM agent_coordination_config WHERE key = 'heartbeat_interval'") == [
            {"value": "31"}]


def write_queue_of(store):
    """A second storage of the same directory, whose queue is not open yet; the file of the queue is removed first."""
    if os.path.exists(lock_file(store)):
        os.unlink(lock_file(store))
    storage = store.storage()
    return contextlib.closing(SqliteStorage(store.directory, storage.clock, storage.environ))


def test_a_link_in_the_place_of_the_queue_is_refused(store, tmp_path):
    with write_queue_of(store) as storage:
        os.symlink(tmp_path / "elsewhere", lock_file(store))
        with pytest.raises(StorageError, match="symbolic link"), storage.transaction():
            pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("look", ["refuse_altered", "change_stamp", "inspect", "check", "try_writing", "a row"])
def test_what_looks_waits_too_while_another_keeps_all_out(store, look, monkeypatch):
    other = sqlite3.connect(os.path.join(store.directory, "coordination.db"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waits = []

    def end(seconds):
        waits.append(seconds)
        if other.in_transaction and len(waits) == 2:
            other.execute("COMMIT")

    def ask(storage):
        return storage.execute("SELECT 1 AS n FROM events") if look == "a row" else getattr(storage, look)()

    storage = store.storage()
    monkeypatch.setattr(embedded.time, "sleep", end)
    ask(storage)
    assert len(waits) == 2
    monkeypatch.undo()
    other.close()


def test_a_program_that_does_not_know_the_queue_is_waited_for(store):
    store.save_agent_state("a", "k", "v")
    other = sqlite3.connect(os.path.join(store.directory, "coordination.db"), isolation_level=None,
                            check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    started, done = threading.Event(), []

    def save():
        storage = store.storage()
        fetch = storage.fetch
        storage.fetch = lambda sql, params={}, until=None: started.set() or fetch(sql, params, until)
        done.append(store.save_agent_state("a", "k", "w")["version"])

    thread = threading.Thread(target=save)
    thread.start()
    assert started.wait(30)
    other.execute("COMMIT")
    thread.join()
    other.close()
    assert done == [2]
