"""Stores of earlier versions of the schema: brought forward with every row, killed anywhere; newer ones are refused."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ROOT, size

from milestone_persist import Refused, StorageError, open_store
from milestone_persist.base.tables import NUMBERED, SCHEMA_VERSION, TABLES
from milestone_persist.opening.place import open_for
from milestone_persist.storage.jsonfiles import journal
from milestone_persist.storage.postgresql.psql import Psql, find_psql
from milestone_persist.storage.steps import STEPS

CANONICAL = (ROOT / "sql" / "milestone-coordination.sql").read_text(encoding="utf-8")
VERSIONS = range(1, SCHEMA_VERSION)
NOTE = ("INSERT INTO agent_coordination_config (key, value, description, updated_at) "
        "VALUES ('moved_to', '{}', '20260101-000000', '2026-01-01 00:00:00.000')")


class Sqlite:
    """A SQLite store of some version."""

    variables = {"MILESTONE_BACKEND": "database"}

    def __init__(self, data, directory):
        directory.mkdir()
        self.directory, self.path = directory, directory / "coordination.db"
        (directory / "config").mkdir()
        (directory / "config" / "backend-in-use.txt").write_text("database\n")
        self.run((data / "sqlite.sql").read_text(encoding="utf-8"))
        self.image = self.keep()

    def run(self, script):
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(script)

    def ask(self, sql):
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    def rows(self):
        names = {row["name"] for row in self.ask("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {table: self.ask(f"SELECT * FROM {table}") for table in TABLES if table in names}

    def version(self):
        return self.ask("PRAGMA user_version")[0]["user_version"]

    def make_newer(self):
        self.run(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    def keep(self):
        return self.path.read_bytes()

    def restore(self):
        for path in self.directory.glob("coordination.db-*"):
            path.unlink()
        self.path.write_bytes(self.image)

    @staticmethod
    def kill_at(number):
        """Let this process kill itself at its n-th statement."""
        count, connect = [0], sqlite3.connect

        class Cursor(sqlite3.Cursor):
            def execute(self, *given):
                strike(count, number)
                return super().execute(*given)

        class Connection(sqlite3.Connection):
            def cursor(self, factory=Cursor):
                return super().cursor(factory)

            def execute(self, *given):
                return self.cursor().execute(*given)

        sqlite3.connect = lambda *args, **options: connect(*args, factory=Connection, **options)


class File:
    """JSON files."""

    variables = {"MILESTONE_BACKEND": "file"}

    def __init__(self, data, directory):
        self.image, self.directory, self.head = data / "file", directory, directory / "file-store.json"
        self.restore()

    def keep(self):
        return shutil.copytree(self.directory, self.directory.parent / "image")

    def restore(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self.image, self.directory)

    def rows(self):
        found = {}
        for table in TABLES:
            place = "config/settings.jsonl" if table == "agent_coordination_config" else table.replace("_", "-")
            files = [self.directory / place, *(self.directory / place).rglob("*.json*")]
            rows = [json.loads(text) for path in files if path.is_file()
                    for text in (path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl"
                                 else [path.read_text(encoding="utf-8")])]
            found.update({table: rows} if rows else {})
        return found

    def run(self, sql):
        """Only what NOTE says."""
        with open(self.directory / "config" / "settings.jsonl", "a", encoding="utf-8") as file:
            values = [part for place, part in enumerate(sql.split("'")) if place % 2]
            file.write(json.dumps(dict(zip(("key", "value", "description", "updated_at"), values))) + "\n")

    def version(self):
        return json.loads(self.head.read_text())["schema_version"]

    def make_newer(self):
        self.head.write_text(json.dumps({**json.loads(self.head.read_text()), "schema_version": SCHEMA_VERSION + 1}))

    @staticmethod
    def kill_at(number):
        """The same at the n-th call that changes a file."""
        count = [0]
        for name in ("replace", "unlink", "write", "fsync"):
            setattr(journal.os, name, strike_before(getattr(os, name), count, number))


class Postgresql:
    """A schema on the server."""

    def __init__(self, data, directory, server, variables):
        self.server, self.variables, self.schema = server, variables, variables["MILESTONE_DATABASE_SCHEMA"]
        self.directory = directory
        directory.mkdir()
        (directory / "config").mkdir()
        (directory / "config" / "backend-in-use.txt").write_text("postgresql\n")
        text = (data / "postgresql.sql").read_text(encoding="utf-8").replace("milestone_persist", self.schema)
        self.run(text)
        self.image, self.last = text, ""

    def run(self, script):
        self.last = script
        subprocess.run([find_psql(os.environ), "-Xq", "-v", "ON_ERROR_STOP=1", "-d", self.server.url], check=True,
                       input=f"SET client_min_messages = error; SET search_path = {self.schema};\n{script}".encode(),
                       stdout=subprocess.DEVNULL)

    def keep(self):
        return f"{self.image}\nSET search_path = {self.schema};\n{self.last}"

    def restore(self):
        self.run(f"DROP SCHEMA {self.schema} CASCADE;\n{self.image}")

    def rows(self):
        found = {}
        for table in TABLES:
            if self.server.query(f"SELECT to_regclass('{self.schema}.{table}')"):
                found[table] = json.loads(self.server.query(
                    f"SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM {self.schema}.{table} t"))
        return found

    def version(self):
        return int(self.server.query(f"SELECT max(version) FROM {self.schema}.schema_version"))

    def make_newer(self):
        self.run(f"INSERT INTO schema_version VALUES ({SCHEMA_VERSION + 1}, '')")

    @staticmethod
    def kill_at(number):
        """The same at the n-th request to psql."""
        Psql.ask = strike_before(Psql.ask, [0], number)


def strike_before(call, count, number):
    def strike_and_call(*given, **options):
        strike(count, number)
        return call(*given, **options)

    return strike_and_call


def strike(count, number):
    count[0] += 1
    if count[0] == number:
        os.kill(os.getpid(), signal.SIGKILL)


ENGINES = {"database": Sqlite, "file": File, "postgresql": Postgresql}


@pytest.fixture(params=ENGINES)
def backend(request):
    return request.param


@pytest.fixture
def environ(request, backend, tmp_path):
    variables = (request.getfixturevalue("postgresql_environ") if backend == "postgresql"
                 else ENGINES[backend].variables)
    return {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **variables}


@pytest.fixture(params=VERSIONS)
def old(request, backend, directory, environ):
    """A store of an earlier version."""
    data = ROOT / "tests" / "data" / f"version-{request.param}"
    more = (request.getfixturevalue("postgresql"), environ) if backend == "postgresql" else ()
    made = ENGINES[backend](data, directory, *more)
    assert made.version() == request.param
    return made


def defaults():
    """For each table the columns that need no value, with what they are without one; None for one that is reckoned."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(CANONICAL)
        return {table: {name: None if value is None or "strftime" in value else eval(value)  # noqa: S307
                        for _, name, _, _, value, _ in connection.execute(f"PRAGMA table_info({table})")}
                for table in TABLES}


def ordered(rows):
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def expected(rows):
    """What these rows are in the present version."""
    missing = defaults()
    return {table: ordered({**missing[table], **row} for row in rows.get(table, [])) for table in TABLES}


def read_all(directory, environ, write=False):
    storage = open_for(str(directory), environ, create=False)
    try:
        with storage.transaction() if write else storage.snapshot():
            return {table: ordered(storage.execute(f"SELECT * FROM {table}")) for table in TABLES}
    finally:
        storage.close()


def test_there_is_a_step_and_a_frozen_file_for_each_version():
    assert f"PRAGMA user_version = {SCHEMA_VERSION};" in CANONICAL
    assert len(STEPS) == SCHEMA_VERSION - 1
    for version in VERSIONS:
        for kind in ("", ".postgresql"):
            assert (ROOT / "sql" / "history" / f"{version}{kind}.sql").exists()


def test_a_store_brought_forward_has_every_row_and_the_present_version(old, directory, environ):
    rows = old.rows()
    assert all(rows.get(table) for table in TABLES if table in rows), "the fixture has rows in every table"
    assert read_all(directory, environ) == expected(rows)
    assert old.version() == SCHEMA_VERSION


def test_a_store_brought_forward_is_worked_on_as_a_new_one(old, connect, cli, directory, environ):
    numbers = {table: max(row["id"] for row in old.rows()[table]) for table in NUMBERED}
    store = connect()
    assert store.load_agent_state("a", "json") == '{"n": 2}'
    assert store.send_agent_message("a", "b", "x-note", {})["id"] == numbers["agent_messages"] + 1
    assert store.get_agent_messages("b", True)[1]["payload"]["n"] == 3
    assert store.get_storage_config("message_retry_limit") == "1"
    store.register_agent("b", "validation", "ms-1", "planning-1")
    store.update_milestone_record("ms-2", "title: Three\n")
    assert cli("doctor").status == 0
    storage = open_for(str(directory), environ, make=True)
    storage.execute("INSERT INTO idempotency_keys (caller, operation, key, content_digest, result) "
                    "VALUES ('a', 'send', 'moved_to', 'd', '{}')")
    storage.close()
    before = read_all(directory, environ)
    export = store.export_coordination()["file"]
    with open_store(directory.parent / "other", environ={"MILESTONE_BACKEND": "hybrid"}) as other:
        other.import_coordination(export)
        assert other.export_coordination()
    others = read_all(directory.parent / "other", {"MILESTONE_BACKEND": "hybrid"})
    for table in ("agent_registry", "agent_messages", "idempotency_keys"):
        assert others[table] == before[table] != []


def test_a_step_of_the_schema_killed_anywhere_is_done_or_not_begun(old, backend, directory, environ):
    rows = old.rows()
    after = expected(rows)
    if old.version() == 1:
        old.run(NOTE.format(f"{backend} {directory}") + ";")  # for the step to do something with
    old.image, rows = old.keep(), old.rows()
    before = {table: ordered(rows.get(table, [])) for table in TABLES}
    version, number, step = old.version(), 0, 1 if isinstance(old, File) else size(17, 8)
    while True:
        number += step
        child = os.fork()
        if child == 0:
            try:
                old.kill_at(number)
                open_for(str(directory), environ).transaction().__enter__()
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL)
        if not isinstance(old, File):  # whose journal may wait
            found = {table: ordered(rows) for table, rows in {**dict.fromkeys(TABLES, []), **old.rows()}.items()}
            assert found == (before if old.version() == version else after)
        assert read_all(directory, environ) == after
        assert read_all(directory, environ, write=True) == after  # which carries out a journal
        assert old.version() == SCHEMA_VERSION
        if status == 0:
            break
        old.restore()
    assert number > 8


def test_of_several_that_open_an_earlier_store_at_once_one_brings_it_forward(old, directory, environ):
    rows = old.rows()
    with ThreadPoolExecutor(4) as pool:
        read = [pool.submit(read_all, directory, environ) for _ in range(4)]
    assert all(each.result() == expected(rows) for each in read) and old.version() == SCHEMA_VERSION


CALLS = ("save-agent-state a k v", "load-agent-state a json", "doctor", "initialize-agent-coordination",
         "export-coordination", "list-coordination-sessions", "migrate-storage-backend hybrid", "list-milestones",
         "initialize-storage-system", "log-milestone-event e")


def test_a_newer_store_is_refused_by_its_version(old, cli):
    assert cli("list-coordination-sessions").status == 0  # brings it forward
    old.make_newer()
    rows = old.rows()
    for words in CALLS:
        done = cli(*words.split())
        assert (done.status, done.out, done.err.count("\n")) == (3, b"", 1), words
        assert (f"has schema version {SCHEMA_VERSION + 1}, newer than this program's {SCHEMA_VERSION}: "
                "use a newer milestone_persist\n") in done.err
        assert not {"remove", "delete", "fix", "edit", "move"} & set(done.err.replace(":", " ").split())
    assert old.rows() == rows


@pytest.mark.parametrize("backend", ["database"], indirect=True)
def test_a_newer_export_and_a_newer_backup_are_refused(old, cli, tmp_path):
    (tmp_path / "e.jsonl").write_text(f'{{"format":"milestone_persist","version":{SCHEMA_VERSION + 1}}}\n{{"new":1}}\n')
    assert cli("backup-coordination", tmp_path / "b.db").status == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "b.db")) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for words in (["import-coordination", tmp_path / "e.jsonl", "--replace"],
                  ["restore-coordination", tmp_path / "b.db"]):
        done = cli(*words)
        assert (done.status, done.out, done.err.count("\n")) == (3, b"", 1) and str(words[1]) in done.err
        assert f"version {SCHEMA_VERSION + 1}, newer than this program's {SCHEMA_VERSION}: use a newer" in done.err


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("what", ["export.jsonl", "sqlite.sql"])
def test_what_an_earlier_version_has_kept_can_be_restored_and_stays_as_it_is(
        connect, unmade, directory, environ, tmp_path, version, what):
    data = ROOT / "tests" / "data" / f"version-{version}"
    source = Sqlite(data, tmp_path / "source")
    kept, store = source.path, connect()
    if what == "export.jsonl":
        kept = data / what
        store.import_coordination(str(kept))
    else:
        store.restore_coordination(str(kept))
    content = kept.read_bytes()
    wanted, found = expected(source.rows()), read_all(directory, environ)
    for table in set(TABLES) - {"events", "milestones", "agent_coordination_config"}:
        assert found[table] == wanted[table]
    assert store.read_milestone_record("ms-2") == "title: Two\nstatus: planned\n"
    assert store.get_storage_config("message_retry_limit") == "1"
    assert kept.read_bytes() == content and [*kept.parent.glob("backups")] == []


@pytest.mark.parametrize("old", [1], indirect=True)
def test_an_old_note_of_a_move_is_understood(old, cli, tmp_path):
    other = tmp_path / "elsewhere"
    old.run(NOTE.format(f"hybrid {other}") + ";")
    for words in (["save-agent-state", "a", "k", "v"], ["load-agent-state", "a", "json"]):
        done = cli(*words)
        assert (done.status, done.out) == (3, b"")
        assert f"the data was moved to the hybrid backend in {other}: use it there" in done.err
    assert old.version() == SCHEMA_VERSION
    assert not any(row["key"] == "moved_to" for row in old.rows()["agent_coordination_config"])


@pytest.mark.parametrize("old", [1], indirect=True)
@pytest.mark.parametrize("backend", ["database"], indirect=True)
def test_a_switch_that_an_earlier_version_has_begun_is_finished(old, cli, environ, directory):
    environ.pop("MILESTONE_BACKEND")
    data = old.directory.parent / "copy"
    copy = File(ROOT / "tests" / "data" / "version-1", data)
    copy.run(NOTE.format(f"from database {directory}"))
    for name in [path.name for path in data.iterdir() if path.name not in ("config", "active")]:
        (data / name).rename(directory / name)
    (data / "config" / "settings.jsonl").rename(directory / "config" / "settings.jsonl")
    old.run(NOTE.format(f"file {directory}"))
    done = cli("load-agent-state", "a", "json")
    assert (done.status, done.text) == (0, '{"n": 2}')
    assert cli("get-current-storage-backend").text == "file\n"


@pytest.mark.parametrize("backend", ["database"], indirect=True)
def test_what_others_have_added_stays(old, connect):
    old.run("""
        DROP TABLE IF EXISTS idempotency_keys;
        CREATE TABLE idempotency_keys (mine TEXT); INSERT INTO idempotency_keys VALUES ('my row');
        ALTER TABLE agent_state ADD COLUMN note TEXT; UPDATE agent_state SET note = 'mine ' || state_key;
        CREATE INDEX my_index ON agent_messages (from_agent);
        CREATE VIEW my_view AS SELECT agent_id FROM agent_registry;
        CREATE TABLE my_log (agent_id TEXT);
        CREATE TABLE my_notes (agent_id TEXT REFERENCES agent_registry (agent_id));
        CREATE TRIGGER my_trigger AFTER UPDATE ON agent_registry BEGIN INSERT INTO my_log VALUES (NEW.agent_id); END;
    """)
    connect().agent_heartbeat("a")
    assert old.ask("SELECT mine FROM idempotency_keys_not_ours") == [{"mine": "my row"}]
    assert old.ask("SELECT note FROM agent_state WHERE state_key = 'text'") == [{"note": "mine text"}]
    assert len(old.ask("SELECT * FROM my_view")) == 4 and {"agent_id": "a"} in old.ask("SELECT * FROM my_log")
    assert old.ask("SELECT 1 AS there FROM sqlite_master WHERE name = 'my_index'") == [{"there": 1}]
    [reference] = old.ask("PRAGMA foreign_key_list(my_notes)")
    assert (reference["table"], reference["to"]) == ("agent_registry", "agent_id")
    assert old.ask("PRAGMA foreign_key_check") == [] and old.ask("PRAGMA integrity_check")[0]["integrity_check"] == "ok"


@pytest.mark.parametrize("backend", ["database"], indirect=True)
def test_a_copy_is_kept_before_the_schema_changes(old, connect, directory):
    version, rows = old.version(), old.rows()
    connect().agent_heartbeat("a")
    [old.path] = (directory / "backups").glob(f"before-version-{SCHEMA_VERSION}-*.db")
    assert (old.version(), old.rows()) == (version, rows)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_who_does_not_own_the_tables_is_told_who_can_bring_them_forward(old, cli, postgresql):
    postgresql.query("DROP ROLE IF EXISTS visitor")
    postgresql.query("CREATE ROLE visitor LOGIN")
    for right in (f"USAGE ON SCHEMA {old.schema}", f"ALL ON ALL TABLES IN SCHEMA {old.schema}"):
        postgresql.query(f"GRANT {right} TO visitor")
    rows, done = old.rows(), cli("list-coordination-sessions",
                                 MILESTONE_DATABASE_URL=postgresql.url.replace("tester@", "visitor@"))
    postgresql.query("DROP OWNED BY visitor")
    assert (done.status, done.out, done.err.count("\n")) == (3, b"", 1)
    assert f"is to be brought to {SCHEMA_VERSION}, which this user may not do (permission denied" in done.err
    assert "as the owner of its tables" in done.err and old.rows() == rows


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_in_a_schema_of_another_name(old, directory, environ, postgresql):
    rows, name = old.rows(), "User_" + old.schema  # one that SQL writes in quotes
    postgresql.query(f'ALTER SCHEMA {old.schema} RENAME TO "{name}"')
    environ["MILESTONE_DATABASE_SCHEMA"] = name
    assert read_all(directory, environ) == expected(rows)
    with open_store(directory, environ=environ) as store:
        store.save_agent_state("a", "text", "new")  # with its triggers
        store.agent_heartbeat("a")
    assert postgresql.query("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == "0"


FORM = """
  SELECT concat_ws(' ', 'column', c.relname, c.relkind, attnum, attname, format_type(atttypid, atttypmod), attnotnull,
         attcollation::regcollation, attidentity, pg_get_expr(adbin, adrelid)) AS line
  FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
  WHERE relnamespace = '{0}'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0
  UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE connamespace = '{0}'::regnamespace
  UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = '{0}'
  UNION ALL SELECT viewname || definition FROM pg_views WHERE schemaname = '{0}'
  UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
  WHERE relnamespace = '{0}'::regnamespace AND NOT tgisinternal
  UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = '{0}'::regnamespace"""


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_fresh_schema_equals_a_migrated_one(old, connect, postgresql, shared_schema):
    connect()
    fresh, forms = shared_schema.lend(), []
    for name in (old.schema, fresh):
        text = postgresql.query(f"SELECT json_agg(line ORDER BY line) FROM ({FORM.format(name)}) AS q")
        forms.append(sorted(line.replace(name, "HERE") for line in json.loads(text)))
    shared_schema.take_back()
    assert forms[0] == forms[1] and len(forms[0]) > 200
    assert postgresql.query("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'milestone_persist_form'") == "0"


def test_counting_dead_letters_goes_by_their_index(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.executescript(CANONICAL)
        for columns, rest in (("count(*)", "IS NOT NULL"), ("id, payload", "> '' ORDER BY id")):
            [*_, plan] = connection.execute(f"EXPLAIN QUERY PLAN SELECT {columns} FROM agent_messages "
                                            f"WHERE session_id = 's' AND dead_lettered_at {rest}").fetchone()
            assert "agent_messages_dead (session_id=?" in plan
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM agent_messages WHERE to_agent = 'a' AND delivered_at IS NULL "
            "AND dead_lettered_at IS NULL ORDER BY priority DESC, id").fetchall()
        assert len(plan) == 1 and "agent_messages_pending" in plan[0][3]  # no sorting


def test_a_step_that_fails_changes_nothing(old, connect, directory, environ, monkeypatch):
    def fail(run):
        run("DELETE FROM events")
        raise Refused("no")

    version, rows = old.version(), old.rows()
    with monkeypatch.context() as patch:
        patch.setattr("milestone_persist.storage.steps.STEPS", (*STEPS[:-1], fail))
        with pytest.raises((Refused, StorageError)):
            connect().agent_heartbeat("a")
    assert (old.version(), old.rows()) == (version, rows)
    assert read_all(directory, environ) == expected(rows)


if sys.platform == "darwin":  # forking after threads is not safe there
    del test_a_step_of_the_schema_killed_anywhere_is_done_or_not_begun
