"""What somebody wrote with sqlite3's readfile(), and bytes that are not UTF-8: read as text, or told by row."""
from __future__ import annotations

import json
import sqlite3

import pytest

from milestone_persist import StorageError

LATIN = "x'636166E9'"  # café as ISO 8859-1 has it


@pytest.fixture
def backend():
    return "hybrid"


@pytest.fixture
def write(store, directory):
    """Runs SQL on the store's database, as somebody would by hand."""
    store.register_agent("a", "milestone-planner", "m", "planning-1")

    def write(sql):
        connection = sqlite3.connect(directory / "coordination.db")
        connection.executescript(sql)
        connection.close()

    return write


def insert(key, value):
    return f"INSERT INTO agent_state (agent_id, state_key, state_value) VALUES ('a', '{key}', {value});"


def test_a_blob_is_read_as_the_text_it_is(store, write, cli, tmp_path):
    write(insert("milestone-plan", "CAST('hi\nthe\u00e9re' AS BLOB)"))
    assert store.load_agent_state("a", "milestone-plan") == "hi\nthe\u00e9re"
    assert cli("load-agent-state", "a", "milestone-plan").text == "hi\nthe\u00e9re"
    assert json.loads(cli("load-agent-state", "a", "milestone-plan", "--full").text)["value"] == "hi\nthe\u00e9re"
    assert store.restore_agent_checkpoint(store.create_agent_checkpoint("a")["checkpoint_id"])
    store.export_coordination(str(tmp_path / "export"))
    assert r"hi\nthe" in (tmp_path / "export").read_text()
    assert store.save_planning_artifacts("planning-1")


def test_a_blob_is_moved_to_another_backend_as_the_text_it_is(write, cli, environ):
    write(insert("k", "CAST('v' AS BLOB)"))
    for backend in "file", "hybrid":
        done = cli("migrate-storage-backend", backend, MILESTONE_BACKEND="")
        assert done.status == 0, done
    assert cli("load-agent-state", "a", "k").text == "v" and cli("doctor").status == 0


def test_doctor_names_a_blob_and_what_to_do(write, cli):
    write(insert("k", "CAST('v' AS BLOB)"))
    done = cli("doctor")
    assert done.status == 3
    assert "agent_state, row a/k: state_value is a BLOB, not text: make it CAST(state_value AS TEXT)" in done.err
    write("UPDATE agent_state SET state_value = CAST(state_value AS TEXT)")
    assert cli("doctor").status == 0


@pytest.mark.parametrize("value", [LATIN, f"CAST({LATIN} AS TEXT)"])
def test_what_is_not_utf8_is_told_where_it_is_read_and_by_doctor(store, write, cli, value):
    write(insert("planning-scope", value) + insert("good", "'v'"))
    told = "agent_state, row a/planning-scope: state_value is not UTF-8: write it again as text that is"
    for call in (lambda: store.load_agent_state("a", "planning-scope"), lambda: store.create_agent_checkpoint("a"),
                 store.export_coordination, lambda: store.save_planning_artifacts("planning-1"), store.doctor,
                 store.backup_coordination):
        with pytest.raises(StorageError) as caught:
            call()
        assert told in str(caught.value) and "\n" not in str(caught.value)
    done = cli("migrate-storage-backend", "file", MILESTONE_BACKEND="")
    assert done.status == 3 and told in done.err and done.err.count("\n") == 1
    assert store.load_agent_state("a", "good") == "v"
    write("DELETE FROM agent_state WHERE state_key = 'planning-scope'")
    assert cli("doctor").status == 0


def test_a_row_whose_very_name_is_not_utf8_is_told(write, cli):
    write(f"INSERT INTO agent_state (agent_id, state_key, state_value) VALUES ('a', CAST({LATIN} AS TEXT), 'v')")
    done = cli("list-agent-state", "a")
    assert done.status == 3 and r"agent_state, row a/caf\xe9: state_key is not UTF-8" in done.err
    assert r"row a/caf\xe9" in cli("doctor").err
