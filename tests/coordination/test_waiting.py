"""Waiting: woken by the next look after a commit of another process, and rows are not read meanwhile."""
from __future__ import annotations

import pytest


@pytest.fixture
def waiting(store):
    store.register_agent("a", "validation", "ms", "s-1")
    store.get_agent_messages("a")
    return store


@pytest.fixture
def reads(waiting, monkeypatch):
    """The statements that are run from now on."""
    storage, seen = waiting.storage(), []
    execute = storage.execute
    monkeypatch.setattr(storage, "execute", lambda sql, *more: (seen.append(sql), execute(sql, *more))[1])
    return seen


def test_who_waits_is_woken_by_the_next_look(waiting, connect, clock):
    other, begin = connect(), clock.time()
    clock.during_sleep = lambda: other.send_agent_message("b", "a", "error_report", {})
    assert len(waiting.get_agent_messages("a", wait=60)) == 1
    assert clock.time() - begin == pytest.approx(waiting.storage().poll_seconds)
    assert waiting.storage().poll_seconds <= 0.2


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_who_waits_reads_no_rows_until_there_is_a_change(waiting, reads):
    assert waiting.get_agent_messages("a", wait=20) == []
    assert 20 <= sum("agent_messages" in sql for sql in reads) < 50  # and not 500: a lease may have run out
    assert waiting.storage().poll_seconds <= 0.05


def test_a_lock_that_is_released_is_taken_at_the_next_look(store, connect, clock):
    other = connect()
    other.acquire_milestone_lock("ms-1", owner="a")
    begin = clock.time()
    clock.during_sleep = lambda: other.release_milestone_lock("ms-1", owner="a")
    assert store.acquire_milestone_lock("ms-1", owner="b", wait=60)["owner"] == "b"
    assert clock.time() - begin == pytest.approx(store.storage().poll_seconds)
