"""Taking over a database that the shell tool before this one made (tests/data/earlier-tool.sql)."""
from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import threading

import pytest
from conftest import ROOT

from milestone_persist import Refused, StorageError, open_store
from milestone_persist.base.tables import SCHEMA_VERSION, TABLES
from milestone_persist.storage.sqlite.migrations import bring_up_to_date
from milestone_persist.storage.takeover.fitting import fit_time

EARLIER = (ROOT / "tests" / "data" / "earlier-tool.sql").read_text(encoding="utf-8")
PLANNING = "planning-ms-123-1640995200"
UNKNOWN = ("milestone_metrics", "audit", "events")


@pytest.fixture
def directory(memory):
    return memory / ".milestones"


@pytest.fixture
def old(directory):
    """The path of a database of the earlier tool."""
    directory.mkdir()
    path = directory / "coordination.db"
    connection = sqlite3.connect(path)
    connection.executescript(EARLIER)
    connection.close()
    return path


def read(path, sql):
    connection = sqlite3.connect(path)
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.fixture
def store(old, directory):
    with open_store(directory, environ={}) as store:
        yield store


def rows(store, sql):
    return [tuple(row.values()) for row in store.storage().execute(sql)]


def notes(store, kind):
    found = rows(store, f"SELECT detail FROM events WHERE event = 'takeover_{kind}'")
    return [json.loads(detail) for (detail,) in found]


def test_the_backup_of_a_takeover_is_the_database_as_it_was(old, store, directory):
    [kept] = (directory / "backups").iterdir()
    names = [name for (name,) in read(kept, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert {*UNKNOWN, "agent_registry"} <= set(names) and "events_before_takeover" not in names
    assert read(kept, "PRAGMA user_version") == [(0,)]
    assert read(kept, "SELECT status, last_heartbeat FROM agent_registry WHERE agent_id = 'quality-1'") == [
        ("running", "yesterday")]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_every_row_is_there_and_sound(old, store, directory):
    [kept] = (directory / "backups").iterdir()
    for table, key in (("coordination_sessions", "session_id"), ("agent_registry", "agent_id"),
                       ("agent_messages", "id"), ("agent_state", "agent_id, state_key"),
                       ("agent_checkpoints", "checkpoint_id"), ("agent_health_log", "id"),
                       ("agent_coordination_config", "key")):
        sql = f"SELECT {key} FROM {table}"
        assert set(read(kept, sql)) <= set(rows(store, sql)), table
    assert store.storage().check() == []
    assert rows(store, "PRAGMA foreign_key_check") == []
    assert rows(store, "PRAGMA foreign_keys") == [(1,)]
    assert not notes(store, "row_left_out")


def test_words_times_and_json_fit_and_their_originals_are_noted(store):
    assert rows(store, "SELECT agent_type, status, capabilities, resource_usage, spawn_time, last_heartbeat "
                       "FROM agent_registry WHERE agent_id = 'quality-1'") == [
        ("x-quality-enforcer", "active", '["tests, lint"]', '{"text":"much"}', "2021-12-31 23:01:00.500",
         "2021-12-31 23:01:00.500")]
    assert rows(store, "SELECT operation_type, phase, status, progress, configuration, last_activity "
                       "FROM coordination_sessions WHERE session_id = 'execution-ms-123-1'") == [
        ("execution", "design", "active", 55, '{"text":"fast"}', "2022-01-01 01:00:00.000")]
    was = {tuple(note["key"].values()): note["was"] for note in notes(store, "row_changed")}
    assert was[("quality-1",)] == {"status": "running", "current_phase": "review", "last_heartbeat": "yesterday"}
    assert was[("coord-1", "bytes")] == {"state_value": "a\udcffb"}
    assert was[("coord-1", "note")] == {"state_type": "results"}
    assert ("coord-1",) not in was  # a time with milliseconds says the same


def test_messages_can_be_read(store):
    messages = store.get_agent_messages("quality-1", True)
    assert [(m["id"], m["message_type"], m["payload"], m["priority"]) for m in messages] == [
        (8, "progress_update", {"value": [50]}, 8), (3, "task_assignment", {"phase": "design"}, 5),
        (9, "error_report", {}, 5)]  # the last went to everyone
    assert rows(store, "SELECT message_type, payload FROM agent_messages WHERE id = 7") == [
        ("x-greeting", '{"text":"please hurry"}')]
    assert store.send_agent_message("coord-1", "quality-1", "x-n", {})["id"] == 51  # 50 was given out before


def test_state_comes_back_byte_for_byte(store):
    assert store.load_agent_state("coord-1", "note") == 'it\'s "so" $(far)\nsecond line'
    assert store.load_agent_state("scope-agent-001", "planning-scope") == '{"files": 12'
    assert store.load_agent_state("coord-1", "milestone-plan", full=True)["updated_at"] == "2022-01-01 00:00:09.000"
    assert rows(store, "SELECT state_value FROM agent_state WHERE state_key = 'expired'") == [("still here",)]


def test_an_old_checkpoint_is_restored(store):
    told = store.restore_agent_checkpoint("cp-1")
    assert told["keys"] == ["planning-scope", "note"] and told["files"][0]["status"] == "missing"
    assert store.load_agent_state("coord-1", "planning-scope") == '{"files":12}'


def test_what_was_referred_to_and_missing_is_made(store):
    agents = {row["agent_id"]: row for row in store.list_session_agents(PLANNING)}
    assert agents["scope-agent-001"]["agent_type"] == "unregistered"
    assert agents["scope-agent-001"]["last_heartbeat"] == "2022-01-01 00:06:00.000"
    assert store.get_session_status("planning-gone")["last_activity"] == "2022-01-01 00:00:04.000"
    assert store.get_session_status("validation-lost")["status"] == "completed"
    assert {row["id"] for row in store.list_milestones()} == {"ms-123", "ms-124", "ms-900"}


def test_settings_are_kept_and_the_missing_ones_added(store):
    assert store.get_storage_config("message_retry_limit") == "7"
    assert store.get_storage_config("session_timeout") == "1800"


@pytest.mark.filterwarnings("ignore:.* unread message", "ignore:.*this message is not read")
def test_what_is_none_of_ours_stays(old, store, directory):
    [kept] = (directory / "backups").iterdir()
    sql = "SELECT name, sql FROM sqlite_master WHERE name IN ('milestone_metrics', 'metrics_by_name', 'audit', " \
          "'audit_metrics', 'broken_view', 'audit_messages') ORDER BY name"
    assert rows(store, sql) == read(kept, sql) and len(rows(store, sql)) == 6
    for table in ("milestone_metrics", "audit"):
        assert rows(store, f"SELECT * FROM {table}") == read(kept, f"SELECT * FROM {table}")
    assert rows(store, "SELECT * FROM events_before_takeover") == [("2022", "theirs")]  # it was in the way
    number = store.send_agent_message("coord-1", "lonely-1", "x-n", {})["id"]
    assert (number, "sent by coord-1") in rows(store, "SELECT * FROM audit")
    assert ["gone" in note["sql"] for note in notes(store, "trigger_left_out")] == [True]


@pytest.mark.filterwarnings("ignore:.* unread message")
def test_the_session_can_be_recovered(store):
    assert PLANNING in [row["session_id"] for row in store.detect_interrupted_sessions()]
    assert store.recover_milestone_session(PLANNING)["session_id"] == PLANNING
    store.create_milestone_from_recovered_planning(PLANNING)
    assert "Login" in store.read_milestone_record("ms-123")


def test_opening_again_changes_nothing(old, store, directory):
    store.close()
    before = old.read_bytes()
    with open_store(directory, environ={}) as again:
        again.load_agent_state("coord-1", "note")
    assert old.read_bytes() == before
    assert len([*(directory / "backups").iterdir()]) == 1


def test_a_call_that_only_looks_takes_over_too(old, directory, run):
    done = run([sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py", "load-agent-state", "coord-1",
                "milestone-plan"], MILESTONE_DIR=str(directory))
    assert (done.status, done.out, done.err) == (0, b'{"title": "Login"}', "")


@pytest.fixture
def backend():
    return "hybrid"


def test_two_that_open_at_once_take_over_once(old, directory):
    ready, ended = threading.Barrier(2), []

    def open_it():
        ready.wait()
        with open_store(directory, environ={}) as store:
            ended.append(len(notes(store, "done")))

    threads = [threading.Thread(target=open_it) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert ended == [1, 1] and len([*(directory / "backups").iterdir()]) == 1


def take_over_and_die(path, number):
    """Take over in a child that is killed at its n-th statement; how it ended, and how many statements it came to."""
    child, counted = os.fork(), path.with_name("counted")
    if child == 0:
        try:
            class Cursor(sqlite3.Cursor):
                count = 0

                def execute(self, *given):
                    Cursor.count += 1
                    if Cursor.count == number:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return super().execute(*given)

            class Connection(sqlite3.Connection):
                def cursor(self, factory=Cursor):
                    return super().cursor(factory)

                def execute(self, *given):
                    return self.cursor().execute(*given)

            connection = sqlite3.connect(path, isolation_level=None, factory=Connection)
            connection.row_factory = sqlite3.Row
            bring_up_to_date(connection, str(path), SCHEMA_VERSION)
            counted.write_text(str(Cursor.count))
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, int(counted.read_text()) if status == 0 else 0


def test_a_takeover_killed_anywhere_is_done_or_not_begun(memory):
    path, image = memory / "coordination.db", memory / "image"
    connection = sqlite3.connect(image)
    connection.executescript(EARLIER)
    connection.close()

    def end_at(number):
        path.write_bytes(image.read_bytes())
        os.utime(path, (0, 0))
        status, count = take_over_and_die(path, number)
        state = [read(path, sql)[0][0] for sql in ("PRAGMA user_version", "SELECT count(*) FROM agent_registry",
                                                   "PRAGMA integrity_check")]
        for rest in memory.glob("coordination.db*"):
            rest.unlink()
        return status, count, state

    status, count, after = end_at(0)
    assert status == 0 and count > 100 and after == [SCHEMA_VERSION, 6, "ok"]
    for number in {*range(1, 12), *range(12, count - 3, 25), *range(count - 3, count + 1)}:  # two: after COMMIT
        status, _, state = end_at(number)
        assert status == -signal.SIGKILL
        assert state == (after if number >= count - 1 else [0, 3, "ok"])
    end_at(0)
    assert [*(memory / "backups").glob("*.part*")] == []


def test_a_damaged_database_of_the_earlier_tool_is_left_as_it_is(old, directory):
    data = bytearray(old.read_bytes())
    place = data.index(b"quality-enforcer") // 4096 * 4096
    data[place:place + 100] = b"\xff" * 100
    old.write_bytes(data)
    with pytest.raises(StorageError, match="damaged|not a readable database"):
        open_store(directory, environ={})
    assert old.read_bytes() == data and [*(directory / "backups").iterdir()] == []


def test_without_room_for_a_backup_nothing_is_changed(old, directory):
    (directory / "backups").write_text("in the way")
    before = old.read_bytes()
    with pytest.raises(StorageError, match="cannot write .*backups.*was left as it is"):
        open_store(directory, environ={})
    assert old.read_bytes() == before


def test_a_row_without_an_agent_is_kept_and_one_of_two_with_the_same_key_noted_whole(directory):
    directory.mkdir()
    connection = sqlite3.connect(directory / "coordination.db")
    connection.executescript(
        "CREATE TABLE agent_registry (agent_id TEXT); CREATE TABLE agent_messages (id INTEGER);"
        "CREATE TABLE coordination_sessions (session_id TEXT);"
        "CREATE TABLE agent_state (agent_id TEXT, state_key TEXT, state_value TEXT, extra TEXT);"
        "INSERT INTO agent_state VALUES ('a', 'k', 'first', NULL), ('a', 'k', 'second', 'more');"
        "INSERT INTO agent_state VALUES (NULL, 'k', 'v', NULL)")
    connection.close()
    with open_store(directory, environ={}) as store:
        assert store.load_agent_state("a", "k") == "second"
        assert store.load_agent_state("unknown", "k") == "v"
        assert [note["row"]["state_value"] for note in notes(store, "row_left_out")] == ["first"]
        assert [note["was"] for note in notes(store, "row_changed")] == [{"extra": "more"}]


@pytest.mark.parametrize("given, time", [
    ("2022-01-01 00:00:00", "2022-01-01 00:00:00.000"), ("2022-01-01T00:00:00Z", "2022-01-01 00:00:00.000"),
    ("2022-01-01T02:00:00+0200", "2022-01-01 00:00:00.000"), ("2022-01-01T02:00:00+02:00", "2022-01-01 00:00:00.000"),
    ("2022-01-01T00:00:00.1234567Z", "2022-01-01 00:00:00.123"), (1640995200, "2022-01-01 00:00:00.000"),
    ("1640995200.5", "2022-01-01 00:00:00.500"), (1640995200123, "2022-01-01 00:00:00.123"),
    ("2022-01-01", "2022-01-01 00:00:00.000"),
    ("now", None), ("", None), (None, None), (7, None), ("12:30", None), ("9999999999999999", None),
])
def test_times_of_every_kind_are_read(given, time):
    assert fit_time(given) == time


ODD = [None, "", "x", 7, -3, 2 ** 62, 1.5, float("inf"), b"\xff\x00", "a\0b", "[]", "{}", '{"a": 1}', "[1, null]",
       '"s"', "NaN", "1e999", '{"state": {"k": [1]}}', '[{"state_key": "k", "state_value": 2}, 3]', '["\\ud800"]',
       '[{"path": "p"}, {"path": 3}]', "é", "active", "2022-01-01", "0000-00-00 00:00:00",
       "9999-12-31T23:59:59.9999-1200"]


@pytest.mark.filterwarnings("ignore:.* that is kept in checkpoint")
@pytest.mark.parametrize("seed", range(8))
def test_no_value_is_too_odd(directory, seed):
    chance = random.Random(seed)
    directory.mkdir()
    connection = sqlite3.connect(directory / "coordination.db")
    connection.executescript(EARLIER)
    tables = [table for table in TABLES if table not in ("milestones", "milestone_locks", "idempotency_keys",
                                                          "events")]
    connection.execute("DROP TRIGGER useless")
    for table in tables:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for number in range(60):
            values = [chance.choice(ODD) for _ in names]
            if names[0] == "id" or number % 5:
                values[0] = None if names[0] == "id" else f"{table}-{number}"
            connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(names))})", values)
    counts = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    connection.commit(), connection.close()
    with open_store(directory, environ={}) as store:
        assert store.storage().check() == []
        left_out = [note["table"] for note in notes(store, "row_left_out")]
        for table in tables:
            assert rows(store, f"SELECT count(*) FROM {table}")[0][0] + left_out.count(table) >= counts[table]
        for session in store.list_coordination_sessions():
            store.get_session_status(session["session_id"]), store.recover_milestone_session(session["session_id"])
        for (checkpoint,) in rows(store, "SELECT checkpoint_id FROM agent_checkpoints"):
            with contextlib.suppress(Refused):  # it was over its time, and a newer one made it go
                store.restore_agent_checkpoint(checkpoint)
