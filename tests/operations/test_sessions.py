"""Sessions: status, progress, lists."""
from __future__ import annotations

import pytest

from milestone_persist import Refused, UsageError
from milestone_persist.coordination import bounded, sessions


@pytest.fixture
def team(store):
    store.register_agent("coord", "milestone-coordinator", "ms-1", "execution-1")
    store.register_agent("exec", "milestone-executor", "ms-1", "execution-1")
    return store


def test_status_tells_everything_about_a_session(team, clock):
    for priority in (1, 2, 3):
        team.send_agent_message("coord", "exec", "task_assignment", {}, priority)
    team.get_agent_messages("exec", True, 1)
    team.get_agent_messages("exec", True, 1)
    clock.advance(90)
    told = team.get_session_status("execution-1")
    assert told["messages"] == {"pending": 1, "taken": 1, "acknowledged": 1, "dead": 0}
    assert (told["minutes_inactive"], told["agent_count"], told["dead_letters"]) == (1.5, 2, [])
    assert [agent["agent_id"] for agent in told["agents"]] == ["coord", "exec"]
    assert told["configuration"] == {}


def test_messages_are_counted_up_to_a_limit_and_said_to_be_more(team, cli, monkeypatch):
    monkeypatch.setattr(bounded, "MOST_COUNTED", 2)
    for number in range(6):
        team.send_agent_message("coord", "exec", "task_assignment", {"n": number})
    for line, counts in (("2+ pending, 0 taken, 0+ acknowledged", [2, 0, 0]), ("2 pending, 1 taken, 2+ acknowledged",
                                                                             [2, 1, 2])):
        told, everything = team.get_session_status("execution-1"), team.get_session_recovery_status()
        assert told["messages"] == dict(zip(("pending", "taken", "acknowledged", "dead"), [*counts, 0]))
        more = [f"messages.{word}" for word in ("pending", "acknowledged") if f"+ {word}" in line]
        assert told["at_least"] == more
        assert everything["messages"] == {"total": sum(counts), **told["messages"]}
        assert everything["at_least"] == ["messages.total", *more]
        assert f"messages: {line}, 0 dead letters\n" in cli("get_session_status", "execution-1").text
        assert f"\nmessages: {sum(counts)}+ total, {line}, 0 dead\n" in cli("get_session_recovery_status").text
        for _ in range(4):
            team.get_agent_messages("exec", True, 1)
    for _ in range(3):
        team.send_agent_message("coord", "exec", "task_assignment", {})
    with open(team.generate_milestone_report("execution-1")) as report:
        assert "\n3 pending, 0 taken, 6 acknowledged, 0 dead letters\n" in report.read()


@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
def test_the_mail_of_a_session_is_counted_exactly_beside_much_of_others(team, monkeypatch):
    monkeypatch.setattr(bounded, "MOST_COUNTED", 3)
    for agent in ("far", "aaa"):
        team.register_agent(agent, "validation", "ms-2", "execution-2")
        for _ in range(4):
            team.send_agent_message("far", agent, "task_assignment", {})
    team.get_agent_messages("aaa", True)
    for reader, counts in (("exec", [1, 0, 0]), ("coord", [2, 0, 0]), ("nobody-yet", [3, 0, 0])):
        team.send_agent_message("exec", reader, "task_assignment", {})
        told = team.get_session_status("execution-1")
        assert told["messages"] == dict(zip(("pending", "taken", "acknowledged", "dead"), [*counts, 0]))
        assert told["at_least"] == []
    team.get_agent_messages("coord", True)
    assert list(team.get_session_status("execution-1")["messages"].values()) == [2, 1, 0, 0]
    assert [row["to_agent"] for row in team.recover_milestone_session("execution-1")["taken"]] == ["coord"]
    team.send_agent_message("exec", "exec", "task_assignment", {})
    told = team.get_session_status("execution-1")  # too many in it, too
    assert told["messages"]["pending"] >= 2 and told["messages"]["taken"] == 1
    assert set(told["at_least"]) >= {"messages.pending", "messages.acknowledged"}


@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
def test_much_unread_mail_is_told_by_a_number_there_is_at_least(team, cli, monkeypatch):
    for _ in range(4):
        team.send_agent_message("coord", "exec", "task_assignment", {})
    [agent] = [row for row in team.recover_milestone_session("execution-1")["agents"] if row["agent_id"] == "exec"]
    assert (agent["unread_messages"], agent["at_least"]) == (4, [])
    monkeypatch.setattr(bounded, "MOST_COUNTED", 3)
    [agent] = [row for row in team.recover_milestone_session("execution-1")["agents"] if row["agent_id"] == "exec"]
    assert (agent["unread_messages"], agent["at_least"]) == (3, ["unread_messages"])
    text = cli("recover_milestone_session", "execution-1").text
    assert "\nMessages: 3+ pending\n" in text and "  3+\n" in text
    team.update_agent_status("exec", "failed")
    [order] = [row for row in team.restart_milestone_execution("execution-1")["orders"] if row["agent_id"] == "exec"]
    assert (order["unread_messages"], order["at_least"]) == (3, ["unread_messages"])
    assert "3+ unread messages" in cli("restart_milestone_execution", "execution-1").text
    assert "with 3+ unread messages for exec (" in cli("abandon_session", "execution-1").err
    assert "with 3+ unread messages (highest priority 5): " in cli("update_agent_status", "exec", "completed").err


def test_many_dead_letters_are_told_by_a_number_there_is_at_least(team, cli, monkeypatch):
    team.set_storage_config("message_retry_limit", "0")
    for _ in range(3):
        team.send_agent_message("coord", "exec", "task_assignment", {})
    team.get_agent_messages("exec", True)
    team.update_agent_status("exec", "failed")
    assert [row["id"] for row in team.get_session_status("execution-1")["dead_letters"]] == [1, 2, 3]
    monkeypatch.setattr(bounded, "MOST_COUNTED", 2)
    told = team.get_session_status("execution-1")
    assert (told["messages"]["dead"], len(told["dead_letters"]), "messages.dead" in told["at_least"]) == (2, 2, True)
    assert ", 2+ dead letters\n" in cli("get_session_status", "execution-1").text
    assert "2+ dead letters" in cli("recover_milestone_session", "execution-1").text
    assert "attention: 2+ dead letters for exec: " in cli("status").text
    with open(team.generate_milestone_report("execution-1")) as report:
        assert " 3 dead letters\n" in report.read()


def test_of_many_agents_those_at_work_and_failed_are_counted_first(team, cli, monkeypatch):
    for number in range(4):
        team.register_agent(f"done-{number}", "validation", "ms-1", "execution-1")
        team.update_agent_status(f"done-{number}", "completed")
    team.register_agent("broken", "validation", "ms-1", "execution-1")
    team.update_agent_status("broken", "failed")
    everything = {"total": 7, "active": 2, "completed": 4, "failed": 1, "stale": 0}
    assert team.get_session_recovery_status()["agents"] == everything
    monkeypatch.setattr(bounded, "MOST_COUNTED", 3)
    told = team.get_session_recovery_status()
    assert (told["agents"]["active"], told["agents"]["failed"], told["agents"]["stale"]) == (2, 1, 0)
    assert told["at_least"] == [f"agents.{name}" for name in ("total", "completed") if name in told["agents"]]
    monkeypatch.setattr(bounded, "MOST_COUNTED", 1)
    told = cli("get_session_recovery_status").text
    assert "1+ active" in told and "1 failed" in told and "+ total" in told


def test_an_inbox_with_many_messages_is_told_by_a_number_there_are_at_least(team, cli, monkeypatch):
    for number in range(3):
        team.send_agent_message("coord", "exec", "task_assignment", {"n": number})
    row = team.register_agent("exec", "milestone-executor", "ms-1", "execution-1")
    assert (row["messages_unread"], row["at_least"]) == (3, [])
    monkeypatch.setattr(bounded, "MOST_COUNTED", 2)
    row = team.register_agent("exec", "milestone-executor", "ms-1", "execution-1")
    assert (row["messages_unread"], row["at_least"]) == (2, ["messages_unread"])
    assert ", 2+ unread, " in cli("register_agent", "exec", "milestone-executor", "ms-1", "execution-1").text
    assert "2 more remain" in cli("get_agent_messages", "exec", "true", "--max-bytes", "50").err
    team.send_agent_message("coord", "exec", "task_assignment", {})
    team.requeue_agent_message("exec", 1)
    assert "2+ more remain" in cli("get_agent_messages", "exec", "true", "--max-bytes", "50").err


@pytest.mark.parametrize("counted_each_time", [0, 2, 1000])
def test_agents_that_come_and_go_are_counted(team, monkeypatch, counted_each_time):
    monkeypatch.setattr(sessions, "COUNTED_EACH_TIME", counted_each_time)

    def counts():
        return [team.get_session_status(session)["agent_count"] for session in ("execution-1", "execution-2")]

    team.register_agent("far", "validation", "ms-1", "execution-2")
    for agent in ("third", "fourth", "third"):
        team.register_agent(agent, "validation", "ms-1", "execution-1")
    assert counts() == [4, 1]
    team.register_agent("third", "validation", "ms-1", "execution-2")
    team.register_agent("third", "validation", "ms-1", "execution-2")
    assert counts() == [3, 2]


def test_looking_at_a_session_is_no_activity(team, clock):
    clock.advance(600)
    team.get_session_status("execution-1"), team.list_coordination_sessions(), team.list_session_agents("execution-1")
    assert team.get_session_status("execution-1")["minutes_inactive"] == 10


@pytest.mark.parametrize("percent", [0, 40, 33.3, 100])
def test_progress_is_kept_and_counts_as_activity(team, clock, percent):
    clock.advance(600)
    team.update_session_progress("execution-1", percent, "spec")
    told = team.get_session_status("execution-1")
    assert (told["progress"], told["phase"], told["minutes_inactive"]) == (percent, "spec", 0)
    team.update_session_progress("execution-1", percent)
    assert team.get_session_status("execution-1")["phase"] == "spec"


@pytest.mark.parametrize("arguments, match", [
    ((101,), "PERCENT"), ((-1,), "PERCENT"), ((float("nan"),), "PERCENT"), ((float("inf"),), "PERCENT"),
    ((50, "coding"), "unknown phase"),
])
def test_bad_progress_changes_nothing(team, dump, arguments, match):
    before = dump()
    with pytest.raises(UsageError, match=match):
        team.update_session_progress("execution-1", *arguments)
    assert dump() == before


def test_progress_of_an_ended_session_stays(team, dump):
    team.save_agent_state("exec", "milestone-plan", "in three steps")
    team.create_milestone_from_planning("execution-1", "ms-1")
    before = dump()
    with pytest.raises(Refused, match="is completed: its progress stays 100 %"):
        team.update_session_progress("execution-1", 50)
    assert dump() == before


def test_sessions_are_listed_by_latest_activity(team, clock):
    clock.advance(1)
    team.register_agent("other", "validation", "ms-2", "planning-2")
    assert [row["session_id"] for row in team.list_coordination_sessions()] == ["planning-2", "execution-1"]
    clock.advance(1)
    team.agent_heartbeat("exec")
    rows = team.list_coordination_sessions("active")
    assert [(row["session_id"], row["agent_count"]) for row in rows] == [("execution-1", 2), ("planning-2", 1)]
    assert team.list_coordination_sessions("failed") == []
    with pytest.raises(UsageError, match="did you mean abandoned"):
        team.list_coordination_sessions("abandonned")


def test_unknown_sessions_are_refused_with_the_nearest(team):
    for call in (team.get_session_status, team.list_session_agents, lambda name: team.update_session_progress(name, 1)):
        with pytest.raises(Refused, match="no session 'execution-2' in .*: there is execution-1"):
            call("execution-2")


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_agents_end_and_sessions_are_told_of_in_the_order_of_their_ids(store, connect):
    for session in ("execution-s", "execution-t"):
        for agent in ("c", "a", "b"):
            store.register_agent(f"{agent}-{session}", "validation", "m", session)
    told = connect().briefing("b-execution-t")
    assert [row["session_id"] for row in told["open_sessions"]] == ["execution-s", "execution-t"]
    connect().save_agent_state("b-execution-t", "k", "v")
    store.complete_coordination_session("execution-t")
    ended = [row["agent_id"] for row in store.list_coordination_events(event="agent_completed")]
    assert ended == ["a-execution-t", "b-execution-t", "c-execution-t"]


def test_of_sessions_of_the_same_instant_the_first_id_is_the_latest_everywhere(store):
    for name in ("planning-ms-3-2", "planning-ms-3-1"):
        store.register_agent(f"of-{name}", "validation", "ms-3", name)
    with pytest.raises(Refused, match="whose latest session is planning-ms-3-1$"):
        store.get_session_status("ms-3")


def test_what_goes_back_is_told_of_in_the_session_of_each_message(store):
    for name in ("planning-2", "planning-1"):
        store.register_agent(f"of-{name}", "validation", "ms-3", name)
    store.register_agent("w", "validation", "ms-3", "planning-1")
    for sender in ("of-planning-2", "of-planning-1", "of-planning-2"):
        store.send_agent_message(sender, "w", "x-t", {})
    taken = [row["session_id"] for row in store.get_agent_messages("w", True)]
    store.update_agent_status("w", "failed")
    told = {name: [row["detail"] for row in store.list_coordination_events(session=name, event="messages_returned")]
            for name in ("planning-1", "planning-2")}
    assert taken == ["planning-2", "planning-1", "planning-2"] and told == {"planning-1": ["2"], "planning-2": ["1 3"]}
