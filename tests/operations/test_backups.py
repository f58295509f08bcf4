"""Backup, restore, export and import, on and between backends."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import warnings

import pytest
from conftest import size
from memory import invent_name

from milestone_persist import MilestoneWarning, Refused, StorageError, UsageError, open_store
from milestone_persist.base.tables import SCHEMA_VERSION
from milestone_persist.operations import backups
from milestone_persist.records import index as records
from milestone_persist.records import undo as undoing
from milestone_persist.storage.sqlite.embedded import EmbeddedStorage


@pytest.fixture
def filled(store):
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


def test_a_backup_that_is_damaged_when_it_has_been_written_is_none(filled, tmp_path, monkeypatch):
    monkeypatch.setattr(EmbeddedStorage, "check", lambda self: ["row 3 missing from index x"])
    with pytest.raises(StorageError, match="there is no backup: row 3 missing"):
        filled.backup_coordination(str(tmp_path / "b.db"))
    assert not [*tmp_path.glob("b.db*")]


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


@pytest.mark.parametrize("name", ["coordination.db-journal", "coordination.db-wal", "file-store.journal", ".gitignore",
                                  "active/new.yaml", "agent-messages/00000001.jsonl", "config/storage-backend.txt"])
def test_no_backup_takes_the_name_of_a_file_of_the_store(filled, directory, dump, tmp_path, name):
    before = dump()
    (tmp_path / "link").symlink_to(directory)
    for call in filled.backup_coordination, filled.export_coordination:
        for path in directory / name, tmp_path / "link" / name, directory / "backups" / ".." / name:
            was_there = path.exists()
            with pytest.raises(UsageError, match="a file of the store itself"):
                call(str(path))
            assert path.exists() == was_there and dump() == before


def test_what_is_no_backup_changes_nothing(filled, tmp_path, dump):
    before = dump()
    (tmp_path / "text").write_text("no database")
    with pytest.raises(UsageError, match="is not a backup"):
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
    with pytest.raises(UsageError, match="is not a backup"):
        filled.restore_coordination(str(path))
    assert dump() == before and path.read_bytes() == theirs


def test_a_backup_that_fails_leaves_no_file(filled, tmp_path, monkeypatch):
    def fill_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill_disk)
    with pytest.raises(StorageError, match="e.jsonl .No space left on device.: free some space"):
        filled.export_coordination(str(tmp_path / "e.jsonl"))
    monkeypatch.undo()
    monkeypatch.setattr(backups, "copy_own_rows", lambda *given: fill_disk(0))
    with pytest.raises(OSError, match="No space"):
        filled.backup_coordination(str(tmp_path / "b.db"))
    assert not {"e.jsonl", "b.db"} & {*os.listdir(tmp_path)}


def test_an_export_is_json_lines_that_any_backend_reads(filled, tmp_path, clock):
    text = exported(filled, tmp_path, "e.jsonl")
    head, *lines, end = [json.loads(line) for line in text.splitlines()]
    assert head == {"format": "milestone_persist", "version": SCHEMA_VERSION}
    assert {line["table"] for line in lines} >= {"milestones", "agent_registry", "agent_state", "agent_messages"}
    assert sum(end["rows"].values()) == len(lines) and end["last_numbers"]["agent_messages"] == 1
    for backend in ("file", "hybrid", "database"):
        with open_store(tmp_path / backend, clock=clock, environ={"MILESTONE_BACKEND": backend}) as other:
            other.import_coordination(str(tmp_path / "e.jsonl"))
            assert rows_of(exported(other, tmp_path, f"{backend}.jsonl")) == rows_of(text)
            assert other.read_milestone_record("ms-1") == "title: 'one'\n\n"
            assert other.send_agent_message("a", "b", "x-note", {})["id"] > 1


def test_importing_into_a_store_that_is_not_empty_needs_replace(filled, tmp_path):
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
    with pytest.raises(UsageError, match="is not an? (complete )?export"):
        store.import_coordination(str(tmp_path / "e.jsonl"))
    assert dump() == before


def end_of(store, tmp_path, name):
    return json.loads(exported(store, tmp_path, name).splitlines()[-1])


@pytest.fixture
def other_times(store, tmp_path):
    """A store with ms-1 completed, as a backup and an export tell of it; since then it has changed in every way."""
    for name in ("ms-1", "ms-2"):
        store.create_milestone_record(name, f"title: {name}")
    store.delete_milestone_record("ms-1")
    store.backup_coordination(str(tmp_path / "b.db"))
    store.export_coordination(str(tmp_path / "e.jsonl"))
    store.create_milestone_record("ms-3", "title: new")
    store.update_milestone_record("ms-2", "title: changed")
    return store


def bring_back(store, tmp_path, by):
    return (store.restore_coordination(str(tmp_path / "b.db")) if by == "restore" else
            store.import_coordination(str(tmp_path / "e.jsonl"), replace=True))


WAYS = pytest.mark.parametrize("by", ["restore", "import"])


def records_of(store):
    return {row["id"]: (row["status"], store.read_milestone_record(row["id"])) for row in store.list_milestones()}


def files_of(directory):
    return {path.relative_to(directory): path.read_text() for folder in ("active", "completed")
            for path in (directory / folder).glob("*")}


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_path_with_half_a_character_is_none(store, tmp_path):
    for call in (store.backup_coordination, store.export_coordination, store.import_tmp_files):
        with pytest.raises(UsageError, match="half a character"):
            call(f"{tmp_path}/\ud800")


@WAYS
def test_records_are_replaced_with_the_rows(other_times, directory, tmp_path, backend, by):
    if backend in ("file", "hybrid"):
        (directory / "completed" / "ms-1.yaml").rename(directory / "active" / "ms-1.yaml")  # it would count
        (directory / "active" / "by hand.yaml").write_text("title: by hand")
    now = records_of(other_times)
    kept = bring_back(other_times, tmp_path, by)["kept"]
    assert records_of(other_times) == {"ms-1": ("completed", "title: ms-1"), "ms-2": ("active", "title: ms-2")}
    other_times.restore_coordination(kept)
    assert records_of(other_times) == now


@WAYS
@pytest.mark.parametrize("fault", ["a row", "the last event", "a record"])
def test_a_failure_on_the_way_changes_nothing_and_names_the_backup(other_times, directory, tmp_path, dump, monkeypatch,
                                                                   backend, by, fault):
    before, files, storage = dump(), files_of(directory), other_times.storage()
    plain, written = storage.execute, undoing.write_whole

    def refuse(sql, params={}):
        text = {"a row": "INSERT INTO milestones (", "the last event": "INSERT INTO events ("}.get(fault)
        if text and sql.startswith(text) and params.get("id", "ms-2") == "ms-2":
            raise UsageError("refused by the database: for the test")
        return plain(sql, params)

    def fill_disk(path, data, replace=True):
        if path.endswith("ms-2.yaml"):
            raise StorageError(f"cannot write {path}: for the test")
        written(path, data, replace)

    if fault == "a record":
        if backend in ("database", "postgresql"):  # records are rows there
            return
        monkeypatch.setattr(undoing, "write_whole", fill_disk)
    else:
        monkeypatch.setattr(storage, "execute", refuse)
    with pytest.raises((UsageError, StorageError), match="for the test; everything is as it was, and a backup") as told:
        bring_back(other_times, tmp_path, by)
    monkeypatch.undo()
    assert str(directory / "backups") in str(told.value)
    assert fault != "a row" or "milestones ms-2: " in str(told.value)
    assert (dump(), files_of(directory)) == (before, files)


def test_a_failed_import_into_an_empty_store_leaves_it_empty(other_times, tmp_path, clock, environ, backend):
    corrupt = (tmp_path / "e.jsonl").read_text().replace('"milestone_created"', '""')
    (tmp_path / "e.jsonl").write_text(corrupt)
    if backend == "postgresql":
        environ = {**environ, "MILESTONE_DATABASE_SCHEMA": invent_name("test")}
    with open_store(tmp_path / "other", clock=clock, environ=environ) as other:
        with pytest.raises(UsageError, match="events 1: refused by the database"):
            other.import_coordination(str(tmp_path / "e.jsonl"))
        assert other.list_milestones() == [] and files_of(tmp_path / "other") == {}


def test_settings_are_kept_too_when_an_empty_store_is_restored(store, tmp_path):
    backup = store.backup_coordination(str(tmp_path / "b.db"))["file"]
    store.set_storage_config("message_retry_limit", "7")
    kept = store.restore_coordination(backup)["kept"]
    assert store.get_storage_config("message_retry_limit") == "3"
    store.restore_coordination(kept)
    assert store.get_storage_config("message_retry_limit") == "7"


@WAYS
@pytest.mark.parametrize("own", ["", "mine"])
def test_a_file_brings_no_command(filled, cli, by, own):
    filled.set_storage_config("agent_spawn_command", "touch pwned")
    path = filled.backup_coordination()["file"] if by == "restore" else filled.export_coordination()["file"]
    filled.set_storage_config("agent_spawn_command", own)
    done = cli("restore-coordination", path) if by == "restore" else cli("import-coordination", path, "--replace")
    assert done.status == 0 and done.err.count("\n") == 1
    assert "warning: agent_spawn_command was left out, because it would be run here: the file has 'touch pw" in done.err
    assert filled.get_storage_config("agent_spawn_command") == own
    filled.set_storage_config("agent_spawn_command", "touch pwned")
    again = cli("restore-coordination", path) if by == "restore" else cli("import-coordination", path, "--replace")
    assert (again.status, again.err) == (0, "")


def test_a_file_without_a_command_leaves_the_one_there_is(filled, cli):
    path = filled.backup_coordination()["file"]
    filled.set_storage_config("agent_spawn_command", "mine")
    assert cli("restore-coordination", path).err == ""
    assert filled.get_storage_config("agent_spawn_command") == "mine"


@WAYS
def test_between_the_backup_and_the_replacing_nobody_can_write(other_times, tmp_path, monkeypatch, by):
    inside, plain = [], backups.backup_coordination

    def note(store):
        done = plain(store)
        inside.append(store.depth > 0)  # the lock that it had is still held
        return done

    monkeypatch.setattr(backups, "backup_coordination", note)
    bring_back(other_times, tmp_path, by)
    assert inside == [True]


def test_whether_a_store_is_empty_is_asked_under_the_lock(store, tmp_path, monkeypatch):
    store.export_coordination(str(tmp_path / "e.jsonl"))
    asked, plain = [], backups.count_rows
    monkeypatch.setattr(backups, "count_rows", lambda store: asked.append(store.depth) or plain(store))
    store.import_coordination(str(tmp_path / "e.jsonl"))
    assert asked and 0 not in asked


def test_records_written_by_hand_make_a_store_full(store, directory, tmp_path, backend):
    store.export_coordination(str(tmp_path / "e.jsonl"))
    (directory / "active").mkdir()
    (directory / "active" / "by hand.yaml").write_text("title: by hand")
    if backend in ("file", "hybrid"):
        with pytest.raises(Refused, match="the store is not empty"):
            store.import_coordination(str(tmp_path / "e.jsonl"))
    assert (directory / "active" / "by hand.yaml").exists()


@pytest.mark.parametrize("cut", ["all but the head", "the end", "a row", "half a line", "none, but more follows",
                                 "the head", "a number"])
def test_an_export_that_is_not_whole_is_refused(filled, tmp_path, dump, cut):
    lines, before = exported(filled, tmp_path, "e.jsonl").splitlines(), dump()
    corrupt = lines[-1].replace('"agent_messages":1', '"agent_messages":-1')
    kept = {"all but the head": lines[:1], "the end": lines[:-1], "a row": [*lines[:1], *lines[2:]],
            "half a line": [*lines[:-1], lines[-1][:30]], "none, but more follows": [*lines, lines[1]],
            "the head": lines[1:], "a number": [*lines[:-1], corrupt]}
    (tmp_path / "cut.jsonl").write_text("\n".join(kept[cut]) + "\n")
    with pytest.raises(UsageError, match="is not an? (complete )?export of export_coordination"):
        filled.import_coordination(str(tmp_path / "cut.jsonl"), replace=True)
    assert dump() == before


def test_a_path_of_a_file_is_no_part_of_an_export(filled, tmp_path):
    text = exported(filled, tmp_path, "e.jsonl").replace('"file_path":null', '"file_path":"../secret.yaml"')
    (tmp_path / "e.jsonl").write_text(text)
    with pytest.raises(UsageError, match="is not an export"):
        filled.import_coordination(str(tmp_path / "e.jsonl"), replace=True)


@pytest.mark.parametrize("by", ["backup", "export", "migration"])
def test_no_number_is_given_out_twice(filled, tmp_path, clock, environ, directory, backend, by):
    last = max(filled.send_agent_message("a", "b", "x-note", {})["id"] for _ in range(3))
    storage = filled.storage()
    with storage.transaction():
        storage.execute("DELETE FROM agent_messages")
    filled.backup_coordination(str(tmp_path / "b.db"))
    assert end_of(filled, tmp_path, "e.jsonl")["last_numbers"]["agent_messages"] == last
    if by == "migration":
        if backend == "postgresql":
            bare = {key: value for key, value in environ.items() if key.startswith("MILESTONE_DATABASE")}
        else:
            bare = {}
        with open_store(directory, clock=clock, environ=bare) as store:
            store.migrate_storage_backend("hybrid" if backend == "file" else "file")
            assert store.send_agent_message("a", "b", "x-note", {})["id"] == last + 1
        return
    for other in ("file", "hybrid"):
        with open_store(tmp_path / other, clock=clock, environ={"MILESTONE_BACKEND": other}) as store:
            if by == "backup":
                store.restore_coordination(str(tmp_path / "b.db"))
            else:
                store.import_coordination(str(tmp_path / "e.jsonl"))
            assert store.send_agent_message("a", "b", "x-note", {})["id"] == last + 1
    assert filled.send_agent_message("a", "b", "x-note", {})["id"] == last + 1
    again = filled.restore_coordination(str(tmp_path / "b.db"))
    assert again["rows"]["agent_messages"] == 0
    assert filled.send_agent_message("a", "b", "x-note", {})["id"] == last + 2  # that one was given out since


@pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)
def test_an_export_makes_no_directory_but_for_itself(cli, directory, tmp_path):
    assert cli("export-coordination", tmp_path / "deep" / "e.jsonl").status == 0
    assert not directory.exists()
    assert cli("export-coordination").status == 0
    assert directory.stat().st_mode & 0o777 == 0o700 and (directory / ".gitignore").read_text() == "*\n"
    assert (directory / "backups").stat().st_mode & 0o777 == 0o700


CALLS = ("replace", "rename", "link", "mkdir", "unlink", "fsync")


def die_at(number):
    """End this process, as kill -9 does, when it is about to change the file system for the n-th time."""
    left = [number]

    def wrap(plain):
        def call(*given, **options):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return plain(*given, **options)

        return call

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))


@pytest.mark.parametrize("place", ["backups/../../theirs", "../theirs", "backups/..", ""])
@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_a_mark_that_came_from_elsewhere_moves_nothing(store, directory, tmp_path, place):
    store.create_milestone_record("ms-1", "title: mine")
    (tmp_path / "theirs" / "active").mkdir(parents=True)
    (directory / "config" / "record-swap.txt").write_text(f"{place} active")
    assert records_of(store) == {"ms-1": ("active", "title: mine")}
    assert (tmp_path / "theirs" / "active").exists() and not (directory / "config" / "record-swap.txt").exists()


@WAYS
@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_a_restore_or_import_killed_at_any_moment_is_done_whole_or_not_at_all(other_times, directory, tmp_path, clock,
                                                                              environ, by):
    before, seen = records_of(other_times), []
    other_times.close()
    for number in range(1, 500, size(4, 1)):
        place = tmp_path / f"killed-{number}"
        shutil.copytree(directory, place)
        child = os.fork()
        if child == 0:
            try:
                with open_store(place, clock=clock, environ=environ) as store:
                    die_at(number)
                    bring_back(store, tmp_path, by)
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with warnings.catch_warnings(), open_store(place, clock=clock, environ=environ) as store:
            warnings.simplefilter("ignore", MilestoneWarning)
            with pytest.raises(Refused, match="has a record already"):
                store.create_milestone_record("ms-2", "this undoes its own transaction only")
            text = store.read_milestone_record("ms-2")
            seen.append(records_of(store))
            assert text == seen[-1]["ms-2"][1]
            store.doctor()
            store.create_milestone_record("ms-4", "more")  # nothing is in its way
        shutil.rmtree(place)
        if status == 0:
            break
        assert status == 9
    after = {"ms-1": ("completed", "title: ms-1"), "ms-2": ("active", "title: ms-2")}
    assert status == 0 and seen[-1] == after
    assert all(state in (before, after) for state in seen)


KEEPS_FILES = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)


@KEEPS_FILES
def test_a_reader_that_comes_while_records_are_replaced_looks_again(filled, monkeypatch):
    real, calls = records.find_record, []

    def find(store, milestone_id):
        calls.append(milestone_id)
        return None if len(calls) == 1 else real(store, milestone_id)

    monkeypatch.setattr(records, "find_record", find)
    assert filled.read_milestone_record("ms-1") == "title: 'one'\n\n"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_what_was_restored_is_not_restored_again_because_somebody_moves_the_rows(filled, clock, monkeypatch):
    backup = filled.backup_coordination()["file"]
    filled.save_agent_state("a", "precious", "v")
    real, calls = backups.index_records, []

    def index(store):
        calls.append(store)
        if len(calls) == 2:
            with open_store(filled.directory, clock=clock, environ={}) as other:
                other.migrate_storage_backend("database")
        real(store)

    monkeypatch.setattr(backups, "index_records", index)
    kept = filled.restore_coordination(backup)["kept"]
    assert len(calls) == 2
    connection = sqlite3.connect(kept)
    assert connection.execute("SELECT count(*) FROM agent_state WHERE state_key = 'precious'").fetchone() == (1,)
    connection.close()


@KEEPS_FILES
def test_cleaning_up_does_not_forget_that_a_restore_was_finished(filled, clock, monkeypatch):
    backup = filled.backup_coordination()["file"]
    filled.create_milestone_record("ms-2", "title: two")
    with monkeypatch.context() as patched:
        calls = []
        patched.setattr(backups, "index_records", lambda store: calls.append(1) or (
            records.index_records(store) if len(calls) == 1 else None))  # killed before its last step
        filled.restore_coordination(backup)
    filled.set_storage_config("cleanup_retention_days", "0")
    clock.advance(1)
    filled.cleanup_stale_coordination()
    assert [row["id"] for row in filled.list_milestones()] == ["ms-1"]


def test_a_setting_that_is_none_is_not_imported(store, cli, tmp_path):
    file = tmp_path / "export.jsonl"
    store.export_coordination(str(file))
    file.write_text(file.read_text().replace('"value":"1800"', '"value":"abc"'))
    done = cli("import-coordination", file, "--replace")
    assert done.status == 0 and done.err.count("\n") == 1
    assert "left out: session_timeout must be a whole number from 1, not 'abc'; 1800 is in force" in done.err
    done = cli("get-storage-config", "session_timeout")
    assert (done.text, done.err) == ("1800\n", "") and cli("doctor").status == 0


@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_numbers_that_were_given_to_rows_which_are_gone_miss_no_file(store, cli, tmp_path):
    path = tmp_path / "e.jsonl"
    store.export_coordination(str(path))
    last = '"last_numbers":{"agent_messages":'
    path.write_text(path.read_text().replace(last + "0", last + "7"))
    assert store.import_coordination(str(path), replace=True)
    assert cli("doctor").status == 0 and store.send_agent_message("a", "a", "x-note", {})["id"] == 8


@pytest.mark.parametrize("table, column, value", [
    ("agent_registry", "removed_version", "x"), ("agent_registry", "removed_version", 1.5), ("milestones", "title", 7),
    ("agent_registry", "current_task", 1), ("milestones", "version", "1"), ("coordination_sessions", "progress", "5")])
def test_a_value_of_another_type_is_not_imported(filled, tmp_path, dump, table, column, value):
    path = tmp_path / "e.jsonl"
    filled.export_coordination(str(path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    next(line for line in lines if line.get("table") == table)["row"][column] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = dump()
    with pytest.raises(UsageError, match="line .*not what export_coordination writes"):
        filled.import_coordination(str(path), replace=True)
    assert dump() == before


@pytest.mark.parametrize("time", ["null", "", 1.5, "2026-01-01", "2026-13-41 99:99:99.000", "2026-01-01 00:00:00 x"])
def test_a_time_that_is_none_is_not_imported(filled, tmp_path, dump, time):
    path = tmp_path / "e.jsonl"
    filled.export_coordination(str(path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    next(line for line in lines if line.get("table") == "agent_registry")["row"]["last_heartbeat"] = time
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = dump()
    with pytest.raises(UsageError, match="line .*not a time"):
        filled.import_coordination(str(path), replace=True)
    assert dump() == before


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)  # a file with such a number is refused, doctor says
@pytest.mark.parametrize("change", ["UPDATE events SET id = 4611686018427387904 WHERE id = 1",
                                    "UPDATE sqlite_sequence SET seq = 4611686018427387904 WHERE name = 'events'"])
def test_a_number_that_no_import_takes_is_not_exported(store, cli, directory, tmp_path, change):
    store.register_agent("a", "validation", "m", "s")
    with contextlib.closing(sqlite3.connect(directory / "coordination.db", isolation_level=None)) as connection:
        connection.execute(change)
    for file in (tmp_path / "export.jsonl", "-"):
        refused = cli("export-coordination", file)
        assert refused.status == 3 and refused.text == "" and refused.err.count("\n") == 1
        assert "events: 4611686018427387904 is no number that a call has given out" in refused.err
    assert not (tmp_path / "export.jsonl").exists()


def test_a_wrong_file_is_answered_with_the_right_one_or_the_right_call(filled, cli, tmp_path, dump):
    backup, export = cli("backup-coordination", str(tmp_path / "a b.db")), cli("export-coordination")
    (tmp_path / "caught").write_text(export.text)
    path = export.text.partition(" rows in ")[2].strip()
    newest = cli("backup-coordination").text.partition(": restore_coordination ")[2].strip()
    before = dump()
    for words, says in (
            (["restore-coordination", backup.text.strip()], f"; that line names '{tmp_path / 'a b.db'}': give it"),
            (["import-coordination", export.text.strip()], f"; that line names {path}: give it alone"),
            (["import-coordination", str(tmp_path / "caught")], f"the export is {path}"),
            (["restore-coordination", "latest"], f"; the newest backup is {newest}"),
            (["import-coordination", "nope"], "(No such file or directory): name another"),
            (["restore-coordination", path], f" is an export, no backup: import_coordination {path} --replace"),
            (["import-coordination", str(tmp_path / "a b.db"), "--replace"],
             f" is a backup, no export: restore_coordination '{tmp_path / 'a b.db'}' replaces"),
            (["backup-coordination", f"{tmp_path}/new/"], "FILE ends with a slash"),
            (["export-coordination", f"{tmp_path}/new/"], "FILE ends with a slash")):
        done = cli(*words)
        assert done.status in (1, 2) and done.out == b"" and done.err.count("\n") == 1 and says in done.err, done
    assert dump() == before and not (tmp_path / "new").exists()
    assert cli("restore-coordination", newest).status == 0
    assert cli("import-coordination", path, "--replace").status == 0
