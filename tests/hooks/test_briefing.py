"""The briefing: short whatever the store holds, no text of a message, and its last line is a command that works."""
from __future__ import annotations

import shlex

import pytest

BUDGET = 2400  # bytes: about 700 tokens


@pytest.fixture
def team(store):
    store.register_agent("coord", "milestone-coordinator", "ms-1", "planning-ms-1-1")
    store.register_agent("exec", "milestone-executor", "ms-1", "planning-ms-1-1")
    return store


def send(store, priority=5):
    return store.send_agent_message("coord", "exec", "task_assignment", {"secret": "the body"}, priority)["id"]


def last(text):
    assert text.splitlines()[-1].startswith("Next: ")
    return shlex.split(text.splitlines()[-1].partition(": ")[2])


def test_it_says_who_one_is_what_waits_and_what_to_run(team, cli):
    number = send(team, 8)
    team.save_agent_state("coord", "planning-scope", "x")
    team.save_agent_state("exec", "notes", "x")
    point = team.create_agent_checkpoint("exec")["checkpoint_id"]
    done = cli("briefing", "exec")
    for part in ("agent exec (milestone-executor, active)", "milestone ms-1, session planning-ms-1-1 (active, 0 %)",
                 f"1 unread message: {number} task_assignment from coord (priority 8)", "planning-scope of coord",
                 "1 key saved by you", point):
        assert part in done.text
    assert "body" not in done.text and done.err == ""
    assert last(done.text) == ["get_agent_messages", "exec", "true"]
    assert cli("whoami", AGENT_ID="exec").status == 0
    assert cli("briefing", AGENT_ID="exec").text.startswith("You are agent exec ")


def test_each_next_command_works_and_leads_on(team, cli):
    send(team)
    seen = []
    for _ in range(3):
        words = last(cli("briefing", "exec").text)
        seen.append(words)
        assert cli(*words).status == 0
        team.save_agent_state("exec", "notes", "x")
        if words[-1] == "--taken":
            team.acknowledge_agent_message("exec", 1)
    assert seen == [["get_agent_messages", "exec", "true"], ["get_agent_messages", "exec", "--taken"],
                    ["list_agent_state", "exec"]]
    team.update_agent_status("exec", "failed", error="no disk")
    assert last(cli("briefing", "exec").text) == ["register_agent", "exec", "milestone-executor", "ms-1",
                                                  "planning-ms-1-1"]


def test_keys_of_others_are_told_once(team, cli, clock):
    team.save_agent_state("coord", "planning-scope", "x")
    clock.advance(1)
    assert "planning-scope" in cli("briefing", "exec", AGENT_ID="exec").text
    assert "planning-scope" not in cli("briefing", "exec", AGENT_ID="exec").text
    team.save_agent_state("coord", "planning-risks", "x")
    assert "planning-risks" in cli("briefing", "exec", AGENT_ID="coord").text  # another only looks
    assert "planning-risks" in cli("briefing", "exec").text


def test_a_new_life_is_told_all_again(team, cli, clock):
    team.save_agent_state("coord", "planning-scope", "x")
    cli("briefing", "exec")
    clock.advance(1)
    team.register_agent("exec", "milestone-executor", "ms-1", "planning-ms-1-1")
    assert "planning-scope" in cli("briefing", "exec").text


def test_without_an_agent_it_tells_of_the_project(team, cli, clock):
    assert "Open sessions: planning-ms-1-1 (active, 0 %, 2 agents)" in cli("briefing").text
    assert last(cli("briefing").text) == ["list_coordination_sessions", "active"]
    clock.advance(3600)
    text = cli("briefing").text
    assert "Interrupted sessions: planning-ms-1-1." in text
    assert last(text) == ["recover_milestone_session", "planning-ms-1-1"]
    assert cli(*last(text)).status == 0


def test_where_there_is_no_store_it_makes_none(unmade, cli, directory):
    assert (cli("briefing").status, cli("briefing").text) == (0, "No session is open here.\n")
    assert cli("briefing", "exec").status == 1
    assert not directory.exists()


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("length", [30, 250, 4000])
def test_it_is_short_whatever_the_names_are(store, cli, length):
    """And whole: the last line is a command that works."""
    def name(kind, number=0):
        return f"{kind}-{number}-" + "日" * (length // 3)

    me, session = name("me"), name("execution")
    for number in range(30):
        store.register_agent(name("other", number), "x-" + "t" * length, name("ms"), session)
        store.save_agent_state(name("other", number), name("key"), "x")
        store.register_agent(name("alone", number), "validation", name("ms"), name("validation", number))
    store.register_agent(me, "x-" + "t" * length, name("ms"), session)
    for number in range(30):
        store.send_agent_message(name("other", number), me, "x-" + "m" * length, {"a": "body"}, 1 + number % 10)
    store.get_agent_messages(me, True, 15)
    store.create_agent_checkpoint(me)
    for words in ([me], []):
        done = cli("briefing", *words)
        assert 0 < len(done.out) <= BUDGET and "body" not in done.text
        assert cli(*last(done.text)).status == 0
