"""What holds the rows was removed by hand: an empty store never takes the place of a full one."""
from __future__ import annotations

import os
import shutil

import pytest

from milestone_persist import StorageError, open_store
from milestone_persist.opening import engines
from milestone_persist.opening import engines as storage
from milestone_persist.opening.place import open_for
from milestone_persist.storage.backends import IN_USE
from milestone_persist.storage.call import Clock
from milestone_persist.storage.selection import write_word

LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)
HEADS = {"file": "file-store.json", "hybrid": "coordination.db", "database": "coordination.db"}
WAYS = {"as it is fixed": {}, "as it is in use": {"MILESTONE_BACKEND": ""}}


@pytest.fixture
def head(store, directory, backend, tmp_path):
    """The path of what makes a store one, in a store that holds a row and is closed."""
    store.save_agent_state("a", "k", "v")
    assert store.backup_coordination(str(tmp_path / "kept.db"))
    store.close()
    return directory / HEADS[backend]


def assert_refused(cli, directory, head, **variables):
    before = sorted(directory.rglob("*"))
    for words in (["list-coordination-sessions"], ["load-agent-state", "a", "k"], ["save-agent-state", "a", "k", "w"],
                  ["initialize-agent-coordination"], ["doctor"], ["where"], ["start-session-monitor", "--once"]):
        done = cli(*words, **variables)
        assert (done.status, done.text, done.err.count("\n")) == (3, "", 1), (words, done)
        assert f"{head} is missing" in done.err and "remove" not in done.err
    assert sorted(directory.rglob("*")) == before


@LOCAL
@pytest.mark.parametrize("way", WAYS)
def test_a_store_that_is_gone_is_told_and_not_made_again(cli, directory, head, way):
    head.unlink()
    assert_refused(cli, directory, head, **WAYS[way])
    (directory / IN_USE).unlink()
    for path in directory.glob("agent-*"):
        shutil.rmtree(path)
    for folder in ("coordination-sessions", "events", "milestones", "config"):
        shutil.rmtree(directory / folder, ignore_errors=True)
    assert cli("load-agent-state", "a", "k", "none").text == "none"
    assert cli("save-agent-state", "a", "k", "w").status == 0
    assert cli("doctor").status == 0


@pytest.mark.parametrize("backend", ["hybrid", "database"], indirect=True)
def test_a_store_that_was_emptied_is_told_and_a_backup_takes_its_place(cli, directory, head, tmp_path):
    head.write_bytes(b"")
    assert_refused(cli, directory, head)
    shutil.copy(tmp_path / "kept.db", head)
    assert cli("load-agent-state", "a", "k").text == "v"


@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_rows_without_their_head_are_told_even_where_no_note_is(cli, directory, head):
    head.unlink()
    (directory / IN_USE).unlink()
    assert_refused(cli, directory, head)


@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_messages_that_an_earlier_tool_left_in_files_are_no_rows(cli, directory):
    (directory / "agent-messages").mkdir(parents=True)
    (directory / "agent-messages" / "1767225600.json").write_text("{}")
    assert cli("save-agent-state", "a", "k", "v").status == 0
    assert cli("load-agent-state", "a", "k").text == "v"


@LOCAL
def test_a_store_whose_making_was_cut_short_is_made_by_the_next_call(cli, directory, environ, monkeypatch):
    def die(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "open_backend", die)
    with pytest.raises(KeyboardInterrupt):
        open_for(str(directory), environ, make=True)
    assert (directory / IN_USE).exists()
    monkeypatch.undo()
    assert cli("load-agent-state", "a", "k", "none").text == "none"
    assert cli("save-agent-state", "a", "k", "v").status == 0
    assert os.listdir(directory / "config").count("being-made") == 0


@LOCAL
def test_a_store_that_is_made_between_two_looks_is_there(connect, cli, directory, backend, monkeypatch):
    """The maker finishes after this one has seen that there is no store yet."""
    look = engines.read_word

    def die(*given):
        raise KeyboardInterrupt

    def let_it_be_made(*given):
        monkeypatch.undo()
        assert connect().list_coordination_sessions() == []
        assert (directory / HEADS[backend]).exists() and not (directory / engines.BEING_MADE).exists()
        return look(*given)

    monkeypatch.setattr(storage, "open_backend", die)
    with pytest.raises(KeyboardInterrupt):
        connect()
    monkeypatch.undo()
    monkeypatch.setattr(engines, "read_word", let_it_be_made)
    done = cli("save-agent-state", "a", "k", "v")
    assert (done.status, done.err) == (0, "")


@LOCAL
def test_to_begin_again_the_directory_gets_another_name(cli, directory, head):
    head.unlink()
    told = cli("where").err.strip()
    assert f"to start again, give {directory} another name; " in told
    directory.rename(directory.with_name("kept"))
    assert cli("save-agent-state", "a", "k", "w").status == 0


@LOCAL
def test_a_store_that_is_just_being_moved_is_followed(cli, directory, environ, head, backend, monkeypatch):
    """Somebody else moves the rows after this one has seen where they are."""
    environ["MILESTONE_BACKEND"] = ""
    other = "hybrid" if backend == "file" else "file"
    choose = storage.select_backend

    def choose_and_let_it_move(*given):
        engine = choose(*given)
        monkeypatch.undo()
        assert cli("migrate-storage-backend", other).status == 0
        return engine

    monkeypatch.setattr(storage, "select_backend", choose_and_let_it_move)
    opened = storage.open_storage(str(directory), Clock(), environ)
    with opened.snapshot():
        assert opened.backend.name == other
        assert opened.execute("SELECT state_value FROM agent_state") == [{"state_value": "v"}]
    opened.close()
    assert not head.exists()


def test_a_note_of_something_else_does_not_matter(directory, environ, store, backend):
    store.save_agent_state("a", "k", "v")
    write_word(str(directory), "config/note.txt", "x")
    with open_store(directory, environ=environ) as other:
        assert other.load_agent_state("a", "k") == "v"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_database_of_an_earlier_tool_needs_no_note(directory, environ, head):
    (directory / IN_USE).unlink()
    with open_store(directory, environ=environ) as store:
        assert store.load_agent_state("a", "k") == "v"
    with pytest.raises(StorageError, match="not a readable database"):
        head.write_bytes(b"x" * 1000)
        open_store(directory, environ=environ)
