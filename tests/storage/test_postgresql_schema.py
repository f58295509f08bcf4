"""The schema of a store on PostgreSQL: made, held by the database, altered by others."""
from __future__ import annotations

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from milestone_persist import StorageError, UsageError
from milestone_persist.opening.place import open_for
from milestone_persist.storage.postgresql.psql import Psql


@pytest.fixture
def backend():
    return "postgresql"


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


def test_what_people_write_by_hand_moves_the_sessions_activity_too(store, storage, postgresql, schema):
    store.register_agent("a", "validation", "m", "s")
    postgresql.query(f"UPDATE {schema}.agent_registry SET last_heartbeat = '2026-02-01 00:00:00.000'")
    assert storage.execute("SELECT last_activity FROM coordination_sessions")[0]["last_activity"][:10] == "2026-02-01"
    assert storage.execute("SELECT * FROM active_agents")[0]["agent_id"] == "a"


def test_processes_that_open_a_new_store_at_once_make_it_once(unmade, directory, environ):
    with ThreadPoolExecutor(4) as pool:
        opened = [pool.submit(open_for, str(directory), environ, make=True) for _ in range(4)]
    for each in opened:
        each.result().close()


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


def test_a_call_that_waits_for_a_message_runs_into_no_limit_of_queries(store, environ, postgresql):
    store.register_agent("b", "validation", "m", "s")
    storage = store.storage()
    storage.psql.ask("SET statement_timeout = '2s';")
    assert store.get_agent_messages("b", True, wait=10) == []  # by its clock
    assert storage.execute("SELECT current_setting('statement_timeout') AS most") == [{"most": "2s"}]
