"""PostgreSQL: what the conformance tests do not see, from its schema file to connections that are cut."""
from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from cluster import ENCODED, PASSWORD
from conftest import ROOT, size

from milestone_persist import StorageError, UsageError, open_store
from milestone_persist.opening.place import open_for
from milestone_persist.storage.interface import StorageMoved
from milestone_persist.storage.postgresql.prepared import Prepared
from milestone_persist.storage.postgresql.psql import Lost, Psql
from milestone_persist.storage.postgresql.text import Filled
from milestone_persist.storage.postgresql.url import DatabaseUrl

TERMINATE = ("SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity "
             "WHERE application_name = 'milestone_persist'")
OPEN = ("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'milestone_persist' "
        "AND state LIKE 'idle in transaction%'")


@pytest.fixture
def backend():
    return "postgresql"


@pytest.fixture
def storage(store, directory, environ, clock):
    """The storage below the operations, over a connection of its own."""
    opened = open_for(str(directory), environ, clock, make=True)
    yield opened
    opened.close()


@pytest.fixture
def other(storage, directory, environ, clock):
    """The same storage as another process has it, impatient."""
    opened = open_for(str(directory), environ, clock, make=True)
    opened.psql.ask("SET lock_timeout = '100ms';")
    yield opened
    opened.close()


@pytest.fixture
def schema(environ):
    return environ["MILESTONE_DATABASE_SCHEMA"]


# The schema

def test_both_schemas_have_the_same_columns_and_settings(storage, schema, tmp_path):
    local = open_for(str(tmp_path / "local"), {"MILESTONE_BACKEND": "hybrid"}, make=True)
    tables = [row["name"] for row in local.execute("SELECT name FROM sqlite_master WHERE type = 'table' "
                                                   "AND name NOT LIKE 'sqlite%'")]
    columns = {table: [(row["name"], row["notnull"] or row["pk"] and row["name"] == "id")
                       for row in local.execute(f"PRAGMA table_info({table})")] for table in tables}
    indexes = {row["name"] for row in local.execute("SELECT name FROM sqlite_master WHERE type = 'index' "
                                                    "AND sql IS NOT NULL")}
    settings = "SELECT key, value, description FROM agent_coordination_config ORDER BY key"
    assert storage.execute(settings) == local.execute(settings) != []
    local.close()
    found = {}
    for row in storage.execute("SELECT table_name, column_name, is_nullable FROM information_schema.columns "
                               "WHERE table_schema = :schema ORDER BY ordinal_position", {"schema": schema}):
        found.setdefault(row["table_name"], []).append((row["column_name"], int(row["is_nullable"] == "NO")))
    assert {table: found[table] for table in tables} == columns
    assert {row["indexname"] for row in storage.execute("SELECT indexname FROM pg_indexes WHERE schemaname = :schema",
                                                        {"schema": schema})} >= indexes


def test_both_schemas_have_the_same_views_and_triggers(storage, schema, tmp_path):
    local = open_for(str(tmp_path / "local"), {"MILESTONE_BACKEND": "hybrid"}, make=True)
    views = {row["name"]: [column["name"] for column in local.execute(f"PRAGMA table_info({row['name']})")]
             for row in local.execute("SELECT name FROM sqlite_master WHERE type = 'view'")}
    triggers = {row["name"] for row in local.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    local.close()
    found = {}
    for row in storage.execute("SELECT c.table_name, column_name FROM information_schema.columns c "
                               "JOIN information_schema.views v USING (table_schema, table_name) "
                               "WHERE table_schema = :schema ORDER BY ordinal_position", {"schema": schema}):
        found.setdefault(row["table_name"], []).append(row["column_name"])
    assert found == views
    assert {row["name"] for row in storage.execute(
        "SELECT tgname AS name FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal "
        "AND relnamespace = current_schema()::regnamespace")} == {
            name for name in triggers if not name.startswith("check_capabilities")}


@pytest.mark.parametrize("sql, hint", [
    ("UPDATE agent_registry SET capabilities = '[1]'", "array_of_strings"),
    ("UPDATE agent_registry SET capabilities = '{}'", "array_of_strings"),
    ("UPDATE agent_registry SET resource_usage = '[]'", "check constraint"),
    ("UPDATE agent_registry SET resource_usage = '{'", "check constraint"),
    ("UPDATE agent_state SET state_value = '{\"a\":}', is_json = 1", "check constraint"),
    ("UPDATE agent_registry SET agent_type = 'x-'", "check constraint"),
    ("UPDATE agent_registry SET session_id = 'gone'", "foreign key"),
    ("UPDATE coordination_sessions SET progress = 101", "check constraint"),
    ("UPDATE coordination_sessions SET progress = 'much'", "invalid input"),
])
def test_the_database_itself_holds_the_rules(store, storage, sql, hint):
    store.register_agent("a", "validation", "m", "s", ["run"])
    store.save_agent_state("a", "k", "v")
    with pytest.raises(UsageError, match=hint):
        storage.execute(sql)


def test_what_people_write_by_hand_moves_the_sessions_activity_too(store, storage, postgresql, schema, clock):
    store.register_agent("a", "validation", "m", "s")
    postgresql.query(f"UPDATE {schema}.agent_registry SET last_heartbeat = '2026-02-01 00:00:00.000'")
    assert storage.execute("SELECT last_activity FROM coordination_sessions")[0]["last_activity"][:10] == "2026-02-01"
    assert storage.execute("SELECT * FROM active_agents")[0]["agent_id"] == "a"


def test_processes_that_open_a_new_store_at_once_make_it_once(unmade, directory, environ):
    errors = []

    def open_it():
        try:
            open_for(str(directory), environ, make=True).close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_schema_that_another_has_made_meanwhile_is_used(unmade, postgresql, directory, environ, monkeypatch):
    """Looking whether it is there made the server remember that it is not."""
    plain = Psql.ask

    def ask(psql, text, *args):
        if "CREATE SCHEMA IF NOT EXISTS" in text:
            postgresql.query(f'CREATE SCHEMA "{unmade}"')
        return plain(psql, text, *args)

    monkeypatch.setattr(Psql, "ask", ask)
    with contextlib.closing(open_for(str(directory), environ, make=True)) as store:
        assert store.execute("SELECT count(*) AS n FROM agent_registry") == [{"n": 0}]


def test_reading_a_store_that_is_not_there_leaves_no_trace(cli, postgresql, unmade, directory):
    result = cli("list-coordination-sessions")
    assert (result.status, result.err) == (0, "")
    assert postgresql.query("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'milestone_persist_empty|^" + unmade +
                            "'") == "0"
    assert not directory.exists()


def test_a_schema_that_belongs_to_something_else_is_left_alone(connect, postgresql, unmade):
    postgresql.query(f"CREATE SCHEMA {unmade}; CREATE TABLE {unmade}.events (other integer)")
    with pytest.raises(StorageError, match='"events" already exists'):
        connect()
    assert postgresql.query(f"SELECT count(*) FROM pg_class WHERE relnamespace = '{unmade}'::regnamespace") == "1"


@pytest.mark.parametrize("columns, more", [
    ("version text", ""), ("number integer", ""),
    ("version text", "CREATE TABLE {}.agent_coordination_config (key text, value text)"),
    ("version bigint", "CREATE TABLE {}.agent_coordination_config (key text, value text)"),
    ("version text", "CREATE TABLE {0}.agent_coordination_config (key text, value text); "
                     "INSERT INTO {0}.schema_version VALUES ('20240101')")])
@pytest.mark.parametrize("words", [["list-coordination-sessions"], ["save-agent-state", "a", "k", "v"]])
def test_a_schema_version_of_another_program_is_told(cli, postgresql, unmade, columns, more, words):
    postgresql.query(f"CREATE SCHEMA {unmade}; CREATE TABLE {unmade}.schema_version ({columns}); {more.format(unmade)}")
    result = cli(*words)
    assert (result.status, result.out) == (3, b"")
    assert f'the schema "{unmade}" belongs to another program' in result.err
    assert "MILESTONE_DATABASE_SCHEMA" in result.err


def test_doctor_tells_what_was_switched_off(store, cli, postgresql, schema):
    store.initialize_agent_coordination()
    assert cli("doctor").text.startswith("sound: postgresql://")
    postgresql.query(f"ALTER TABLE {schema}.agent_state DISABLE TRIGGER cleanup_expired_state")
    result = cli("doctor")
    assert result.status == 3 and "cleanup_expired_state of agent_state is switched off" in result.err


TRIGGER = ("CREATE FUNCTION {{0}}.f() RETURNS trigger LANGUAGE plpgsql AS '{}'; CREATE TRIGGER t {} ON "
           "{{0}}.agent_state FOR EACH ROW EXECUTE FUNCTION {{0}}.f()")
AUDIT = "CREATE TABLE {0}.audit (n text); "
NOTE = TRIGGER.format("BEGIN INSERT INTO {0}.audit VALUES (NEW.agent_id); RETURN NEW; END", "AFTER INSERT OR UPDATE")
STRANGE = "t on agent_state is not of this program"


ALTERATIONS = [
    ("DROP TRIGGER keep_removed_version ON {0}.agent_state", "trigger keep_removed_version is missing"),
    ("ALTER TABLE {0}.agent_state DISABLE TRIGGER cleanup_expired_state",
     "trigger cleanup_expired_state of agent_state is switched off"),
    ("CREATE RULE t AS ON INSERT TO {0}.agent_state DO INSTEAD NOTHING", "rule " + STRANGE),
    (TRIGGER.format("BEGIN DELETE FROM {0}.agent_state; RETURN NEW; END", "AFTER INSERT"), "trigger " + STRANGE),
    (TRIGGER.format("BEGIN EXECUTE ''DELETE FR'' || ''OM agent_state''; RETURN NEW; END", "AFTER INSERT"),
     "trigger " + STRANGE),
    (TRIGGER.format("BEGIN RETURN NULL; END", "BEFORE INSERT"), "trigger " + STRANGE),
    (TRIGGER.format("BEGIN PERFORM pg_sleep(1000); RETURN NULL; END", "AFTER INSERT"), "trigger " + STRANGE),
    (AUDIT + NOTE + "; ALTER TABLE {0}.audit ADD CHECK (n <> 'a')", "trigger " + STRANGE),
    ("CREATE OR REPLACE FUNCTION {0}.name_session_of_state() RETURNS trigger LANGUAGE plpgsql AS "
     "'BEGIN RETURN NULL; END'", "function name_session_of_state is another"),
    ("ALTER TABLE {0}.agent_state ENABLE ROW LEVEL SECURITY", "table agent_state is another .*row security"),
    ("ALTER TABLE {0}.agent_state SET UNLOGGED", "table agent_state is another .*unlogged"),
    ("CREATE TABLE {0}.more () INHERITS ({0}.agent_state)", "table agent_state is another .*inheritance"),
    ("ALTER TABLE {0}.agent_state RENAME TO other; CREATE VIEW {0}.agent_state AS SELECT * FROM {0}.other",
     "table agent_state is missing"),
    ("ALTER TABLE {0}.agent_state ALTER state_value TYPE char(9)", "column agent_state.state_value is another"),
    ("ALTER TABLE {0}.agent_state ALTER version SET DEFAULT 7", "column agent_state.version is another"),
    ("ALTER TABLE {0}.agent_state ADD t text NOT NULL", "column " + STRANGE),
    ("ALTER TABLE {0}.agent_state ADD t text DEFAULT random()::text", "column " + STRANGE),
    ("ALTER TABLE {0}.agent_state ADD CONSTRAINT t CHECK (state_key <> 'k')", "constraint " + STRANGE),
    ("CREATE UNIQUE INDEX t ON {0}.agent_state (agent_id)", "index " + STRANGE),
    ("CREATE INDEX t ON {0}.agent_state (lower(state_key))", "index " + STRANGE),
    ("DROP INDEX {0}.agent_messages_dead", "index agent_messages_dead is missing"),
    ("DROP VIEW {0}.active_agents", "view active_agents is missing"),
]
HARMLESS = [
    AUDIT + NOTE,
    TRIGGER.format("BEGIN PERFORM pg_notify(''saved'', NEW.agent_id || '' '' || NEW.state_key); RETURN NULL; END",
                   "AFTER INSERT OR UPDATE"),
    "CREATE INDEX t ON {0}.agent_state (state_type) WHERE is_json = 1",
    "ALTER TABLE {0}.agent_state ADD t text, ADD u integer NOT NULL DEFAULT 0",
    AUDIT + "CREATE VIEW {0}.seen AS SELECT * FROM {0}.agent_state; CREATE RULE t AS ON INSERT TO {0}.audit DO NOTHING",
]


@pytest.fixture
def check_altered(storage, schema):
    """What is wrong with a schema that something was done to; it is undone."""
    def check_altered(sql):
        storage.psql.ask(f"BEGIN; {sql.format(schema)};")
        try:
            return storage.check()
        finally:
            storage.psql.ask("ROLLBACK;")

    return check_altered


@pytest.mark.parametrize("sql, what", ALTERATIONS)
def test_what_is_other_in_the_schema_is_found(check_altered, sql, what):
    assert re.search(what, "; ".join(check_altered(sql)))


def test_what_others_have_that_does_no_harm_may_be(check_altered):
    assert {sql: check_altered(sql) for sql in HARMLESS} == {sql: [] for sql in HARMLESS}


@pytest.mark.parametrize("sql, what", [ALTERATIONS[5], ALTERATIONS[12]])
def test_what_may_undo_a_call_is_told_before_it(store, cli, clock, postgresql, schema, sql, what):
    store.register_agent("a", "validation", "m", "s")
    clock.advance(60)
    postgresql.query(sql.format(schema))
    for words in (["save-agent-state", "a", "k", "v"], ["agent-heartbeat", "a"], ["list-coordination-sessions"]):
        result = cli(*words)
        assert result.status == 3 and what in result.err and result.err.endswith("; nothing was done\n"), words
    assert what in cli("doctor").text
    assert postgresql.query(f"SELECT count(*) FROM {schema}.agent_registry WHERE last_heartbeat > spawn_time") == "0"


def test_what_only_makes_a_call_slower_is_for_doctor(store, cli, postgresql, schema):
    store.initialize_agent_coordination()
    postgresql.query(f"DROP INDEX {schema}.agent_messages_dead; DROP VIEW {schema}.active_agents")
    assert cli("doctor").status == 3
    assert cli("save-agent-state", "a", "k", "v").status == 0


def test_a_role_for_which_triggers_do_nothing_is_told_so(store, cli, postgresql):
    store.initialize_agent_coordination()
    postgresql.query("ALTER ROLE tester SET session_replication_role = replica")
    try:
        result = cli("save-agent-state", "a", "k", "v")
    finally:
        postgresql.query("ALTER ROLE tester RESET session_replication_role")
    assert result.status == 3 and "setting session_replication_role is another than" in result.err


def test_an_open_store_goes_on_once_the_schema_is_put_right(store, connect, postgresql, schema):
    store.initialize_agent_coordination()
    postgresql.query(f"ALTER TABLE {schema}.agent_state DISABLE TRIGGER cleanup_expired_state")
    other = connect()
    with pytest.raises(StorageError, match="is switched off"):
        other.save_agent_state("a", "k", "v")
    postgresql.query(f"ALTER TABLE {schema}.agent_state ENABLE TRIGGER cleanup_expired_state")
    other.save_agent_state("a", "k", "v")


def test_a_query_that_goes_on_for_too_long_is_stopped_and_told(storage):
    storage.psql.ask("SET statement_timeout = '50ms';")
    with pytest.raises(StorageError, match="a query went on for too long and was stopped"):
        storage.execute("SELECT pg_sleep(60)::text AS slept")


def test_a_call_that_waits_for_a_message_runs_into_no_limit_of_queries(store, environ, clock, postgresql):
    store.register_agent("b", "validation", "m", "s")
    storage = store.storage()
    storage.psql.ask("SET statement_timeout = '2s';")
    assert store.get_agent_messages("b", True, wait=10) == []  # by its clock
    assert storage.execute("SELECT current_setting('statement_timeout') AS most") == [{"most": "2s"}]


# Values

@pytest.mark.parametrize("value", [
    "it's", "'", "''", "a'::text", "$1", "s1_", "\\'", "\x1f", "~ plain: -- /* :a \" ; {}", "", "ä'",
    "\\! touch pwned", "\n\\! touch pwned\n", "\\q", "\\echo :PASSWORD", ":'HOME'", ':"HOME"', ":HOME", ":agent",
    "$$; DROP TABLE agent_state; $$", "$do$", "'); DROP TABLE agent_state; --", "\\.", "\\", "`touch pwned`", "{}\n{}",
    "ERROR:  no", "\x7f\x85\u2028\ufeff", "/* ", "\\N", '{"a": "\\u0000\\ud800"}', "\r\n\r",
])
def test_no_value_is_read_as_sql_or_as_a_command(store, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "".join(letter for letter in value if letter.isprintable())  # an id has no control characters
    store.register_agent(name or "b", "validation", "ms-1", "validation-1")
    for _ in range(3):  # as it is, when it is prepared, and after that
        store.save_agent_state(name or "a", name or "k", value)
        assert store.load_agent_state(name or "a", name or "k") == value
        store.send_agent_message("a", name or "b", "error_report", {"text": value})
        assert store.get_agent_messages(name or "b", True)[0]["payload"] == {"text": value}
    assert not (tmp_path / "pwned").exists()


def test_ten_megabytes_come_back(store):
    value = "\\\n'\"ü€😀" * 1_000_000
    store.save_agent_state("a", "k", value)
    assert store.load_agent_state("a", "k") == value


def test_parameters_are_found_only_where_they_are():
    sql = """SELECT ':a' AS ":a", x::text, :a -- :a\n, ':b''' || :ab"""
    assert Filled(sql, {"a": None, "ab": -5}).write_rows().endswith(
        """ FROM (SELECT ':a' AS ":a", x::text, NULL -- :a\n, ':b''' || (-5)\n) AS q OFFSET 0) AS r""")


@pytest.mark.parametrize("sql", ["DELETE FROM agent_state WHERE agent_id = :a AND state_key = :a",
                                 "UPDATE agent_state SET version = 7 WHERE agent_id = :a RETURNING version"])
def test_a_statement_that_was_cut_off_does_nothing(store, storage, postgresql, schema, sql):
    store.save_agent_state("a", "k", "v")
    whole = Filled(sql, {"a": "a"}).write_rows().replace("agent_state", f"{schema}.agent_state")
    for end in [found.end() for found in re.finditer(r"\)|a$", whole)][:-1]:
        with pytest.raises(subprocess.CalledProcessError):
            postgresql.query(whole[:end])
    assert storage.execute("SELECT version FROM agent_state") == [{"version": 1}]


# Statements that are asked again

NAMES = "SELECT name, statement FROM pg_prepared_statements"


def test_a_statement_asked_again_is_kept_parsed_and_gives_the_same(store, storage):
    for number in range(4):
        assert storage.execute("SELECT :text AS text, :number AS number, :none AS none, :text || :number AS both",
                               {"text": f"t{number}", "number": number, "none": None}) == [
            {"text": f"t{number}", "number": number, "none": None, "both": f"t{number}{number}"}]
        assert len(storage.execute(NAMES)) == (0, 2, 2, 2)[number]  # with the question itself
    for number in (2**31 - 1, 2**31, -2**63, 2**63 - 1, 0.5, None, "text"):  # of other kinds
        assert storage.execute("SELECT :value AS value", {"value": number}) == [{"value": number}]
        assert storage.execute("SELECT :value AS value", {"value": number}) == [{"value": number}]


def test_what_is_kept_parsed_is_planned_anew_now_and_then(store, storage, monkeypatch):
    monkeypatch.setattr("milestone_persist.storage.postgresql.prepared.AGAIN", 10)
    storage.psql.stop()
    names = set()
    for number in range(50):
        storage.execute("SELECT :number AS number", {"number": number})
        with storage.transaction("agent:a", [("SELECT 1 AS one", {})]):
            storage.execute("SELECT :number + 1 AS number", {"number": number})
        kept = [row["name"] for row in storage.execute(NAMES)]
        assert len(kept) < 10
        names.update(kept)
    assert len(names) > 10
    assert not [one for one in names for other in names if one != other and other.startswith(one)]  # if it is cut off


def test_a_trigger_planned_for_an_empty_table_reads_no_whole_table_when_that_has_grown(store, postgresql, schema):
    store.register_agent("a", "scope-analyzer", "m", "s")
    for _ in range(10):  # so often that the server keeps a plan, made for a few rows
        store.create_agent_checkpoint("a")
    postgresql.query(f"SET session_replication_role = replica; INSERT INTO {schema}.agent_checkpoints "
                     "(checkpoint_id, agent_id, session_id, state_snapshot, retention_until) "
                     "SELECT 'cp-' || number, 'a', 's', '{}', '2099' FROM generate_series(1, 5000) AS number")
    for _ in range(3):
        store.create_agent_checkpoint("a")
    assert store.storage().execute("SELECT seq_tup_read AS rows FROM pg_stat_xact_user_tables "
                                   "WHERE relid = 'agent_checkpoints'::regclass") == [{"rows": 0}]


@pytest.mark.parametrize("fails_at", range(4))
def test_a_statement_that_is_refused_is_asked_again_as_any_other(store, storage, fails_at):
    """Refused before it is prepared, with its preparation or after it, alone or behind others."""
    for number in range(8):
        value = "x" if number % 4 == fails_at else "1"
        for asked in ([], [("SELECT :number AS number", {"number": number})]):
            with contextlib.suppress(UsageError), storage.transaction("agent:a", asked):
                assert storage.execute("SELECT CAST(:value AS integer) AS value", {"value": value}) == [{"value": 1}]
                assert value == "1"
            with contextlib.suppress(UsageError), storage.transaction("agent:a", asked):
                storage.post("UPDATE agent_coordination_config SET value = 1 / CAST(:value AS integer)",
                             {"value": value})
    assert {row["value"] for row in storage.execute("SELECT value FROM agent_coordination_config")} == {"1"}


def test_what_was_to_be_kept_parsed_behind_a_refused_statement_is_asked_as_before(store, storage):
    for value in ("1", "0", "1", "1"):  # where it is refused the second statement would have been prepared
        with contextlib.suppress(UsageError), storage.transaction("agent:a"):
            storage.post(f"UPDATE agent_coordination_config SET value = {value} / {value}")
            storage.post("UPDATE agent_coordination_config SET updated_at = :now", {"now": storage.now()})
    assert storage.execute("SELECT DISTINCT value FROM agent_coordination_config") == [{"value": "1"}]


def test_what_is_kept_parsed_follows_a_table_that_gets_a_column(store, storage, postgresql, schema):
    def read():
        return storage.execute("SELECT * FROM agent_state WHERE agent_id = :id", {"id": "a"})[0].keys()

    store.save_agent_state("a", "k", "v")
    before = [read() for _ in range(8)][-1]
    postgresql.query(f"ALTER TABLE {schema}.agent_state ADD COLUMN more integer DEFAULT 1")
    assert read() - before == {"more"}


def test_what_is_kept_parsed_and_was_cut_off_does_nothing(store, storage, postgresql, schema):
    store.save_agent_state("a", "k", "v")
    prepared, change = Prepared(), Filled("UPDATE agent_state SET version = 7 WHERE agent_id = :a", {"a": "a"})
    prepared.write(change)
    first, _, again = prepared.write(change).partition("\\; ")
    for end in range(len(again) + 1):
        with contextlib.suppress(subprocess.CalledProcessError):
            postgresql.query(f"SET search_path = {schema}; {first}; {again[:end]}")
        assert storage.execute("SELECT version FROM agent_state") == [{"version": 7 if end == len(again) else 1}]


def test_with_what_is_kept_parsed_no_long_text_is_kept(store, storage):
    for _ in range(4):
        assert storage.execute("SELECT length(:text) AS n", {"text": "x" * 100_000}) == [{"n": 100_000}]
    assert all(len(row["statement"]) < 20_000 for row in storage.execute(NAMES))
    for _ in range(2):
        storage.execute("SELECT length(:text) AS n", {"text": "x"})
    assert len(storage.execute(NAMES)) == 2  # with the question itself


@pytest.mark.parametrize("value, error", [(float("nan"), UsageError), (float("inf"), UsageError), (b"x", TypeError)])
def test_what_is_no_value_is_refused(storage, value, error):
    with pytest.raises(error):
        storage.execute("SELECT :value AS value", {"value": value})


def test_numbers_have_the_types_that_sqlite_gives(store, storage):
    store.register_agent("a", "validation", "m", "s")
    store.agent_heartbeat("a", cpu=97, memory=0.1)
    row = storage.execute("SELECT cpu_usage, memory_usage, response_time, error_count FROM agent_health_log")[0]
    assert list(map(repr, row.values())) == ["97.0", "0.1", "None", "0"]
    for given, kept in ((40, "40"), (40.0, "40"), (33.3, "33.3")):
        store.update_session_progress("s", given)
        assert repr(store.get_session_status("s")["progress"]) == kept
    assert storage.execute("SELECT 1 = 1 AS yes, :none IS NULL AS none", {"none": None}) == [{"yes": 1, "none": 1}]


def test_an_id_too_long_for_an_index_is_refused(store):
    with pytest.raises(UsageError, match="longer than PostgreSQL can index"):
        store.save_agent_state("a", os.urandom(4000).hex(), "v")


def test_new_ids_come_after_those_that_were_given(store, storage):
    store.register_agent("b", "validation", "m", "s")
    first = store.send_agent_message("a", "b", "error_report", {})["id"]
    storage.advance_sequences()
    assert store.send_agent_message("a", "b", "error_report", {})["id"] == first + 1
    storage.execute("UPDATE agent_messages SET id = 1000 WHERE id = :id", {"id": first})
    storage.advance_sequences()
    assert store.send_agent_message("a", "b", "error_report", {})["id"] == 1001


def test_normal_synchronous_does_not_wait_for_the_disk(store, directory, environ):
    for value, expected in (("full", "on"), ("normal", "off")):
        store.set_storage_config("synchronous", value)
        opened = open_for(str(directory), environ, make=True)
        assert opened.execute("SELECT current_setting('synchronous_commit') AS it") == [{"it": expected}]
        opened.close()


# Locks

def test_different_inboxes_do_not_wait_for_each_other(store, storage, connect, clock):
    for agent in "abc":
        store.register_agent(agent, "validation", "m", "s")
    with storage.transaction("inbox:a"):
        storage.execute("UPDATE agent_registry SET last_heartbeat = '2026-01-01 00:00:30.000' WHERE agent_id = 'a'")
        clock.advance(1)
        second = connect()
        second.send_agent_message("c", "b", "error_report", {})
        assert len(second.get_agent_messages("b", True)) == 1
        second.save_agent_state("c", "k", "v")
        second.acquire_milestone_lock("m", owner="b")
    assert store.get_session_status("s")["last_activity"] == "2026-01-01 00:00:30.000"


@pytest.mark.parametrize("held, wanted", [("inbox:a", "inbox:a"), ("inbox:a", "agent:a"), ("inbox:a", "session:s"),
                                          ("session:s", "inbox:a"), ("", "events"), ("milestone:m", "milestone:m")])
def test_transactions_on_one_key_wait_for_each_other(storage, other, held, wanted):
    with storage.transaction(held), pytest.raises(StorageError, match="is busy"), other.transaction(wanted):
        pass
    with other.transaction(wanted):
        pass


def test_agents_taken_in_at_the_same_time_are_counted_once_each(store, directory, environ):
    environ = {**environ, "SESSION_ID": "s"}
    errors = []

    def save(number):
        try:
            with open_store(directory, environ=environ) as mine:
                for turn in range(5):
                    mine.save_agent_state(f"agent-{number}-{turn}", "k", "v")
                    mine.send_agent_message("shared", f"agent-{number}-{turn}", "error_report", {})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.get_session_status("s")["agent_count"] == 21


def test_an_admission_waits_for_another(storage, other):
    with storage.transaction("agent:a"):
        storage.lock_membership()
        with pytest.raises(StorageError, match="is busy"), other.transaction("agent:b"):
            other.lock_membership()


# Connections

def test_a_severed_connection_is_made_again(store, postgresql):
    store.save_agent_state("a", "k", "v")
    assert int(postgresql.query(TERMINATE)) > 0
    assert store.load_agent_state("a", "k") == "v"
    postgresql.query(TERMINATE)
    store.save_agent_state("a", "k", "w")
    assert store.load_agent_state("a", "k") == "w"


@pytest.mark.parametrize("moment", ["before a statement", "before the commit"])
def test_a_connection_severed_in_a_transaction_changes_nothing(storage, store, postgresql, moment):
    store.save_agent_state("a", "k", "v")
    with pytest.raises(StorageError, match="was lost .* nothing was changed: try"), storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        postgresql.query(TERMINATE)
        if moment == "before a statement":
            storage.execute("SELECT 1 AS one")
    assert storage.execute("SELECT state_value FROM agent_state") == [{"state_value": "v"}]
    with storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
    assert store.load_agent_state("a", "k") == "w"


def test_a_standby_server_is_said_to_be_read_only(store, cli, postgresql):
    store.save_agent_state("a", "k", "v")
    signal_file = os.path.join(postgresql.data, "standby.signal")
    postgresql.stop("fast")
    open(signal_file, "x").close()
    try:
        postgresql.start()
        assert cli("load-agent-state", "a", "k").text == "v"
        for words in ("save-agent-state a k w", "agent-heartbeat a", "get-agent-messages a true"):
            result = cli(*words.split())
            assert (result.status, result.out) == (3, b"")
            assert re.search(r" is read-only \(.*\): name the primary server in MILESTONE_DATABASE_URL$", result.err)
    finally:
        postgresql.stop("fast")
        os.unlink(signal_file)
        postgresql.start()
    assert store.load_agent_state("a", "k") == "v"


@pytest.fixture
def lose_commit(monkeypatch):
    """Has the connection end around the next commit: "done" after it, "undone" before it."""
    ask = Psql.ask

    def lose_commit(moment):
        def lose(psql, request):
            if not request.endswith("COMMIT;"):
                return ask(psql, request)
            monkeypatch.setattr(Psql, "ask", ask)
            ask(psql, request if moment == "done" else request.replace("COMMIT;", "ROLLBACK;"))
            psql.stop()
            raise Lost("cut")

        monkeypatch.setattr(Psql, "ask", lose)

    return lose_commit


@pytest.mark.parametrize("moment", ["done", "undone"])
def test_a_connection_lost_in_a_commit_is_asked_for_its_outcome(storage, store, lose_commit, moment):
    store.save_agent_state("a", "k", "v")
    lose_commit(moment)

    def write():
        with storage.transaction("agent:a"):
            storage.execute("UPDATE agent_state SET state_value = 'w'")

    if moment == "done":
        write()
    else:
        with pytest.raises(StorageError, match="nothing was changed"):
            write()
    assert store.load_agent_state("a", "k") == ("w" if moment == "done" else "v")


def test_an_answer_that_was_lost_with_a_commit_that_was_done_is_told_so(store, lose_commit):
    store.register_agent("a", "validation", "m", "s")
    lose_commit("done")
    with pytest.raises(StorageError, match="this was done, .* before the answer came: do not do it again"):
        store.send_agent_message("a", "a", "progress_update", {})
    assert len(store.list_agent_messages("a")) == 1


def test_a_psql_that_was_killed_before_it_came_to_the_commit_has_changed_nothing(storage, store, monkeypatch):
    store.save_agent_state("a", "k", "v")
    ask = Psql.ask

    def lose(psql, request):
        if not request.endswith("COMMIT;"):
            return ask(psql, request)
        os.kill(psql.pid, signal.SIGKILL)
        psql.stop()
        raise Lost("cut")

    monkeypatch.setattr(Psql, "ask", lose)
    with pytest.raises(StorageError, match="nothing was changed"), storage.transaction("agent:a"):
        storage.execute("DELETE FROM agent_state")
    assert store.load_agent_state("a", "k") == "v"


def test_a_commit_whose_outcome_nobody_can_tell_is_not_called_done(storage, postgresql, monkeypatch):
    ask = Psql.ask

    def lose(psql, request):
        if request.endswith("COMMIT;"):
            postgresql.stop("immediate")
        return ask(psql, request)

    monkeypatch.setattr(Psql, "ask", lose)
    try:
        with pytest.raises(StorageError, match="whether that was done is not known"), storage.transaction("agent:a"):
            storage.execute("DELETE FROM agent_state")
    finally:
        postgresql.start()


def test_after_a_refused_statement_nothing_is_committed(storage, store):
    store.save_agent_state("a", "k", "v")
    with pytest.raises(StorageError, match="refused by the database"), storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        with pytest.raises(UsageError):
            storage.execute("UPDATE agent_state SET version = 0")
    assert store.load_agent_state("a", "k") == "v"


def test_a_killed_server_is_told_and_its_store_found_again(store, cli, postgresql):
    store.save_agent_state("a", "k", "v")
    postgresql.stop("immediate")
    try:
        with pytest.raises(StorageError, match="cannot reach PostgreSQL at .* is the server running"):
            store.save_agent_state("a", "k", "w")
        result = cli("load-agent-state", "a", "k")
        assert (result.status, result.out, result.err.count("\n")) == (3, b"", 1)
    finally:
        postgresql.start()
    assert store.load_agent_state("a", "k") == "v"
    store.save_agent_state("a", "k", "w")
    assert cli("load-agent-state", "a", "k").text == "w"


def test_a_server_that_broke_off_and_is_up_again_is_no_failure(storage, store, postgresql):
    store.save_agent_state("a", "k", "v")
    postgresql.stop("immediate")
    postgresql.start()
    assert storage.execute("SELECT count(*) AS n FROM agent_state") == [{"n": 1}]
    store.save_agent_state("a", "k", "w")
    assert store.load_agent_state("a", "k") == "w"


# The URL, the password and what may be wrong with either

def test_the_password_shows_nowhere(directory, environ, postgresql, need):
    need("ps")
    opened = open_for(str(directory), {**environ, "MILESTONE_DATABASE_URL": postgresql.tcp_url}, make=True)
    listed = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(opened.psql.pid)], capture_output=True, check=True)
    opened.close()
    assert b"127.0.0.1" in listed.stdout
    assert PASSWORD not in listed.stdout.decode() and ENCODED not in listed.stdout.decode()


@pytest.mark.parametrize("change, message", [
    (lambda url: url.replace(ENCODED, "wrong-secret"), "password authentication failed.*correct USER and PASSWORD"),
    (lambda url: url.replace(":" + ENCODED, ""), "no password supplied.*correct USER and PASSWORD"),
    (lambda url: url.replace("/postgres", "/nowhere"), '"nowhere" does not exist; make it with createdb'),
    (lambda url: url.replace("/postgres", "/role"), '"role" does not exist; make it with createdb'),
    (lambda url: url.replace("tester:", "too_many_URI:").replace(ENCODED, "wrong-secret"),
     "authentication failed.*correct USER"),
    (lambda url: re.sub(r":\d+/", ":1/", url), "refused.*is the server running"),
    (lambda url: "postgresql:///d?host=/nowhere/role-password", "No such file.*is the server running"),
    (lambda url: "postgresql://password.invalid/d", "could not translate.*is the server running"),
    (lambda url: url.replace(ENCODED, "wrong@secret"), "must be postgresql://USER:PASSWORD@HOST.*%40"),
    (lambda url: url.replace(ENCODED, "wrong/secret"), "must be postgresql://USER:PASSWORD@HOST"),
    (lambda url: url + "?connection_limit=5", "invalid URI query parameter.*correct MILESTONE_DATABASE_URL"),
    (lambda url: "mysql://u:wrong-secret@h/d", "must be postgresql://"),
    (lambda url: "postgresql://user:wrong-secret", "must be postgresql://USER:PASSWORD@HOST"),
    (lambda url: "postgresql://u@h:1,user:wrong-secret/d", "must be postgresql://USER:PASSWORD@HOST"),
    (lambda url: "postgresql://[::1]:wrong-secret/d", "must be postgresql://USER:PASSWORD@HOST"),
    (lambda url: url + "?sslpassword=wrong-secret", "sslpassword .* everybody could see .* a service file"),
    (lambda url: url + "?sslmode=disable&sslpass%77ord=wrong-secret", "sslpassword .* everybody could see"),
])
def test_what_is_wrong_with_the_url_is_told_without_the_password(cli, postgresql, change, message):
    result = cli("register-agent", "a", "validation", "m", "s", MILESTONE_DATABASE_URL=change(postgresql.tcp_url))
    assert (result.status, result.out, result.err.count("\n")) == (3, b"", 1)
    assert re.search(message, result.err)
    assert "secret" not in result.err and ENCODED not in result.err and PASSWORD not in result.err


def test_what_the_url_leaves_out_comes_from_the_environment(directory, environ, postgresql):
    given = {**environ, "MILESTONE_DATABASE_URL": "postgresql:///", "PGHOST": "127.0.0.1", "PGUSER": "tester",
             "PGPORT": str(postgresql.port), "PGDATABASE": "postgres", "PGPASSWORD": PASSWORD}
    with open_store(directory, environ=given) as store:
        store.save_agent_state("a", "k", "v")
    with open_store(directory, environ=environ) as store:
        assert store.load_agent_state("a", "k") == "v"


@pytest.mark.parametrize("url", ["postgresql://u@h:5432,[::1]:5433,other/d", "postgresql://u@%2Ftmp/d",
                                 "postgresql://u@[fe80::1%25eth0]/d", "postgresql:///d?host=/tmp&port=5", "postgres://"])
def test_a_url_with_hosts_of_every_kind_is_taken(url):
    assert DatabaseUrl(url, {}).url.partition("?")[0].rstrip("/") == url.partition("?")[0].rstrip("/")


@pytest.mark.parametrize("url", ["postgresql://u@h/d?password=top%20secret&sslmode=require",
                                 "postgres://u:top%20secret@h/d?sslmode=require"])
def test_the_password_goes_to_the_environment(url):
    place = DatabaseUrl(url, {})
    assert place.url.endswith("://u@h/d?sslmode=require") and place.variables["PGPASSWORD"] == "top secret"


def test_a_schema_name_must_be_plain(cli):
    result = cli("register-agent", "a", "validation", "m", "s", MILESTONE_DATABASE_SCHEMA='x"; DROP SCHEMA public; --')
    assert result.status == 3 and "use letters, digits and _" in result.err


@pytest.fixture
def guest(postgresql):
    """A role that may do nothing, and the URL of the server for it."""
    postgresql.query("DROP ROLE IF EXISTS guest")
    postgresql.query("CREATE ROLE guest LOGIN")
    yield postgresql.url.replace("tester@", "guest@")
    postgresql.query("DROP OWNED BY guest")


def test_a_user_without_the_right_to_make_a_schema_is_told_so(cli, guest, unmade):
    result = cli("register-agent", "a", "validation", "m", "s", MILESTONE_DATABASE_URL=guest)
    assert result.status == 3 and "permission denied" in result.err and "CREATE on the database" in result.err


@pytest.mark.parametrize("words", [["list-coordination-sessions"], ["save-agent-state", "a", "k", "v"], ["doctor"]])
def test_a_user_who_may_not_use_the_schema_is_told_so(store, cli, postgresql, schema, guest, words):
    store.save_agent_state("a", "k", "v")
    result = cli(*words, MILESTONE_DATABASE_URL=guest)
    assert (result.status, result.out) == (3, b"")
    assert f'may not use the schema "{schema}": GRANT USAGE ON SCHEMA' in result.err
    postgresql.query(f"GRANT USAGE ON SCHEMA {schema} TO guest")
    result = cli(*words, MILESTONE_DATABASE_URL=guest)
    assert (result.status, result.out) == (3, b"") and "permission denied" in result.err


def test_a_user_whose_transactions_only_read_by_default_can_make_the_schema(cli, postgresql, unmade, guest):
    postgresql.query("GRANT CREATE ON DATABASE postgres TO guest")
    postgresql.query("ALTER ROLE guest SET default_transaction_read_only = on")
    result = cli("list-coordination-sessions", MILESTONE_DATABASE_URL=guest)
    assert (result.status, result.err) == (0, "")
    assert cli("save-agent-state", "a", "k", "v", MILESTONE_DATABASE_URL=guest).status == 0
    assert cli("load-agent-state", "a", "k", MILESTONE_DATABASE_URL=guest).text == "v"


def test_a_database_in_another_encoding_is_refused(cli, postgresql):
    postgresql.query("DROP DATABASE IF EXISTS latin")
    postgresql.query("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    result = cli("register-agent", "a", "validation", "m", "s",
                 MILESTONE_DATABASE_URL=postgresql.url.replace("/postgres", "/latin"))
    assert result.status == 3 and "encoding is LATIN1, and UTF8 is needed" in result.err


@pytest.mark.parametrize("content", [None, b"", b"no program"])
def test_without_psql_an_error_tells_what_to_install(cli, tmp_path, content):
    if content is not None:
        (tmp_path / "psql").write_bytes(content)
        (tmp_path / "psql").chmod(0o755)
    result = cli("register-agent", "a", "validation", "m", "s", PATH=str(tmp_path))
    assert result.status == 3 and "install postgresql-client" in result.err


@pytest.mark.parametrize("script, told", [
    ("exit 0", ""), ("echo 'psql: error: out of order' >&2; exit 1", "out of order"),
    ("cat >&2", "this psql is too old: install postgresql-client 11")])  # such a one leaves :SQLSTATE as it is
def test_a_psql_that_does_not_work_is_told(cli, tmp_path, script, told):
    (tmp_path / "psql").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    (tmp_path / "psql").chmod(0o755)
    result = cli("register-agent", "a", "validation", "m", "s", PATH=str(tmp_path))
    assert (result.status, result.err.count("\n")) == (3, 1) and told in result.err


# The child

def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_closing_leaves_no_process(storage):
    pid = storage.psql.pid
    assert is_there(pid)
    storage.close()
    assert not is_there(pid)
    storage.close()


def test_a_forked_process_has_its_own_connection(store, storage):
    store.save_agent_state("a", "k", "v")
    child = os.fork()
    if not child:
        storage.close()
        os._exit(0 if store.load_agent_state("a", "k") == "v" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert storage.execute("SELECT state_value FROM agent_state") == [{"state_value": "v"}]


def test_an_interrupt_undoes_the_transaction_and_the_next_call_works(storage, store, monkeypatch):
    store.save_agent_state("a", "k", "v")
    pid = storage.psql.pid
    with pytest.raises(KeyboardInterrupt), storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        monkeypatch.setattr(Psql, "write", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        storage.execute("SELECT 1 AS one")
    monkeypatch.undo()
    assert not is_there(pid)
    assert storage.execute("SELECT state_value FROM agent_state") == [{"state_value": "v"}]


def test_a_store_that_is_dropped_lets_its_child_end(directory, environ):
    opened = open_for(str(directory), environ, make=True)
    pid = opened.psql.pid
    del opened
    assert not is_there(pid)


def test_closed_standard_streams_do_no_harm(program, environ, run):
    command = f"exec '{sys.executable}' '{ROOT}/milestone_persist/__main__.py'"
    assert run(["sh", "-c", f"{command} save-agent-state a k v <&- >&-"]).status == 0
    assert program("load-agent-state", "a", "k").text == "v"


# Two machines

SENDER = """
import sys
from milestone_persist import open_store
with open_store(sys.argv[1]) as store:
    for number in range(int(sys.argv[3])):
        for agent in range(10):
            store.send_agent_message("boss", f"worker-{agent}", "task_assignment", {})
    for number in range(int(sys.argv[3]) * 4):
        store.broadcast_agent_message("boss", "task_assignment", {})
    store.save_agent_state("boss", "sent by " + sys.argv[2], "all")
"""
TAKER = """
import sys
from milestone_persist import open_store
with open_store(sys.argv[1]) as store:
    over = False
    while not over:
        over = len(store.list_agent_state("boss")) == 2
        for agent in range(10):
            for message in store.get_agent_messages(f"worker-{agent}", True, 50):
                print(message["id"])
                over = False
"""


def test_ten_thousand_messages_reach_one_taker_each_over_two_machines(tmp_path, environ):
    """A tenth of them, except at full size."""
    rounds = size(10, 100)
    machines = [tmp_path / "one" / ".milestones", tmp_path / "two" / ".milestones"]
    with open_store(machines[0], environ=environ) as store:
        for agent in ("boss", *(f"worker-{number}" for number in range(10))):
            store.register_agent(agent, "validation", "m", "s")
    running = [subprocess.Popen([sys.executable, "-c", text, str(machine), str(number), str(rounds)],
                                stdout=subprocess.PIPE, env={**environ, "PYTHONPATH": str(ROOT)})
               for number, machine in enumerate(machines) for text in (SENDER, TAKER, TAKER)]
    printed = [process.communicate(timeout=600)[0].split() for process in running]
    assert [process.returncode for process in running] == [0] * 6
    taken = list(itertools.chain(*printed))
    assert len(taken) == len(set(taken)) == 100 * rounds


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_no_character_is_left_out(store):
    """psql prints none of the last two characters of a plane from the second on."""
    last = [chr(plane * 0x10000 + end) for plane in range(17) for end in (0xFFFE, 0xFFFF)]
    for value in [*last, "".join(last), "\U0001fffd\U00020000", f"{{base64}}{last[2]}", "x" * 100_000 + last[-1]]:
        store.save_agent_state("a", "k", value)
        assert store.load_agent_state("a", "k") == value
    store.send_agent_message("a", "a", "progress_update", {"v": "".join(last)})
    assert store.get_agent_messages("a", True)[0]["payload"] == {"v": "".join(last)}


# Round trips

@pytest.fixture
def count_trips(monkeypatch):
    """How often a call waits for psql."""
    trips, exchange = [], Psql.exchange

    def counted(psql, request):
        trips.append(request)
        return exchange(psql, request)

    def count_trips(action, *words):
        trips.clear()
        action(*words)
        return len(trips)

    monkeypatch.setattr(Psql, "exchange", counted)
    return count_trips


CALLS = {
    "send": (2, lambda store: store.send_agent_message("a", "b", "x-note", {"n": 1})),
    "take": (2, lambda store: store.get_agent_messages("b", True)),
    "save": (2, lambda store: store.save_agent_state("a", "k", "v")),
    "load": (1, lambda store: store.load_agent_state("a", "k")),
    "heartbeat": (2, lambda store: store.agent_heartbeat("a")),
    "checkpoint": (2, lambda store: store.create_agent_checkpoint("a")),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_operation_waits_for_the_server_twice_at_most(store, clock, count_trips, call):
    most, action = CALLS[call]
    for agent in "ab":
        store.register_agent(agent, "validation", "m", "s")
    store.save_agent_state("a", "k", "v")
    for number in range(3):
        store.send_agent_message("a", "b", "x-note", {"n": number})
    action(store)
    clock.advance(20)
    store.get_agent_messages("c", True)  # once a second a take asks who is silent: two questions more
    assert count_trips(action, store) == most


def test_a_store_is_opened_and_asked_in_two_trips(store, directory, environ, count_trips):
    store.save_agent_state("a", "k", "v")

    def call():
        with open_store(directory, environ=environ) as other:
            assert other.load_agent_state("a", "k") == "v"

    assert count_trips(call) == 2


def test_a_psql_that_shows_the_last_of_several_answers_only_is_asked_one_by_one(store, storage, monkeypatch):
    monkeypatch.setattr("milestone_persist.storage.postgresql.psql.SHOWS_ALL", 10**9)
    for agent in "ab":
        store.register_agent(agent, "validation", "m", "s")
    for _, action in CALLS.values():
        action(store)
    assert [row["payload"] for row in store.list_agent_messages("b")] == [{"n": 1}]
    with pytest.raises(UsageError, match="refused by the database"), storage.transaction("agent:a"):
        storage.post("UPDATE agent_state SET version = 0")
    assert storage.execute("SELECT version FROM agent_state") == [{"version": 1}]


def test_what_was_posted_and_is_refused_undoes_the_transaction(store, storage):
    store.save_agent_state("a", "k", "v")
    with pytest.raises(UsageError, match="refused by the database: .*version"), storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        storage.post("UPDATE agent_state SET version = 0")
        storage.post("UPDATE agent_state SET state_value = 'x'")
    with pytest.raises(UsageError, match="refused by the database: .*version"), storage.transaction("agent:a"):
        storage.post("UPDATE agent_state SET version = 0")
        storage.execute("SELECT 1 AS one")
    assert storage.execute("SELECT state_value FROM agent_state") == [{"state_value": "v"}]


def test_what_is_foreseen_is_asked_again_after_something_was_changed(store, storage):
    store.save_agent_state("a", "k", "v")
    question = ("SELECT state_value FROM agent_state WHERE agent_id = :id", {"id": "a"})
    with storage.transaction("agent:a", [question]):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        assert storage.execute(*question) == [{"state_value": "w"}]


def test_a_snapshot_leaves_no_transaction_open(store, storage, postgresql):
    with storage.snapshot():
        storage.execute("SELECT 1 AS one")
    storage.execute("SELECT 1 AS one")
    assert postgresql.query(OPEN) == "0"


def run_refused(storage, how):
    """A transaction that adds a row, and then what is refused."""
    with storage.transaction("config", [REFUSED] if how == "at its beginning" else []):
        storage.execute(*ROW)
        storage.makes = how == "to be made"
        if how == "by the caller":
            raise UsageError("refused by the caller")
        if how == "of an inner one":
            with storage.transaction("config"):
                storage.execute(*REFUSED)
        if how == "posted, then asked":
            storage.post(*REFUSED)
            storage.execute("SELECT 1 AS one")
        if how == "posted":
            storage.post(*REFUSED)
        if how == "not minded":
            with contextlib.suppress(UsageError):
                storage.execute(*REFUSED)
        if how == "stopped":
            storage.psql.ask("SET LOCAL statement_timeout = '50ms';")
            storage.execute("SELECT pg_sleep(60)::text AS slept")
        if how == "at the commit":
            storage.psql.ask("CREATE TEMP TABLE t (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED); "
                             "INSERT INTO t VALUES (1), (1);")


def run_severed(storage, postgresql, how):
    with storage.transaction("config"):
        storage.execute(*ROW)
        postgresql.query(TERMINATE)
        if how == "severed":
            storage.execute("SELECT 1 AS one")


def read_refused(storage, how):
    with storage.snapshot([REFUSED] if how == "a snapshot, at its beginning" else []):
        if how == "a snapshot, not minded":
            with contextlib.suppress(UsageError):
                storage.execute(*REFUSED)
        else:
            storage.execute(*REFUSED)


def interrupt(storage, monkeypatch):
    with monkeypatch.context() as patch, storage.transaction("config"):
        storage.execute(*ROW)
        patch.setattr(Psql, "exchange", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        storage.execute("SELECT 1 AS one")


REFUSED = ("SELECT 1 / 0 AS number", {})
ROW = ("INSERT INTO agent_coordination_config (key, value, updated_at) VALUES ('row', '', :at)",
       {"at": "2026-01-01 00:00:00.000"})
ROWS = "SELECT count(*) AS n FROM agent_coordination_config WHERE key = 'row'"
IN_A_TRANSACTION = ["at its beginning", "by the caller", "of an inner one", "posted, then asked", "posted",
                    "not minded", "stopped", "at the commit", "to be made"]
SNAPSHOTS = ["a snapshot", "a snapshot, at its beginning", "a snapshot, not minded"]


WAYS = [*IN_A_TRANSACTION, *SNAPSHOTS, "outside", "severed", "severed at the commit", "interrupted"]


@pytest.mark.parametrize("how, is_made", [(how, is_made) for how in WAYS for is_made in (True, False)
                                          if how not in ("to be made", "at the commit")
                                          or is_made == (how == "at the commit")])  # the unmade is never committed
def test_however_a_transaction_fails_nothing_of_it_is_left(request, directory, environ, clock, postgresql, monkeypatch,
                                                           how, is_made):
    """Where there is no store yet, all of a connection lies in one transaction, which goes on."""
    request.getfixturevalue("store" if is_made else "unmade")
    storage = open_for(str(directory), environ, clock, make=is_made)
    assert storage.is_unmade != is_made
    try:
        with pytest.raises((UsageError, StorageError, StorageMoved, KeyboardInterrupt)):
            if how in IN_A_TRANSACTION:
                run_refused(storage, how)
            elif how in SNAPSHOTS:
                read_refused(storage, how)
            elif how == "outside":
                storage.execute(*REFUSED)
            elif how == "interrupted":
                interrupt(storage, monkeypatch)
            else:
                run_severed(storage, postgresql, how)
        assert storage.execute(ROWS) == [{"n": 0}]
        assert postgresql.query(OPEN) == ("0" if is_made else "1")
        with storage.snapshot():
            assert storage.execute(ROWS) == [{"n": 0}]
        storage.makes = False
        with storage.transaction("config"):
            storage.execute(*ROW)
        assert storage.execute(ROWS) == [{"n": 1}]
        assert postgresql.query(OPEN) == ("0" if is_made else "1")
    finally:
        storage.close()


def test_many_rows_are_inserted_with_their_ids_in_order(store):
    store.register_agent("b", "validation", "m", "s")
    ids = store.send_many("a", [{"to_agent": "b", "message_type": "x-note", "payload": {"n": n}}
                                for n in range(1201)])["ids"]
    assert [(row["id"], row["payload"]["n"]) for row in store.get_agent_messages("b")] == [*zip(ids, range(1201))]
