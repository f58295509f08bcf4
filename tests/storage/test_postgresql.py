"""PostgreSQL: values that come back as they were, and statements that are kept parsed."""
from __future__ import annotations

import contextlib
import os
import re
import subprocess

import pytest

from milestone_persist import UsageError
from milestone_persist.opening.place import open_for
from milestone_persist.storage.postgresql.prepared import Prepared
from milestone_persist.storage.postgresql.text import Filled


@pytest.fixture
def backend():
    return "postgresql"


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
    agent = "b" + name.replace("  ", " ")  # two spaces stand in a line of a list, which is no id
    store.register_agent(agent, "validation", "ms-1", "validation-1")
    for _ in range(3):  # as it is, when it is prepared, and after that
        store.save_agent_state(agent, name or "k", value)
        assert store.load_agent_state(agent, name or "k") == value
        store.send_agent_message("a", agent, "error_report", {"text": value})
        assert store.get_agent_messages(agent, True)[0]["payload"] == {"text": value}
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
