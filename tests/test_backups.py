"""Backup, restore, export and import, on and between backends."""
from __future__ import annotations

import json
import os
import sqlite3

import pytest

from milestone_persist import Refused, StorageError, UsageError, open_store
from milestone_persist.operations import backups


@pytest.fixture
def filled(store, clock):
    store.register_agent("a", "scope-analyzer", "ms-1", "planning-1")
    store.register_agent("b", "validation", "ms-1", "planning-1")
    store.create_milestone_record("ms-1", "title: 'one'\n\n")
    store.save_agent_state("a", "k", "it's\n🎉")
    store.send_agent_message("a", "b", "x-note", {"n": 1})
    return store


def exported(store, tmp_path, name):
    return (tmp_path / store.export_coordination(str(tmp_path / name))["file"]).read_text()


def rows_of(export):
    """The lines of an export without its end and without the note that the rows were brought here."""
    return [line for line in export.splitlines()[:-1] if '"event":"store_' not in line]


def test_a_backup_is_a_database_with_everything_in_it(filled, tmp_path):
    path = filled.backup_coordination(str(tmp_path / "b.db"))["file"]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT data FROM milestones").fetchall() == [("title: 'one'\n\n",)]
    assert connection.execute("SELECT state_value FROM agent_state").fetchall() == [("it's\n🎉",)]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    with pytest.raises(UsageError, match="is there already"):
        filled.backup_coordination(path)


def test_restoring_puts_everything_back_and_keeps_what_was_there(filled, tmp_path):
    before = exported(filled, tmp_path, "before.jsonl")
    backup = filled.backup_coordination()["file"]
    filled.save_agent_state("a", "k", "changed")
    filled.update_milestone_record("ms-1", "title: changed")
    told = filled.restore_coordination(backup)
    assert rows_of(exported(filled, tmp_path, "after.jsonl")) == rows_of(before)
    filled.restore_coordination(told["kept"])
    assert filled.load_agent_state("a", "k") == "changed"
    assert filled.read_milestone_record("ms-1") == "title: changed"
    assert filled.send_agent_message("a", "b", "x-note", {})["id"] > 1


def test_what_is_no_backup_changes_nothing(filled, tmp_path, dump):
    before = dump()
    (tmp_path / "text").write_text("no database")
    with pytest.raises(UsageError, match="is no backup"):
        filled.restore_coordination(str(tmp_path / "text"))
    with pytest.raises(Refused, match="cannot read the backup"):
        filled.restore_coordination(str(tmp_path / "missing"))
    assert dump() == before


def test_another_program_s_database_is_no_backup_and_stays_as_it_is(filled, tmp_path, dump):
    path, before = tmp_path / "cookies.db", dump()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cookies (host)")
    connection.close()
    theirs = path.read_bytes()
    with pytest.raises(UsageError, match="is no backup"):
        filled.restore_coordination(str(path))
    assert dump() == before and path.read_bytes() == theirs


def test_a_backup_that_fails_leaves_no_file(filled, tmp_path, monkeypatch):
    def fill_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill_disk)
    with pytest.raises(StorageError, match="e.jsonl .No space left on device.: free some space"):
        filled.export_coordination(str(tmp_path / "e.jsonl"))
    monkeypatch.undo()
    monkeypatch.setattr(backups, "copy_rows", lambda *given: fill_disk(0))
    with pytest.raises(OSError, match="No space"):
        filled.backup_coordination(str(tmp_path / "b.db"))
    assert not {"e.jsonl", "b.db"} & {*os.listdir(tmp_path)}


def test_an_export_is_json_lines_that_any_backend_reads(filled, tmp_path, clock):
    text = exported(filled, tmp_path, "e.jsonl")
    head, *lines, end = [json.loads(line) for line in text.splitlines()]
    assert head == {"format": "milestone_persist", "version": 1}
    assert {line["table"] for line in lines} >= {"milestones", "agent_registry", "agent_state", "agent_messages"}
    assert sum(end["rows"].values()) == len(lines) and end["last_numbers"]["agent_messages"] == 1
    for backend in ("file", "hybrid", "database"):
        with open_store(tmp_path / backend, clock=clock, environ={"MILESTONE_BACKEND": backend}) as other:
            other.import_coordination(str(tmp_path / "e.jsonl"))
            assert rows_of(exported(other, tmp_path, f"{backend}.jsonl")) == rows_of(text)
            assert other.read_milestone_record("ms-1") == "title: 'one'\n\n"
            assert other.send_agent_message("a", "b", "x-note", {})["id"] > 1


def test_importing_into_a_store_that_is_not_empty(filled, tmp_path):
    exported(filled, tmp_path, "e.jsonl")
    filled.save_agent_state("a", "k2", "later")
    with pytest.raises(Refused, match="--replace replaces all of it"):
        filled.import_coordination(str(tmp_path / "e.jsonl"))
    assert filled.load_agent_state("a", "k2") == "later"
    told = filled.import_coordination(str(tmp_path / "e.jsonl"), replace=True)
    assert filled.load_agent_state("a", "k2", "gone") == "gone"
    filled.restore_coordination(told["kept"])
    assert filled.load_agent_state("a", "k2") == "later"


@pytest.mark.parametrize("text", [
    "", "{}", "no json", '{"format":"milestone_persist","version":1}\n{"table":"sqlite_master","row":{}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events"}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"id) VALUES (1); --":1}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"nonsense":1}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"id":1,"event":[]}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"id":1}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"event":"x"}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"id":"1","event":"x"}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"id":0,"event":"x"}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"id":9223372036854775807,"event":"x"}}',
    '{"format":"milestone_persist","version":1}\n{"table":"agent_messages","row":{"id":1,"priority":9223372036854775808}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"id":1,"event":"\\ud800"}}',
    '{"format":"milestone_persist","version":1}\n{"table":"events","row":{"id":1,"event":"a\\u0000b"}}',
    '{"format":"milestone_persist","version":1}\n'
    '{"table":"agent_coordination_config","row":{"key":"moved_to","value":"file /elsewhere"}}',
])
def test_a_file_that_is_no_export_is_refused_and_changes_nothing(store, tmp_path, dump, text):
    before = dump()
    (tmp_path / "e.jsonl").write_text(text)
    with pytest.raises(UsageError, match="is no (whole )?export"):
        store.import_coordination(str(tmp_path / "e.jsonl"))
    assert dump() == before
