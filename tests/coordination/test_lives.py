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


@pytest.mark.filterwarnings("ignore:agent 'w' is terminated with")
@pytest.mark.parametrize("status", ["completed", "failed", "terminated"])
def test_sending_to_who_has_ended_is_warned_of(team, cli, status):
    team.update_agent_status("w", status)
    told = cli("send-agent-message", "c", "w", "task_assignment", "{}")
    assert (told.status, told.text) == (0, "2\n")
    assert told.err == (f"milestone_persist: warning: agent 'w' is {status}: this message is not read unless w is "
                        "registered again; list_session_agents execution-1 shows who else is there\n")
    team.register_agent("w", "task-phase", "ms", "execution-1")
    assert cli("send-agent-message", "c", "w", "task_assignment", "{}").err == ""


@pytest.mark.parametrize("nobody", ["all", "*", "@all", "ALL", "everyone"])
def test_sending_to_nobody_is_warned_of(team, cli, nobody):
    told = cli("send-agent-message", "c", nobody, "task_assignment", "{}")
    assert told.status == 0
    assert f"{nobody!r} names no agent: " in told.err and "broadcast_agent_message c TYPE PAYLOAD" in told.err
    team.register_agent(nobody, "task-phase", "ms", "execution-1")
    assert cli("send-agent-message", "c", nobody, "task_assignment", "{}").err == ""


@pytest.mark.parametrize("nobody, said", [
    ("execution-1", "that is a session, whose agents list_session_agents execution-1 shows"),
    ("milestone-executor", "that is the type of w1 and w2"),
    ("w1,w2", "one message goes to one agent: send_many sends several"),
    ('["w1", "w2"]', "one message goes to one agent: send_many sends several")])
def test_a_recipient_that_is_no_agent_is_named_for_what_it_is(team, cli, nobody, said):
    for agent in ("w2", "w1"):
        team.register_agent(agent, "milestone-executor", "ms", "execution-1")
        team.agent_heartbeat(agent)
    told = cli("send-agent-message", "c", nobody, "task_assignment", "{}")
    assert (told.status, told.err) == (0, f"milestone_persist: warning: no agent {nobody!r} is registered; the message "
                                          f"is kept for it; {said}\n")


def test_a_session_is_not_taken_in_as_an_agent(team, cli):
    calls = ["broadcast-agent-message execution-1 error_report {}", "save-agent-state execution-1 k v",
             "send-agent-message execution-1 c error_report {}", "agent-heartbeat execution-1",
             "get-agent-messages execution-1 true"]
    line = (f"milestone_persist: no agent 'execution-1' in {team.directory}: that is a session, whose agents "
            "list_session_agents execution-1 shows\n")
    for told in [cli(*call.split()) for call in calls]:
        assert (told.status, told.text, told.err) == (1, "", line)
    team.register_agent("execution-1", "milestone-executor", "ms", "execution-1")
    assert [cli(*call.split()).status for call in calls] == [0] * len(calls)


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


@pytest.mark.parametrize("status, number, left", [
    ("completed", "1 unread message", [2]), ("terminated", "2 unread messages", [2, 1])])
def test_an_agent_that_ends_with_unread_mail_says_how_much(team, cli, status, number, left):
    team.send_agent_message("c", "w", "task_assignment", {}, 10)
    told = cli("update-agent-status", "w", status)
    assert (told.status, told.err) == (0, f"milestone_persist: warning: agent 'w' is {status} with {number} "
                                          "(highest priority 10): get_agent_messages w shows them\n")
    assert [row["id"] for row in team.get_agent_messages("w")] == left


def test_the_mail_of_many_is_shown_by_commands_for_the_first_three(store, cli):
    store.register_agent("c", "milestone-coordinator", "ms", "execution-1")
    for number, agent in enumerate(["-a", "b", "--taken", "d"]):
        store.register_agent(agent, "validation", "ms", "execution-1")
        store.send_agent_message("c", agent, "task_assignment", {}, 9 - number)
    told = cli("abandon-session", "execution-1").err
    assert told.endswith(": get_agent_messages -- -a, get_agent_messages b, get_agent_messages -- --taken show the "
                         "first of them\n")
    assert [row["from_agent"] for row in store.get_agent_messages("-a")] == ["c"]
    assert '"c"' in cli("get-agent-messages", "--", "-a").text


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
                        "(highest priority 9): get_agent_messages v, get_agent_messages w show them\n")
    assert cli(operation, session, *["ms-new"] * (name == "create")).err == ""


def test_registering_an_id_that_is_in_use_says_where_and_when(team, cli, clock):
    clock.advance(300)
    told = cli("register-agent", "w", "task-phase", "ms", "execution-2")
    assert (told.status, told.err) == (0, (
        "milestone_persist: warning: agent 'w' was heard from 5 min ago in session 'execution-1' (milestone ms): if "
        "that is another agent, register this one under another id; --new refuses an id in use\n"))
    with pytest.warns(MilestoneWarning, match="agent 'w' was heard from 0 s ago in session 'execution-2'"):
        team.register_agent("w", "task-phase", "other", "execution-2")


def test_new_refuses_an_id_in_use_and_changes_nothing(team, cli, dump):
    before = dump()
    told = cli("register-agent", "w", "task-phase", "other", "execution-2", "--new")
    assert (told.status, told.text) == (1, "")
    assert told.err == ("milestone_persist: agent 'w' was heard from 0 s ago in session 'execution-1' (milestone ms): "
                        "nothing was registered; take another id\n")
    assert dump() == before
    assert team.register_agent("fresh", "task-phase", "other", "execution-2", new=True)["again"] is False


@pytest.mark.filterwarnings("ignore:agent 'w' is terminated with")
@pytest.mark.parametrize("way", ["completed", "failed", "terminated", "spawning", "silent", "unregistered"])
def test_an_id_whose_agent_is_gone_is_free(team, cli, clock, way):
    agent = "stranger" if way == "unregistered" else "w"
    if way == "unregistered":
        team.save_agent_state(agent, "k", "v")
    elif way == "silent":
        clock.advance(1800)
    else:
        team.update_agent_status("w", way)
    told = cli("register-agent", agent, "task-phase", "ms", "execution-1", "--new", AGENT_ID=agent)
    assert (told.status, told.err) == (0, "")


def test_session_id_wins_where_another_registered_under_the_same_id_since(store, environ):
    for session in ("execution-A-1", "execution-B-1"):
        store.register_agent("executor-1", "milestone-executor", session[10:11], session)
    environ["SESSION_ID"] = "execution-A-1"
    with pytest.warns(MilestoneWarning) as caught:
        store.save_agent_state("executor-1", "design-phase-results", "done")
    assert [str(warning.message) for warning in caught] == [
        "agent 'executor-1' is registered in session 'execution-B-1', but SESSION_ID is 'execution-A-1': this counts "
        "for 'execution-A-1'; each agent needs an id of its own, and SESSION_ID names its session"]
    environ["SESSION_ID"] = "execution-B-1"
    store.save_agent_state("executor-1", "spec-1", "done")
    assert {row["state_key"]: row["session_id"] for row in store.list_agent_state("executor-1")} == {
        "design-phase-results": "execution-A-1", "spec-1": "execution-B-1"}
    for session, phase in (("execution-A-1", "design"), ("execution-B-1", "spec")):
        with pytest.raises(Refused) as refused:
            store.finalize_milestone_execution(session)
        assert phase not in str(refused.value).partition("no results of: ")[2].partition(";")[0]


@pytest.mark.filterwarnings("ignore:agent 'executor-1' is registered in")
def test_whose_id_another_registered_since_takes_none_of_its_messages(store, environ):
    for session in ("execution-A-1", "execution-B-1"):
        store.register_agent("executor-1", "milestone-executor", session[10:11], session)
    for kind in ("x-new", "x-next"):
        store.send_agent_message("coordinator", "executor-1", kind, {})
    environ["SESSION_ID"] = "execution-B-1"
    first = store.get_agent_messages("executor-1", True, limit=1)[0]["id"]
    environ["SESSION_ID"] = "execution-A-1"
    with pytest.raises(Refused, match="nothing was taken or acknowledged: register_agent under an id of your own"):
        store.get_agent_messages("executor-1", True)
    environ["SESSION_ID"] = "execution-B-1"
    assert [row["id"] for row in store.get_agent_messages("executor-1", taken=True)] == [first]
    assert [row["message_type"] for row in store.get_agent_messages("executor-1", True)] == ["x-next"]


def test_a_broadcast_goes_to_the_session_that_counts(store, environ):
    for agent, session in (("a", "A"), ("b", "B"), ("boss", "A"), ("boss", "B")):
        store.register_agent(agent, "validation", "ms", "execution-" + session)
    environ["SESSION_ID"] = "execution-A"
    with pytest.warns(MilestoneWarning, match="this counts for 'execution-A'"):
        assert store.broadcast_agent_message("boss", "x-t", {})["to_agents"] == ["a"]
    environ["AGENT_ID"] = "a"  # who calls for another says nothing of its session
    assert store.broadcast_agent_message("boss", "x-t", {})["to_agents"] == ["b"]


@pytest.mark.parametrize("session", ["execution-unknown", "execution-2"])
def test_session_id_of_a_session_it_has_no_part_in_is_said_and_loses(team, environ, session):
    team.register_agent("v", "task-phase", "ms", "execution-1")
    team.register_agent("c", "milestone-coordinator", "ms", "execution-2")
    environ["SESSION_ID"] = session
    with pytest.warns(MilestoneWarning, match="but SESSION_ID is 'execution-[a-z2]+': this counts for 'execution-1'"):
        team.save_agent_state("v", "k", "v")
    assert team.list_agent_state("v")[0]["session_id"] == "execution-1"


def test_keys_are_listed_with_their_session(team, cli):
    team.save_agent_state("w", "k", "v")
    assert cli("list-agent-state", "w").text.splitlines()[1].split()[-1] == "execution-1"


def test_session_id_of_a_session_that_has_ended_is_left_over(store, environ):
    for session in ("planning-1", "execution-1"):
        store.register_agent("c", "milestone-coordinator", "ms", session)
    store.abandon_session("planning-1")
    environ["SESSION_ID"] = "planning-1"
    store.save_agent_state("c", "k", "v")
    assert store.list_agent_state("c")[0]["session_id"] == "execution-1"


def test_what_is_taken_for_who_has_ended_goes_back_and_its_end_stays(store, clock):
    for agent in ("a", "b"):
        store.register_agent(agent, "validation", "ms-1", "execution-1")
    store.update_agent_status("a", "completed")
    with pytest.warns(MilestoneWarning):
        store.send_agent_message("b", "a", "error_report", {})
    assert len(store.get_agent_messages("a", True)) == 1
    clock.advance(7200)
    cleaned = store.cleanup_stale_coordination(30)
    assert (cleaned["returned"], cleaned["marked_failed"]) == (1, ["b"])
    assert store.update_agent_status("a")["status"] == "completed"
    assert [row["retry_count"] for row in store.get_agent_messages("a")] == [1]
