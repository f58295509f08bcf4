"""Moving between backends: everything arrives, failures change nothing, late writers follow."""
from __future__ import annotations

import io
import itertools
import json
import os
from pathlib import Path

import pytest

from milestone_persist import MilestoneWarning, StorageError, UsageError, open_store
from milestone_persist.cli.main import Console, main
from milestone_persist.moving import migration, transfer

LOCAL = ("file", "hybrid", "database")


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    monkeypatch.setattr(transfer, "PORTION", 3)


@pytest.fixture
def open_on(tmp_path, clock):
    """Opens the store of this test's directory with the given environment."""
    opened = []

    def open_on(**environ):
        opened.append(open_store(tmp_path / ".milestones", clock=clock, environ=environ))
        return opened[-1]

    yield open_on
    for store in opened:
        store.close()


def fill(store, clock):
    for number in range(3):
        store.create_milestone_record(f"MS-{number}", f"title: 'It''s {number}'\npriority: high\n\ttab")
    store.delete_milestone_record("MS-2")
    store.register_agent("scope/1", "scope-analyzer", "MS-0", "planning-1", ["read"])
    store.register_agent("exec", "execute-phase", "MS-1", "execution-1")
    store.save_agent_state("scope/1", "planning-scope", "emoji 🎉\n$(x)\\")
    store.save_agent_state("exec", "short", "gone", "temp_data", 10)
    for number in range(20):
        store.send_agent_message("scope/1", "exec", "progress_update", {"n": number})
    store.get_agent_messages("exec", True, 5)
    store.create_agent_checkpoint("scope/1")
    store.agent_heartbeat("exec", "degraded", cpu=12.5)
    store.set_storage_config("message_retry_limit", "7")
    store.acquire_milestone_lock("MS-1", owner="exec")
    clock.advance(60)


def export(store, tmp_path, name):
    return (tmp_path / store.export_coordination(str(tmp_path / name))["file"]).read_text()


@pytest.mark.parametrize("start, end", [("file", "database"), ("hybrid", "file")])
def test_a_folder_may_have_a_name_that_is_not_utf_8(tmp_path, clock, start, end):
    directory = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9/.milestones")
    try:
        os.makedirs(directory)
    except OSError:
        pytest.skip("this file system takes no such name")
    with open_store(directory, clock=clock, environ={"MILESTONE_BACKEND": start}) as store:
        fill(store, clock)
    with open_store(directory, clock=clock, environ={}) as store:
        backup = store.backup_coordination()["file"]
        store.delete_agent_state("scope/1", "planning-scope")
        store.restore_coordination(backup)
        told = store.list_coordination_events()[-1]["detail"]
        assert told.endswith("\\udce9/.milestones/backups/" + os.path.basename(backup))
        store.migrate_storage_backend(end)
    with open_store(directory, clock=clock, environ={}) as store:
        assert store.get_current_storage_backend() == end
        assert store.load_agent_state("scope/1", "planning-scope") == "emoji 🎉\n$(x)\\"


@pytest.mark.parametrize("start, end", list(itertools.permutations(LOCAL, 2)))
def test_everything_arrives_on_the_other_backend(open_on, tmp_path, clock, start, end):
    store = open_on(MILESTONE_BACKEND=start)
    fill(store, clock)
    store.close()
    store = open_on()
    before = export(store, tmp_path, "before.jsonl")
    told = store.migrate_storage_backend(end)
    assert (told["from"], told["to"]) == (start, end)
    assert store.get_current_storage_backend() == end
    assert export(store, tmp_path, "after.jsonl") == before
    assert Path(told["backup"]).read_text() == before
    assert store.read_milestone_record("MS-0") == "title: 'It''s 0'\npriority: high\n\ttab"
    assert store.read_milestone_record("MS-2").startswith("title")
    assert [m["payload"]["n"] for m in store.get_agent_messages("exec", True, 2)] == [5, 6]
    new = store.send_agent_message("exec", "scope/1", "progress_update", {})
    assert new["id"] > 20
    assert open_on().where()["backend"] == end and open_on().doctor()


@pytest.mark.parametrize("start, end", [("hybrid", "file"), ("file", "hybrid")])
def test_what_is_kept_too_long_because_a_clock_went_back_hinders_nothing(open_on, clock, start, end):
    with open_on(MILESTONE_BACKEND=start) as first:
        first.register_agent("a", "validation", "ms-1", "s-1")
    store = open_on()
    for agent, seconds in ("a", 8 * 86400), ("b", -8 * 86400 + 1), ("a", 0):
        store.create_agent_checkpoint(agent)
        clock.advance(seconds)
    store.migrate_storage_backend(end)
    assert len(open_on().list_agent_checkpoints("a")) == 1


def test_a_long_lived_store_follows(open_on):
    long_lived = open_on(MILESTONE_BACKEND="file")
    long_lived.save_agent_state("a", "k", "before")
    open_on().migrate_storage_backend("hybrid")
    long_lived.environ = {}  # what fixed it before would contradict now
    long_lived.save_agent_state("a", "k2", "after")
    assert open_on().load_agent_state("a", "k2") == "after"
    open_on().migrate_storage_backend("database")
    assert long_lived.load_agent_state("a", "k") == "before"


def test_a_failure_in_the_middle_leaves_the_old_backend_working(open_on, clock, monkeypatch, tmp_path):
    store = open_on(MILESTONE_BACKEND="hybrid")
    fill(store, clock)
    store = open_on()
    before = export(store, tmp_path, "before.jsonl")

    def fail(*_):
        raise StorageError("the disk is full")

    monkeypatch.setattr(migration, "digest_rows", fail)
    with pytest.raises(StorageError, match="the disk is full"):
        store.migrate_storage_backend("file")
    monkeypatch.undo()
    assert store.get_current_storage_backend() == "hybrid"
    assert export(store, tmp_path, "after.jsonl") == before
    store.migrate_storage_backend("file")  # what the failed attempt left is in nobody's way
    assert export(store, tmp_path, "moved.jsonl") == before


@pytest.mark.parametrize("harm", ["DELETE FROM agent_state", "UPDATE agent_state SET state_value = 'other'"])
def test_a_copy_that_is_not_as_the_original_is_not_moved_to(open_on, monkeypatch, harm):
    store, copy_rows = open_on(MILESTONE_BACKEND="hybrid"), migration.copy_own_rows
    store.save_agent_state("a", "k", "v")
    store = open_on()

    def copy_badly(source, target, replace):
        copied = copy_rows(source, target, replace)
        target.execute(harm)
        return copied

    monkeypatch.setattr(migration, "copy_own_rows", copy_badly)
    with pytest.raises(StorageError, match="the copy on the file backend differs from the original: nothing was moved"):
        store.migrate_storage_backend("file")
    assert open_on().get_current_storage_backend() == "hybrid" and store.load_agent_state("a", "k") == "v"


def test_dry_run_moves_nothing(open_on):
    store = open_on()
    store.save_agent_state("a", "k", "v")
    told = store.migrate_storage_backend("file", dry_run=True)
    assert told["rows"]["agent_state"] == 1
    assert store.get_current_storage_backend() == "hybrid"


def test_the_same_or_an_unknown_backend_is_refused(open_on):
    store = open_on()
    assert store.migrate_storage_backend("hybrid")["from"] == "hybrid"
    with pytest.raises(UsageError, match="unknown backend 'hibrid': did you mean hybrid"):
        store.migrate_storage_backend("hibrid")
    with pytest.raises(UsageError, match="MILESTONE_BACKEND is hybrid"):
        open_on(MILESTONE_BACKEND="hybrid").migrate_storage_backend("file")


def add_milestones(store, first, last):
    for number in range(first, last + 1):
        store.create_milestone_record(f"ms-{number}", f"title: {number}")


@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_the_25th_and_the_100th_milestone_move_the_store_up(cli):
    def backend():
        return cli("get-current-storage-backend", MILESTONE_BACKEND="").text.strip()

    def add(number):
        return cli("create-milestone-record", f"ms-{number}", f"title: {number}", MILESTONE_BACKEND="")

    cli("save-agent-state", "a", "k", "v")
    for number in range(1, 25):
        add(number)
    assert backend() == "file"
    assert "moved to the hybrid backend" in add(25).err
    assert backend() == "hybrid"
    for number in range(26, 100):
        add(number)
    assert backend() == "hybrid"
    assert "moved to the database backend" in add(100).err
    assert backend() == "database"
    listed = json.loads(cli("--json", "list-milestones", MILESTONE_BACKEND="").text)
    assert len(listed) == 100
    assert cli("read-milestone-record", "ms-7", MILESTONE_BACKEND="").text == "title: 7"


def test_a_failed_move_up_says_so_and_the_milestone_is_there(open_on, monkeypatch):
    store = open_on()
    store.set_storage_config("hybrid_from", "2")
    store.set_storage_config("database_from", "3")
    add_milestones(store, 1, 2)
    monkeypatch.setattr(migration, "move_records", lambda *_: (_ for _ in ()).throw(StorageError("no room")))
    with pytest.warns(MilestoneWarning, match="could not move to the database backend, hybrid goes on: no room"):
        add_milestones(store, 3, 3)
    assert store.get_current_storage_backend() == "hybrid"
    assert len(store.list_milestones()) == 3


def test_a_fixed_backend_stays(open_on):
    store = open_on()
    store.migrate_storage_backend("hybrid")
    store.set_storage_config("hybrid_from", "1")
    store.set_storage_config("database_from", "2")
    add_milestones(store, 1, 2)
    assert store.get_current_storage_backend() == "hybrid"
    store.migrate_storage_backend("auto")
    assert store.get_current_storage_backend() == "database"


def test_data_elsewhere_than_the_settings_say_is_refused(open_on):
    open_on().save_agent_state("a", "k", "v")
    with pytest.raises(StorageError, match="backend, but file is set: migrate_storage_backend file moves it; unset"):
        open_on(MILESTONE_BACKEND="file")
    with pytest.raises(UsageError, match="MILESTONE_BACKEND names no backend"):
        open_on(MILESTONE_BACKEND="sqlite")


def test_a_terminal_shows_how_far_a_migration_is_and_a_pipe_does_not(tmp_path, clock):
    class Terminal(io.BytesIO):
        def isatty(self):
            return True

    def run(stderr, *words):
        environ = {"MILESTONE_DIR": str(tmp_path / "d")}
        return main([*words], Console(io.BytesIO(), io.BytesIO(), stderr, environ, clock))

    run(io.BytesIO(), "save-agent-state", "a", "k", "v")
    terminal, pipe = Terminal(), io.BytesIO()
    assert run(terminal, "migrate-storage-backend", "file") == 0
    assert b"agent_state" in terminal.getvalue() and b"[#" not in pipe.getvalue()
    assert terminal.getvalue().rstrip(b" ").endswith(b"\r")
    assert run(pipe, "migrate-storage-backend", "hybrid") == 0
    assert pipe.getvalue() == b""


@pytest.mark.parametrize("backend", ["file", "hybrid"])
def test_a_record_that_vanishes_while_it_is_exported_is_told(open_on, monkeypatch, tmp_path, backend):
    store, index = open_on(MILESTONE_BACKEND=backend), transfer.index_records
    store.create_milestone_record("first", "title: first")

    def index_and_lose(storage, strict):
        index(storage, strict)
        (tmp_path / ".milestones" / "active" / "first.yaml").unlink()

    monkeypatch.setattr(transfer, "index_records", index_and_lose)
    with pytest.raises(StorageError, match="the record of milestone 'first' is missing, it was active/first.yaml"):
        store.export_coordination(str(tmp_path / "e.jsonl"))
    assert not (tmp_path / "e.jsonl").exists()


@pytest.mark.parametrize("word, says", [("PostgreSQL", "with MILESTONE_DATABASE_URL set, database is PostgreSQL"),
                                        ("sqlite", "hybrid is SQLite with milestone records as files")])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_the_name_of_an_engine_is_told_the_word_for_it(store, word, says):
    with pytest.raises(UsageError, match=f"unknown backend '{word}': {says}"):
        store.migrate_storage_backend(word)
