"""Messages: order, exactly-one delivery, acknowledgement, putting back, dead letters, broadcast, waiting."""
from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from milestone_persist import MilestoneWarning, Refused, UsageError
from milestone_persist.cli.main import Console, main


@pytest.fixture
def team(store):
    """A store with the agents coord and exec in session planning-1."""
    store.register_agent("coord", "milestone-coordinator", "ms-1", "planning-1")
    store.register_agent("exec", "milestone-executor", "ms-1", "planning-1")
    return store


def send(store, text="", priority=5, to="exec"):
    return store.send_agent_message("coord", to, "task_assignment", {"text": text}, priority)["id"]


def ids(messages):
    return [message["id"] for message in messages]


def look(store, agent="exec"):
    return ids(store.get_agent_messages(agent))


def take(store, agent="exec", *limit):
    return ids(store.get_agent_messages(agent, True, *limit))


def counts(store):
    return store.get_session_status("planning-1")["messages"]


def test_a_message_has_the_documented_keys(team):
    number = team.send_agent_message("coord", "exec", "task_assignment", '{"phase": "design", "n": [1, null]}')["id"]
    [message] = team.get_agent_messages("exec")
    assert list(message) == ["id", "session_id", "from_agent", "to_agent", "message_type", "payload", "priority",
                             "created_at", "delivered_at", "retry_count"]
    assert message == {"id": number, "session_id": "planning-1", "from_agent": "coord", "to_agent": "exec",
                       "message_type": "task_assignment", "payload": {"phase": "design", "n": [1, None]},
                       "priority": 5, "created_at": "2026-01-01 00:00:00.000", "delivered_at": None, "retry_count": 0}


def test_an_empty_inbox_is_an_empty_list(team):
    assert team.get_agent_messages("exec") == team.get_agent_messages("exec", True) == []


def test_looking_changes_nothing(team):
    number = send(team)
    assert look(team) == look(team) == [number]
    assert counts(team) == {"pending": 1, "taken": 0, "acknowledged": 0, "dead": 0}


def test_order_is_priority_then_that_of_sending_whatever_the_clocks_say(team, clock):
    clock.advance(10)
    low, first, second = send(team, priority=1), send(team), send(team)
    clock.advance(-5)
    third = send(team)
    urgent = send(team, priority=10)
    expected = [urgent, first, second, third, low]
    assert ids(team.get_agent_messages("exec", False, 2)) == expected[:2]
    assert look(team) == expected
    assert take(team) == expected


class Gone(io.BytesIO):
    """A standard output that nobody reads any more."""

    def flush(self):
        raise BrokenPipeError(32, "Broken pipe")


def test_messages_whose_reader_has_gone_are_put_back(team, directory, clock, environ):
    send(team)
    take(team)
    given = [send(team), send(team)]
    console = Console(io.BytesIO(), Gone(), io.BytesIO(), {**environ, "MILESTONE_DIR": str(directory)}, clock)
    with pytest.raises(BrokenPipeError):
        main(["get-agent-messages", "exec"], console)
    assert main(["get-agent-messages", "exec", "true"], console) == 3
    assert console.stderr.getvalue().decode().splitlines()[-1] == (
        "milestone_persist: the answer could not be printed (Broken pipe); nothing was taken: what is for exec is in "
        "the inbox again")
    assert counts(team) == {"pending": 2, "taken": 0, "acknowledged": 1, "dead": 0}
    assert [(row["id"], row["retry_count"]) for row in team.get_agent_messages("exec", True)] == [
        (number, 0) for number in given]


def test_limit_takes_the_first_ones(team):
    first, second, third = send(team), send(team), send(team)
    assert ids(team.get_agent_messages("exec", False, 2)) == [first, second]
    assert take(team, "exec", 2) == [first, second]
    assert take(team) == [third]


def test_taking_again_acknowledges_what_was_taken_before(team):
    send(team)
    assert len(take(team)) == 1
    assert counts(team) == {"pending": 0, "taken": 1, "acknowledged": 0, "dead": 0}
    assert take(team) == []
    assert counts(team) == {"pending": 0, "taken": 0, "acknowledged": 1, "dead": 0}


@pytest.mark.filterwarnings("ignore:.* unread message")
def test_completing_acknowledges_what_was_taken_only(team):
    taken = send(team)
    take(team)
    waiting = send(team)
    team.update_agent_status("exec", "completed")
    assert counts(team)["acknowledged"] == 1
    team.update_agent_status("exec", "failed")
    assert look(team) == [waiting] != [taken]


def test_acknowledging_by_hand(team):
    number, other = send(team), send(team)
    take(team)
    first = team.acknowledge_agent_message("exec", number)
    assert team.acknowledge_agent_message("exec", number) == first
    team.update_agent_status("exec", "failed")
    assert look(team) == [other]


def test_a_message_nobody_took_can_be_acknowledged(team):
    team.acknowledge_agent_message("exec", send(team))
    assert look(team) == []


@pytest.mark.parametrize("agent, number, said", [
    ("exec", 99, "acknowledged$"), ("coord", 1, "; that one is for 'exec'$"), ("nobody", 1, " is for 'exec'$")])
def test_only_ones_own_messages_can_be_acknowledged(team, dump, agent, number, said):
    send(team)
    before = dump()
    with pytest.raises(Refused, match=f"has no message {number} .*{said}"):
        team.acknowledge_agent_message(agent, number)
    assert dump() == before


def test_two_takers_never_get_the_same_message(team, connect):
    sent = [send(team) for _ in range(10)]
    stores, got = [team, connect()], []
    for turn in range(10):
        got += take(stores[turn % 2], "exec", 1)
    assert got == sent


def test_threads_share_an_inbox_without_loss_or_double(team):
    sent, got = [send(team) for _ in range(40)], []

    def work():
        while True:
            taken = take(team, "exec", 1)
            if not taken:
                return
            got.extend(taken)

    with ThreadPoolExecutor(4) as pool:
        [ended.result() for ended in [pool.submit(work) for _ in range(4)]]
    assert sorted(got) == sent


@pytest.mark.filterwarnings("ignore:agent 'exec' is terminated with")
@pytest.mark.parametrize("end", ["failed", "terminated"])
def test_failing_puts_back_what_was_taken_until_the_limit(team, end):
    team.set_storage_config("message_retry_limit", "2")
    number, done = send(team, "poison"), send(team)
    take(team)
    team.acknowledge_agent_message("exec", done)
    for tries in (1, 2):
        team.update_agent_status("exec", end)
        [message] = team.get_agent_messages("exec", True)
        assert (message["id"], message["retry_count"]) == (number, tries)
    team.update_agent_status("exec", end)
    assert look(team) == take(team) == []
    [letter] = team.get_session_status("planning-1")["dead_letters"]
    assert (letter["id"], letter["retry_count"], letter["payload"]) == (number, 2, {"text": "poison"})
    assert counts(team)["dead"] == 1


def test_failing_twice_counts_once(team):
    send(team)
    take(team)
    team.update_agent_status("exec", "failed")
    team.update_agent_status("exec", "failed")
    assert team.get_agent_messages("exec")[0]["retry_count"] == 1


def test_a_dead_letter_is_not_raised_by_completing_but_can_be_acknowledged(team):
    team.set_storage_config("message_retry_limit", "0")
    number = send(team)
    take(team)
    team.update_agent_status("exec", "failed")
    team.update_agent_status("exec", "completed")
    assert counts(team) == {"pending": 0, "taken": 0, "acknowledged": 0, "dead": 1}
    team.acknowledge_agent_message("exec", number)
    assert counts(team) == {"pending": 0, "taken": 0, "acknowledged": 1, "dead": 0}


def test_broadcast_is_a_row_for_every_other_agent_of_the_session(team):
    team.register_agent("third", "validation", "ms-1", "planning-1")
    team.register_agent("elsewhere", "validation", "ms-1", "planning-2")
    sent = team.broadcast_agent_message("coord", "phase_transition", {"to": "spec"}, 9)
    assert sent["to_agents"] == ["exec", "third"]
    assert [take(team, agent) for agent in ("exec", "third", "coord", "elsewhere")] == \
        [sent["ids"][:1], sent["ids"][1:], [], []]
    assert take(team) == []


def test_an_empty_recipient_broadcasts(team):
    assert team.send_agent_message("coord", "", "phase_transition", {})["to_agents"] == ["exec"]


def test_broadcasting_alone_is_refused_and_changes_nothing(store, dump):
    store.initialize_agent_coordination()
    before = dump()
    with pytest.raises(Refused, match="is alone in session"):
        store.broadcast_agent_message("lonely", "phase_transition", {})
    assert dump() == before


def test_a_message_to_an_unknown_agent_is_kept_with_a_warning(team):
    with pytest.warns(MilestoneWarning, match="no agent 'exce' is registered; the message is kept .* mean exec"):
        number = send(team, to="exce")
    with pytest.warns(MilestoneWarning, match="no agent 'exce' is registered: it is taken in as a new one"):
        assert take(team, "exce") == [number]


def test_an_unregistered_sender_is_taken_in(team):
    team.send_agent_message("stranger", "exec", "x-question", {})
    assert team.update_agent_status("stranger")["agent_type"] == "unregistered"


@pytest.mark.parametrize("arguments, match", [
    (("coord", "exec", "task_asignment", {}), "did you mean task_assignment"),
    (("coord", "exec", "x-", {}), "unknown message type"), (("coord", "exec", "", {}), "unknown message type"),
    (("coord", "exec", "error_report", "[]"), "PAYLOAD must be an object"),
    (("coord", "exec", "error_report", "text"), "PAYLOAD is not JSON"),
    (("coord", "exec", "error_report", ""), "PAYLOAD is not JSON"),
    (("coord", "exec", "error_report", '{"a": NaN}'), "PAYLOAD is not JSON"),
    (("coord", "exec", "error_report", {"a": float("inf")}), "PAYLOAD is not JSON"),
    (("coord", "exec", "error_report", {"a": {1}}), "PAYLOAD is not JSON"),
    (("coord", "exec", "error_report", '{"a": ' * 600 + "1" + "}" * 600), "nested too deeply"),
    (("coord", "exec", "error_report", '{"a": "\ud800"}'), "PAYLOAD is not UTF-8"),
    (("coord", "exec", "error_report", {}, 0), "PRIORITY"), (("coord", "exec", "error_report", {}, 11), "PRIORITY"),
    (("", "exec", "error_report", {}), "FROM_AGENT is empty"),
])
def test_a_bad_message_changes_nothing(team, dump, arguments, match):
    before = dump()
    with pytest.raises(UsageError, match=match):
        team.send_agent_message(*arguments)
    assert dump() == before


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": -1}, {"wait": -1}, {"wait": 10 ** 6}])
def test_bad_limits_change_nothing(team, dump, options):
    send(team)
    before = dump()
    with pytest.raises(UsageError):
        team.get_agent_messages("exec", True, **options)
    assert dump() == before


def test_waiting_ends_when_a_message_comes(team, connect, clock):
    other = connect()
    clock.during_sleep = lambda: send(other)
    begin = clock.time()
    assert len(team.get_agent_messages("exec", True, wait=60)) == 1
    assert clock.time() - begin < 1


def test_waiting_ends_when_the_time_is_over_and_keeps_the_agent_alive(team, clock):
    begin = clock.time()
    assert team.get_agent_messages("exec", wait=90) == []
    assert clock.time() - begin == pytest.approx(90)
    assert team.list_session_agents("planning-1")[1]["minutes_since_heartbeat"] <= 0.5


def test_in_codex_whose_shell_leaves_long_calls_behind_a_taker_waits_for_less(team, cli, clock):
    begun = clock.time()
    done = cli("get-agent-messages", "exec", "true", "1", "--wait", "60", CODEX_CI="1")
    assert (done.status, done.text, round(clock.time() - begun, 1)) == (0, "[]\n", 8)
    assert done.err == ("milestone_persist: waited 8 s and not 60: Codex leaves a longer call behind, with what it "
                        "takes; call again\n")
    for words in (["true", "1", "--wait", "8"], ["false", "1", "--wait", "60"]):
        begun = clock.time()
        assert cli("get-agent-messages", "exec", *words, CODEX_CI="1").err == ""
        assert round(clock.time() - begun, 1) == float(words[-1])


def test_a_waiter_who_comes_second_waits_on(team, connect, clock):
    other = connect()

    def another_is_faster():
        send(other)
        assert len(take(other)) == 1

    clock.during_sleep = another_is_faster
    assert team.get_agent_messages("exec", True, wait=5) == []


def test_waiting_does_not_wait_for_what_is_there(team, clock):
    send(team)
    begin = clock.time()
    assert len(team.get_agent_messages("exec", True, wait=60)) == 1
    assert clock.time() == begin


def test_payload_text_comes_back_as_it_was_sent(team):
    for text in ("it's \"both\"", "$(touch pwned)", "a\nb\r\n\t", "👩‍💻", "\\", "'; DROP TABLE t; --", "\x00"):
        send(team, text)
        assert team.get_agent_messages("exec", True)[0]["payload"] == {"text": text}


def test_a_warning_of_an_unknown_recipient_does_not_suggest_the_sender(store):
    store.register_agent("coordinator-001", "milestone-coordinator", "ms-1", "planning-ms-1-1")
    with pytest.warns(MilestoneWarning, match="the message is kept for it$"):
        store.send_agent_message("coordinator-001", "executor-001", "task_assignment", {})


@pytest.mark.filterwarnings("ignore:.* unread message")
@pytest.mark.parametrize("steps, status, retries", [
    ("take ack fail", "acknowledged", 0), ("take fail ack", "acknowledged", 1),
    ("take fail ack fail", "acknowledged", 1),
    ("take complete fail", "acknowledged", 0), ("take fail complete", "pending", 1), ("take fail fail", "pending", 1),
    ("take take fail", "acknowledged", 0), ("take fail take", "taken", 1),
    ("take fail take complete", "acknowledged", 1),
    ("ack take", "acknowledged", 0), ("ack fail take", "acknowledged", 0), ("look look", "pending", 0),
    ("take end take ack end", "acknowledged", 1), ("take revive take", "taken", 0),
    ("take fail revive take fail", "pending", 2), ("take revive", "pending", 0),
    ("take revive fail", "pending", 0), ("take revive complete", "pending", 0),
    ("take take revive", "acknowledged", 0), ("take restore fail", "pending", 1),
    ("take pause fail", "pending", 1),
    ("take fail take fail take fail take fail", "dead", 3),
    ("take fail take fail take fail take fail ack", "acknowledged", 3),
])
def test_whoever_acts_between_whom_a_message_has_one_fate(team, connect, steps, status, retries):
    """The steps alternate between two stores, as two processes would."""
    number, checkpoint = send(team), team.create_agent_checkpoint("exec")["checkpoint_id"]
    actions = {
        "take": lambda store: store.get_agent_messages("exec", True), "look": look,
        "ack": lambda store: store.acknowledge_agent_message("exec", number),
        "revive": lambda store: store.register_agent("exec", "milestone-executor", "ms-1", "planning-1"),
        "restore": lambda store: store.restore_agent_checkpoint(checkpoint),
        **{word: lambda store, status=status: store.update_agent_status("exec", status) for word, status in (
            ("fail", "failed"), ("complete", "completed"), ("end", "terminated"), ("pause", "paused"))}}
    stores = [team, connect()]
    for place, step in enumerate(steps.split()):
        actions[step](stores[place % 2])
    assert {name: n for name, n in counts(team).items() if n} == {status: 1}
    with team.storage().snapshot():
        assert team.storage().execute("SELECT retry_count FROM agent_messages") == [{"retry_count": retries}]


def test_a_take_names_what_it_acknowledges(team, cli, clock):
    first, second = send(team), team.send_agent_message("coord", "exec", "x-hint", {})["id"]
    assert cli("get-agent-messages", "exec", "true").err == ""
    clock.advance(75)
    third = send(team)
    told = cli("get-agent-messages", "exec", "true")
    assert told.err == (f"milestone_persist: this acknowledged what exec took 75 s ago: {first} task_assignment, "
                        f"{second} x-hint; one that you have not seen is requeued with: "
                        f"requeue_agent_message exec {first}\n")
    cli("acknowledge-agent-message", "exec", third)
    assert cli("get-agent-messages", "exec", "true").err == ""


def test_a_take_that_acknowledges_many_names_the_first_and_the_last(team, cli):
    sent = [send(team) for _ in range(60)]
    cli("get-agent-messages", "exec", "true")
    [line] = cli("get-agent-messages", "exec", "true").err.splitlines()
    assert f": {sent[0]} task_assignment, " in line and f" and 48 more up to {sent[-1]}; " in line and "…" not in line


def test_a_number_of_too_many_digits_is_named_as_such(team, cli, dump):
    before = dump()
    done = cli("send-agent-message", "a", "a", "progress_update", '{"x": ' + "9" * 5000 + "}")
    if done.status:  # some Pythons take any number
        assert done.status == 2 and "a number of 5000 digits is out of range" in done.err and dump() == before


def test_looking_and_completing_acknowledge_without_a_line(team, cli):
    send(team)
    cli("get-agent-messages", "exec", "true")
    assert cli("get-agent-messages", "exec").err == cli("update-agent-status", "exec", "completed").err == ""


@pytest.mark.parametrize("was", ["taken", "acknowledged", "dead"])
def test_a_message_is_requeued_whatever_became_of_it(team, cli, was):
    number = send(team)
    if was == "dead":
        team.set_storage_config("message_retry_limit", "0")
    take(team)
    if was == "acknowledged":
        take(team)
    if was == "dead":
        team.update_agent_status("exec", "failed")
        team.set_storage_config("message_retry_limit", "1")
    assert look(team) == []
    done = cli("requeue-agent-message", "exec", number)
    assert (done.status, done.text) == (0, f"message {number} is in the inbox of exec again; it was {was}\n")
    assert counts(team) == {"pending": 1, "taken": 0, "acknowledged": 0, "dead": 0}
    assert take(team) == [number]
    team.update_agent_status("exec", "failed")
    assert take(team) == [number]


def test_requeueing_a_pending_message_does_nothing_and_says_so(team, cli, dump):
    number = send(team)
    before = dump()["agent_messages"]
    done = cli("requeue-agent-message", "exec", number)
    assert (done.status, done.text) == (0, f"message {number} is in the inbox of exec already: nothing was done\n")
    assert team.requeue_agent_message("exec", number) == {"id": number, "to_agent": "exec", "was": "pending"}
    assert dump()["agent_messages"] == before


@pytest.mark.parametrize("agent, number", [("exec", 99), ("coord", 1), ("nobody", 1)])
def test_only_a_message_of_that_agent_is_requeued(team, dump, agent, number):
    send(team), take(team)
    before = dump()
    with pytest.raises(Refused, match="has no message .*: nothing was requeued"):
        team.requeue_agent_message(agent, number)
    assert dump() == before


@pytest.mark.parametrize("sent, kept", [
    (r'{"v":"cut \ud83d"}', {"v": "cut \ufffd"}), (r'{"\uDE00": 1.50}', {"\ufffd": 1.5}),
    (r'{"v":"\ud83d\ud83d\ude00\ude00"}', {"v": "\ufffd\U0001f600\ufffd"}),
    (r'{"v":"\ud83d\n"}', {"v": "\ufffd\n"}), (r'{"v":["\ud83dA"]}', {"v": ["\ufffdA"]}),
    ({"v": {"\ud83d": "\udfff"}}, {"v": {"\ufffd": "\ufffd"}}),
])
def test_half_a_character_becomes_a_whole_one_with_a_warning(team, sent, kept):
    with pytest.warns(MilestoneWarning, match="PAYLOAD names half a character"):
        team.send_agent_message("coord", "exec", "x-t", sent)
    assert team.get_agent_messages("exec")[0]["payload"] == kept


@pytest.mark.parametrize("sent", [
    r'{"v": "\ud83d\ude00 \uD83D\uDE00"}', r'{"v": "\\ud83d"}', r'{"v": "\\\\ud83d \uffff"}',
])
def test_what_names_whole_characters_is_stored_as_it_was_sent(team, cli, sent):
    told = cli("send-agent-message", "coord", "exec", "x-t", sent)
    assert (told.status, told.err) == (0, "")
    assert team.get_agent_messages("exec")[0]["payload"] == json.loads(sent)


def test_a_payload_may_be_nested_as_deep_as_every_reader_takes(team, dump):
    team.send_agent_message("coord", "exec", "x-t", '{"a":' * 200 + "1" + "}" * 200)
    before = dump()
    deep = [1]
    for _ in range(100_000):
        deep = [deep]
    for payload in ('{"a":' * 201 + "1" + "}" * 201, '{"a":' * 100_000, {"a": deep}):
        with pytest.raises(UsageError, match="PAYLOAD is n"):
            team.send_agent_message("coord", "exec", "x-t", payload)
    while deep != [1]:  # taken apart step by step: some Pythons die of freeing it at once
        deep = deep[0]
    assert dump() == before


def test_a_long_payload_is_sent_with_the_advice_to_send_a_key(team, cli):
    told = cli("send-agent-message", "coord", "exec", "x-t", "-", stdin=b'{"v": "' + b"x" * 16375 + b'"}')
    assert (told.status, told.err) == (0, "")
    told = cli("send-agent-message", "coord", "exec", "x-t", "-", stdin=b'{"v": "' + b"x" * 20000 + b'"}')
    assert (told.status, told.text) == (0, "2\n")
    assert "the payload has 19 KB" in told.err and "(save_agent_state AGENT KEY -) and send the key" in told.err
    assert len(team.get_agent_messages("exec")[1]["payload"]["v"]) == 20000
