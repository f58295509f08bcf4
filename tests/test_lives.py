"""Lives of an agent: whoever dies with messages in hand, the next life under its id finds them."""
from __future__ import annotations

import pytest

from milestone_persist import MilestoneWarning, Refused


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


@pytest.mark.parametrize("status", ["completed", "failed", "terminated"])
def test_sending_to_who_has_ended_is_warned_of(team, cli, status):
    team.update_agent_status("w", status)
    told = cli("send-agent-message", "c", "w", "task_assignment", "{}")
    assert (told.status, told.text) == (0, "2\n")
    assert told.err == (f"milestone_persist: warning: agent 'w' is {status}: nobody reads this message unless w is "
                        "registered again; list_session_agents execution-1 shows who else is there\n")
    team.register_agent("w", "task-phase", "ms", "execution-1")
    assert cli("send-agent-message", "c", "w", "task_assignment", "{}").err == ""


@pytest.mark.parametrize("nobody", ["all", "*", "@all", "ALL", "everyone"])
def test_sending_to_nobody_is_warned_of(team, cli, nobody):
    told = cli("send-agent-message", "c", nobody, "task_assignment", "{}")
    assert told.status == 0
    assert f"{nobody!r} is nobody: " in told.err and "broadcast_agent_message c TYPE PAYLOAD" in told.err
    team.register_agent(nobody, "task-phase", "ms", "execution-1")
    assert cli("send-agent-message", "c", nobody, "task_assignment", "{}").err == ""


def test_a_broadcast_leaves_out_who_has_ended(team, cli):
    for agent in ("done", "gone", "dead", "resting"):
        team.register_agent(agent, "task-phase", "ms", "execution-1")
    for agent, status in (("done", "completed"), ("gone", "terminated"), ("dead", "failed"), ("resting", "paused")):
        team.update_agent_status(agent, status)
    assert team.broadcast_agent_message("c", "phase_transition", {})["to_agents"] == ["resting", "w"]
    assert "not sent to dead, which failed" in cli("broadcast-agent-message", "c", "phase_transition", "{}").err
    for agent in ("w", "resting"):
        with pytest.warns(MilestoneWarning, match="is completed with 2 unread messages .highest priority 5"):
            team.update_agent_status(agent, "completed")
    with pytest.raises(Refused, match="all others have ended in session 'execution-1': nothing was sent"):
        team.broadcast_agent_message("c", "phase_transition", {})


def test_completing_with_unread_mail_says_how_much(team, cli):
    team.send_agent_message("c", "w", "task_assignment", {}, 10)
    told = cli("update-agent-status", "w", "completed")
    assert (told.status, told.err) == (0, "milestone_persist: warning: agent 'w' is completed with 1 unread message "
                                          "(highest priority 10): get_agent_messages w shows them\n")
    assert [row["id"] for row in team.get_agent_messages("w")] == [2]


ENDS = {
    "finalize": ("finalize-milestone-execution", "execution-1", "completed"),
    "abandon": ("abandon-session", "execution-1", "abandoned"),
    "complete": ("complete-planning-session", "planning-1", "completed"),
    "create": ("create-milestone-from-planning", "planning-1", "completed"),
}


@pytest.mark.parametrize("name", ENDS)
def test_ending_a_session_with_unread_mail_says_how_much(store, cli, name):
    operation, session, status = ENDS[name]
    for agent in ("c", "w", "v"):
        store.register_agent(agent, "milestone-coordinator", "ms", session)
    for key in ("design-phase-results", "spec-1", "task-1", "execute-phase-results", "milestone-plan"):
        store.save_agent_state("c", key, '{"title": "t"}')
    for to_agent, priority in (("w", 5), ("v", 9), ("w", 5)):
        store.send_agent_message("c", to_agent, "task_assignment", {}, priority)
    told = cli(operation, session, *["ms-new"] * (name == "create"))
    assert told.status == 0
    assert told.err == (f"milestone_persist: warning: session {session!r} is {status} with 3 unread messages for v, w "
                        "(highest priority 9): get_agent_messages v shows them\n")
    assert cli(operation, session, *["ms-new"] * (name == "create")).err == ""
