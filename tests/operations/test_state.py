"""State: values come back as they were saved, expire for every reader at once, and carry versions."""
from __future__ import annotations

import json

import pytest

from milestone_persist import Refused, UsageError
from milestone_persist.base.values import has_controls

NASTY = {
    "empty": "", "quotes": """it's "both" kinds""", "command": "$(touch pwned) `touch pwned` ${HOME}",
    "newlines": "\n\nbetween\n\n", "cr": "a\r\nb\r", "tab": "\ta\t", "dash": "-n", "option": "--help",
    "format": "%s%d%%",
    "escapes": r'{"text": "a\nb\\"}', "emoji": "👩‍💻 naïve Ω", "backslash": "\\",
    "sql": "'; DROP TABLE agent_state; --",
    "controls": "\x01\x1b[31m\x7f", "spaces": "  ", "json-like": "{broken", "number": "007", "big number": "1e999",
    "nan": "NaN", "deep": "[" * 2000 + "]" * 2000, "long": "x" * 200_000, "separators": "\u2028\u0085\ufeff",
    "pretty": '{\n  "b": 1,\n  "a": 1.0, "b": 2\n}\n',
}


@pytest.mark.parametrize("name", NASTY)
def test_a_value_comes_back_as_it_was_saved(store, connect, name):
    store.save_agent_state("a", "key", NASTY[name])
    assert connect().load_agent_state("a", "key") == NASTY[name]


@pytest.mark.parametrize("name", [name for name in NASTY if NASTY[name] and not has_controls(NASTY[name])])
def test_ids_and_keys_may_be_any_text(store, backend, name):
    text = NASTY[name][:700 if backend == "postgresql" else None]  # its indexes hold 2,700 bytes
    store.register_agent(text, "validation", text, text)
    store.save_agent_state(text, text, "value")
    assert store.load_agent_state(text, text) == "value"
    assert [row["agent_id"] for row in store.list_session_agents(text)] == [text]


@pytest.mark.parametrize("bad, match", [("a\0b", "NUL"), ("\udcff", "UTF-8")])
def test_what_no_database_can_hold_is_refused(store, dump, bad, match):
    store.initialize_agent_coordination()
    before = dump()
    for call in (lambda: store.save_agent_state("a", "k", bad), lambda: store.save_agent_state("a", bad, "v"),
                 lambda: store.save_agent_state(bad, "k", "v"), lambda: store.load_agent_state("a", "k", bad),
                 lambda: store.send_agent_message("a", bad, "error_report", {})):
        with pytest.raises(UsageError, match=match):
            call()
    assert dump() == before


@pytest.mark.parametrize("arguments, match", [
    (("", "k", "v"), "AGENT_ID is empty"), (("a", "", "v"), "STATE_KEY is empty"),
    (("a", "k", "v", "userdata"), "did you mean user_data"), (("a", "k", "v", "progress", 0), "TTL_SECONDS"),
    (("a", "k", "v", "progress", -5), "TTL_SECONDS"), (("a", "k", "v", "progress", 10 ** 15), "TTL_SECONDS"),
    (("a", "k", 5), "VALUE must be text"), (("a", "k", None), "VALUE must be text"),
    (("a", "k", b"v"), "VALUE must be text"),
])
def test_bad_arguments_change_nothing(store, dump, arguments, match):
    store.initialize_agent_coordination()
    before = dump()
    with pytest.raises(UsageError, match=match):
        store.save_agent_state(*arguments)
    assert dump() == before


def test_missing_key_gives_the_default_or_is_refused(store):
    store.save_agent_state("a", "scope", "v")
    assert store.load_agent_state("a", "other", "{}") == "{}"
    assert store.load_agent_state("a", "other", "") == ""
    with pytest.raises(Refused, match="no state 'other' of agent 'a' in .*; it has: scope"):
        store.load_agent_state("a", "other")
    with pytest.raises(Refused, match="no agent 'nobody' is registered$"):
        store.load_agent_state("nobody", "other")


def test_loading_registers_nobody(store):
    store.load_agent_state("nobody", "k", "")
    with pytest.raises(Refused):
        store.update_agent_status("nobody")


def test_each_save_bumps_the_version_and_keeps_the_first_time(store, clock):
    assert store.save_agent_state("a", "k", "one")["version"] == 1
    created = store.load_agent_state("a", "k", full=True)["created_at"]
    clock.advance(5)
    assert store.save_agent_state("a", "k", "two", "progress")["version"] == 2
    row = store.load_agent_state("a", "k", full=True)
    assert (row["value"], row["version"], row["state_type"]) == ("two", 2, "progress")
    assert row["created_at"] == created < row["updated_at"]


def test_if_version_lets_only_the_first_writer_through(store, connect):
    store.save_agent_state("a", "k", "", if_version=0)
    other = connect()
    store.save_agent_state("a", "k", "mine", if_version=1)
    with pytest.raises(Refused, match="has version 2, not 1"):
        other.save_agent_state("a", "k", "theirs", if_version=1)
    with pytest.raises(Refused, match="has version 2, not 0"):
        other.save_agent_state("a", "k", "theirs", if_version=0)
    assert other.load_agent_state("a", "k") == "mine"


def test_a_refused_writer_leaves_no_trace(store, dump):
    store.initialize_agent_coordination()
    before = dump()
    with pytest.raises(Refused):
        store.save_agent_state("stranger", "k", "v", if_version=3)
    assert dump() == before


def test_an_expired_key_is_gone_for_every_reader_at_once(store, clock):
    store.save_agent_state("a", "short", "v", "temp_data", 60)
    store.save_agent_state("a", "long", "v")
    clock.advance(59.999)
    assert store.load_agent_state("a", "short") == "v"
    clock.advance(0.001)
    with pytest.raises(Refused, match="it has: long"):
        store.load_agent_state("a", "short")
    assert store.load_agent_state("a", "short", "default") == "default"
    assert [row["state_key"] for row in store.list_agent_state("a")] == ["long"]
    assert store.create_agent_checkpoint("a")["keys"] == 1
    with pytest.raises(Refused, match="nothing was deleted"):
        store.delete_agent_state("a", "short")
    assert store.save_agent_state("a", "short", "new", if_version=0)["version"] == 2


def test_no_version_comes_twice(store, clock):
    assert store.save_agent_state("a", "k", "mine")["version"] == 1
    store.delete_agent_state("a", "k")
    assert store.save_agent_state("a", "k", "theirs", if_version=0)["version"] == 2
    with pytest.raises(Refused, match="has version 2, not 1"):
        store.save_agent_state("a", "k", "stale", if_version=1)
    store.save_agent_state("a", "short", "v", "temp_data", 60)
    clock.advance(60)
    store.save_agent_state("b", "k", "removes what has expired, whoever's it is")
    assert store.save_agent_state("a", "short", "v")["version"] == 3
    point = store.create_agent_checkpoint("a")["checkpoint_id"]
    store.save_agent_state("a", "k", "after")
    store.delete_agent_state("a", "k")
    store.restore_agent_checkpoint(point)
    assert store.load_agent_state("a", "k", full=True)["version"] == 4
    assert store.load_agent_state("b", "k", full=True)["version"] == 1


def test_a_default_may_be_read_in_full(store, cli):
    assert store.load_agent_state("a", "none", "d", full=True)["version"] == 0
    assert json.loads(cli("load-agent-state", "a", "none", "d", "--full").text)["value"] == "d"


def test_saving_again_sets_the_expiry_again(store, clock):
    store.save_agent_state("a", "k", "v", "temp_data", 60)
    store.save_agent_state("a", "k", "v")
    clock.advance(3600)
    assert store.load_agent_state("a", "k") == "v"


def test_keys_are_listed_with_type_version_and_size(store):
    store.save_agent_state("a", "text", "héllo")
    store.save_agent_state("a", "json", "[1]", "checkpoint")
    rows = store.list_agent_state("a")
    assert [(row["state_key"], row["state_type"], row["characters"], row["is_json"]) for row in rows] == \
        [("json", "checkpoint", 3, 1), ("text", "user_data", 5, 0)]
    assert store.list_agent_state("nobody") == []


@pytest.mark.parametrize("value, is_json", [
    ("{}", 1), (" [1, 2]\n", 1), ('"text"', 1), ("null", 1), ("-1.5e3", 1), ("", 0), ("text", 0), ("NaN", 0), ("01", 0),
    ("{'a': 1}", 0), ("[1,]", 0), ("Infinity", 0), ("1e999", 0), ("\ufeff{}", 0), ("{} {}", 0), ("nul", 0),
    ("\u00a0[]", 0),
])
def test_whether_a_value_is_json_is_kept(store, value, is_json):
    store.save_agent_state("a", "k", value)
    assert store.list_agent_state("a")[0]["is_json"] == is_json


def test_a_deleted_key_is_gone(store):
    store.save_agent_state("a", "k", "v")
    store.delete_agent_state("a", "k")
    assert store.list_agent_state("a") == []
    for agent in ("a", "nobody"):
        with pytest.raises(Refused, match="nothing was deleted"):
            store.delete_agent_state(agent, "k")


@pytest.mark.parametrize("words", [["save-agent-state", "a", "k", "w"], ["update-milestone-record", "ms", "title: w"]])
def test_a_version_that_nothing_has_is_no_lost_race(store, cli, dump, words):
    store.save_agent_state("a", "k", "v")
    store.create_milestone_record("ms", "title: v")
    before = dump()
    done = cli(*words, "--if-version", "-1")
    assert (done.status, done.err) == (2, "milestone_persist: --if-version must be 0 or more, not -1\n")
    assert dump() == before


def test_agent_and_key_that_are_swapped_are_put_right_where_that_finds_it(store, cli):
    store.save_agent_state("exec-1", "notes", "v")
    done = cli("load-agent-state", "notes", "exec-1")
    assert (done.status, done.text) == (1, "") and done.err.endswith(
        "; AGENT_ID and STATE_KEY are swapped: load_agent_state exec-1 notes\n")
    assert "swapped" not in cli("load-agent-state", "other", "exec-1").err
