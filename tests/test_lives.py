"""Lives of an agent: whoever dies with messages in hand, the next life under its id finds them."""
from __future__ import annotations

import pytest


@pytest.fixture
def team(store):
    """A store in which w has taken message 1 of c."""
    store.register_agent("c", "milestone-coordinator", "ms", "execution-1")
    store.register_agent("w", "task-phase", "ms", "execution-1")
    store.send_agent_message("c", "w", "task_assignment", {"n": 1})
    store.get_agent_messages("w", True)
    return store


def inbox(store, agent="w"):
    return [(row["id"], row["retry_count"]) for row in store.get_agent_messages(agent)]


def test_registering_again_requeues_what_the_former_life_had_taken(team, clock):
    clock.advance(60)
    row = team.register_agent("w", "task-phase", "ms", "execution-1")
    assert (row["again"], row["messages_requeued"], row["messages_unread"], row["keys_kept"]) == (True, 1, 1, 0)
    assert inbox(team) == [(1, 0)]
    team.update_agent_status("w", "failed")
    assert inbox(team) == [(1, 0)]


def test_lives_that_end_without_a_failure_make_no_dead_letter(team):
    for _ in range(9):
        team.register_agent("w", "task-phase", "ms", "execution-1")
        assert [row["id"] for row in team.get_agent_messages("w", True)] == [1]
    assert team.get_session_status("execution-1")["messages"]["dead"] == 0


def test_a_life_in_another_session_is_a_new_one_too(team):
    assert team.register_agent("w", "task-phase", "ms", "execution-2")["messages_requeued"] == 1
    assert inbox(team) == [(1, 0)]


def test_what_was_acknowledged_stays_so(team):
    team.acknowledge_agent_message("w", 1)
    assert team.register_agent("w", "task-phase", "ms", "execution-1")["messages_requeued"] == 0
    assert inbox(team) == []


def test_who_was_silent_for_long_has_died_and_that_counts(team, clock):
    clock.advance(1801)
    assert team.register_agent("w", "task-phase", "ms", "execution-1")["messages_requeued"] == 1
    assert inbox(team) == [(1, 1)]


def test_failing_brings_back_what_was_taken(team):
    team.update_agent_status("w", "failed")
    assert inbox(team) == [(1, 1)]
    row = team.register_agent("w", "task-phase", "ms", "execution-1")
    assert (row["messages_requeued"], row["messages_unread"]) == (0, 1)


def test_an_agent_nobody_registered_begins_a_life_when_it_registers(team):
    team.send_agent_message("stranger", "w", "x-t", {})
    team.send_agent_message("c", "stranger", "x-t", {})
    team.get_agent_messages("stranger", True)
    row = team.register_agent("stranger", "validation", "ms", "execution-1")
    assert (row["again"], row["messages_requeued"]) == (False, 1)


def test_what_registering_prints(cli):
    words = ["register-agent", "w", "task-phase", "ms", "execution-1"]
    assert cli(*words).text == "registered w (task-phase) in session execution-1\n"
    for key in "abc":
        cli("save-agent-state", "w", key, "v")
    cli("send-agent-message", "w", "w", "task_assignment", "{}")
    cli("get-agent-messages", "w", "true")
    assert cli(*words).text == \
        "registered w (task-phase) in session execution-1 again: 1 message requeued, 1 unread, 3 keys kept\n"
    cli("delete-agent-state", "w", "a"), cli("delete-agent-state", "w", "b")
    assert cli(*words).text == \
        "registered w (task-phase) in session execution-1 again: 0 messages requeued, 1 unread, 1 key kept\n"
    cli("save-agent-state", "other", "k", "v")
    assert cli("register-agent", "other", "validation", "ms", "execution-1").text == \
        "registered other (validation) in session execution-1: 1 key kept\n"
