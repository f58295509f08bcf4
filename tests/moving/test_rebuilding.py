"""A store that is damaged or gone is restored from a backup, and every file of it is kept."""
from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
from pathlib import Path

import pytest
from conftest import size
from killing import run_until

from milestone_persist import StorageError, open_store

IN_SQLITE = pytest.mark.parametrize("backend", ["hybrid", "database"], indirect=True)
LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)
KEYS = 20


@pytest.fixture
def backup(connect):
    """The path of a backup of a store with agent a, its state and a record; since then it was changed."""
    store = connect()
    store.register_agent("a", "validation", "ms-1", "s")
    for number in range(KEYS):
        store.save_agent_state("a", f"k-{number}", "x" * 500)
    store.create_milestone_record("ms-1", "title: one")
    path = store.backup_coordination()["file"]
    store.save_agent_state("a", "later", "v")
    store.update_milestone_record("ms-1", "title: changed")
    store.close()
    return path


def cut(directory):
    os.truncate(directory / "coordination.db", 50_000)


def empty(directory):
    os.truncate(directory / "coordination.db", 0)


def garble_all(directory):
    (directory / "coordination.db").write_bytes(b"x" * 60_000)


def garble_inside(directory):
    data = bytearray((directory / "coordination.db").read_bytes())
    data[8192:-8192:97] = bytes(len(data[8192:-8192:97]))
    (directory / "coordination.db").write_bytes(data)


def remove(directory):
    (directory / "coordination.db").unlink()


def remove_but_for_journal(directory):
    leave_journal(directory)
    remove(directory)


def leave_journal(directory):
    """A hot journal of another state of the file, and a cut file."""
    shutil.copy(directory / "coordination.db", directory / "copy.db")
    other = sqlite3.connect(directory / "copy.db", isolation_level=None)
    other.execute("PRAGMA cache_size = 1")
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE agent_state SET state_value = state_value || 'y'")
    shutil.copy(directory / "copy.db-journal", directory / "coordination.db-journal")
    other.close()
    (directory / "copy.db").unlink()
    cut(directory)


def break_reference(directory):
    connection = sqlite3.connect(directory / "coordination.db")
    connection.execute("DELETE FROM coordination_sessions")
    connection.commit()
    connection.close()


HURT = [cut, empty, garble_all, garble_inside, remove, remove_but_for_journal, leave_journal, break_reference]


def assert_restored(connect):
    store = connect()
    assert store.load_agent_state("a", f"k-{KEYS - 1}") == "x" * 500
    assert store.load_agent_state("a", "later", "none") == "none"
    assert store.read_milestone_record("ms-1") == "title: one"
    store.doctor()
    store.save_agent_state("a", "more", "v")
    store.close()


def contents(directory, names):
    return {name: (directory / name).read_bytes() for name in names if (directory / name).is_file()}


@IN_SQLITE
@pytest.mark.parametrize("hurt", HURT)
def test_restoring_where_the_database_is_damaged_or_gone(cli, connect, directory, backup, hurt):
    hurt(directory)
    before = contents(directory, ("coordination.db", "coordination.db-journal"))
    done = cli("restore-coordination", backup)
    assert done.status == 0, done
    places = [*(directory / "backups").glob("*-damaged")]
    assert len(places) == (1 if before else 0) and all(str(place) in done.text for place in places)
    if hurt is not leave_journal:  # it belongs to the file, and whoever looks at that plays it in
        assert [contents(place, before) for place in places] == [before] * len(places)
    assert_restored(connect)


@IN_SQLITE
@pytest.mark.parametrize("hurt", [cut, garble_all, remove])
def test_the_error_names_the_newest_backup_and_its_command_works(cli, connect, directory, backup, run_shell, hurt):
    hurt(directory)
    done = cli("list-coordination-sessions")
    assert done.status == 3 and f"restore_coordination {shlex.quote(str(backup))} brings back" in done.err
    words = done.err[done.err.index("restore_coordination"):done.err.index(" brings back")]
    assert run_shell("bash", words, MILESTONE_DIR=str(directory), MILESTONE_BACKEND=None).status == 0
    assert_restored(connect)


@IN_SQLITE
@pytest.mark.parametrize("hurt", [cut, garble_inside, remove, break_reference])
def test_doctor_names_the_newest_backup_too(cli, directory, backup, hurt):
    hurt(directory)
    done = cli("doctor")
    assert done.status == 3 and f"restore_coordination {shlex.quote(str(backup))} brings back" in done.err


@LOCAL
def test_without_a_backup_none_is_named(cli, connect, directory, backend):
    connect().close()
    (directory / ("file-store.json" if backend == "file" else "coordination.db")).unlink()
    done = cli("list-coordination-sessions")
    assert done.status == 3 and "restore_coordination FILE brings back a backup" in done.err and "has none" in done.err


def damage_head(directory):
    (directory / "file-store.json").write_text("{")


def remove_head(directory):
    (directory / "file-store.json").unlink()


def damage_row(directory):
    next((directory / "agent-registry").glob("*.json")).write_text("{")


def damage_journal(directory):
    (directory / "file-store.journal").write_text("{")


@pytest.mark.parametrize("backend", ["file"], indirect=True)
@pytest.mark.parametrize("hurt", [damage_head, remove_head, damage_row, damage_journal])
def test_restoring_where_files_are_damaged_or_gone(cli, connect, directory, backup, hurt):
    hurt(directory)
    done = cli("load-agent-state", "a", "k-1") if hurt is not damage_row else cli("agent-heartbeat", "a")
    assert done.status == 3 and f"restore_coordination {shlex.quote(str(backup))} brings back" in done.err
    done = cli("restore-coordination", backup)
    [place] = (directory / "backups").glob("*-damaged")
    assert done.status == 0 and str(place) in done.text and (place / "agent-state").is_dir()
    assert_restored(connect)


@IN_SQLITE
def test_what_is_no_whole_backup_leaves_even_a_damaged_store_as_it_is(cli, directory, backup, tmp_path):
    cut(directory)
    (tmp_path / "half.db").write_bytes(Path(backup).read_bytes()[:30_000])
    before = sorted(directory.rglob("*"))
    assert cli("restore-coordination", tmp_path / "half.db").status == 2
    assert cli("restore-coordination", tmp_path / "missing.db").status == 1
    assert sorted(directory.rglob("*")) == before


@IN_SQLITE
def test_a_store_that_was_open_meanwhile_follows(connect, cli, directory, backup):
    other = connect()
    other.load_agent_state("a", "k-1")
    garble_all(directory)
    assert json.loads(cli("--json", "restore-coordination", backup).text)["damaged"]
    other.save_agent_state("a", "k-1", "from the one that was open")
    assert connect().load_agent_state("a", "k-1") == "from the one that was open"


@IN_SQLITE
def test_a_store_damaged_while_it_is_open_can_be_restored(connect, directory, backup):
    store = connect()
    garble_all(directory)
    with pytest.raises(StorageError, match="restore_coordination"):
        store.save_agent_state("a", "k", "v")
    assert store.restore_coordination(backup)["damaged"]
    assert_restored(connect)


def test_a_sound_store_is_not_moved_aside(connect, directory, backup):
    assert "damaged" not in connect().restore_coordination(backup)
    assert [*(directory / "backups").glob("*-damaged")] == []


def find_parts(directory):
    return [path for path in directory.rglob("*.part*") if "-unfinished" not in str(path)]


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_a_restore_killed_at_any_moment_leaves_a_store_damaged_gone_or_restored(cli, connect, directory, backup,
                                                                                tmp_path, backend):
    damage_head(directory) if backend == "file" else leave_journal(directory)
    image = tmp_path / "image"
    shutil.copytree(directory, image)
    for number in range(1, 5000, size(61, 31)):
        status = run_until(number, lambda: cli("restore-coordination", backup).status)
        try:
            with open_store(directory, environ={}) as store:
                assert store.load_agent_state("a", f"k-{KEYS - 1}") == "x" * 500
        except StorageError as error:
            assert status != 0 and "restore_coordination" in str(error)
        again = cli("restore-coordination", backup)
        assert again.status == 0, (number, again)
        assert_restored(connect)
        if find_parts(directory):
            cli("doctor", "--fix")
        assert find_parts(directory) == []
        shutil.rmtree(directory)
        shutil.copytree(image, directory)
        if status == 0:
            break
        assert status == -9
    assert status == 0 and number > 100, number
