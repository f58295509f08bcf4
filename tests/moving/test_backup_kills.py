"""A backup whose writer was killed, at any statement, change of a file or sync, never passes for a whole one."""
from __future__ import annotations

import os
import shutil
import sqlite3
import sys

import pytest
from conftest import ROOT, size
from killing import run_until

from milestone_persist import Refused, StorageError, UsageError, open_store

WORDS = {"backup": ["backup-coordination"], "export": ["export-coordination"]}
PROGRAM = [sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py"]
LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)


@pytest.fixture
def filled(connect):
    store = connect()
    store.register_agent("a", "validation", "ms-1", "s")
    for number in range(20):
        store.save_agent_state("a", f"k-{number}", "x" * 500)
    store.create_milestone_record("ms-1", "title: one")
    return store


def made(folder):
    return [path for path in folder.glob("*") if path.suffix in (".db", ".jsonl")] if folder.exists() else []


def bring_back(path, place, clock):
    """What a backup restores into a store that has something else."""
    with open_store(place, clock=clock, environ={"MILESTONE_BACKEND": "hybrid"}) as other:
        other.save_agent_state("b", "other", "v")
        if path.suffix == ".jsonl":
            other.import_coordination(str(path), replace=True)
        else:
            other.restore_coordination(str(path))
        return other.read_milestone_record("ms-1"), other.load_agent_state("a", "k-19")


def try_all(step, kill, directory, folder, tmp_path, clock):
    """Kill at the n-th point for every n: what has its name is whole, and the next backup removes the rest."""
    image, left_over = tmp_path / "image", 0
    shutil.copytree(directory, image)
    for number in range(1, 3000, step):
        status = kill(number)
        for path in made(folder):
            assert bring_back(path, tmp_path / f"other-{number}", clock) == ("title: one", "x" * 500)
            shutil.rmtree(tmp_path / f"other-{number}")
        left_over += len([*folder.glob("*.part*")]) if folder.exists() else 0
        with open_store(directory, clock=clock, environ={}) as store:
            store.doctor()
            store.backup_coordination()
        assert [*(directory / "backups").glob("*.part*")] == []
        shutil.rmtree(directory)
        if status == 0:
            return left_over
        assert status in (-9, 137)
        shutil.copytree(image, directory)
    raise AssertionError("it never got through")


@LOCAL
@pytest.mark.parametrize("by, step", [("backup", 31), ("export", 4)])
def test_killed_at_any_statement_or_change(filled, cli, directory, tmp_path, clock, by, step):
    filled.close()

    def kill(number):
        return run_until(number, lambda: cli(*WORDS[by]).status)

    assert try_all(size(step, step // 4), kill, directory, directory / "backups", tmp_path, clock) > 0


@LOCAL
@pytest.mark.parametrize("calls, step", [("fsync,fdatasync", 5), ("pwrite64", 13)])
def test_killed_at_any_sync_or_write_of_sqlite(filled, run, need, directory, tmp_path, clock, calls, step):
    filled.close()

    def kill(number):
        return run([need("strace"), "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e",
                    f"inject={calls}:signal=KILL:when={number}", *PROGRAM, *WORDS["backup"]]).status

    assert try_all(size(step, step // 4), kill, directory, directory / "backups", tmp_path, clock) > 0


@LOCAL
def test_a_backup_removes_what_killed_writers_of_records_left(filled, directory):
    left, others = directory / "active" / "ms-1.yaml.0123456789ab.part", directory / "active" / "my.part"
    for path in (left, others):
        path.write_text("half")
    filled.backup_coordination()
    assert not left.exists() and others.exists()


def damage(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


DELETED = ["DELETE FROM agent_state"]
UNCOUNTED = ["DELETE FROM agent_coordination_config WHERE key = 'backup_rows'"]
EMPTY = [f"DELETE FROM {table}" for table in ("agent_state", "agent_messages", "agent_checkpoints", "agent_health_log",
                                              "agent_registry", "coordination_sessions", "milestones", "events")]


@pytest.mark.parametrize("statements", [DELETED, EMPTY, EMPTY + UNCOUNTED], ids=["fewer rows", "no rows", "no mark"])
def test_a_backup_that_is_not_whole_is_refused(filled, tmp_path, dump, statements):
    before, path = None, tmp_path / "b.db"
    filled.backup_coordination(str(path))
    before = dump()
    damage(path, *statements)
    with pytest.raises(UsageError, match="is not a complete backup"):
        filled.restore_coordination(str(path))
    assert dump() == before


def test_a_backup_of_the_version_before_has_no_mark_and_is_restored(filled, tmp_path):
    filled.backup_coordination(str(tmp_path / "b.db"))
    damage(tmp_path / "b.db", *UNCOUNTED)
    filled.save_agent_state("a", "k-1", "changed")
    filled.restore_coordination(str(tmp_path / "b.db"))
    assert filled.load_agent_state("a", "k-1") == "x" * 500


@pytest.mark.parametrize("length", [0, 50, 4096, 20000, -1])
def test_a_cut_backup_is_refused(filled, tmp_path, dump, length):
    filled.backup_coordination(str(tmp_path / "b.db"))
    before, data = dump(), (tmp_path / "b.db").read_bytes()
    (tmp_path / "b.db").write_bytes(data[:length])
    with pytest.raises(UsageError, match="is not a backup|is damaged"):
        filled.restore_coordination(str(tmp_path / "b.db"))
    assert dump() == before


def test_the_given_file_is_only_read(filled, tmp_path):
    (tmp_path / "given").mkdir()
    path = tmp_path / "given" / "b ?#%.db"
    filled.backup_coordination(str(path))
    damage(path, "PRAGMA journal_mode = WAL")
    data = path.read_bytes()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        filled.restore_coordination(str(path))
        assert path.read_bytes() == data and os.listdir(path.parent) == [path.name]
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("call", ["restore", "import"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "missing"])
def test_what_is_no_file_is_refused_at_once(filled, tmp_path, dump, call, kind):
    path, before = tmp_path / kind, dump()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    path = "/dev/zero" if kind == "device" else str(path)
    with pytest.raises(Refused, match="cannot read the (backup|export)"):
        filled.restore_coordination(path) if call == "restore" else filled.import_coordination(path, replace=True)
    assert dump() == before


@pytest.mark.parametrize("backend", ["hybrid", "database"], indirect=True)
def test_the_store_itself_is_no_backup(filled, directory, dump, tmp_path):
    before = dump()
    os.link(directory / "coordination.db", tmp_path / "linked.db")
    for path in (directory / "coordination.db", tmp_path / "linked.db"):
        for call in (filled.restore_coordination, filled.import_coordination):
            with pytest.raises(UsageError, match="is a file of the store itself"):
                call(str(path))
    assert dump() == before


def test_what_a_living_writer_has_begun_is_not_taken_away(filled, directory):
    from milestone_persist.storage.parts import NewFile

    with NewFile(str(directory / "backups" / "mine")) as new:
        filled.backup_coordination()
        assert os.path.exists(new.part)
    assert not os.path.exists(new.part)


def test_a_file_of_the_store_that_has_the_name_of_a_part_is_let_be(filled, directory):
    (directory / "backups").mkdir(exist_ok=True)
    (directory / "precious").write_text("x")
    part = directory / "backups" / "b.db.0123456789ab.new.part"
    os.link(directory / "precious", part)
    filled.backup_coordination()
    assert part.exists()


@pytest.mark.parametrize("name", ["b.db", "b.jsonl"])
def test_a_full_disk_leaves_nothing(filled, tmp_path, monkeypatch, name):
    def fill_disk(descriptor):
        raise OSError(28, "No space left on device")

    filled.backup_coordination()
    with monkeypatch.context() as patched, pytest.raises(StorageError, match=f"{name} .No space .*free some space"):
        patched.setattr(os, "fsync", fill_disk)
        call = filled.backup_coordination if name == "b.db" else filled.export_coordination
        call(str(tmp_path / name))
    assert [path for path in os.listdir(tmp_path) if path.startswith(name)] == []
