"""The head of a file store, and the numbers of a database, as a stranger may have written them."""
from __future__ import annotations

import json
import sqlite3

import pytest

TOP = 2 ** 63 - 1
HEADS = [{"generation": TOP}, {"sequences": {"events": TOP}}, {"files": []}, {"files": None},
         {"files": {"agent-state": "1"}}, {"files": {"agent-state": TOP}}, {"sequences": []}, {"schema_version": 0}]
LOOKS = (["doctor"], ["load-agent-state", "a", "k"], ["get-agent-messages", "a"])
WRITES = (["save-agent-state", "a", "k", "w"], ["send-agent-message", "a", "a", "x-note", "{}"])


@pytest.fixture
def filled(store, environ):
    environ.pop("MILESTONE_BACKEND")
    store.register_agent("a", "validation", "m", "s")
    store.save_agent_state("a", "k", "v")
    store.send_agent_message("a", "a", "x-note", {})
    return store


def forge(directory, change):
    path = directory / "file-store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    return path.read_bytes()


@pytest.mark.parametrize("backend", ["file"], indirect=True)
@pytest.mark.parametrize("change", HEADS, ids=str)
def test_a_head_that_no_call_has_written_is_refused_and_stays(filled, cli, directory, change):
    forged = forge(directory, change)
    for words in (*LOOKS, *WRITES, ["doctor", "--fix"], ["migrate-storage-backend", "hybrid"]):
        done = cli(*words)
        assert (done.status, done.err.count("\n")) == (3, 1) and "not the head of a store" in done.err, (words, done)
    assert (directory / "file-store.json").read_bytes() == forged


@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_a_head_makes_nobody_look_outside(filled, cli, directory):
    outside = directory.parent / "outside"
    outside.mkdir()
    forge(directory, {"files": {"../outside": 5, str(outside): 5, "agent-state/..": 5, "agent-state": -1},
                      "sequences": {"../outside": 5, "events": 4, "agent_messages": 1}})
    for words in (["doctor"], *WRITES, ["doctor"], ["doctor", "--fix"]):
        done = cli(*words)
        assert done.status == 0 and "outside" not in done.text + done.err, (words, done)


JOURNALS = [{"file-store.json": None}, {"agent-state/x.sh": "x"}, {"agent-messages/acknowledged": "x"},
            {"agent-state/a=k.json/x.json": "x"}, {"agent-state/a\0.json": "x"}, {"agent-state/\ud800.json": "x"},
            {"agent-state/a.json": "\ud800"}, {f"agent-state/{'a' * 300}.json": "x"}, {"agent-state/\x1b[2J.json": "x"}]


@pytest.mark.parametrize("backend", ["file"], indirect=True)
@pytest.mark.parametrize("journal", JOURNALS, ids=ascii)
def test_a_journal_that_no_call_has_written_is_refused_and_changes_nothing(filled, cli, directory, journal):
    (directory / "file-store.journal").write_text(json.dumps(journal))
    before = {path: path.is_file() and path.read_bytes() for path in directory.rglob("*")}
    for words in (*LOOKS, *WRITES, ["doctor", "--fix"]):
        done = cli(*words)
        assert (done.status, done.err.count("\n")) == (3, 1), (words, done)
        assert "file-store.journal: it cannot be read" in done.err, (words, done)
    assert before == {path: path.is_file() and path.read_bytes() for path in directory.rglob("*")}
    (directory / "file-store.journal").unlink()
    assert cli("load-agent-state", "a", "k").text == "v"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("sql", [f"UPDATE agent_messages SET id = {TOP}",
                                 f"UPDATE sqlite_sequence SET seq = {TOP} WHERE name = 'agent_messages'"])
def test_where_no_number_is_left_it_is_said_and_nothing_is_lost(filled, cli, directory, sql):
    connection = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    connection.execute(sql)
    connection.close()
    before = json.loads(cli("get-agent-messages", "a").text)
    for words in (WRITES[1], ["doctor"], WRITES[1]):
        done = cli(*words)
        assert (done.status, done.err.count("\n")) == (3, 1), (words, done)
        assert "agent_messages" in done.err and "free some space" not in done.err, (words, done)
    assert json.loads(cli("get-agent-messages", "a").text) == before
    assert cli("migrate-storage-backend", "file").status == 0  # and what was moved can be read
    assert json.loads(cli("get-agent-messages", "a").text) == before
