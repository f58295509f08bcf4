"""What others have put into the database decides nothing: a call refuses it before it asks; no query is endless."""
from __future__ import annotations

import shlex
import sqlite3

import pytest

from milestone_persist.base.errors import StorageError
from milestone_persist.storage.sqlite import embedded

pytestmark = pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)"
# What is put in, what is said of it, and whether doctor --fix takes it out.
ALTERED = {
    "a trigger that deletes": (
        "CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN DELETE FROM agent_messages WHERE id = NEW.id; END",
        "trigger t on agent_messages is not of this program", True),
    "a trigger that writes something else": (
        "CREATE TRIGGER t AFTER INSERT ON agent_state BEGIN UPDATE agent_state SET state_value = 'other'; END",
        "trigger t on agent_state is not of this program", True),
    "a trigger that never ends": (
        f"CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN SELECT count(*) FROM ({ENDLESS} SELECT n FROM c); END",
        "trigger t on agent_messages is not of this program", True),
    "a view that never ends": (
        f"DROP TABLE agent_messages; CREATE VIEW agent_messages AS {ENDLESS} SELECT n AS id, * FROM c",
        "table agent_messages was replaced by a view", False),
    "settings that never end": (
        f"DROP TABLE agent_coordination_config; CREATE VIEW agent_coordination_config AS {ENDLESS} "
        "SELECT 'synchronous' AS key, n AS value, n AS description, n AS updated_at FROM c",
        "table agent_coordination_config was replaced by a view", False),
    "a tombstone that never ends": (
        f"DROP TABLE store_moves; CREATE VIEW store_moves AS {ENDLESS} SELECT n AS moved_to, n AS move FROM c",
        "table store_moves was replaced by a view", False),
    "a trigger that is named as SQLite's own": (
        "PRAGMA writable_schema = ON; INSERT INTO sqlite_master VALUES ('trigger', 'sqlite_t', 'agent_messages', 0, "
        "'CREATE TRIGGER sqlite_t AFTER INSERT ON agent_messages BEGIN DELETE FROM agent_messages; END')",
        "trigger sqlite_t on agent_messages is not of this program", True),
    "an index that refuses": ("CREATE UNIQUE INDEX u ON agent_messages (to_agent)",
                              "index u on agent_messages is not of this program", True),
    "a column that is computed": ("ALTER TABLE agent_state ADD COLUMN mine AS (abs(-9223372036854775808))",
                                  "table agent_state is another", True),
    "a trigger of ours that is gone": ("DROP TRIGGER keep_removed_version", "keep_removed_version is missing", True),
    "a table that is gone": ("DROP TABLE agent_messages", "table agent_messages is missing", False),
    "a view of ours that never ends": (
        f"DROP VIEW stale_sessions; CREATE VIEW stale_sessions AS {ENDLESS} SELECT * FROM c",
        "view stale_sessions is another", True),
}
CALLS = (["send-agent-message", "a", "a", "progress_update", "{}"], ["save-agent-state", "a", "k", "new"],
         ["get-agent-messages", "a"], ["load-agent-state", "a", "k"], ["get-storage-config"], ["list-milestones"],
         ["backup-coordination"], ["migrate-storage-backend", "file"], ["whoami"])
EACH = pytest.mark.parametrize("name", ALTERED)


@pytest.fixture
def filled(store):
    store.register_agent("a", "validation", "m", "s")
    store.save_agent_state("a", "k", "v")
    store.send_agent_message("a", "a", "progress_update", {"n": 1})
    return store


@pytest.fixture
def edit(filled, directory):
    def edit(sql, path=directory / "coordination.db"):
        with sqlite3.connect(path) as connection:
            connection.executescript(sql)
        connection.close()

    return edit


def read(path):
    """All rows of the tables, as they lie in the file."""
    connection = sqlite3.connect(path)
    names = [name for name, in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = {}
    for name in sorted(names):
        columns = ", ".join(column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})"))
        rows[name] = connection.execute(f"SELECT {columns} FROM {name}").fetchall()
    connection.close()
    return rows


@pytest.fixture
def brief(monkeypatch):
    """A query is soon one that goes on for too long."""
    monkeypatch.setattr(embedded, "STEPS", 100_000)
    monkeypatch.setattr(embedded, "MOST_STEPS", 5)


@EACH
def test_no_call_is_made_on_an_altered_schema(brief, edit, cli, directory, name):
    sql, said, is_fixable = ALTERED[name]
    edit(sql)
    before = read(directory / "coordination.db")
    for words in CALLS:
        done = cli(*words, AGENT_ID="a")
        assert done.status == 3 and said in done.err and done.err.count("\n") == 1 and not done.text, done
        assert ("doctor --fix repairs it" in done.err) == is_fixable, done
        assert ("restore_coordination" in done.err) != is_fixable, done
    assert read(directory / "coordination.db") == before
    assert cli("doctor").status == 3 and cli("where").status == 0
    assert read(directory / "coordination.db") == before


@pytest.mark.parametrize("name", [name for name in ALTERED if ALTERED[name][2]])
def test_it_is_taken_out_and_calls_go_on(edit, cli, name):
    edit(ALTERED[name][0])
    assert cli("doctor", "--fix").status == 0
    assert cli(*CALLS[0]).text == "2\n" and cli("load-agent-state", "a", "k").text == "v"


@EACH
def test_a_backup_takes_the_place_of_what_was_altered(edit, cli, name):
    backup = shlex.split(cli("backup-coordination").text)[-1]
    edit(ALTERED[name][0])
    done = cli("restore-coordination", backup)
    assert done.status == 0, done
    assert cli("load-agent-state", "a", "k").text == "v" and cli("doctor").status == 0


@pytest.mark.parametrize("sql", [
    "CREATE TABLE mine (x); CREATE VIEW v AS SELECT * FROM agent_messages; ALTER TABLE agent_state ADD COLUMN mine",
    "DROP INDEX agent_messages_dead", "DROP VIEW active_agents",
    "CREATE TABLE mine (x); CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN INSERT INTO mine VALUES (1); END",
], ids=lambda sql: sql[:30])
def test_what_does_no_harm_stops_no_call(edit, cli, sql):
    edit(sql)
    assert cli(*CALLS[0]).text == "2\n" and cli("load-agent-state", "a", "k").text == "v"


@pytest.mark.parametrize("name", ["v", "busy", "locked", "closed", "full", "readonly", "unable to open", "not I/O"])
def test_the_name_of_a_broken_view_says_nothing_of_what_is_wrong(edit, cli, directory, monkeypatch, name):
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.0)
    backup = directory.parent / "backup.db"
    assert cli("backup-coordination", backup).status == 0
    sql = (f'CREATE VIEW "{name}" AS SELECT 1 AS x; PRAGMA writable_schema = ON; '
           f"UPDATE sqlite_master SET sql = 'CREATE VIEW x AS SELEKT' WHERE name = '{name}'")
    edit(sql)
    done = cli("save-agent-state", "a", "k", "v")
    assert done.status == 3 and "is not a readable database (malformed" in done.err, done
    edit(sql, backup)
    done = cli("restore-coordination", backup)
    assert done.status == 2 and "it is damaged or not whole; name another one" in done.err, done


@pytest.mark.parametrize("term", ["1", "'x'", "null"])
def test_an_index_with_a_condition_of_many_parts_is_soon_seen_through(soon, edit, cli, term):
    edit(f"CREATE INDEX i ON agent_messages (id) WHERE {' = '.join([term] * 90)} + 1")
    done = cli(*CALLS[0])
    assert done.status == 3 and "index i on agent_messages is not of this program" in done.err, done


def test_an_open_store_says_so_by_its_error(edit, filled, connect):
    edit(ALTERED["a trigger that deletes"][0])
    with pytest.raises(StorageError, match="trigger t on agent_messages"):
        connect().send_agent_message("a", "a", "progress_update", {})


def test_a_query_that_never_ends_is_stopped(brief, store):
    with pytest.raises(StorageError, match="went on for too long"):
        store.storage().execute(f"{ENDLESS} SELECT max(n) FROM c")
    assert store.save_agent_state("a", "k", "v")["version"] == 1
