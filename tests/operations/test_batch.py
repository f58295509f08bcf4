"""Many calls as one: lines of JSON, all or each for itself; many messages; many keys."""
from __future__ import annotations

import json

import pytest

from milestone_persist import MilestoneWarning, Refused, UsageError
from milestone_persist.base.errors import Incomplete


@pytest.fixture
def team(store):
    for agent in ("a", "b"):
        store.register_agent(agent, "validation", "m", "s")
    return store


def lines(*calls):
    return "".join(json.dumps(call) + "\n" for call in calls)


SAVE, SEND = ["save_agent_state", "a", "k", "v"], ["send_agent_message", "a", "b", "x-note", {"n": 1}, 8]


def test_lines_are_done_in_order_and_answered_in_order(team, cli):
    done = cli("batch", lines(SAVE, {"name": "load-agent-state", "arguments": {"agent_id": "a", "state_key": "k"}},
                              SEND, ["get_agent_messages", "b", "true"]))
    assert (done.status, done.err) == (0, "")
    told = [json.loads(line) for line in done.text.splitlines()]
    assert [each["line"] for each in told] == [1, 2, 3, 4]
    assert told[0]["result"]["version"] == 1
    assert told[1]["result"] == "v"
    assert [message["payload"] for message in told[3]["result"]] == [{"n": 1}]


def test_standard_input_is_read_and_empty_lines_are_passed_over(team, cli):
    done = cli("batch", "-", stdin=("\n" + lines(SAVE) + "\n" + lines(SAVE)).encode())
    assert [json.loads(line)["line"] for line in done.text.splitlines()] == [2, 4]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("given", [[SAVE, SAVE], json.dumps([SAVE, SAVE]), lines(SAVE, SAVE)])
def test_calls_may_be_lines_or_an_array(team, given):
    assert [each["result"]["version"] for each in team.batch(given)] == [1, 2]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("given", [SAVE, json.dumps(SAVE), [SAVE]])
def test_one_call_may_stand_alone(team, given):
    assert [each["line"] for each in team.batch(given)] == [1]


def test_what_fails_is_told_in_its_line_and_the_rest_is_done(team, cli):
    done = cli("batch", lines(SAVE, ["load_agent_state", "a", "none"], ["save_agent_state", "a", "k2", "w"]))
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "1 of 3 lines failed, the first is line 2: no state 'none' of agent 'a'" in done.err
    told = [json.loads(line) for line in done.text.splitlines()]
    assert (told[1]["status"], "result" in told[1]) == (1, False)
    assert team.load_agent_state("a", "k2") == "w"
    with pytest.raises(Incomplete) as caught:
        team.batch([SAVE, ["load_agent_state", "a", "none"]])
    assert [sorted(each) for each in caught.value.data] == [["line", "result"], ["error", "line", "status"]]


def test_with_atomic_one_that_fails_undoes_all(team, cli, dump):
    before = dump()
    record = ["create_milestone_record", "r", "title: R"]
    done = cli("batch", lines(SAVE, SEND, record, ["load_agent_state", "a", "none"]), "--atomic")
    assert (done.status, done.text, done.err.count("\n")) == (1, "", 1)
    assert "line 4: no state 'none'" in done.err and "none of the 4 lines was done" in done.err
    assert dump() == before
    assert cli("read_milestone_record", "r").status == 1
    assert cli("batch", lines(SAVE, SEND), "--atomic").status == 0
    assert team.load_agent_state("a", "k") == "v"


def test_with_atomic_it_is_one_transaction(team):
    storage, begun = team.storage(), []
    transaction = storage.transaction

    def count(key="", foreseen=()):
        if not storage.depth:
            begun.append(key)
        return transaction(key, foreseen)

    storage.transaction = count
    team.batch([SAVE] * 20, atomic=True)
    assert begun == ["batch"]


@pytest.mark.parametrize("call, what", [
    ("{", "line 2 is not JSON"), ('"x"', "line 2: it is no call"), ("[]", "line 2: it is no call"),
    ('["no_such"]', "line 2: unknown operation 'no_such': see --help"),
    ('["get_agent_state", "a", "k"]', "'get_agent_state': did you mean load_agent_state?"),
    ('{"arguments": {}}', "line 2: unknown operation None"),
    ('{"name": "load_agent_state", "args": []}', "'args' is neither name nor arguments"),
    ('{"name": "load_agent_state", "arguments": 1}', "must be an object or an array"),
    ('{"name": "load_agent_state", "arguments": {"agent_id": "a"}}', "load_agent_state needs state_key"),
    ('{"name": "load_agent_state", "arguments": {"agent": "a"}}', "load_agent_state has no 'agent'"),
    ('["load_agent_state", "a"]', "line 2: 1 arguments do not fit: it is load_agent_state AGENT_ID STATE_KEY"),
    ('["save_agent_state", "", "k", "v"]', "line 2: AGENT_ID is empty"),
    ('["get_agent_messages", "a", "perhaps"]', "line 2: TAKE must be true or false"),
    ('["save_agent_state", "a", "k", "v", "user_data", "soon"]', "TTL_SECONDS must be a whole number"),
    ('["migrate_storage_backend", "file"]', "migrate_storage_backend is not for batches"),
    ('["batch", "[]"]', "batch is not for batches"), ('["init", "bash"]', "init is not for batches"),
    ('{"name": "get_agent_messages", "arguments": {"agent_id": "a", "wait": 5}}', "cannot wait in a batch"),
])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_line_that_is_no_call_is_refused_before_anything_is_done(team, cli, dump, call, what):
    before = dump()
    for atomic in ([], ["--atomic"]):
        done = cli("batch", lines(SAVE) + call + "\n", *atomic)
        assert (done.status, done.text, done.err.count("\n")) == (2, "", 1)
        assert what in done.err
        assert dump() == before


@pytest.mark.parametrize("given", ["", "\n\n", [], 5, {}])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_an_empty_batch_is_refused(team, given):
    with pytest.raises(UsageError):
        team.batch(given)


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_warnings_name_their_line(team, cli):
    done = cli("batch", lines(SAVE, ["send_agent_message", "a", "bb", "x-note", {}]))
    assert done.status == 0
    assert "line 2: no agent 'bb' is registered" in done.err


def test_a_value_that_is_no_text_is_saved_as_json(team):
    team.batch([["save_agent_state", "a", "k", {"n": [1, None]}]])
    assert json.loads(team.load_agent_state("a", "k")) == {"n": [1, None]}


def note(to, n, **more):
    return {"to_agent": to, "message_type": "x-note", "payload": {"n": n}, **more}


def test_many_messages_arrive_as_if_each_was_sent(team, cli):
    sent = team.send_many("a", [note("b", 1), note("a", 2), note("b", 3, priority=9)])
    assert len(sent["ids"]) == 3
    taken = team.get_agent_messages("b", True)
    assert [(message["id"], message["payload"]["n"]) for message in taken] == [(sent["ids"][2], 3), (sent["ids"][0], 1)]
    one = team.send_agent_message("a", "b", "x-note", {"n": 4})["id"]
    done = cli("send-many", "a", "-", stdin=json.dumps([note("b", 5)] * 2).encode())
    assert json.loads(done.text) == {"ids": [one + 1, one + 2]}
    listed = team.list_agent_messages("b", limit=5)
    assert [{name: value for name, value in message.items() if name not in ("id", "payload")} for message in listed[-2:]
            ] == [{name: value for name, value in listed[-3].items() if name not in ("id", "payload")}] * 2


def test_of_many_messages_all_are_sent_or_none(team, dump):
    before = dump()
    for wrong, what in ((note("b", 1, priority=11), "message 2: PRIORITY must be"), (note("", 1), "to_agent is empty"),
                        (note("b", 1, key="x"), "message 2: it must be an object"), ({}, "it must be an object"),
                        (note(5, 1), "to_agent must be text"), (note([], 1), "to_agent must be text"),
                        (note("b", 1, priority=True), "whole number"),
                        ({**note("b", 1), "message_type": "nonsense"}, "message 2: "), (7, "it must be an object")):
        with pytest.raises(UsageError, match=what):
            team.send_many("a", [note("b", 0, priority=1), wrong])
    for wrong in ("{}", "[", 5):
        with pytest.raises(UsageError, match="MESSAGES"):
            team.send_many("a", wrong)
    assert dump() == before
    assert team.send_many("a", [])["ids"] == []


def test_many_messages_to_an_unknown_agent_are_refused_where_agents_are_strict(team, dump):
    team.set_storage_config("strict_agents", "true")
    before = dump()
    with pytest.raises(Refused):
        team.send_many("a", [note("b", 1), note("nobody", 2)])
    assert dump() == before


def test_many_keys_are_saved_as_if_each_was(team, cli, clock):
    team.save_agent_state("a", "old", "v", ttl_seconds=1)
    team.save_agent_state("a", "kept", "v")
    clock.advance(2)
    saved = team.save_many("a", {"old": "w", "kept": "w", "text": "not JSON", "object": {"n": 1}})
    assert saved == {"agent_id": "a", "versions": {"kept": 2, "object": 2, "old": 2, "text": 2}}
    assert team.load_agent_state("a", "object") == '{"n":1}'
    rows = {row["state_key"]: row for row in team.list_agent_state("a")}
    assert {key: row["is_json"] for key, row in rows.items()} == {"kept": 0, "object": 1, "old": 0, "text": 0}
    assert rows["old"]["expires_at"] is None
    done = cli("save-many", "a", "-", "temp_data", "60", stdin=b'{"kept": "x", "x": "y"}')
    assert json.loads(done.text)["versions"] == {"kept": 3, "x": 2}
    row = team.load_agent_state("a", "x", full=True)
    assert (row["state_type"], row["session_id"]) == ("temp_data", "s")
    assert row["expires_at"] > row["updated_at"]


def test_many_keys_keep_what_another_milestone_has_there(team):
    team.save_agent_state("a", "plan", "of m")
    team.register_agent("a", "validation", "m2", "s2")
    with pytest.warns(MilestoneWarning, match="'plan' of 'a' was milestone m's"):
        team.save_many("a", {"plan": "of m2", "new": "of m2"})
    assert team.load_agent_state("a", "plan") == "of m2"
    assert team.load_agent_state("a", "plan", session="s") == "of m"


def test_of_many_keys_all_are_saved_or_none(team, dump):
    before = dump()
    for wrong in ({"k": "v", "": "w"}, {"k": "v", "x": "\0"}, {"k": "v", "x": float("nan")}, {"k": "v", 5: "w"},
                  {"k": "v", "x": {1, 2}}, "[]", "{", 7):
        with pytest.raises(UsageError):
            team.save_many("a", wrong)
    with pytest.raises(UsageError):
        team.save_many("a", {"k": "v"}, "nonsense")
    assert dump() == before
    assert team.save_many("a", {})["versions"] == {}


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_the_name_of_a_file_in_the_place_of_operations_is_told_how_a_file_is_given(team, cli):
    done = cli("batch", "plan.jsonl")
    assert done.status == 2 and done.err.endswith("; a file is given as: batch - < FILE; nothing was done\n")
    assert "< FILE" not in cli("batch", '["save_agent_state"').err
