"""When what an agent does renews its heartbeat: always, but for one that was written within the last second."""
from __future__ import annotations

import pytest


@pytest.fixture
def agent(store, clock):
    store.register_agent("a", "validation", "m", "s")

    def heard():
        return store.storage().execute("SELECT last_heartbeat AS t, status FROM agent_registry")[0]

    clock.advance(5)
    store.save_agent_state("a", "k", "v")
    return heard


def test_what_follows_within_a_second_writes_no_heartbeat(store, clock, agent):
    first = agent()["t"]
    clock.advance(0.9)
    store.save_agent_state("a", "k", "v")
    store.agent_heartbeat("a")
    assert agent()["t"] == first
    clock.advance(0.1)
    store.save_agent_state("a", "k", "v")
    assert agent()["t"] == store.storage().now() != first


def test_an_agent_marked_failed_just_now_is_active_again(store, agent):
    store.storage().execute("UPDATE agent_registry SET status = 'failed', error_info = 'no heartbeat for 31 min'")
    store.save_agent_state("a", "k", "v")
    assert agent()["status"] == "active"


def test_a_heartbeat_of_a_clock_that_is_ahead_is_written_again(store, clock, agent):
    clock.advance(-0.5)
    store.save_agent_state("a", "k", "v")
    assert agent()["t"] == store.storage().now()


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_silence_is_looked_for_once_a_second(store, clock, agent):
    asked, execute = [], store.storage().execute

    def watch(sql, params={}):
        asked.append("unresponsive" in sql)
        return execute(sql, params)

    store.storage().execute = watch
    for seconds, times in ((0, 1), (0.5, 0), (0.5, 1)):
        clock.advance(seconds)
        asked.clear()
        store.get_agent_messages("a", True)
        assert sum(asked) == times
