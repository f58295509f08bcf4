"""Log: rows of the events table and JSON lines, correct whatever the text holds."""
from __future__ import annotations

import json
import os

import pytest

from milestone_persist import MilestoneWarning, StorageError, UsageError

NASTY = ["", 'a "quoted" \\ text', "line\nbreaks\r\n", "👩‍💻\u2028", "'; DROP TABLE events; --", "\x01\x1b",
         "x" * 100_000]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def events(dump, name):
    return [row for row in map(eval, dump()["events"]) if row["event"] == name]


@pytest.mark.parametrize("text", NASTY)
def test_milestone_events(store, dump, directory, text):
    entry = store.log_milestone_event("phase " + text, "ms-1", text)
    assert lines(directory / "logs" / "milestone-events.jsonl") == [entry]
    assert entry == {"timestamp": "2026-01-01 00:00:00.000", "event": "phase " + text, "milestone_id": "ms-1",
                     "detail": text}
    [row] = events(dump, "phase " + text)
    assert (row["milestone_id"], row["detail"]) == ("ms-1", text)


@pytest.mark.parametrize("text", NASTY)
def test_storage_events(store, dump, directory, text):
    entry = store.log_storage_event("created", "ms-1", "hybrid", {"path": text})
    assert lines(directory / "logs" / "storage-events.jsonl") == [entry]
    assert entry == {"timestamp": "2026-01-01 00:00:00.000", "event": "created", "milestone_id": "ms-1",
                     "backend": "hybrid", "details": {"path": text}}
    [row] = events(dump, "created")
    assert (row["milestone_id"], row["backend"], json.loads(row["detail"])) == ("ms-1", "hybrid", {"path": text})


def test_the_environment_gives_what_is_not_said(store, dump, environ):
    environ.update(SESSION_ID="s", AGENT_ID="a", MILESTONE_ID="m")
    assert store.log_milestone_event("begun")["milestone_id"] == "m"
    [row] = events(dump, "begun")
    assert (row["session_id"], row["agent_id"], row["milestone_id"]) == ("s", "a", "m")


def test_each_event_is_one_line_after_the_others(store, directory):
    for number in range(3):
        store.log_milestone_event(f"e-{number}")
    assert [entry["event"] for entry in lines(directory / "logs" / "milestone-events.jsonl")] == ["e-0", "e-1", "e-2"]


@pytest.mark.parametrize("call, match", [
    (lambda s: s.log_milestone_event(""), "EVENT is empty"),
    (lambda s: s.log_storage_event("", "m", "file"), "EVENT is empty"),
    (lambda s: s.log_storage_event("e", "m", "sqlite"), "unknown backend"),
    (lambda s: s.log_storage_event("e", "m", "file", "[]"), "DETAILS must be an object"),
    (lambda s: s.log_storage_event("e", "m", "file", "{"), "DETAILS is not JSON"),
])
def test_a_bad_event_changes_nothing(store, dump, directory, call, match):
    before = dump()
    with pytest.raises(UsageError, match=match):
        call(store)
    assert dump() == before and not (directory / "logs").exists()


def test_what_happens_is_recorded_by_itself(store, dump):
    store.register_agent("a", "validation", "m", "s")
    store.update_agent_status("a", "failed", error="lost its way")
    store.restore_agent_checkpoint(store.create_agent_checkpoint("a")["checkpoint_id"])
    store.set_storage_config("strict_agents", "on")
    for name in ("session_created", "agent_registered", "agent_failed", "checkpoint_created", "checkpoint_restored",
                 "setting_changed"):
        assert events(dump, name), name
    assert events(dump, "agent_failed")[0]["detail"] == "lost its way"


CALLS = {"milestone": lambda store, event: store.log_milestone_event(event, "m", "d"),
         "storage": lambda store, event: store.log_storage_event(event, "m", "file")}
WAYS = pytest.mark.parametrize("way", CALLS)


@WAYS
def test_a_torn_line_stands_by_itself(store, directory, way):
    CALLS[way](store, "before")
    path = directory / "logs" / f"{way}-events.jsonl"
    path.write_bytes(path.read_bytes() + b'{"timestamp": "2026-0')
    CALLS[way](store, "after")
    first, torn, last = path.read_text().splitlines()
    assert (json.loads(first)["event"], json.loads(last)["event"]) == ("before", "after")
    assert torn == '{"timestamp": "2026-0'


@WAYS
def test_there_is_no_line_of_what_was_not_committed(store, directory, dump, monkeypatch, way):
    storage, before = store.storage(), dump()

    def fail():
        storage.rollback()
        raise StorageError("for the test")

    monkeypatch.setattr(storage, "commit", fail)
    with pytest.raises(StorageError, match="for the test"):
        CALLS[way](store, "never")
    monkeypatch.undo()
    path = directory / "logs" / f"{way}-events.jsonl"
    assert dump() == before and (not path.exists() or path.read_bytes() == b"")


@WAYS
def test_a_line_that_cannot_be_written_is_told_for_the_event_is_stored(store, directory, dump, monkeypatch, way):
    CALLS[way](store, "before")
    path = directory / "logs" / f"{way}-events.jsonl"
    before, plain = path.read_bytes(), os.write

    left = [10]

    def refuse(descriptor, data):
        if os.fstat(descriptor).st_ino != path.stat().st_ino:
            return plain(descriptor, data)
        if not left:
            raise OSError(28, "No space left on device")
        return plain(descriptor, data[:left.pop()])

    told = pytest.warns(MilestoneWarning, match="is stored, but not in the log: .*free some space")
    with monkeypatch.context() as patched, told:
        patched.setattr(os, "write", refuse)
        CALLS[way](store, "after")
    assert path.read_bytes() == before and events(dump, "after")


@WAYS
def test_where_no_log_can_be_written_nothing_is_done(store, directory, dump, way):
    before = dump()
    (directory / "logs").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write .*logs"):
        CALLS[way](store, "never")
    assert dump() == before


@pytest.fixture
def told(store, clock):
    """What is logged: five events of two sessions and two agents."""
    for number, (agent, session) in enumerate([("a", "s"), ("b", "s"), ("a", "s"), ("b", "t"), ("a", "t")]):
        store.environ = {**store.environ, "AGENT_ID": agent, "SESSION_ID": session}
        store.storage().environ = store.environ
        store.log_milestone_event(f"step_{number}", "ms-1", f"detail {number}")
        clock.advance(1)
    return store


def names(rows):
    return [row["event"] for row in rows]


def test_the_latest_events_are_listed_the_newest_last(told, cli):
    assert names(told.list_coordination_events(limit=2)) == ["step_3", "step_4"]
    assert cli("list-coordination-events", "--limit", "2").text == (
        "2026-01-01 00:00:03 step_3 b detail 3\n2026-01-01 00:00:04 step_4 a detail 4\n")


def test_events_are_chosen_by_session_agent_milestone_name_and_id(told):
    every = told.list_coordination_events()
    assert names(told.list_coordination_events(session="t")) == ["step_3", "step_4"]
    assert names(told.list_coordination_events(agent="b")) == ["step_1", "step_3"]
    assert names(told.list_coordination_events(agent="b", session="t")) == ["step_3"]
    assert names(told.list_coordination_events(event="step_2")) == ["step_2"]
    with pytest.warns(MilestoneWarning, match="no milestone 'ms-2'"):
        assert told.list_coordination_events(milestone="ms-2") == []
    assert told.list_coordination_events(after=every[1]["id"], limit=2) == every[2:4]


def test_an_event_is_one_line_whatever_it_holds(store, cli):
    for text in NASTY:
        store.log_milestone_event("e", "ms-1", text)
    shown = cli("list-coordination-events").text
    assert len(shown.splitlines()) == shown.count("\n") == len(NASTY)
    assert "\x1b" not in shown and len(shown) < 1000


def test_waiting_ends_with_the_first_event_and_at_its_time(store, connect, clock):
    store.initialize_agent_coordination()
    other = connect()
    clock.during_sleep = lambda: other.log_milestone_event("late")
    before = clock.seconds
    assert names(store.list_coordination_events(event="late", wait=60)) == ["late"]
    assert clock.seconds < before + 1
    assert store.list_coordination_events(event="never", wait=60) == []
    assert 60 <= clock.seconds - before < 63


class Until(Exception):
    """Ends a loop that has no end of its own."""


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_following_prints_what_there_is_and_then_each_event_as_it_happens(store, connect, cli, clock, flags):
    store.log_milestone_event("early")
    other = connect()

    def stop():
        raise Until

    def third():
        other.log_milestone_event("third")
        clock.during_sleep = stop

    def second():
        other.log_milestone_event("unwanted", "ms-2")
        other.log_milestone_event("second")
        clock.during_sleep = third

    clock.during_sleep = second
    printed = []
    with pytest.raises(Until):
        cli("list-coordination-events", "--follow", *flags, on_output=printed.append)
    output = b"".join(printed).decode().splitlines()
    shown = [json.loads(line)["event"] if flags else line.split()[2] for line in output]
    assert shown == ["early", "unwanted", "second", "third"]


def test_following_is_for_the_command_line(store):
    with pytest.raises(UsageError, match="wait"):
        store.list_coordination_events(follow=True)


def test_who_follows_does_not_look_alive_for_it(store, cli, clock):
    store.register_agent("a", "validation", "ms-1", "s")
    begin = store.list_session_agents("s")[0]["last_heartbeat"]

    def stop():
        raise Until

    def later():
        clock.advance(600)
        clock.during_sleep = lambda: setattr(clock, "during_sleep", stop)

    clock.during_sleep = later
    with pytest.raises(Until):
        cli("list-coordination-events", "--follow", AGENT_ID="a")
    assert store.list_session_agents("s")[0]["last_heartbeat"] == begin


@pytest.mark.parametrize("option, says", [
    ("session", "no session 'nope' in {}: no id is like it; list_coordination_sessions shows those there are"),
    ("agent", "no agent 'nope' in {}: no id is like it"),
    ("milestone", "no milestone 'nope' in {}: no id is like it; list_milestones shows those there are")])
def test_events_of_who_is_not_there_are_none_and_that_is_said(cli, store, option, says):
    store.register_agent("a-1", "validation", "ms-1", "s-1")
    done = cli("list-coordination-events", f"--{option}", "nope")
    assert (done.status, done.text) == (0, "no events\n")
    assert done.err == f"milestone_persist: warning: {says.format(store.directory)}\n"
    assert cli("list-coordination-events", f"--{option}", "nope", "--after", "1").err == ""
    for known in (["--session", "s-1"], ["--agent", "a-1"], ["--milestone", "ms-1"]):
        assert cli("list-coordination-events", *known, "--event", "nope").err == ""


def test_events_of_an_agent_under_session_say_whose_that_is(cli, store):
    store.register_agent("a-1", "validation", "ms-1", "s-1")
    assert "that is an agent of s-1" in cli("list-coordination-events", "--session", "a-1").err
    assert "that is a session, whose agents" in cli("list-coordination-events", "--agent", "s-1").err


def test_a_milestone_in_the_place_of_the_event_is_refused(cli, store, dump):
    store.create_milestone_record("ms-1", "title: one")
    before = dump()
    done = cli("log-milestone-event", "ms-1", "started", "by hand")
    assert (done.status, done.err) == (2, "milestone_persist: EVENT and MILESTONE_ID are swapped: "
                                          "log_milestone_event started ms-1 'by hand'\n")
    done = cli("log-storage-event", "created", "hybrid", "ms-1", "{}")
    assert (done.status, done.err) == (2, "milestone_persist: MILESTONE and BACKEND are swapped: "
                                          "log_storage_event created ms-1 hybrid\n")
    assert dump() == before
    for words in (["ms-1"], ["ms-1", "ms-1"], ["started", "ms-2"], ["ms-2", "started"]):  # none says which is which
        assert cli("log-milestone-event", *words).status == 0
