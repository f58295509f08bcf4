"""A store that somebody holds, or that can only be read: looking goes on, doctor says why nobody can write."""
from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from users import NOBODY, assert_sandbox_is_named, ordinary_user, public  # noqa: F401

from milestone_persist.storage.jsonfiles.store import FileStorage
from milestone_persist.storage.postgresql import store as postgresql
from milestone_persist.storage.sqlite import embedded
from milestone_persist.storage.sqlite import store as sqlite

LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)
SQLITE = pytest.mark.parametrize("backend", ["hybrid", "database"], indirect=True)
HOLD = {
    "a writer": "sqlite3.connect(place + '/coordination.db', isolation_level=None).execute('BEGIN IMMEDIATE')",
    "a reader": "sqlite3.connect(place + '/coordination.db').execute('SELECT * FROM events')",
    "one that keeps even looks out": "sqlite3.connect(place + '/coordination.db', isolation_level=None)"
                                     ".execute('BEGIN EXCLUSIVE')",
    "files": "fcntl.flock(os.open(place + '/file-store.lock', os.O_RDWR), fcntl.LOCK_EX)",
    "a queue": "fcntl.flock(os.open(place + '/file-store.queue', os.O_RDWR), fcntl.LOCK_EX)",
}
LOOKS = [["get_agent_messages", "a"], ["update_agent_status", "a"], ["load_agent_state", "a", "k"],
         ["list_agent_state", "a"], ["list_milestones"], ["read_milestone_record", "m"], ["get_session_status", "s"],
         ["list_session_agents", "s"], ["detect_interrupted_sessions"], ["recover_milestone_session", "s"],
         ["get_session_recovery_status"], ["list_coordination_sessions"], ["whoami"], ["where"],
         ["get_storage_config"], ["get_current_storage_backend"], ["get_optimal_storage_backend"],
         ["list_agent_checkpoints", "a"], ["search_milestones", "m"], ["get_milestone_analytics"],
         ["get_agent_messages", "nobody"]]


@pytest.fixture
def held(cli, directory, monkeypatch, clock):
    """Begins a process that holds the store and is stopped then; nobody waits for it."""
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.0)
    running = []
    fill(cli, clock)

    def held(what):
        text = ("import fcntl, os, signal, sqlite3, sys; place = sys.argv[1]; held = " + HOLD[what] + "; "
                "print('ready', flush=True); os.kill(os.getpid(), signal.SIGSTOP)")
        running.append(subprocess.Popen([sys.executable, "-c", text, str(directory)], stdout=subprocess.PIPE))
        assert running[-1].stdout.readline() == b"ready\n"
        os.waitpid(running[-1].pid, os.WUNTRACED)
        return running[-1].pid

    yield held
    for process in running:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def fill(cli, clock):
    """A store with an agent whose heartbeat is due."""
    assert cli("register_agent", "a", "validation", "m", "s").status == 0
    assert cli("send_agent_message", "b", "a", "error_report", "{}").status == 0
    assert cli("save_agent_state", "a", "k", "v").status == 0
    assert cli("create_milestone_record", "m", "title: M").status == 0
    clock.advance(60)


def hold_any(held, backend):
    return [held("files")] if backend == "file" else [held("a writer"), held("a reader")]


@LOCAL
def test_looking_goes_on_while_a_writer_is_stopped(cli, held, backend):
    before = [cli(*words).text for words in LOOKS[:1]]
    hold_any(held, backend)
    for words in LOOKS:
        done = cli(*words, AGENT_ID="a")
        assert done.status == 0, (words, done)
        assert done.err == ""
    assert [cli(*words).text for words in LOOKS[:1]] == before


@pytest.mark.parametrize("backend", ["file"], indirect=True)
@pytest.mark.parametrize("what", ["files", "a queue"])
def test_files_are_read_whole_without_their_lock(cli, held, what):
    held(what)
    assert '"error_report"' in cli("get_agent_messages", "a").text
    assert cli("save_agent_state", "a", "k", "w").status == 3
    assert cli("load_agent_state", "a", "k").text == "v"


@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_files_that_change_while_they_are_read_without_their_lock_are_read_again(cli, connect, held, monkeypatch):
    glance, writer = FileStorage.glance, connect()
    looks = []

    def glance_and_let_it_change(self):
        looks.append(1)
        seen = glance(self)
        if len(looks) == 1:
            path = os.path.join(self.directory, "file-store.json")
            with open(path, "rb") as file:
                text = file.read()
            with open(path, "wb") as file:
                file.write(text.replace(b'"generation": ', b'"generation": 1'))
        return seen

    held("files")
    monkeypatch.setattr(FileStorage, "glance", glance_and_let_it_change)
    assert cli("load_agent_state", "a", "k").text == "v"
    assert len(looks) == 4
    writer.close()


def who(pid):
    return f"process {pid}, python" if os.path.exists("/proc/locks") else "another process"


@SQLITE
def test_a_transaction_keeps_other_writers_out_from_its_begin(store, directory):
    store.save_agent_state("a", "k", "v")
    other = sqlite3.connect(directory / "coordination.db", timeout=0, isolation_level=None)
    with store.storage().transaction(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


@SQLITE
def test_the_error_names_a_reader_and_a_writer(cli, held, directory):
    pid = held("a reader")
    done = cli("save_agent_state", "a", "k", "w")
    assert (done.status, done.err.count("\n")) == (3, 1)
    assert f"{directory}/coordination.db is busy" in done.err and "reading" in done.err and who(pid) in done.err
    pid = held("a writer")
    done = cli("save_agent_state", "a", "k", "w")
    assert "has been writing" in done.err and who(pid) in done.err
    assert cli("load_agent_state", "a", "k").text == "v"


@SQLITE
@pytest.mark.parametrize("words", [["get_agent_messages", "a"], ["doctor"], ["where"]])
def test_a_look_that_is_kept_out_is_told_by_whom(words, cli, held, monkeypatch):
    monkeypatch.setattr(sqlite, "LOOK_SECONDS", 0.0)
    pid = held("one that keeps even looks out")
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 3600.0)
    done = cli(*words)
    assert (done.status, done.text, done.err.count("\n")) == (3, "", 1)
    assert "has been writing for 0 s" in done.err and who(pid) in done.err


@LOCAL
def test_doctor_says_who_keeps_others_from_writing(cli, held, backend, directory):
    assert cli("doctor").status == 0
    for what in ("files", "a queue") if backend == "file" else ("a reader", "a writer"):
        pid = held(what)
        done = cli("doctor")
        assert (done.status, done.err.count("\n")) == (3, 1)
        assert f"{directory} is sound, but cannot be written" in done.err
        assert [line.split(": ")[0] for line in done.text.splitlines()] == ["unwritable"]
        stopped = f"which is stopped: kill -CONT {pid} lets it go on"
        assert (stopped if os.path.exists("/proc/locks") else "busy") in done.err
        assert who(pid) in done.err
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert cli("doctor").status == 0


@LOCAL
@pytest.mark.parametrize("what", ["inspect", "snapshot"])
def test_a_store_that_doctor_cannot_look_at_now_is_not_called_damaged(cli, clock, monkeypatch, backend, what):
    fill(cli, clock)

    def refuse(self, *words):
        raise embedded.busy(self.path, 30)

    monkeypatch.setattr(FileStorage if backend == "file" else sqlite.SqliteStorage, what, refuse)
    done = cli("doctor")
    assert (done.status, done.text) == (3, "")
    assert "is busy" in done.err and "damaged" not in done.err and "restore" not in done.err


@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_doctor_waits_for_a_stopped_writer_a_few_times_only(cli, held, monkeypatch):
    held("files")
    waits, busy = [], embedded.busy
    monkeypatch.setattr(embedded, "busy", lambda *words: waits.append(words) or busy(*words))
    assert cli("doctor").status == 3
    assert len(waits) < 8


@pytest.fixture
def closed(public, cli, clock, monkeypatch):  # noqa: F811
    """Takes the right to write from the store's owner, and gives the directory; root is nobody then."""
    place = public / "m"
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.0)

    def closed(what, words, **variables):
        if not place.exists():
            fill(lambda *words: cli(*words, MILESTONE_DIR=str(place)), clock)
            assert cli("doctor", MILESTONE_DIR=str(place)).status == 0
        kept = {path: path.stat().st_mode for path in (place, *place.rglob("*"))}
        for path in kept:
            os.chown(path, *((NOBODY, NOBODY) if os.geteuid() == 0 else (-1, -1)))
        for path in reversed(kept):
            if what == "all" or path.name == what or path == place and what == "the directory":
                path.chmod(0o500 if path.is_dir() else 0o400)
        try:
            with ordinary_user():
                return cli(*words, MILESTONE_DIR=str(place), **variables)
        finally:
            for path, mode in kept.items():
                path.chmod(mode)

    closed.place = place
    return closed


@LOCAL
@pytest.mark.parametrize("what", ["all", "the directory", "coordination.db"])
def test_looking_goes_on_where_nothing_can_be_written(closed, what):
    for words in LOOKS:
        done = closed(what, words, AGENT_ID="a")
        assert (done.status, done.err) == (0, ""), (words, done)


@SQLITE
def test_looking_goes_on_with_write_ahead_logging_where_nothing_can_be_written(closed):
    assert closed("", ["doctor"]).status == 0
    database = sqlite3.connect(closed.place / "coordination.db")
    assert database.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    database.close()
    for words in LOOKS:
        done = closed("all", words, AGENT_ID="a")
        assert (done.status, done.err) == (0, ""), (words, done)
    done = closed("all", ["save_agent_state", "a", "k", "w"])
    assert done.status == 3
    assert_sandbox_is_named(done, closed.place)


@LOCAL
@pytest.mark.parametrize("what", ["all", "the directory", "logs"])
def test_doctor_says_what_cannot_be_written(closed, what):
    assert closed("", ["log-milestone-event", "x"]).status == 0
    done = closed(what, ["doctor"])
    assert done.status == 3
    assert "sound, but cannot be written" in done.err
    assert_sandbox_is_named(done, closed.place)


@SQLITE
def test_doctor_says_that_the_database_cannot_be_written(closed):
    done = closed("coordination.db", ["doctor"])
    assert done.status == 3
    assert_sandbox_is_named(done, closed.place)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_look_does_not_wait_for_a_lock_on_the_server(cli, connect, clock, monkeypatch):
    monkeypatch.setattr(postgresql, "BUSY_SECONDS", 3600)
    fill(cli, clock)
    storage = connect().storage()
    with storage.transaction():
        for words in LOOKS:
            done = cli(*words, AGENT_ID="a")
            assert (done.status, done.err) == (0, ""), (words, done)
        told = cli("doctor")
        assert told.status == 3 and "cannot be written" in told.err
    assert cli("doctor").status == 0


def test_doctor_finds_no_store_where_there_is_none(unmade, cli, directory):
    done = cli("doctor")
    assert (done.status, done.text) == (1, "")
    assert done.err == (f"milestone_persist: no store at {directory}: initialize_agent_coordination makes one\n")
    assert not directory.exists()


@LOCAL
def test_doctor_leaves_no_trace(cli, dump, clock):
    fill(cli, clock)
    before = dump()
    assert cli("doctor").status == 0
    assert dump() == before


@SQLITE
def test_a_database_that_is_only_read_by_others_does_not_stop_doctor(cli, directory, clock):
    fill(cli, clock)
    other = sqlite3.connect(directory / "coordination.db")
    assert cli("doctor").status == 0
    other.close()
