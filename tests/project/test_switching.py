"""The switch between backends as others see it: who writes meanwhile, other machines, failures, what was left."""
from __future__ import annotations

import errno
import shutil
import sqlite3

import pytest
from machine import Machine

from milestone_persist import MilestoneWarning, StorageError, open_store
from milestone_persist.moving import migration, scaling
from milestone_persist.opening import switching
from milestone_persist.opening.place import open_for
from milestone_persist.operations import milestones
from milestone_persist.storage import selection
from milestone_persist.storage.interface import StorageMoved
from milestone_persist.storage.jsonfiles import store as files


@pytest.fixture
def machine(directory, clock):
    """A directory with a milestone ms-1, on hybrid, which was fixed by hand."""
    machine = Machine(directory, clock, {})
    machine.call("migrate-storage-backend", "hybrid")
    machine.call("create-milestone-record", "ms-1", "title: first")
    return machine


def interrupt(monkeypatch, module, name, action):
    """Do something just before a function of a module is called for the first time."""
    real = getattr(module, name)

    def step(*given, **named):
        monkeypatch.setattr(module, name, real)
        action()
        return real(*given, **named)

    monkeypatch.setattr(module, name, step)


def fail(monkeypatch, module, name, error):
    def step(*given, **named):
        raise error

    monkeypatch.setattr(module, name, step)


# Who writes meanwhile

@pytest.mark.parametrize("name", ["write_tombstone", "finish_switch", "fix_backend", "finish_move", "open_up",
                                  "set_old_store_aside", "log_move"])
@pytest.mark.parametrize("end", ["file", "database"])
def test_reading_is_possible_at_each_step_though_the_backend_was_fixed(machine, monkeypatch, name, end):
    seen = []
    interrupt(monkeypatch, migration, name, lambda: seen.append(machine.call("read-milestone-record", "ms-1")))
    machine.call("migrate-storage-backend", end)
    assert seen == ["title: first"]


@pytest.mark.parametrize("name", ["finish_move", "open_up", "set_old_store_aside", "log_move"])
@pytest.mark.parametrize("end", ["file", "database"])
def test_writing_is_possible_from_the_switch_on(machine, monkeypatch, name, end):
    interrupt(monkeypatch, migration, name, lambda: machine.call("save-agent-state", "a", "k", "meanwhile"))
    machine.call("migrate-storage-backend", end)
    assert machine.call("load-agent-state", "a", "k") == "meanwhile"


def test_a_call_that_saw_the_settings_change_looks_again(machine, monkeypatch):
    real = selection.backend_in_use

    def move(directory):
        monkeypatch.setattr(selection, "backend_in_use", real)
        machine.call("migrate-storage-backend", "database")
        return real(directory)

    monkeypatch.setattr(selection, "backend_in_use", move)  # after what is fixed was read
    assert machine.call("read-milestone-record", "ms-1") == "title: first"


def test_a_long_lived_store_follows_whatever_it_was_told_when_it_was_opened(machine, clock):
    with open_store(machine.directory, clock=clock, environ={"MILESTONE_BACKEND": "hybrid"}) as store:
        store.save_agent_state("a", "k", "v")
        machine.call("migrate-storage-backend", "file")
        store.save_agent_state("a", "k2", "v2")
        assert store.load_agent_state("a", "k2") == machine.call("load-agent-state", "a", "k2") == "v2"


def test_a_storage_that_was_open_while_all_went_to_and_fro_writes_to_nothing_old(machine, clock):
    storage = open_for(str(machine.directory), {}, clock, make=True)
    for backend in ("file", "hybrid"):
        machine.call("migrate-storage-backend", backend)
    for begin in (storage.transaction, storage.snapshot):
        with pytest.raises(StorageMoved), begin():
            pass
    with pytest.raises(StorageMoved):
        storage.execute("SELECT 1 AS one")
    storage.close()


def test_a_storage_open_when_a_move_was_killed_reads_what_counts_and_writes_nothing(machine, monkeypatch, clock):
    """Until the note tells of the move nobody writes elsewhere: a read that has asked once need not ask again."""
    storage, count = open_for(str(machine.directory), {}, clock, make=True), "SELECT count(*) AS n FROM milestones"
    asked = []
    storage.connection.set_trace_callback(asked.append)
    assert storage.execute(count) == storage.execute(count) == [{"n": 1}]
    assert [sql for sql in asked if "store_moves" not in sql] == [count, count] and len(asked) == 3
    with monkeypatch.context() as patched:
        fail(patched, migration, "finish_switch", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            machine.call("migrate-storage-backend", "file")
    assert storage.execute(count) == [{"n": 1}]
    with pytest.raises(StorageMoved), storage.transaction():
        pass
    machine.call("save-agent-state", "a", "k", "v")  # which finishes it
    with pytest.raises(StorageMoved):
        storage.execute(count)
    storage.close()


# Moving up by itself

def nearly_grown(directory, clock):
    """A store of JSON files that the next milestone moves to hybrid."""
    Machine(directory, clock, {"MILESTONE_BACKEND": "file"}).call("save-agent-state", "a", "k", "v")
    machine = Machine(directory, clock, {})
    machine.call("set-storage-config", "hybrid_from", "1")
    return machine


@pytest.mark.parametrize("name", ["fixed_backend", "optimal_backend", "count_rows", "write_export"])
def test_a_milestone_that_was_made_is_no_failure_because_another_process_moved_everything(directory, clock, monkeypatch,
                                                                                          name):
    machine = nearly_grown(directory, clock)
    if name == "write_export":  # this one has the lock
        with open_store(directory, clock=clock, environ={}) as store, pytest.warns(MilestoneWarning, match="moved"):
            store.create_milestone_record("ms-1", "title: 1")
    else:
        module = migration if name == "count_rows" else scaling
        interrupt(monkeypatch, module, name, lambda: machine.call("migrate-storage-backend", "database"))
        assert machine.attempt("create-milestone-record", "ms-1", "title: 1")[::2] == (0, "")
    assert machine.call("read-milestone-record", "ms-1") == "title: 1"


def test_who_comes_to_the_files_when_they_were_set_aside_follows(directory, clock, monkeypatch):
    machine = nearly_grown(directory, clock)
    interrupt(monkeypatch, files.FileStorage, "acquire", lambda: machine.call("migrate-storage-backend", "hybrid"))
    assert machine.attempt("save-agent-state", "a", "k", "w")[::2] == (0, "")
    assert machine.call("load-agent-state", "a", "k") == "w"


def test_who_opens_the_files_just_when_they_are_gone_makes_none(directory, clock, monkeypatch):
    machine = nearly_grown(directory, clock)
    interrupt(monkeypatch, files.FileStorage, "__init__", lambda: machine.call("migrate-storage-backend", "hybrid"))
    assert machine.attempt("save-agent-state", "a", "k", "w")[::2] == (0, "")
    assert machine.call("load-agent-state", "a", "k") == "w"
    assert not (directory / "file-store.json").exists()


def test_the_files_are_set_aside_when_nobody_reads_them(directory, clock, monkeypatch):
    machine, held, real = nearly_grown(directory, clock), [], migration.set_old_store_aside

    def look(store, engine, when):
        monkeypatch.setattr("milestone_persist.storage.interface.move_files",
                            lambda *given: held.append(store.lock.is_held))
        real(store, engine, when)

    monkeypatch.setattr(migration, "set_old_store_aside", look)
    machine.call("migrate-storage-backend", "hybrid")
    assert held == [True]


# Failures

def full(*given):
    return StorageError("cannot write backend-in-use.txt (No space left on device): free some space")


@pytest.mark.parametrize("end", ["file", "database"])
def test_where_the_switch_cannot_be_noted_the_old_store_goes_on(machine, monkeypatch, end):
    fail(monkeypatch, switching, "write_word", full())
    status, _, err = machine.attempt("migrate-storage-backend", end)
    assert status == 3 and "No space left" in err
    assert machine.words() == ["hybrid", "hybrid"]
    assert machine.call("read-milestone-record", "ms-1") == "title: first"
    machine.call("update-milestone-record", "ms-1", "title: second")
    monkeypatch.undo()
    assert machine.words() == ["hybrid", "hybrid"]
    assert machine.call("list-milestones").count("ms-1") == 1
    machine.call("migrate-storage-backend", end)
    assert machine.call("read-milestone-record", "ms-1") == "title: second"


def test_a_move_up_that_cannot_be_noted_is_taken_back(directory, clock, monkeypatch):
    machine = nearly_grown(directory, clock)
    with monkeypatch.context() as patched:
        fail(patched, switching, "write_word", full())
        status, _, err = machine.attempt("create-milestone-record", "ms-1", "title: 1")
    assert status == 0 and "could not move to the hybrid backend, file goes on: cannot write" in err
    assert machine.call("get-current-storage-backend") == "file\n"
    assert machine.call("read-milestone-record", "ms-1") == "title: 1"
    assert machine.words() == ["", "file"]


def test_what_can_be_neither_noted_nor_taken_back_is_not_called_the_old_store(directory, clock, monkeypatch):
    machine = nearly_grown(directory, clock)
    with monkeypatch.context() as patched:
        fail(patched, switching, "write_word", full())
        fail(patched, migration, "take_back", full())
        status, _, err = machine.attempt("create-milestone-record", "ms-1", "title: 1")
    assert status == 0 and "everything was moved to the hybrid backend, but that could not be noted" in err
    assert machine.call("doctor").startswith("sound")
    assert machine.words() == ["", "hybrid"]
    assert machine.call("read-milestone-record", "ms-1") == "title: 1"


@pytest.mark.parametrize("module, name", [(migration, "write_tombstone"), (migration, "finish_switch"),
                                          (switching, "fix_backend"), (switching, "write_word"),
                                          (migration, "fix_backend"), (migration, "open_up")])
def test_after_an_interrupt_everybody_goes_on(machine, monkeypatch, module, name):
    with monkeypatch.context() as patched:
        fail(patched, module, name, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            machine.call("migrate-storage-backend", "file")
    machine.call("update-milestone-record", "ms-1", "title: second")
    assert machine.call("read-milestone-record", "ms-1") == "title: second"
    machine.call("migrate-storage-backend", "file")
    assert machine.words() == ["file", "file"]
    assert machine.call("read-milestone-record", "ms-1") == "title: second"


def test_where_what_is_fixed_cannot_be_changed_the_old_store_goes_on(machine, monkeypatch):
    with monkeypatch.context() as patched:
        fail(patched, switching, "fix_backend", full())
        assert machine.attempt("migrate-storage-backend", "database")[0] == 3
    assert machine.words() == ["hybrid", "hybrid"]
    with monkeypatch.context() as patched:
        fail(patched, migration, "fix_backend", full())
        status, _, err = machine.attempt("migrate-storage-backend", "database")
    assert status == 0 and "everything was moved to the database backend, but: cannot write" in err
    assert machine.words() == ["moving", "database"]
    assert machine.call("read-milestone-record", "ms-1") == "title: first"


def test_another_process_may_have_noted_the_switch(machine, monkeypatch):
    real = switching.write_word

    def both(*given):
        real(*given)
        raise full()

    monkeypatch.setattr(switching, "write_word", both)
    machine.call("migrate-storage-backend", "file")
    assert machine.words() == ["file", "file"]


@pytest.mark.parametrize("moment", ["digest_rows", "write_tombstone"])
def test_after_a_failure_the_store_that_failed_is_as_it_was(machine, clock, monkeypatch, moment):
    with open_store(machine.directory, clock=clock, environ={}) as store:
        with monkeypatch.context() as patched:
            fail(patched, migration, moment, full())
            with pytest.raises(StorageError, match="No space left"):
                store.migrate_storage_backend("database")
        assert machine.words() == ["hybrid", "hybrid"]
        store.update_milestone_record("ms-1", "title: second")
        assert (machine.directory / "active" / "ms-1.yaml").read_text() == "title: second"


def test_old_files_that_cannot_be_moved_are_only_a_warning(machine, monkeypatch):
    fail(monkeypatch, migration, "move_files", OSError(errno.EBUSY, "Device or resource busy"))
    status, _, err = machine.attempt("migrate-storage-backend", "database")
    assert status == 0 and "moved to the database backend, but: " in err and "Device or resource busy" in err
    assert machine.words() == ["database", "database"]
    machine.call("update-milestone-record", "ms-1", "title: second")
    status, _, err = machine.attempt("migrate-storage-backend", "hybrid")
    assert status == 3 and "active out of the way (Device or resource busy): move away what is in it first" in err
    assert machine.call("read-milestone-record", "ms-1") == "title: second"
    monkeypatch.undo()
    machine.call("migrate-storage-backend", "hybrid")
    assert machine.call("read-milestone-record", "ms-1") == "title: second"


# What was left behind

def test_records_that_were_left_behind_bring_nothing_back(machine, monkeypatch):
    with monkeypatch.context() as patched:
        fail(patched, migration, "set_old_store_aside", OSError(errno.EBUSY, "busy"))
        machine.attempt("migrate-storage-backend", "database")
    machine.call("update-milestone-record", "ms-1", "title: second")
    machine.call("delete-milestone-record", "ms-1")
    machine.call("migrate-storage-backend", "hybrid")
    assert machine.call("read-milestone-record", "ms-1") == "title: second"
    assert "completed" in machine.call("list-milestones", "--long")
    assert not (machine.directory / "active" / "ms-1.yaml").exists()
    kept, = machine.directory.glob("backups/*-unfinished/active/ms-1.yaml")
    assert kept.read_text() == "title: first"


@pytest.mark.parametrize("end", ["file", "hybrid"])
def test_a_record_written_by_hand_where_none_are_read_is_kept(machine, end):
    machine.call("migrate-storage-backend", "database")
    (machine.directory / "active").mkdir()
    (machine.directory / "active" / "ms-1.yaml").write_text("title: newer")
    machine.call("migrate-storage-backend", end)
    assert machine.call("read-milestone-record", "ms-1") == "title: first"
    kept, = machine.directory.glob("backups/*-unfinished/active/ms-1.yaml")
    assert kept.read_text() == "title: newer"


def test_empty_folders_are_left_where_they_are(machine):
    machine.call("migrate-storage-backend", "database")
    machine.call("initialize-storage-system")
    machine.call("migrate-storage-backend", "hybrid")
    assert not list(machine.directory.glob("backups/*-unfinished"))


@pytest.mark.parametrize("end", ["database", "hybrid"])
def test_a_record_that_changed_on_its_way_is_noticed(machine, monkeypatch, end):
    if end == "hybrid":
        machine.call("migrate-storage-backend", "database")
    place = migration.write_record_file

    def place_another(store, row, *places):
        place(store, {**row, "data": "another"}, *places)

    name, change = ("write_record_file", place_another) if end == "hybrid" else ("read_rows", lambda *given: [])
    with monkeypatch.context() as patched:
        patched.setattr(migration, name, change)
        status, _, err = machine.attempt("migrate-storage-backend", end)
    assert status == 3 and ("the copy on the hybrid backend differs from the original: nothing was moved" in err
                            or "the record of milestone 'ms-1' is missing" in err)
    assert machine.words()[1] != end
    assert machine.call("read-milestone-record", "ms-1") == "title: first"


def test_a_search_that_meets_a_move_looks_where_the_records_are_now(machine, monkeypatch):
    machine.call("update-milestone-record", "ms-1", "title: t\n# needle\n")
    interrupt(monkeypatch, milestones, "read_record", lambda: machine.call("migrate-storage-backend", "database"))
    assert "# needle" in machine.call("search-milestones", "needle", "--long")


@pytest.mark.parametrize("end", ["database", "file"])
def test_a_record_that_somebody_put_into_its_row_is_carried_along(machine, end):
    connection = sqlite3.connect(machine.directory / "coordination.db", isolation_level=None)
    connection.execute("INSERT INTO milestones (id, title, data) VALUES ('q', 'q', 'title: q')")
    connection.close()
    assert machine.call("read-milestone-record", "q") == "title: q"
    machine.call("migrate-storage-backend", end)
    assert machine.call("read-milestone-record", "q") == "title: q"


@pytest.mark.parametrize("start, end", [("hybrid", "database"), ("database", "hybrid")])
def test_a_switch_that_cannot_be_noted_is_taken_back_as_it_was(machine, monkeypatch, start, end):
    machine.call("migrate-storage-backend", start) if start != "hybrid" else None
    before = machine.export()
    with monkeypatch.context() as patched:
        fail(patched, switching, "write_word", StorageError("no room"))
        status, _, err = machine.attempt("migrate-storage-backend", end)
    assert status == 3 and "no room" in err and "next call" not in err
    assert machine.words() == [start, start]
    assert machine.call("read-milestone-record", "ms-1") == "title: first"
    assert machine.export() == before and machine.call("doctor").startswith("sound")
    machine.call("migrate-storage-backend", end)
    assert machine.call("read-milestone-record", "ms-1") == "title: first"


@pytest.mark.parametrize("text", ["title: by hand", None])
def test_a_record_file_written_during_the_move_is_not_left_behind(machine, monkeypatch, text):
    path = machine.directory / "active" / ("hand.yaml" if text else "ms-1.yaml")
    with monkeypatch.context() as patched:
        interrupt(patched, migration, "write_export", lambda: path.write_text(text or "title: edited"))
        status, _, err = machine.attempt("migrate-storage-backend", "database")
    assert status == 3 and "written by hand meanwhile: nothing was moved; try again" in err
    machine.call("migrate-storage-backend", "database")
    assert machine.call("read-milestone-record", path.stem) == (text or "title: edited")


def test_an_old_store_below_backups_can_be_restored(machine):
    machine.call("migrate-storage-backend", "database")
    machine.call("save-agent-state", "a", "k", "old")
    machine.call("migrate-storage-backend", "file")
    machine.call("save-agent-state", "a", "k", "new")
    kept, = machine.directory.glob("backups/*/coordination.db")
    machine.call("restore-coordination", str(kept))
    assert machine.call("load-agent-state", "a", "k") == "old"
    machine.call("save-agent-state", "a", "k", "newer")


# PostgreSQL

@pytest.fixture
def shared(directory, clock, postgresql_environ):
    """The directory of a machine with PostgreSQL set, where hybrid is fixed and an agent has state."""
    machine = Machine(directory, clock, postgresql_environ)
    machine.call("migrate-storage-backend", "hybrid")
    machine.call("save-agent-state", "a", "k", "v")
    return machine


@pytest.fixture
def other(shared, tmp_path):
    """Another machine on the same database."""
    return Machine(tmp_path / "other" / ".milestones", shared.clock, shared.environ)


def test_auto_means_postgresql_where_a_url_is_set(shared):
    shared.call("migrate-storage-backend", "auto")
    assert shared.words() == ["", "postgresql"]
    assert shared.call("load-agent-state", "a", "k") == "v"
    shared.call("migrate-storage-backend", "auto")
    assert shared.words() == ["", "postgresql"]


def test_auto_follows_the_milestones_where_the_environment_says_so(shared):
    status, _, err = shared.attempt("migrate-storage-backend", "auto", MILESTONE_BACKEND="hybrid")
    assert status == 2 and "MILESTONE_BACKEND is hybrid" in err


def test_to_and_fro_and_to_again(shared):
    for turn in range(3):
        shared.call("migrate-storage-backend", "database")
        shared.call("save-agent-state", "a", f"k{turn}", "v")
        shared.call("migrate-storage-backend", "file" if turn else "hybrid")
    shared.call("migrate-storage-backend", "database")
    assert [shared.call("load-agent-state", "a", f"k{turn}") for turn in range(3)] == ["v"] * 3


def test_a_machine_whose_rows_another_took_away_is_told_so(shared, other):
    shared.call("migrate-storage-backend", "database")
    assert other.call("load-agent-state", "a", "k") == "v"
    with open_store(other.directory, clock=other.clock, environ=other.environ) as store:
        assert store.load_agent_state("a", "k") == "v"
        shared.call("migrate-storage-backend", "file")
        with pytest.raises(StorageError, match=f"moved to the file backend in {shared.directory}: use it there"):
            store.load_agent_state("a", "k")
    for words in (["load-agent-state", "a", "k"], ["save-agent-state", "a", "k", "w"], ["doctor"], ["list-milestones"],
                  ["complete", "load_agent_state", ""], ["start-session-monitor", "--once"]):
        status, out, err = other.attempt(*words)
        assert (status, out) == (3, "") and f"moved to the file backend in {shared.directory}" in err
    shared.call("migrate-storage-backend", "database")
    assert other.call("load-agent-state", "a", "k") == "v"


def test_a_store_that_others_took_away_or_use_is_not_overwritten(shared, other):
    shared.call("migrate-storage-backend", "database")
    shared.call("migrate-storage-backend", "hybrid")
    Machine(other.directory, other.clock, {}).call("migrate-storage-backend", "hybrid")
    other.call("save-agent-state", "b", "k", "v")
    status, _, err = other.attempt("migrate-storage-backend", "database")
    assert status == 1 and f"holds what belongs to {shared.directory}: nothing was moved; name another schema" in err
    shared.call("migrate-storage-backend", "database")
    status, _, err = other.attempt("migrate-storage-backend", "database")
    assert status == 1 and "the postgresql store is not empty" in err
    assert (other.call("load-agent-state", "b", "k"), shared.call("load-agent-state", "a", "k")) == ("v", "v")


@pytest.mark.parametrize("name", ["digest_rows", "write_tombstone", "finish_switch"])
def test_a_copy_that_is_not_finished_is_used_by_nobody(shared, other, monkeypatch, name):
    told = []
    interrupt(monkeypatch, migration, name, lambda: told.append(other.attempt("load-agent-state", "a", "k")))
    shared.call("migrate-storage-backend", "database")
    status, out, err = told[0]
    assert (status, out) == (3, "") and f"is being moved here from the hybrid backend in {shared.directory}" in err


def test_another_machine_whose_directory_has_the_same_name_does_not_follow(shared, tmp_path):
    shared.call("migrate-storage-backend", "database")
    elsewhere = tmp_path / "elsewhere"
    shared.call("migrate-storage-backend", "hybrid")
    shared.directory.rename(elsewhere)  # what was there is on the other machine
    status, _, err = shared.attempt("load-agent-state", "a", "k")
    assert status == 3 and "moved to the hybrid backend in" in err
    status, _, err = shared.attempt("save-agent-state", "a", "k", "w")
    assert status == 3 and "moved to the hybrid backend in" in err
    assert not (shared.directory / "coordination.db").exists()


@pytest.mark.parametrize("name", ["digest_rows", "write_tombstone", "finish_switch", "finish_move", "open_up"])
def test_a_twin_does_not_use_a_copy_that_is_not_finished(shared, tmp_path, monkeypatch, name):
    image, mine, told = tmp_path / "image", tmp_path / "mine", []
    shared.call("migrate-storage-backend", "database")
    shutil.copytree(shared.directory, image)  # another machine: its directory has the same name
    shared.call("migrate-storage-backend", "hybrid")

    def as_twin():
        shared.directory.rename(mine)
        image.rename(shared.directory)
        told.append(shared.attempt("save-agent-state", "a", "k", "twin"))
        shared.directory.rename(image)
        mine.rename(shared.directory)

    as_twin()
    interrupt(monkeypatch, migration, name, as_twin)
    shared.call("migrate-storage-backend", "database")
    as_twin()
    assert [(status, "being moved here" in err) for status, _, err in told] == [(3, False), (3, True), (0, False)]
    assert shared.call("load-agent-state", "a", "k") == "twin"


def test_a_twin_does_not_take_its_own_old_copy_for_where_the_rows_have_gone(shared, tmp_path, monkeypatch):
    image, mine = tmp_path / "image", tmp_path / "mine"
    shared.call("migrate-storage-backend", "database")
    with monkeypatch.context() as patched:
        fail(patched, migration, "write_tombstone", full())
        shared.attempt("migrate-storage-backend", "hybrid")  # what the twin once tried
    shutil.copytree(shared.directory, image)
    shared.call("migrate-storage-backend", "hybrid")
    shared.directory.rename(mine)
    image.rename(shared.directory)
    status, _, err = shared.attempt("save-agent-state", "a", "k", "twin")
    assert status == 3 and "moved to the hybrid backend" in err


def test_without_the_database_url_one_is_told_how_to_move_to_sqlite(shared):
    shared.call("migrate-storage-backend", "database")
    for words in ["migrate-storage-backend", "database"], ["save-agent-state", "a", "k", "v"]:
        status, _, err = Machine(shared.directory, shared.clock, {}).attempt(*words)
        assert status == 3 and "set MILESTONE_DATABASE_URL. To move it to SQLite, with that set: " \
            "migrate_storage_backend hybrid; then unset it: migrate_storage_backend database" in err
    shared.call("migrate-storage-backend", "hybrid")
    local = Machine(shared.directory, shared.clock, {})
    local.call("migrate-storage-backend", "database")
    assert local.words() == ["database", "database"] and local.call("load-agent-state", "a", "k") == "v"
