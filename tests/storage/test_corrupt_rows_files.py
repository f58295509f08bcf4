"""A file of many rows that cannot be read: calls that need it name it, doctor --fix keeps each row that can be."""
from __future__ import annotations

import json

import pytest
from conftest import share

pytestmark = pytest.mark.parametrize("backend", ["file"], indirect=True)
# What stands where a line was, or before it; what is a row of another file counts as none.
HALF, NUL, FOREIGN, CONFLICT = b'{"id": 1, "session', b"\0" * 200, b'{"colour": "red"}', b"<<<<<<< HEAD"
FILES = ("agent-messages/00000001.jsonl", "agent-messages/acknowledged/00000001.jsonl", "events/00000001.jsonl",
         "agent-health-log/00000001.jsonl", "config/settings.jsonl")


@pytest.fixture
def filled(store, directory):
    store.register_agent("a", "validation", "m", "s")
    for number in range(4):
        store.send_agent_message("a", "a", "progress_update", {"n": number})
    store.get_agent_messages("a", True, 2)
    for number in (1, 2):
        store.acknowledge_agent_message("a", number)
    store.agent_heartbeat("a", "degraded")
    store.agent_heartbeat("a", "healthy")
    for name in FILES:
        assert (directory / name).read_bytes().count(b"\n") > 1
    return store


PAIRS = [(name, bad) for name in FILES for bad in (HALF, NUL, FOREIGN, CONFLICT, b"\xff\xfe", b"[]")]


@pytest.mark.parametrize("name, bad", share(PAIRS, 0, 4), ids=ascii)
def test_every_row_that_can_be_read_is_kept(filled, connect, cli, directory, name, bad):
    path = directory / name
    lines = path.read_bytes().splitlines()
    before = b"\n".join([bad, *lines[1:]]) + b"\n"
    path.write_bytes(before)
    told = cli("doctor", "--json")
    found = [each for each in json.loads(told.text) if each["severity"] == "unsound"]
    assert told.status == 3 and [each["where"] for each in found] == [str(path)] and found[0]["fixable"], told
    assert path.read_bytes() == before
    fixed = cli("doctor", "--fix")
    assert fixed.status == 0 and f"the {len(lines) - 1} rows that can be read stay" in fixed.text, fixed
    assert path.read_bytes().splitlines() == lines[1:]
    assert [kept.read_bytes() for kept in directory.glob(f"backups/*-doctor/{name}")] == [before]
    assert cli("doctor").status == 0 and cli("doctor", "--fix").text.count("\n") == 1
    store = connect()
    assert store.send_agent_message("a", "a", "progress_update", {})["id"] == 5
    assert len(store.get_agent_messages("a")) == 3 - (name == FILES[0])
    assert filled.get_agent_messages("a") == store.get_agent_messages("a")  # which was open meanwhile


def test_a_call_that_needs_it_names_it_and_what_mends_it(filled, cli, directory):
    path = directory / FILES[0]
    path.write_bytes(HALF)
    for words in (["get-agent-messages", "a"], ["get-agent-messages", "a", "true"],
                  ["send-agent-message", "a", "a", "progress_update", "{}"], ["backup-coordination"]):
        done = cli(*words)
        assert done.status == 3 and not done.text and str(path) in done.err and "doctor --fix" in done.err, done
    assert path.read_bytes() == HALF and cli("save-agent-state", "a", "k", "v").status == 0


def test_two_rows_of_one_key_are_one(filled, cli, directory):
    path = directory / "config/settings.jsonl"
    lines = path.read_bytes().splitlines(True)
    path.write_bytes(b"".join([*lines, lines[0]]))
    assert cli("get-storage-config").status == 3 and cli("doctor", "--fix").status == 0
    assert path.read_bytes() == b"".join(lines) and cli("get-storage-config").status == 0
