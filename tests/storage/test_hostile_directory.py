"""A data directory that came with somebody else's repository: it leads nowhere outside and runs nothing."""
from __future__ import annotations

import json
import os
import shlex
import sqlite3

import pytest
from conftest import FakeClock

from milestone_persist import StorageError, open_store
from milestone_persist.storage.jsonfiles.journal import JOURNAL

SECRET = "mine\n"
LOCK, STOP, LOG = "session-monitor.lock", "session-monitor.stop", "logs/session-monitor.log"


@pytest.fixture
def outside(tmp_path):
    """A file of the user's outside the data directory, which must stay as it is."""
    path = tmp_path / "outside" / "profile"
    path.parent.mkdir()
    path.write_text(SECRET)
    yield path
    assert path.read_text() == SECRET
    assert os.listdir(path.parent) == ["profile"]


@pytest.mark.parametrize("name", [f"{JOURNAL}.part", "file-store.1.part"])
@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_the_file_store_writes_through_no_link(store, directory, outside, name):
    before = outside.read_bytes() if outside.exists() else None
    (directory / name).symlink_to(outside)
    store.save_agent_state("a", "k", "v")
    assert not (directory / name).is_symlink() and store.load_agent_state("a", "k") == "v"
    assert (outside.read_bytes() if outside.exists() else None) == before


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_the_logs_are_written_through_no_link(store, directory, outside):
    (directory / "logs").mkdir()
    (directory / "logs" / "milestone-events.jsonl").symlink_to(outside)
    with pytest.raises(StorageError, match="milestone-events.jsonl: it is a symbolic link"):
        store.log_milestone_event("done")


@pytest.mark.parametrize("name", [LOG, LOCK, "session-monitor.pid", STOP])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_the_monitor_writes_through_no_link(store, directory, outside, name, program):
    (directory / "logs").mkdir()
    (directory / name).symlink_to(outside)
    program("start-session-monitor", "--once")
    program("start-session-monitor", "1")
    program("stop-session-monitor")


@pytest.mark.parametrize("link, name", [("agent-messages/acknowledged", "agent-messages/acknowledged/x"),
                                        ("agent-state", "agent-state/x.json"), ("x", "x/y/z"), ("x", "x/y")])
@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_a_journal_is_carried_out_inside_only(directory, outside, environ, link, name):
    (directory / link).parent.mkdir(parents=True)
    (directory / link).symlink_to(outside.parent)
    (directory / JOURNAL).write_text(json.dumps({name: "theirs"}))
    with pytest.raises(StorageError, match="cannot be read|leads out of"), \
            open_store(directory, clock=FakeClock(), environ=environ) as store:
        store.save_agent_state("a", "k", "v")


NOT_OWN = {
    "link to the store": lambda path, home: path.symlink_to(head_of(home)),
    "hard link to the store": lambda path, home: os.link(head_of(home), path),
    "link outside": lambda path, home: path.symlink_to(home.parent / "outside" / "profile"),
    "link beside": lambda path, home: path.symlink_to(home / "active" / "ms-1.yaml"),
    "hard link outside": lambda path, home: os.link(home.parent / "outside" / "profile", path),
    "dangling link": lambda path, home: path.symlink_to(home / "nothing"),
    "pipe": lambda path, home: os.mkfifo(path),
}
EACH_NOT_OWN = pytest.mark.parametrize("kind", NOT_OWN)
RECORDS = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)


@pytest.fixture
def opened(monkeypatch, store):
    """The inodes of all files that are opened by hand from now on."""
    found, real = set(), os.open

    def note(path, *words, **options):
        descriptor = real(path, *words, **options)
        found.add(os.fstat(descriptor).st_ino)
        return descriptor

    monkeypatch.setattr(os, "open", note)
    return found


def head_of(directory):
    """The file with which a store stands and falls."""
    database = directory / "coordination.db"
    return database if database.exists() else directory / "file-store.json"


def make_one(kind, path, directory):
    path.parent.mkdir(exist_ok=True)
    NOT_OWN[kind](path, directory)


@RECORDS
@EACH_NOT_OWN
@pytest.mark.parametrize("folder", ["active", "completed"])
def test_a_record_is_a_file_of_its_own_or_none(store, cli, directory, outside, opened, kind, folder):
    store.create_milestone_record("ms-1", "title: x\n")
    make_one(kind, directory / folder / "z.yaml", directory)
    before = sorted(os.listdir(directory / folder))
    for words in (["read-milestone-record", "z"], ["update-milestone-record", "z", "mine"], ["export-coordination"],
                  ["create-milestone-record", "z", "mine"], ["backup-coordination"]):
        done = cli(*words)
        assert done.status == 3 and "z.yaml" in done.err and SECRET.strip() not in done.err + done.text
        assert "internal" not in done.err and done.err.count("\n") <= 2
    listed = cli("list-milestones")
    assert listed.status == 0 and "z.yaml: it is" in listed.err or "z.yaml: the file has" in listed.err
    assert listed.text == "ms-1\n"
    assert cli("send-agent-message", "a", "a", "x-note", "{}").status == 0
    assert sorted(os.listdir(directory / folder)) == before and store.read_milestone_record("ms-1") == "title: x\n"
    database = directory / "coordination.db"
    assert not database.exists() or database.stat().st_ino not in opened


@pytest.mark.parametrize("kind", ["hard link to the store", "link outside", "hard link outside", "pipe"])
@pytest.mark.parametrize("name", ["logs/milestone-events.jsonl", "config/backend-in-use.txt", LOG, LOCK, STOP,
                                  "config/storage-backend.txt", "config/record-swap.txt", "file-store.journal",
                                  "file-store.lock", "agent-registry/a.json", "session-monitor.pid"])
@RECORDS
def test_nothing_but_regular_files_of_their_own_is_opened(store, cli, directory, outside, opened, kind, name, backend):
    store.create_milestone_record("ms-1", "title: x\n")
    store.register_agent("a", "validation", "m", "s")
    path = directory / name
    if path.exists():
        path.unlink()
    make_one(kind, path, directory)
    calls = [["start-session-monitor", "--once"], ["stop-session-monitor"], ["get-session-monitor-status"]]
    for words in (["log-milestone-event", "done"], ["list-session-agents", "s"], ["doctor"],
                  ["read-milestone-record", "ms-1"], *(calls if "monitor" in name else [])):
        done = cli(*words)
        assert "internal" not in done.err and SECRET.strip() not in done.err + done.text
    database = directory / "coordination.db"
    assert not database.exists() or database.stat().st_ino not in opened


@pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)
def test_no_file_of_the_store_is_hashed_restored_or_imported(store, cli, directory, tmp_path, opened, backend, dump):
    store.register_agent("a", "validation", "m", "s")
    file = directory / ("agent-registry/a.json" if backend == "file" else "coordination.db")
    (tmp_path / "link").symlink_to(file)
    os.link(file, tmp_path / "hard link")
    before = dump()
    opened.clear()
    for name in (file, tmp_path / "link", tmp_path / "hard link"):
        done = cli("create-agent-checkpoint", "a", "manual", name)
        assert done.status == 2 and "is a file of the store" in done.err and done.err.count("\n") == 1
        for words in (["restore-coordination", name], ["import-coordination", name, "--replace"]):
            done = cli(*words)
            assert done.status in (2, 3) and "remove" not in done.err and done.err.count("\n") == 1
    assert dump() == before
    (tmp_path / "mine").write_text("x")
    os.link(tmp_path / "mine", tmp_path / "also mine")
    (tmp_path / "my link").symlink_to(tmp_path / "mine")
    for name in ("mine", "also mine", "my link"):
        assert cli("create-agent-checkpoint", "a", "manual", tmp_path / name).status == 0
    if backend != "file":
        assert file.stat().st_ino not in opened


@pytest.mark.parametrize("words", [["create-agent-checkpoint", "a", "manual"], ["restore-coordination"],
                                   ["import-coordination"]])
@RECORDS
def test_nobody_waits_for_a_pipe(store, cli, tmp_path, words):
    os.mkfifo(tmp_path / "pipe")
    done = cli(*words, tmp_path / "pipe")
    assert done.status in (1, 2, 3) and done.err.count("\n") == 1 and "pipe" in done.err


MAKE = pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)],
                               ids=["pipe", "folder", "link"])
MANY_CALLS = (["where"], ["doctor"], ["save-agent-state", "a", "k", "v"], ["load-agent-state", "a", "k"],
              ["list-milestones"], ["initialize-agent-coordination"])


@MAKE
@pytest.mark.parametrize("rest", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize("backend", ["hybrid", "database"], indirect=True)
@pytest.mark.parametrize("is_new", [True, False])
def test_sqlite_is_not_let_near_what_is_no_file_beside_its_own(cli, directory, make, rest, is_new):
    if is_new:
        directory.mkdir()
    else:
        cli("save-agent-state", "a", "k", "v")
    path = directory / f"coordination.db{rest}"
    path.unlink(missing_ok=True)
    make(path)
    for words in MANY_CALLS:
        done = cli(*words)
        assert (done.status, done.err.count("\n")) == (3, 1), done
        assert f"cannot use {path}: it is " in done.err and "space" not in done.err
        assert ("is not a regular file; move it away" in done.err) is not path.is_symlink()


@MAKE
@pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)
def test_what_is_no_file_in_the_place_of_the_store_is_called_so(cli, directory, make, backend):
    cli("save-agent-state", "a", "k", "v")
    backup = shlex.split(cli("backup-coordination").text)[-1]
    path = head_of(directory)
    path.unlink()
    make(path)
    if path.is_symlink():
        assert "is a symbolic link that leads out" in cli("where").err
        return
    for words in MANY_CALLS:
        done = cli(*words)
        assert done.status == 3 and f"{path} is not a regular file" in done.err and "is missing" not in done.err, done
    assert cli("restore-coordination", backup).status == 0
    assert cli("load-agent-state", "a", "k").text == "v"


@pytest.mark.parametrize("rest", ["-journal", "-wal", "-shm"])
@RECORDS
def test_a_backup_with_a_pipe_beside_it_is_not_waited_for(store, cli, rest):
    backup = shlex.split(cli("backup-coordination").text)[-1]
    os.mkfifo(backup + rest)
    done = cli("restore-coordination", backup)
    assert done.status == 2 and f"{backup}{rest}: it is not a regular file" in done.err


@RECORDS
def test_a_record_whose_writer_was_killed_is_read(store, directory):
    store.create_milestone_record("ms-1", "title: x\n")
    os.link(directory / "active" / "ms-1.yaml", directory / "active" / "ms-1.yaml.0123456789ab.part")
    assert store.read_milestone_record("ms-1") == "title: x\n"


PLACES = ["active", "completed", "logs", "config", "backups", "reports", "agent-registry", "agent-messages",
          "agent-messages/acknowledged", "coordination.db", "coordination.db-wal", "coordination.db-journal",
          "file-store.json", "file-store.lock", "session-monitor.lock", ".gitignore"]
CALLS = [["register-agent", "a", "validation", "m", "s"], ["list-milestones"], ["doctor"], ["where"],
         ["backup-coordination"], ["initialize-storage-system"], ["start-session-monitor", "--once"],
         ["get-session-monitor-status"], ["stop-session-monitor"], ["export-coordination"],
         ["create-milestone-record", "x", "title: x"]]


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("name", PLACES)
@RECORDS
def test_nothing_in_a_data_directory_leads_out_of_it(cli, directory, outside, name, is_there):
    path = directory / name
    path.parent.mkdir(parents=True)
    path.symlink_to((outside if "." in name else outside.parent) if is_there else outside.parent / "new")
    for words in CALLS:
        done = cli(*words)
        assert done.status == 3 and f"cannot use {path}: it is a symbolic link that leads out of" in done.err
        assert done.text == "" and done.err.count("\n") == 1 and SECRET.strip() not in done.err
    assert [*directory.rglob("*")] in ([path], [path.parent, path])


@RECORDS
def test_one_that_stays_inside_may_be_a_link(cli, directory):
    (directory / "records").mkdir(parents=True)
    (directory / "active").symlink_to("records")
    assert cli("create-milestone-record", "x", "title: x").status == 0
    assert (directory / "records" / "x.yaml").read_text() == "title: x"


@pytest.mark.parametrize("is_there", [True, False])
@RECORDS
def test_a_found_directory_is_no_link_that_leads_out(program, tmp_path, outside, is_there):
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / ".git").mkdir()
    target = outside.parent if is_there else outside.parent / "new"
    (project / ".milestones").symlink_to(target)
    for cwd in (project, project / "src") if is_there else (project,):
        for words in CALLS:
            done = program(*words, cwd=cwd)
            assert (done.status, done.text) == (3, "") and done.err.count("\n") == 1
            assert f"set MILESTONE_DIR={target}" in done.err or not is_there


@RECORDS
def test_a_named_directory_may_be_a_link_and_one_that_stays_inside_too(program, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    assert program("save-agent-state", "a", "k", "v", MILESTONE_DIR=str(tmp_path / "link")).status == 0
    assert program("load-agent-state", "a", "k", MILESTONE_DIR=str(tmp_path / "elsewhere")).text == "v"
    (tmp_path / ".milestones").symlink_to("elsewhere")
    assert program("load-agent-state", "a", "k").text == "v"


THEIRS = {
    "one table": "CREATE TABLE cookies (host)", "a table of our name": "CREATE TABLE milestones (id TEXT PRIMARY KEY)",
    "a version": "CREATE TABLE cookies (host); PRAGMA user_version = 1",
    "no table, a version": "PRAGMA user_version = 1", "no table, a name": "PRAGMA application_id = 77",
    "events": "CREATE TABLE events (id INTEGER PRIMARY KEY, event); CREATE TABLE agent_state (x)",
}


@pytest.mark.parametrize("sql", THEIRS.values(), ids=THEIRS)
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_another_program_s_database_is_left_as_it_is(cli, directory, sql):
    directory.mkdir()
    connection = sqlite3.connect(directory / "coordination.db")
    connection.executescript(sql)
    connection.close()
    before = (directory / "coordination.db").read_bytes()
    for words in [["doctor"], ["save-agent-state", "a", "k", "v"], ["list-agent-state", "a"], ["where"]]:
        done = cli(*words)
        assert (done.status, done.text) == (3, "") and "belongs to another program" in done.err
        assert done.err.count("\n") == 1
    assert (directory / "coordination.db").read_bytes() == before
    assert os.listdir(directory) == ["coordination.db"]
