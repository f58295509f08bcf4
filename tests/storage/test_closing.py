"""A store closed, or a process forked, by one thread in the middle of another's call: an error, and no lock is left."""
from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from milestone_persist import MilestoneError, StorageError, open_store
from milestone_persist.storage import write_queue
from milestone_persist.storage.jsonfiles.lock import FileLock
from milestone_persist.storage.sqlite import embedded

LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
CALLS = {
    "save": lambda store: store.save_agent_state("a", "k", os.urandom(8).hex()),
    "load": lambda store: store.load_agent_state("a", "k"),
    "take": lambda store: store.get_agent_messages("a", True),
    "report": lambda store: store.get_session_status("s"),
}


def is_open(connection):
    try:
        return connection.total_changes >= 0
    except sqlite3.ProgrammingError:
        return False


class Connection(sqlite3.Connection):
    """One that calls `meanwhile` when it, or a cursor of it, is about to run its n-th statement."""

    left = 0
    meanwhile = staticmethod(lambda: None)

    @classmethod
    def count(cls):
        Connection.left -= 1
        if Connection.left == 0:
            Connection.meanwhile()

    def execute(self, sql, *rest):
        self.count()
        return super().execute(sql, *rest)

    def cursor(self, factory=None):
        return super().cursor(factory or Cursor)


class Cursor(sqlite3.Cursor):
    """One of its cursors."""

    def execute(self, sql, *rest):
        Connection.count()
        return super().execute(sql, *rest)


@pytest.fixture
def others(environ, directory, monkeypatch):
    """A store of somebody else, who does not wait for a lock."""
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.0)
    with open_store(directory, environ=environ) as store:
        store.register_agent("a", "validation", "m", "s")
        store.save_agent_state("a", "k", "v")
        store.send_agent_message("a", "a", "error_report", {})
        yield store


@LOCAL
@pytest.mark.parametrize("name", CALLS)
def test_a_store_closed_at_any_statement_of_a_call_says_so_and_keeps_no_lock(others, environ, directory, monkeypatch,
                                                                             name):
    connect, number, done = sqlite3.connect, 0, False
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Connection, **options))
    while not done:
        number, before = number + 1, others.load_agent_state("a", "k")
        with open_store(directory, environ=environ) as store:
            store.list_agent_state("a")
            monkeypatch.setattr(Connection, "meanwhile", store.close)
            Connection.left = number
            try:
                CALLS[name](store)
                done = Connection.left > 0
            except MilestoneError as error:
                assert "the store is closed: open it again" in str(error)
                assert others.load_agent_state("a", "k") == before
            Connection.left = 0
        others.save_agent_state("a", "other", str(number))
    assert number > 1


@LOCAL
@pytest.mark.parametrize("name", CALLS)
def test_a_store_closed_by_another_thread_ends_its_transaction_first(others, environ, directory, monkeypatch,
                                                                              name):
    """The other thread's connection is not closed under it, which the driver does not survive, but by itself."""
    connect, made, still_open, number, done = sqlite3.connect, [], [], 0, False
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: made.append(
        connect(*args, factory=Connection, **options)) or made[-1])
    while not done:
        number, before = number + 1, others.load_agent_state("a", "k")
        store = open_store(directory, environ=environ)
        closer = ThreadPoolExecutor(1)

        def close(store=store, closer=closer):
            closer.submit(store.close).result(60)
            still_open.append(is_open(made[-1]))

        store.list_agent_state("a")
        monkeypatch.setattr(Connection, "meanwhile", close)
        Connection.left = number
        try:
            CALLS[name](store)
            done = Connection.left > 0
        except StorageError as error:
            assert "the store is closed: open it again" in str(error)
            assert others.load_agent_state("a", "k") == before
        Connection.left = 0
        closer.submit(store.close).result(60)
        closer.shutdown()
        assert not is_open(made[-1])
        others.save_agent_state("a", "other", str(number))
    assert still_open == [True] * (number - 1) and number > 1


def test_a_store_closed_while_it_waits_for_messages_says_so_and_keeps_no_lock(others, connect, clock):
    others.get_agent_messages("a", True)
    for thread in (False, True):
        store = connect()
        with ThreadPoolExecutor(1) as pool:
            clock.during_sleep = (lambda store=store, pool=pool: pool.submit(store.close).result()) if thread else \
                store.close
            with pytest.raises(StorageError, match="the store is closed: open it again"):
                store.get_agent_messages("a", wait=5)
        assert not store.connections
        others.save_agent_state("a", "k", "w")


def _fork():
    """A child that lives until it is killed."""
    child = os.fork()
    if not child:
        signal.pause()
    return child


def _end(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_child_forked_while_a_lock_is_held_does_not_keep_it(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.0)
    mine, other = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    mine.acquire(exclusive=True)
    child = _fork()
    try:
        mine.release()
        other.acquire(exclusive=True)
    finally:
        _end(child)
        other.release()


def test_a_child_forked_in_the_queue_for_a_lock_does_not_keep_its_place(tmp_path, monkeypatch):
    mine, other = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    children, lock = [], write_queue.lock

    def fork_at_the_head_of_the_queue(descriptor, alone, until):
        if children:
            return lock(descriptor, alone, until)
        is_first = lock(descriptor, alone, until)
        children.append(_fork())
        return is_first

    monkeypatch.setattr(write_queue, "lock", fork_at_the_head_of_the_queue)
    mine.acquire(exclusive=True)
    mine.release()
    monkeypatch.undo()
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.0)
    try:
        other.acquire(exclusive=True)
    finally:
        _end(children[0])
        other.release()


if sys.platform == "darwin":  # forking after threads is not safe there
    del test_a_child_forked_while_a_lock_is_held_does_not_keep_it
    del test_a_child_forked_in_the_queue_for_a_lock_does_not_keep_its_place


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_child_forked_in_the_middle_of_a_transaction_is_told_at_once(store):
    store.save_agent_state("a", "k", "v")
    inside, over = threading.Event(), threading.Event()

    def write():
        with store.storage().transaction():
            inside.set()
            over.wait(60)

    thread = threading.Thread(target=write)
    thread.start()
    assert inside.wait(60)
    child = os.fork()
    if child == 0:
        try:
            store.load_agent_state("a", "k")
        except StorageError as error:
            os._exit(7 if "forked while another thread was writing" in str(error) else 1)
        finally:
            os._exit(2)
    over.set()
    thread.join()
    assert os.waitpid(child, 0)[1] >> 8 == 7
    store.save_agent_state("a", "k", "w")
