"""A store closed, or a process forked, by one thread in the middle of another's call: an error, and no lock is left."""
from __future__ import annotations

import os
import signal
import sqlite3
import sys

import pytest

from milestone_persist import MilestoneError, StorageError, open_store
from milestone_persist.storage import embedded, filelock
from milestone_persist.storage.filelock import FileLock

LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
CALLS = {
    "save": lambda store: store.save_agent_state("a", "k", os.urandom(8).hex()),
    "load": lambda store: store.load_agent_state("a", "k"),
    "take": lambda store: store.get_agent_messages("a", True),
    "report": lambda store: store.get_session_status("s"),
}


class Connection(sqlite3.Connection):
    """One that calls `meanwhile` when it is about to run its n-th statement."""

    left = 0
    meanwhile = staticmethod(lambda: None)

    def execute(self, sql, *rest):
        Connection.left -= 1
        if Connection.left == 0:
            Connection.meanwhile()
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
def test_closed_at_any_statement_of_a_call_it_says_so_and_keeps_no_lock(others, environ, directory, monkeypatch, name):
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
def test_closed_while_it_waits_for_messages_it_says_so_and_keeps_no_lock(others, connect, clock):
    store = connect()
    clock.during_sleep = store.close
    others.get_agent_messages("a", True)
    with pytest.raises(StorageError, match="the store is closed: open it again"):
        store.get_agent_messages("a", wait=5)
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


def test_nor_its_place_in_the_queue(tmp_path, monkeypatch):
    mine, other = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    children, wait = [], filelock._wait

    def fork_at_the_head_of_the_queue(path, *rest):
        if path.endswith(".lock"):
            children.append(_fork())
        return wait(path, *rest)

    monkeypatch.setattr(filelock, "_wait", fork_at_the_head_of_the_queue)
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
    del test_a_child_forked_while_a_lock_is_held_does_not_keep_it, test_nor_its_place_in_the_queue
