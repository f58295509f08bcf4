"""Delivery: lives, leases, history, bounded takes, and which milestone and session a message belongs to."""
from __future__ import annotations

import io
import json
import re
import sys

import pytest
from conftest import ROOT

from milestone_persist import MilestoneWarning, Refused, UsageError
from milestone_persist.cli.main import Console, main


@pytest.fixture
def team(store):
    """A store with the agents c and w in session execution-1 of milestone ms."""
    store.register_agent("c", "milestone-coordinator", "ms", "execution-1")
    store.register_agent("w", "task-phase", "ms", "execution-1")
    return store


def send(store, text="", to="w", priority=5):
    return store.send_agent_message("c", to, "task_assignment", {"text": text}, priority)["id"]


def ids(rows):
    return [row["id"] for row in rows]


def take(store, agent="w", **options):
    return ids(store.get_agent_messages(agent, True, **options))


def look(store, agent="w"):
    return [(row["id"], row["retry_count"]) for row in store.get_agent_messages(agent)]


def states(store, agent="w"):
    return {row["id"]: row["state"] for row in store.list_agent_messages(agent)}


def counts(store, session="execution-1"):
    return {name: n for name, n in store.get_session_status(session)["messages"].items() if n}


def test_a_leased_message_comes_back_by_itself(team, clock):
    number = send(team)
    assert take(team, lease=60) == [number]
    clock.advance(59.9)
    assert (look(team), take(team, lease=60), states(team), counts(team)) == ([], [], {1: "taken"}, {"taken": 1})
    clock.advance(0.1)
    assert (look(team), states(team), counts(team)) == ([(number, 1)], {1: "pending"}, {"pending": 1})
    assert team.get_session_recovery_status()["messages"]["pending"] == 1
    assert take(team, lease=60) == [number]
    team.acknowledge_agent_message("w", number)
    clock.advance(3600)
    assert (look(team), states(team)) == ([], {1: "acknowledged"})


def test_workers_share_an_inbox_by_leases_and_acknowledge_nothing_of_each_other(team, connect, cli):
    sent = [send(team) for _ in range(3)]
    other = connect()
    assert take(team, limit=1, lease=60) == sent[:1]
    assert take(other, limit=1, lease=60) == sent[1:2]
    assert cli("get-agent-messages", "w", "true", "1", "--lease", "60").err == ""
    assert states(team) == dict.fromkeys(sent, "taken")
    team.acknowledge_agent_message("w", sent[1])
    assert (take(other), counts(team)) == ([], {"taken": 2, "acknowledged": 1})


def test_a_plain_take_acknowledges_what_was_taken_before_but_no_lease(team, cli):
    plain = send(team)
    take(team)
    leased = send(team)
    assert take(team, lease=60) == [leased]
    assert f": {plain} task_assignment; one" in cli("get-agent-messages", "w", "true").err
    assert states(team) == {plain: "acknowledged", leased: "taken"}


def test_a_lease_that_runs_out_too_often_makes_a_dead_letter(team, clock, cli):
    team.set_storage_config("message_retry_limit", "2")
    number = send(team)
    for tries in range(3):
        [row] = team.get_agent_messages("w", True, lease=10)
        assert (row["id"], row["retry_count"]) == (number, tries)
        clock.advance(10)
    assert (look(team), states(team), counts(team)) == ([], {1: "dead"}, {"dead": 1})
    assert take(team) == []
    assert [letter["id"] for letter in team.get_session_status("execution-1")["dead_letters"]] == [number]
    told = cli("get-session-status", "execution-1").text
    assert "to read them: list_agent_messages w --state dead; to put one back: requeue_agent_message w 1\n" in told
    assert cli(*"list_agent_messages w --state dead".split()).text.startswith('[{"id":1,')
    assert team.requeue_agent_message("w", number)["was"] == "dead"
    assert look(team) == [(number, 0)]


def test_a_lapsed_lease_lies_in_the_inbox_for_requeueing_too(team, clock):
    number = send(team)
    take(team, lease=10)
    clock.advance(10)
    assert team.requeue_agent_message("w", number)["was"] == "pending"
    assert look(team) == [(number, 1)]


@pytest.mark.filterwarnings("ignore:agent 'w' is terminated with")
@pytest.mark.parametrize("way, retries", [("register", 0), ("failed", 1), ("terminated", 1)])
def test_a_lease_does_not_outlive_its_life(team, way, retries):
    number = send(team)
    take(team, lease=3600)
    if way == "register":
        assert team.register_agent("w", "task-phase", "ms", "execution-1")["messages_requeued"] == 1
    else:
        team.update_agent_status("w", way)
    assert look(team) == [(number, retries)]


def test_completing_leaves_a_lease_alone_and_says_so(team, cli, clock):
    number = send(team)
    take(team, lease=60)
    told = cli("update-agent-status", "w", "completed")
    assert told.err == ("milestone_persist: warning: agent 'w' is completed with 1 unread message (highest priority "
                        "5): get_agent_messages w --taken shows them\n")
    assert ids(team.get_agent_messages("w", taken=True)) == [number]
    clock.advance(60)
    assert look(team) == [(number, 1)]


def test_waiting_ends_when_a_lease_runs_out(team, clock):
    number = send(team)
    take(team, lease=5)
    begin = clock.time()
    assert take(team, wait=60) == [number]
    assert clock.time() - begin == pytest.approx(5, abs=0.3)


def test_a_clock_that_steps_back_hands_nothing_out_twice(team, clock):
    number = send(team)
    take(team, lease=10)
    clock.advance(-3600)
    assert take(team, lease=10) == []
    clock.advance(3610)
    assert take(team) == [number]


def test_a_lease_from_a_clock_that_was_ahead_begins_again_and_lasts_as_long(team, clock):
    number = send(team)
    take(team, lease=10)
    clock.advance(-3600)
    team.detect_interrupted_sessions()  # a look at the living sees that a clock was ahead
    clock.advance(9)
    assert take(team, lease=10) == []
    clock.advance(1)
    assert take(team) == [number]


@pytest.mark.parametrize("words, says", [
    (["--lease", "60"], "--lease goes with taking"), (["true", "--lease", "0.5"], "--lease"),
    (["true", "--lease", "1e9"], "--lease"), (["true", "--taken"], "--taken only shows"),
    (["--taken", "--wait", "5"], "--taken only shows"), (["true", "--max-bytes", "0"], "--max-bytes"),
])
def test_options_of_a_take_that_make_no_sense_change_nothing(team, cli, dump, words, says):
    send(team)
    before = dump()
    told = cli("get-agent-messages", "w", *words)
    assert (told.status, told.text) == (2, "") and says in told.err
    assert dump() == before


def test_taken_shows_what_is_in_hand(team):
    first, second, third = send(team), send(team), send(team)
    assert team.get_agent_messages("w", taken=True) == []
    take(team, limit=1)
    take(team, limit=1, lease=60)
    rows = team.get_agent_messages("w", taken=True)
    assert [(row["id"], row.get("lease_until")) for row in rows] == [
        (first, None), (second, "2026-01-01 00:01:00.000")]
    assert [row["payload"] for row in rows] == [{"text": ""}] * 2
    assert look(team) == [(third, 0)]
    assert team.get_agent_messages("w", taken=True) == rows


def test_brief_leaves_out_what_is_not_needed_to_act(team, cli):
    send(team, "a")
    send(team, "b", priority=9)
    assert [list(row) for row in team.get_agent_messages("w", brief=True)] == [
        ["id", "from_agent", "message_type", "payload", "priority"], ["id", "from_agent", "message_type", "payload"]]
    assert json.loads(cli("get-agent-messages", "w", "true", "--brief").text) == [
        {"id": 2, "from_agent": "c", "message_type": "task_assignment", "payload": {"text": "b"}, "priority": 9},
        {"id": 1, "from_agent": "c", "message_type": "task_assignment", "payload": {"text": "a"}}]
    assert counts(team) == {"taken": 2}


def test_a_take_from_the_shell_leaves_in_the_inbox_what_a_tool_would_cut_off(team, cli):
    sent = [send(team, "x" * 1000) for _ in range(40)]
    assert len(cli("--from-shell", "get_agent_messages", "w").text) > 40_000
    told = cli("--from-shell", "get_agent_messages", "w", "true")
    first = ids(json.loads(told.text))
    assert first == sent[:len(first)] and 15 < len(first) < 20 and len(told.text) <= 20_000
    assert told.err == (f"milestone_persist: {40 - len(first)} more remain in the inbox (at most 20000 bytes at "
                        "once); when these are done: get_agent_messages w true\n")
    got = list(first)
    while len(got) < 40:
        got += ids(json.loads(cli("--from-shell", "get_agent_messages", "w", "true").text))
    assert got == sent
    assert cli("--from-shell", "get_agent_messages", "w", "true").text == "[]\n"


def test_a_bounded_take_hands_out_one_message_at_least(team, cli):
    first, second = send(team, "x" * 15_000), send(team)
    told = cli("get-agent-messages", "w", "true", "--max-bytes", "1", "--lease", "60")
    assert ids(json.loads(told.text)) == [first]
    assert told.err.endswith("1 more remain in the inbox (at most 1 bytes at once); when "
                             "these are done: get_agent_messages w true --lease 60\n")
    assert ids(team.get_agent_messages("w", True, max_bytes=10 ** 6)) == [second]
    assert take(team) == []


def test_a_bounded_look_says_what_it_does_not_show(team, cli):
    send(team), send(team)
    told = cli("get-agent-messages", "w", "--max-bytes", "10")
    assert len(json.loads(told.text)) == 1 and "1 more would be over --max-bytes 10" in told.err


def test_history_shows_every_state_and_the_newest_last(team, cli):
    for _ in range(4):
        send(team)
    take(team, limit=2)
    team.acknowledge_agent_message("w", 1)
    assert states(team) == {1: "acknowledged", 2: "taken", 3: "pending", 4: "pending"}
    assert ids(team.list_agent_messages("w", limit=2)) == [3, 4]
    assert [ids(team.list_agent_messages("w", state=state)) for state in ("pending", "taken", "acknowledged", "dead")] \
        == [[3, 4], [2], [1], []]
    assert ids(team.list_agent_messages("c", sent=True)) == [1, 2, 3, 4]
    told = cli("list-agent-messages", "w", "--state", "acknowledged")
    [row] = json.loads(told.text)
    assert (row["payload"], row["state"], row["acknowledged_at"]) == ({"text": ""}, "acknowledged", row["delivered_at"])
    assert cli("list-agent-messages", "w", "--state", "unread").status == 2


def test_history_in_a_shell_is_bounded_and_says_so(team, cli):
    sent = [send(team, "x" * 2000) for _ in range(15)]
    told = cli("--from-shell", "list_agent_messages", "w")
    shown = ids(json.loads(told.text))
    assert shown == sent[-len(shown):] and len(told.text) <= 20_000
    assert f"only the latest {len(shown)} are shown, of 15" in told.err


def test_a_message_keeps_the_session_it_was_sent_in(team):
    team.register_agent("boss", "milestone-coordinator", "ms", "planning-1")
    number = team.send_agent_message("boss", "w", "x-t", {})["id"]
    for session in ("execution-2", "execution-3"):
        team.register_agent("w", "task-phase", "ms", session)
        [row] = team.get_agent_messages("w", True)
        assert (row["id"], row["session_id"]) == (number, "planning-1")
        assert (counts(team, session), counts(team, "planning-1")) == ({"taken": 1}, {})
    team.acknowledge_agent_message("w", number)
    assert (counts(team, "execution-3"), counts(team, "planning-1")) == ({}, {"acknowledged": 1})


@pytest.mark.filterwarnings("ignore:no agent 'coordinator-1' is registered")
def test_who_registers_for_another_milestone_is_told_of_the_mail_and_not_given_it(team, cli):
    number = send(team, "of ms", to="coordinator-1")
    told = cli("register-agent", "coordinator-1", "milestone-coordinator", "other", "execution-other")
    assert told.err == ("milestone_persist: unread, but sent to coordinator-1 for milestone 'ms' and not delivered in "
                        "another: 1; list_agent_messages coordinator-1 --state pending --milestone ms shows it\n")
    assert take(team, "coordinator-1") == look(team, "coordinator-1") == []
    assert (counts(team, "execution-other"), counts(team)) == ({}, {"pending": 1})
    shown = cli("list-agent-messages", "coordinator-1", "--state", "pending", "--milestone", "ms")
    [row] = json.loads(shown.text)
    assert (row["id"], row["session_id"], row["sent_for"]) == (number, "execution-1", "ms")
    assert team.list_agent_messages("coordinator-1", milestone="other") == []
    row = team.register_agent("coordinator-1", "milestone-coordinator", "ms", "execution-9", new=False)
    assert (row["messages_unread"], row["messages_for_others"]) == (1, [])
    assert take(team, "coordinator-1") == [number]


@pytest.mark.filterwarnings("ignore:no agent 'late' is registered", "ignore:.*this message is not read",
                            "ignore:.* unread message")
def test_mail_is_meant_for_the_milestone_of_its_reader_or_else_of_its_sender(team):
    team.register_agent("far", "validation", "other", "execution-other")
    team.save_agent_state("stranger", "k", "v")
    for reader in ("far", "late", "stranger"):
        send(team, to=reader)
    team.update_agent_status("far", "completed")
    send(team, to="far")
    assert [row["sent_for"] for row in team.list_agent_messages("c", sent=True)] == ["other", "ms", "ms", "ms"]


@pytest.mark.filterwarnings("ignore:no agent 'late' is registered", "ignore:agent 'c' is registered in session")
def test_the_milestone_of_a_sender_is_that_for_which_it_acts_and_no_guess(team, environ):
    def sent_for(sender):
        team.send_agent_message(sender, "late", "x-t", {})
        return team.list_agent_messages("late")[-1]["sent_for"]

    assert sent_for("stranger") is None  # in the session that was active last
    team.register_agent("c", "milestone-coordinator", "other", "execution-other")
    assert sent_for("c") == "other"
    environ["SESSION_ID"] = "execution-1"
    assert sent_for("c") == "ms"
    assert sent_for("second stranger") == "ms"


def test_mail_of_which_nobody_knows_the_milestone_is_anybodys(team, environ):
    send(team)
    storage = team.storage()
    with storage.transaction("test"):
        storage.execute("UPDATE agent_messages SET sent_for = NULL, taken_in_life = NULL")
    team.register_agent("w", "task-phase", "other", "execution-other")
    assert take(team) == [1]


def test_what_nobody_registered_reads_all_its_mail(team):
    with pytest.warns(MilestoneWarning, match="no agent 'x9' is registered"):
        send(team, to="x9")
    assert take(team, "x9") == [1]


def test_ending_a_session_names_the_unread_mail_of_its_agents_wherever_it_was_sent(team):
    team.register_agent("boss", "milestone-coordinator", "ms", "planning-1")
    team.send_agent_message("boss", "w", "x-t", {})
    with pytest.warns(MilestoneWarning, match="'execution-1' is abandoned with 1 unread message for w"):
        team.abandon_session("execution-1")
    team.abandon_session("planning-1")


@pytest.mark.parametrize("name", ["CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID", "MILESTONE_CLIENT_SESSION"])
def test_registering_notes_the_session_of_the_client(store, environ, name):
    assert store.register_agent("a", "validation", "ms", "validation-1")["client_session"] is None
    environ[name] = "s-1"
    row = store.register_agent("a", "validation", "ms", "validation-1")
    assert (row["client_session"], row["life"]) == ("s-1", 2)


def test_an_agent_nobody_registered_lives_on_when_it_changes_its_session(store, environ):
    for session in ("execution-1", "execution-2"):
        environ["SESSION_ID"] = session
        store.save_agent_state("stray", "k", "v")
    assert store.update_agent_status("stray")["life"] == 1


# Two takers, a waiter and a restart: each way in which they can come between each other.

def test_a_waiter_left_behind_loses_nothing(team, connect, cli, clock):
    """Its take is named by the next one, and comes back."""
    other = connect()
    clock.during_sleep = lambda: send(other)
    assert take(team, limit=1, wait=60) == [1]  # printed where nobody looks
    told = cli("get-agent-messages", "w", "true")
    assert (told.text, "1 task_assignment" in told.err) == ("[]\n", True)
    cli(*told.err.split(": ")[-1].split())
    assert take(team) == [1]


def test_a_waiter_left_behind_with_a_lease_loses_nothing_and_nobody_need_ask(team, connect, clock):
    other = connect()
    clock.during_sleep = lambda: send(other)
    assert take(team, limit=1, wait=60, lease=30) == [1]
    assert take(team) == []
    clock.advance(30)
    assert take(team) == [1]


def test_what_a_waiter_takes_after_a_restart_belongs_to_the_new_life(team, connect, clock):
    def restart():
        other = connect()
        other.register_agent("w", "task-phase", "ms", "execution-1")
        send(other)

    clock.during_sleep = restart
    with pytest.warns(MilestoneWarning, match="was heard from"):
        assert take(team, wait=60) == [1]
    assert ids(team.get_agent_messages("w", taken=True)) == [1]
    assert team.register_agent("w", "task-phase", "ms", "execution-1")["messages_requeued"] == 1


def test_a_restart_between_two_takes_gives_back_the_first(team, connect):
    number = send(team)
    assert take(team) == [number]
    connect().register_agent("w", "task-phase", "ms", "execution-1")
    assert take(team) == [number]


def test_two_takers_in_one_name_are_told_what_the_other_acknowledged(team, cli):
    first, second = send(team), send(team)
    assert take(team, limit=1) == [first]
    told = cli("get-agent-messages", "w", "true", "1")
    assert ids(json.loads(told.text)) == [second] and f": {first} task_assignment;" in told.err
    team.acknowledge_agent_message("w", first)  # the first taker, who is done after all
    assert states(team) == {first: "acknowledged", second: "taken"}


def test_who_acknowledges_after_its_lease_ran_out_is_heard(team, clock):
    number = send(team)
    take(team, lease=10)
    clock.advance(11)
    team.acknowledge_agent_message("w", number)
    assert (take(team), states(team)) == ([], {number: "acknowledged"})


def test_every_promise_in_the_documents_names_a_test_that_there_is():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")))
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
    assert len(named) > 15 and named <= set(re.findall(r"^def (test_\w+)", text, re.MULTILINE))


def test_the_shell_functions_lease_list_and_send_once(sh):
    told = sh("""
        initialize_agent_coordination >/dev/null
        register_agent c milestone-coordinator ms execution-1 >/dev/null
        register_agent w task-phase ms execution-1 >/dev/null
        for n in 1 2; do send_agent_message c w x-t '{"n": 1}' --key first; done
        send_agent_message c w x-t '{"n": 2}' 9 --key=first || echo "status $?"
        get_agent_messages w true 1 --lease 600 --brief
        get_agent_messages w true; get_agent_messages w --taken --brief
        acknowledge_agent_message w 1
        list_agent_messages w --state acknowledged --limit 5 | tr , '\\n' | grep state
    """)
    brief = '[{"id":1,"from_agent":"c","message_type":"x-t","payload":{"n":1}}]'
    assert told.text.splitlines() == ["1", "1", "status 1", brief, "[]", brief, '"state":"acknowledged"}]']
    assert "the key 'first' was used with other content, for message 1: nothing was done" in told.err


# Keys.

CALLS = {
    "send": ("send-agent-message", ["c", "w", "x-t", '{"n": 1}'], ["c", "w", "x-t", '{"n": 2}'], "message 1"),
    "broadcast": ("broadcast-agent-message", ["c", "x-t", '{"n": 1}'], ["c", "x-t", '{"n": 1}', "9"], "messages 1"),
    "everybody": ("send-agent-message", ["c", "", "x-t", "{}"], ["c", "", "x-u", "{}"], "messages 1"),
    "checkpoint": ("create-agent-checkpoint", ["w", "manual"], ["w", "automatic"], "checkpoint cp-"),
    "record": ("create-milestone-record", ["ms-new", "title: a"], ["ms-new", "title: b"], "milestone ms-new"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_with_a_key_is_done_once(team, cli, dump, name):
    operation, words, others, first = CALLS[name]
    done = cli(operation, *words, "--key", "k 1")
    assert done.status == 0 and done.text
    before = dump()
    again = cli(operation, *words, "--key", "k 1")
    assert (again.status, again.text, again.err) == (0, done.text, "")
    refused = cli(operation, *others, "--key", "k 1")
    assert (refused.status, refused.text) == (1, "")
    assert refused.err.startswith(f"milestone_persist: the key 'k 1' was used with other content, for {first}")
    assert refused.err.count("\n") == 1
    empty = cli(operation, *words, "--key", "")
    assert (empty.status, "--key is empty" in empty.err) == (2, True)
    assert {**dump(), "agent_registry": 0, "coordination_sessions": 0} == {
        **before, "agent_registry": 0, "coordination_sessions": 0}
    if name != "record":
        assert cli(operation, *words, "--key", "k 2").text != done.text != cli(operation, *words).text


def test_a_key_is_its_callers_own_and_content_is_compared_as_it_is_meant(team, connect):
    first = team.send_agent_message("c", "w", "x-t", {"a": 1, "b": [2]}, key="k")
    assert connect().send_agent_message("c", "w", "x-t", '{"b":[2],\n"a":1}', 5, key="k") == first
    assert team.send_agent_message("w", "w", "x-t", {"a": 1, "b": [2]}, key="k") != first
    with pytest.raises(Refused, match="for message 1: nothing was done"):
        team.send_agent_message("c", "c", "x-t", {"a": 1, "b": [2]}, key="k")
    with pytest.raises(UsageError):
        team.send_agent_message("c", "w", "x-t", {}, key="")


def test_keys_go_with_time(team, clock):
    team.send_agent_message("c", "w", "x-t", {}, key="k")
    clock.advance(8 * 86400)
    team.agent_heartbeat("c")
    assert team.cleanup_stale_coordination()["removed"]["keys"] == 1
    assert team.send_agent_message("c", "c", "x-t", {}, key="k")["id"] == 2


# Answers that cannot be printed.

class Full(io.BytesIO):
    """A standard output that takes nothing."""

    def flush(self):
        raise OSError(28, "No space left on device")


UNPRINTED = "milestone_persist: the answer could not be printed (No space left on device)"
UNHEARD = {
    "send": (["send-agent-message", "c", "w", "x-t", "{}"], "send_agent_message is done, do not repeat it: 1"),
    "broadcast": (["broadcast-agent-message", "c", "x-t", "{}"],
                  "broadcast_agent_message is done, do not repeat it: 1"),
    "checkpoint": (["create-agent-checkpoint", "w"], "create_agent_checkpoint is done, do not repeat it: cp-"),
    "lock": (["acquire-milestone-lock", "ms", "--owner", "w"],
             "acquire_milestone_lock is done, do not repeat it: locked ms for w until "),
    "record": (["create-milestone-record", "ms", "title: t"],
               "create_milestone_record is done, do not repeat it: milestone ms: "),
    "register": (["register-agent", "n", "validation", "ms", "execution-1"],
                 "register_agent is done, do not repeat it: registered n (validation) in session execution-1"),
    "take": (["get-agent-messages", "w", "true", "--brief"],
             "nothing was taken: what is for w is in the inbox again"),
}


@pytest.mark.parametrize("name", UNHEARD)
def test_what_was_done_is_said_where_the_answer_cannot_be_printed(team, directory, environ, clock, name):
    words, says = UNHEARD[name]
    if name == "take":
        send(team)
    console = Console(io.BytesIO(), Full(), io.BytesIO(), {**environ, "MILESTONE_DIR": str(directory)}, clock)
    assert main(words, console) == 3
    [line] = console.stderr.getvalue().decode().splitlines()
    assert line.startswith(
        f"milestone_persist: the answer could not be printed (No space left on device); {says}")
    if name == "take":
        assert look(team) == [(1, 0)]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("words, only_told", [
    (["start-session-monitor", "--once"], []), (["export-coordination", "all.jsonl"], ["export-coordination", "-"]),
    (["doctor", "--fix"], ["doctor"]), (["install"], ["install", "--check"]), (["uninstall"], []),
    (["vendor", "copy"], ["vendor", "copy", "--check"]),
    (["import-tmp-files", "."], ["import-tmp-files", ".", "--dry-run"]),
], ids=lambda words: " ".join(words))
def test_so_it_is_where_files_or_processes_are_changed(words, only_told, team, directory, environ, clock, tmp_path,
                                                       monkeypatch):
    monkeypatch.chdir(tmp_path)
    if words == ["uninstall"]:
        main(["install"], Console(io.BytesIO(), io.BytesIO(), io.BytesIO(), environ, clock))
    console = Console(io.BytesIO(), Full(), io.BytesIO(), {**environ, "MILESTONE_DIR": str(directory)}, clock)
    assert main(words, console) == 3
    [line] = console.stderr.getvalue().decode().splitlines()
    name = words[0].replace("-", "_")
    assert line.startswith("milestone_persist: the answer could not be printed (No space left on device); "
                           f"{name} is done, do not repeat it: ")
    if only_told:
        assert main(only_told, console) == 3
        assert console.stderr.getvalue().decode().splitlines()[1:] == [UNPRINTED]


def test_who_only_looks_has_done_nothing(team, directory, environ, clock):
    console = Console(io.BytesIO(), Full(), io.BytesIO(), {**environ, "MILESTONE_DIR": str(directory)}, clock)
    for words in (["update-agent-status", "w"], ["get-agent-messages", "w"], ["list-agent-messages", "w"],
                  ["get-session-status", "execution-1"]):
        assert main(words, console) == 3
    assert console.stderr.getvalue().decode().splitlines() == 4 * [UNPRINTED]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("end, reason", [
    (">/dev/full", "No space left on device"), (">&-", "standard output is closed"), ("pipe", "Broken pipe")])
def test_what_was_done_is_said_whatever_became_of_the_output(team, run, end, reason):
    call = [sys.executable, "-I", "-S", str(ROOT / "milestone_persist" / "__main__.py"), "send-agent-message"]
    closed = "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); os.execv(sys.argv[1], sys.argv[1:])"
    begin = [sys.executable, "-c", closed] if end == "pipe" else ["sh", "-c", f'"$@" {end}', "sh"]
    told = run([*begin, *call, "c", "w", "x-t", "{}"])
    assert told.err == (f"milestone_persist: the answer could not be printed ({reason}); send_agent_message is done, "
                        "do not repeat it: 1\n")
    assert ids(team.get_agent_messages("w")) == [1]


def test_a_message_that_becomes_a_dead_letter_is_told_of_with_the_command_that_shows_it(store, cli):
    store.register_agent("a-1", "validation", "ms-1", "s-1")
    number = store.send_agent_message("a-1", "a-1", "x-t", {})["id"]
    for _ in range(3):
        store.get_agent_messages("a-1", True)
        assert cli("update-agent-status", "a-1", "failed").err == ""
    store.get_agent_messages("a-1", True)
    shows = "list_agent_messages a-1 --state dead"
    assert cli("update-agent-status", "a-1", "failed").err == (
        f"milestone_persist: requeued too often, and dead letters now: {number}; {shows} shows them\n")
    assert f'"id":{number},' in cli(*shows.split()).text
