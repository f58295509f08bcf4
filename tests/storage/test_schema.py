"""The SQLite database itself: constraints, views and triggers for people with sqlite3, indexes, files, migrations."""
from __future__ import annotations

import re
import sqlite3
import stat
import sys

import pytest
from conftest import ROOT

from milestone_persist import MilestoneError, StorageError, open_store
from milestone_persist.base import vocabulary
from milestone_persist.base.tables import SCHEMA_VERSION
from milestone_persist.storage.sqlite import embedded
from milestone_persist.storage.sqlite.migrations import bring_up_to_date

SCHEMA = (ROOT / "sql" / "milestone-coordination.sql").read_text(encoding="utf-8")
NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now'"


@pytest.fixture
def backend():
    return "hybrid"


@pytest.fixture
def database(store, directory):
    """The database of a store with one session and two agents, opened with plain sqlite3."""
    store.register_agent("a", "validation", "m", "s", ["run"])
    store.register_agent("b", "validation", "m", "s")
    connection = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    yield connection
    connection.close()


def columns(connection, table):
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


@pytest.mark.parametrize("table, names", [
    ("milestones", "id title status priority data created_at updated_at file_path version"),
    ("coordination_sessions", "session_id milestone_id operation_type phase coordinator_id agent_count progress status "
                              "configuration created_at last_activity completed_at"),
    ("agent_registry", "agent_id agent_type milestone_id session_id status capabilities current_task current_phase "
                       "resource_usage spawn_time last_heartbeat completion_time error_info life client_session "
                       "briefed_at rung_message"),
    ("agent_messages", "id session_id from_agent to_agent message_type payload priority created_at delivered_at "
                       "processed_at acknowledged_at retry_count taken_in_life lease_until sent_for is_broadcast"),
    ("agent_state", "agent_id state_key state_value state_type created_at updated_at expires_at"),
    ("agent_checkpoints", "checkpoint_id agent_id session_id checkpoint_type state_snapshot file_references created_at "
                          "retention_until"),
    ("agent_health_log", "id agent_id health_status cpu_usage memory_usage response_time error_count warning_count "
                         "timestamp"),
    ("agent_coordination_config", "key value description updated_at"),
    ("idempotency_keys", "caller operation key content_digest result created_at"),
    ("store_moves", "moved_to move noted_at"),
    ("active_agents", "agent_id minutes_since_heartbeat spawn_time"),
    ("agent_message_queue", "id priority minutes_waiting age_minutes"),
])
def test_documented_columns_are_there(database, table, names):
    assert set(names.split()) <= columns(database, table)


@pytest.mark.parametrize("column, words", [
    ("agent_type", vocabulary.AGENT_TYPES), ("message_type", vocabulary.MESSAGE_TYPES),
    ("status", vocabulary.AGENT_STATUSES), ("status", vocabulary.SESSION_STATUSES),
    ("state_type", vocabulary.STATE_TYPES), ("operation_type", vocabulary.OPERATION_TYPES),
    ("phase", vocabulary.PHASES), ("current_phase", vocabulary.PHASES),
    ("checkpoint_type", vocabulary.CHECKPOINT_TYPES), ("health_status", vocabulary.HEALTH_STATUSES),
])
def test_the_vocabulary_is_that_of_the_checks(column, words):
    word = column + r" = '([^']*)'"
    lists = re.findall(rf"CHECK \(\s*({word}(?:\s+OR {word})*)", SCHEMA)
    assert tuple(words) in [tuple(re.findall(word, found[0])) for found in lists]


def test_settings_are_those_the_schema_inserts(database, store):
    rows = database.execute("SELECT key, value, description FROM agent_coordination_config").fetchall()
    assert {key: value for key, value, _ in rows} == store.get_storage_config()
    assert all(description for _, _, description in rows)


REFUSED = [
    "INSERT INTO coordination_sessions (session_id, operation_type) VALUES ('x', 'coding')",
    "INSERT INTO coordination_sessions (session_id, status) VALUES ('x', 'open')",
    "INSERT INTO coordination_sessions (session_id, phase) VALUES ('x', 'coding')",
    "INSERT INTO coordination_sessions (session_id, progress) VALUES ('x', 101)",
    "INSERT INTO coordination_sessions (session_id, configuration) VALUES ('x', '[]')",
    "INSERT INTO coordination_sessions (session_id, milestone_id) VALUES ('x', 'nowhere')",
    "INSERT INTO coordination_sessions (session_id) VALUES ('')",
    "INSERT INTO coordination_sessions (session_id) VALUES (NULL)",
    "INSERT INTO agent_registry (agent_id, agent_type, session_id) VALUES ('x', 'tester', 's')",
    "INSERT INTO agent_registry (agent_id, agent_type, session_id) VALUES ('x', 'x-', 's')",
    "INSERT INTO agent_registry (agent_id, agent_type, session_id) VALUES ('x', 'validation', 'nowhere')",
    "INSERT INTO agent_registry (agent_id, agent_type, session_id, status) VALUES ('x', 'validation', 's', 'done')",
    "INSERT INTO agent_registry (agent_id, agent_type, session_id, capabilities) VALUES ('x', 'x-y', 's', '{}')",
    "INSERT INTO agent_registry (agent_id, agent_type, session_id, capabilities) VALUES ('x', 'x-y', 's', '[1]')",
    "INSERT INTO agent_registry (agent_id, agent_type, session_id, capabilities) VALUES ('x', 'x-y', 's', 'no')",
    "UPDATE agent_registry SET capabilities = '[\"a\", null]' WHERE agent_id = 'a'",
    "UPDATE agent_registry SET resource_usage = 'much' WHERE agent_id = 'a'",
    "UPDATE agent_registry SET current_phase = 'coding' WHERE agent_id = 'a'",
    "INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
    "VALUES ('s', 'a', 'b', 'greeting', '{}')",
    "INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
    "VALUES ('s', 'a', 'b', 'error_report', '[]')",
    "INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
    "VALUES ('s', 'a', 'b', 'error_report', '{')",
    "INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, priority) "
    "VALUES ('s', 'a', 'b', 'error_report', '{}', 0)",
    "INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
    "VALUES ('nowhere', 'a', 'b', 'error_report', '{}')",
    "INSERT INTO agent_state (agent_id, state_key, state_value) VALUES ('nobody', 'k', 'v')",
    "INSERT INTO agent_state (agent_id, state_key, state_value) VALUES ('a', '', 'v')",
    "INSERT INTO agent_state (agent_id, state_key, state_value, state_type) VALUES ('a', 'k', 'v', 'secret')",
    "INSERT INTO agent_state (agent_id, state_key, state_value, is_json) VALUES ('a', 'k', '{', 1)",
    "INSERT INTO agent_checkpoints (checkpoint_id, agent_id, session_id, state_snapshot) VALUES ('c', 'a', 's', '[]')",
    "INSERT INTO agent_checkpoints (checkpoint_id, agent_id, session_id, checkpoint_type, state_snapshot) "
    "VALUES ('c', 'a', 's', 'daily', '{}')",
    "INSERT INTO agent_health_log (agent_id, health_status) VALUES ('a', 'fine')",
    "INSERT INTO idempotency_keys (caller, operation, key, content_digest, result) VALUES ('a', 'o', 'k', 'd', '{')",
    "INSERT INTO idempotency_keys (caller, operation, key, content_digest) VALUES ('a', 'o', 'k', 'd')",
    *(f"UPDATE {table} SET {column} = {value}"
      for table, column in (("agent_registry", "life"), ("milestones", "version"))
      for value in ("NULL", "0", "1.5", "'x'", "x'31'")),
    *(f"INSERT INTO coordination_sessions (session_id, {column}) VALUES ('x', {value})"
      for column in ("agent_count", "progress") for value in ("'abc'", "'1x'", "x'31'")),
    "INSERT INTO coordination_sessions (session_id, agent_count) VALUES ('x', 1.5)",
    *(f"INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, {column}) "
      f"VALUES ('s', 'a', 'b', 'error_report', '{{}}', {value})"
      for column in ("priority", "retry_count") for value in ("5.5", "'x'", "x'31'")),
    *(f"INSERT INTO agent_state (agent_id, state_key, state_value, {column}) VALUES ('a', 'k', 'v', {value})"
      for column in ("version", "is_json") for value in ("'x'", "1.5", "x'31'")),
    *(f"INSERT INTO agent_health_log (agent_id, health_status, {column}) VALUES ('a', 'healthy', {value})"
      for column in ("error_count", "warning_count") for value in ("'x'", "1.5")),
    *(f"INSERT INTO agent_health_log (agent_id, health_status, {column}) VALUES ('a', 'healthy', 'much')"
      for column in ("cpu_usage", "memory_usage", "response_time")),
]


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_refuses_what_the_program_would_refuse(database, statement):
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(statement)


def test_numbers_written_as_text_are_taken_for_numbers(database):
    database.execute("INSERT INTO coordination_sessions (session_id, agent_count, progress) VALUES ('x', '2', '12.5')")
    database.execute("INSERT INTO agent_health_log (agent_id, health_status, cpu_usage, error_count) "
                     "VALUES ('a', 'healthy', '97', '3'), ('a', 'healthy', NULL, 4.0)")
    assert database.execute("SELECT agent_count, progress FROM coordination_sessions WHERE session_id = 'x'"
                            ).fetchone() == (2, 12.5)
    assert database.execute("SELECT cpu_usage, error_count FROM agent_health_log").fetchall() == [(97.0, 3), (None, 4)]


def test_what_people_insert_by_hand_is_used(database, store):
    database.execute("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
                     "VALUES ('s', 'a', 'b', 'x-note', '{\"n\": 1}')")
    database.execute("INSERT INTO agent_state (agent_id, state_key, state_value) VALUES ('a', 'k', 'v')")
    assert store.get_agent_messages("b", True)[0]["payload"] == {"n": 1}
    assert store.load_agent_state("a", "k") == "v"
    database.execute("UPDATE coordination_sessions SET operation_type = 'planning'")
    database.execute("INSERT INTO agent_state (agent_id, state_key, state_value) VALUES ('a', 'planning-scope', 'x')")
    assert store.recover_milestone_session("s")["artifacts"] == ["planning-scope"]


def test_views_and_date_functions_give_right_answers(database):
    database.execute(f"UPDATE agent_registry SET last_heartbeat = {NOW}, '-12 minutes')")
    database.execute(f"UPDATE coordination_sessions SET last_activity = {NOW}, '-12 minutes')")
    database.execute("UPDATE agent_registry SET status = 'failed' WHERE agent_id = 'b'")
    database.execute("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, priority) "
                     "VALUES ('s', 'a', 'b', 'x-n', '{}', 1), ('s', 'a', 'b', 'x-n', '{}', 9)")
    [(agent, minutes)] = database.execute("SELECT agent_id, minutes_since_heartbeat FROM active_agents")
    assert agent == "a" and 11.9 < minutes < 13
    [(session, minutes, active, failed)] = database.execute(
        "SELECT session_id, minutes_inactive, active_agents, failed_agents FROM stale_sessions")
    assert (session, active, failed) == ("s", 1, 1) and 11.9 < minutes < 13
    assert [row[0] for row in database.execute("SELECT priority FROM agent_message_queue")] == [9, 1]
    for condition in ("last_heartbeat < datetime('now', '-10 minutes')",
                      "(julianday('now') - julianday(last_heartbeat)) * 1440 BETWEEN 11.9 AND 13"):
        assert database.execute(f"SELECT count(*) FROM agent_registry WHERE {condition}").fetchone() == (2,)


def test_triggers_serve_those_who_write_with_sqlite3(database):
    later = "2999-01-01 00:00:00.000"
    database.execute("UPDATE agent_registry SET last_heartbeat = ? WHERE agent_id = 'a'", [later])
    assert database.execute("SELECT last_activity FROM coordination_sessions").fetchone() == (later,)
    database.execute("INSERT INTO agent_state (agent_id, state_key, state_value, expires_at) "
                     "VALUES ('a', 'old', 'v', '2020-01-01 00:00:00.000')")
    database.execute("INSERT INTO agent_state (agent_id, state_key, state_value) VALUES ('a', 'new', 'v')")
    assert database.execute("SELECT state_key FROM agent_state").fetchall() == [("new",)]
    for name, made in (("c-1", "2020-01-02"), ("c-2", "2020-01-10")):
        database.execute("INSERT INTO agent_checkpoints (checkpoint_id, agent_id, session_id, state_snapshot, "
                         "created_at, retention_until) VALUES (?, 'a', 's', '{}', ?, date(?, '+7 days'))",
                         [name, made, made])
    assert database.execute("SELECT checkpoint_id FROM agent_checkpoints").fetchall() == [("c-2",)]


def test_deleting_a_session_takes_its_rows_along(database, store):
    store.save_agent_state("a", "k", "v")
    store.send_agent_message("a", "b", "error_report", {})
    store.create_agent_checkpoint("a")
    store.agent_heartbeat("a", "healthy")
    database.execute("DELETE FROM coordination_sessions")
    for table in ("agent_registry", "agent_messages", "agent_state", "agent_checkpoints", "agent_health_log"):
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def shape(connection):
    """Everything a schema says, without the spelling of its SQL."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name")
    return [(row["type"], row["name"], " ".join(row["sql"].split())) for row in rows]


def read_history(name):
    return (ROOT / "sql" / "history" / name).read_text(encoding="utf-8")


def in_memory(script=""):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.executescript(script)
    return connection


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_fresh_database_equals_a_migrated_one(version):
    old, new = in_memory(read_history(f"{version}.sql")), in_memory(SCHEMA)
    assert shape(old) != shape(new)
    bring_up_to_date(old, ":memory:", SCHEMA_VERSION)
    assert shape(old) == shape(new)
    for pragma in ("user_version", "application_id"):
        assert old.execute(f"PRAGMA {pragma}").fetchone()[0] == new.execute(f"PRAGMA {pragma}").fetchone()[0] > 0
    old.close(), new.close()


def test_a_fresh_database_equals_one_taken_over():
    old, new = in_memory((ROOT / "tests" / "data" / "earlier-tool.sql").read_text(encoding="utf-8")), in_memory(SCHEMA)
    theirs = {name for _, name, _ in shape(old)} - {name for _, name, _ in shape(new)} | {"events_before_takeover"}
    bring_up_to_date(old, ":memory:", SCHEMA_VERSION)
    assert [entry for entry in shape(old) if entry[1] not in theirs] == shape(new)
    old.close(), new.close()


def test_the_schema_can_be_applied_again(database):
    before = list(database.iterdump())
    database.executescript(SCHEMA)
    assert list(database.iterdump()) == before


def damage(database, directory, how):
    path = directory / "coordination.db"
    if how == "newer":
        database.execute("PRAGMA user_version = 999")
    elif how == "foreign":
        database.execute("PRAGMA application_id = 1234"), database.execute("PRAGMA user_version = 0")
    elif how == "no database":
        path.write_bytes(b"this is no database, but somebody's text\n" * 100)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    return path


@pytest.mark.parametrize("how, says", [
    ("newer", "schema version 999, newer than this program's"), ("foreign", "belongs to another program"),
    ("no database", "is not a readable database"), ("cut", "is not a readable database"),
])
@pytest.mark.parametrize("words", [["save-agent-state", "a", "k", "v"], ["initialize-agent-coordination"],
                                   ["load-agent-state", "a", "k"], ["doctor"]])
def test_what_is_not_ours_to_write_is_refused_and_stays_as_it_is(database, store, directory, cli, how, says, words):
    store.close()
    path = damage(database, directory, how)
    database.close()
    before = path.read_bytes()
    done = cli(*words)
    assert (done.status, done.out) == (3, b"")
    assert says in done.err and str(path) in done.err and done.err.count("\n") == 1
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_database(directory, environ):
    directory.mkdir()
    (directory / "coordination.db").touch()
    with open_store(directory, environ=environ) as store:
        store.save_agent_state("a", "k", "v")
        assert store.load_agent_state("a", "k") == "v"


def test_the_connection_of_a_store_holds_references(store, connect):
    store.register_agent("a", "validation", "ms-1", "execution-1")
    storage = connect().storage()  # of one that was there
    with pytest.raises(MilestoneError, match="(?i)foreign key|a row that this needs is missing"), storage.transaction():
        storage.execute("UPDATE agent_registry SET session_id = 'gone'")


def test_a_writer_that_waits_in_vain_says_so(database, store, monkeypatch):
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.0)
    database.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="is busy: another process has been writing"):
        store.save_agent_state("a", "k", "v")
    database.execute("COMMIT")
    store.save_agent_state("a", "k", "v")


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_files_are_private_whatever_the_umask(run, directory, umask):
    program = ROOT / "milestone_persist" / "__main__.py"
    for words in (["initialize-storage-system"], ["save-agent-state", "a", "k", "v"], ["log-milestone-event", "e"],
                  ["create-milestone-record", "ms-1", "title: x"]):
        done = run(["sh", "-c", f'umask {umask}; exec "$@"', "sh", sys.executable, "-I", "-S", program, *words])
        assert (done.status, done.err) == (0, "")
    for path in [directory, *directory.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert (directory / ".gitignore").read_text() == "*\n"


def test_a_directory_that_cannot_be_made_is_explained(cli):
    done = cli("--dir", "/proc/nowhere", "save-agent-state", "a", "k", "v")
    assert done.status == 3 and "writable" in done.err and done.err.count("\n") == 1
