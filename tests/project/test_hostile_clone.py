"""A repository that a victim clones may bring a whole `.milestones/`: nothing in it runs, leads out of it or hangs."""
from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import sysconfig

import pytest
from conftest import ROOT, size

from milestone_persist.storage.sqlite import embedded

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c"
SECRET = "a secret of the victim's"
EXECUTED = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork", "os.forkpty", "socket.connect",
            "socket.getaddrinfo", "ctypes.dlopen", "os.kill", "os.killpg", "sqlite3.load_extension")
watched: list[tuple[str, str]] = []  # what the interpreter tells of while a call is watched
is_watching = False


def note_event(event, args):
    if is_watching and (event in EXECUTED or event in ("open", "sqlite3.connect", "os.rename", "os.remove", "os.mkdir",
                                                       "os.link", "os.symlink", "os.chmod", "os.truncate", "os.listdir",
                                                       "os.scandir")):
        watched.append((event, os.fsdecode(args[0]) if args and isinstance(args[0], (str, bytes)) else ""))


sys.addaudithook(note_event)


class Clone:
    """A directory as it came with a repository, and the tools of who has prepared it."""

    def __init__(self, directory, outside):
        self.directory, self.outside = directory, outside

    def sql(self, text, name="coordination.db"):
        connection = sqlite3.connect(self.directory / name)
        connection.executescript(f"PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {text}")
        connection.close()

    def write(self, name, data):
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def link(self, name, target):
        path = self.directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def edit(self, name, change):
        rows = json.loads((self.directory / name).read_text())
        change(rows)
        self.write(name, json.dumps(rows))


def set_command(clone):
    command = f'touch "{clone.outside}/ran"'
    if (clone.directory / "coordination.db").exists():
        clone.sql(f"UPDATE agent_coordination_config SET value = '{command}' WHERE key = 'agent_spawn_command'")
        return
    lines = (clone.directory / "config/settings.jsonl").read_text().splitlines()
    rows = [{**row, "value": command if row["key"] == "agent_spawn_command" else row["value"]}
            for row in map(json.loads, lines)]
    clone.write("config/settings.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def lead_out(*names):
    def prepare(clone):
        for name in names:
            clone.link(name, clone.outside / "secret" if "." in name.rpartition("/")[2] else clone.outside)
    return prepare


def hostile_backup(clone):
    name = max((clone.directory / "backups").glob("*.db")).name
    clone.sql(f"CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN DELETE FROM agent_messages; END;"
              f"DROP VIEW active_agents; CREATE VIEW active_agents AS {ENDLESS}", f"backups/{name}")


def backup_with_command(clone):
    name = max((clone.directory / "backups").glob("*.db")).name
    clone.sql(f"UPDATE agent_coordination_config SET value = 'touch {clone.outside}/ran' WHERE key = "
              "'agent_spawn_command'", f"backups/{name}")


def hostile_export(clone):
    path = max((clone.directory / "backups").glob("*.jsonl"))
    text = path.read_text().replace('"id":"m"', '"id":"../../../outside/m"').replace(
        '"file_path":null', f'"file_path":"{clone.outside}/m.yaml"').replace(
        '"key":"agent_spawn_command","updated_at":"2026-01-01 00:00:00.000","value":""',
        f'"key":"agent_spawn_command","updated_at":"2026-01-01 00:00:00.000","value":"touch {clone.outside}/ran"')
    path.write_text(text)


def paths_in_rows(clone):
    clone.sql(f"UPDATE milestones SET file_path = '../../outside/secret' WHERE id = 'm'; UPDATE agent_checkpoints SET "
              f"file_references = '[{{\"path\": \"{clone.outside}/secret\", \"size\": 1, \"sha256\": \"x\"}}]';"
              "UPDATE coordination_sessions SET phase = 'design'; INSERT INTO coordination_sessions (session_id, "
              "milestone_id, operation_type) VALUES ('../../outside/s', 'm', 'execution')")


BOTH, SQLITE, FILES = ("hybrid", "file"), ("hybrid",), ("file",)
CLONES = {
    "a command in the settings": (BOTH, set_command),
    "a note that names PostgreSQL": (BOTH, lambda clone: clone.write("config/backend-in-use.txt", "postgresql 1\n")),
    "a note that names another directory": (BOTH, lambda clone: clone.write("config/backend-in-use.txt",
                                                                            f"file {clone.outside}\n")),
    "a tombstone that leads out": (SQLITE, lambda clone: clone.sql(
        f"INSERT INTO store_moves (moved_to, move, noted_at) VALUES ('file {clone.outside}', 'x', "
        "'2026-01-01 00:00:00.000')")),
    "links in the place of files": (BOTH, lead_out("logs/storage-events.jsonl", "logs/milestone-events.jsonl",
                                                   "active/m.yaml", "active/x.yaml", ".gitignore", ".kept-0",
                                                   "session-monitor.pid", "config/storage-backend.txt")),
    "links in the place of folders": (BOTH, lead_out("backups", "reports", "logs", "completed")),
    "a link in the place of the store": (SQLITE, lead_out("coordination.db")),
    "links in the place of rows": (FILES, lead_out("agent-registry/a.json", "agent-messages/00000001.jsonl",
                                                   "config/settings.jsonl")),
    "links in the place of SQLite's own": (SQLITE, lead_out("coordination.db-journal", "coordination.db-wal")),
    "triggers": (SQLITE, lambda clone: clone.sql("".join(
        f"CREATE TRIGGER t{number} {event} ON {table} BEGIN {body}; END;"
        for number, (event, table, body) in enumerate((
            ("AFTER INSERT", "agent_messages", "DELETE FROM agent_messages"),
            ("AFTER UPDATE", "agent_registry", f"SELECT count(*) FROM ({ENDLESS})"),
            ("BEFORE INSERT", "events", "SELECT RAISE(ABORT, 'no')"),
            ("AFTER INSERT", "agent_state", "SELECT load_extension('x')")))))),
    "endless views in the place of tables": (SQLITE, lambda clone: clone.sql("".join(
        f"DROP TABLE {table}; CREATE VIEW {table} AS {ENDLESS};" for table in (
            "agent_messages", "store_moves", "agent_coordination_config", "milestones")))),
    "a computed column": (SQLITE, lambda clone: clone.sql(
        "ALTER TABLE agent_messages ADD COLUMN c AS (hex(zeroblob(90000000))); ALTER TABLE milestones ADD COLUMN d AS "
        "(abs(-9223372036854775808))")),
    "paths in rows": (SQLITE, paths_in_rows),
    "a journal that writes outside": (FILES, lambda clone: clone.write("file-store.journal", json.dumps(
        {"../outside/secret": "mine", f"{clone.outside}/secret": "mine", "active/../../outside/secret": "mine"}))),
    "JSON nested without end": (FILES, lambda clone: [clone.write(name, "[" * 200_000) for name in (
        "agent-registry/a.json", "agent-state/a=k.json", "events/00000001.jsonl")]),
    "rows of absurd numbers": (FILES, lambda clone: clone.edit("agent-registry/a.json", lambda row: row.update(
        life=10 ** 30, removed_version=-1, spawn_time=1e308))),
    "a record that expands": (BOTH, lambda clone: clone.write("active/m.yaml", "a: &a [x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + chr(ord(name) - 1)] * 9)}]\n" for name in "bcdefghij"))),
    "a record that names a file": (BOTH, lambda clone: clone.write(
        "active/m.yaml", f"id: ../../outside/m\ntitle: !!python/object/apply:os.system [touch {clone.outside}/ran]\n")),
    "names of files that are commands": (BOTH, lambda clone: [clone.write(name, "title: x\n") for name in (
        "active/$(touch ran).yaml", "active/`touch ran`.yaml", "active/; touch ran.yaml", "active/--help.yaml",
        "active/\033[2J.yaml")]),
    "the process of somebody else as the monitor": (BOTH, lambda clone: [clone.write(name, json.dumps(
        {"pid": os.getpid(), "token": "x", "host": os.uname().nodename, "seconds": 1})) for name in (
            "session-monitor.pid", "session-monitor.lock", "session-monitor.stop")]),
    "a hostile backup": (SQLITE, hostile_backup),
    "a backup with a command": (BOTH, backup_with_command),
    "a hostile export": (BOTH, hostile_export),
}
CALLS = (["where"], ["doctor"], ["list-milestones"], ["read-milestone-record", "m"], ["read-milestone-record", "x"],
         ["load-agent-state", "a", "k"], ["get-agent-messages", "a"], ["get-session-status", "s"],
         ["list-coordination-sessions"], ["detect-interrupted-sessions"], ["recover-milestone-session", "s"],
         ["register-agent", "b", "validation", "m", "s"], ["save-agent-state", "b", "k", "v"],
         ["send-agent-message", "b", "a", "error_report", "{}"], ["get-agent-messages", "a", "true"],
         ["create-agent-checkpoint", "a"], ["restore-agent-checkpoint", "CHECKPOINT"],
         ["update-milestone-record", "m", "title: New\n"], ["log-storage-event", "x", "m", "hybrid"],
         ["restart-milestone-execution", "s"], ["generate-milestone-report", "s"], ["stop-session-monitor"],
         ["cleanup-stale-coordination", "60"], ["backup-coordination"], ["export-coordination"],
         ["restore-coordination", "BACKUP"], ["import-coordination", "EXPORT", "--replace"],
         ["restart-milestone-execution", "s"], ["doctor", "--fix"], ["migrate-storage-backend", "database"],
         ["recover-milestone-session", "s"])


@pytest.fixture
def clone(cli, directory, tmp_path, environ):
    """A filled store with a backup and an export; what lies outside is the victim's."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    for words in (["register-agent", "a", "validation", "m", "s"], ["save-agent-state", "a", "k", "v"],
                  ["create-milestone-record", "m", "title: One\n"], ["create-agent-checkpoint", "a"],
                  ["send-agent-message", "a", "a", "error_report", "{}"], ["backup-coordination"],
                  ["export-coordination"]):
        assert cli(*words).status == 0
    environ.pop("MILESTONE_BACKEND")
    return Clone(directory, outside)


@pytest.fixture
def watch(cli, clone, monkeypatch):
    """Runs a command line and tells what it did to the system, but for reading the program itself."""
    monkeypatch.setattr(embedded, "STEPS", 1_000_000)
    monkeypatch.setattr(embedded, "MOST_STEPS", 20)
    program = (str(ROOT) + os.sep, sysconfig.get_path("stdlib") + os.sep, "/dev/null", "/dev/tty", "/proc/",
               "/sys/")

    def watch(*words):
        global is_watching
        watched.clear()
        is_watching = True
        try:
            done = cli(*words)
        finally:
            is_watching = False
        found = []
        for event, path in watched:
            real = os.path.realpath(path) if os.path.isabs(path) else ""
            if event in EXECUTED or real and not real.startswith((str(clone.directory), *program)) and \
                    real != str(clone.directory.parent):
                found.append((event, path))
        return done, found

    return watch


CASES = [(name, backend) for name in CLONES for backend in CLONES[name][0][:size(1, 2)]]


@pytest.mark.parametrize("name, backend", CASES, indirect=["backend"])
def test_nothing_runs_and_nothing_outside_is_read_or_written(clone, watch, tmp_path, name, backend):
    checkpoint = next(iter(json.loads(watch("list-agent-checkpoints", "a", "--json")[0].text)))["checkpoint_id"]
    given = {"CHECKPOINT": checkpoint, "BACKUP": str(max((clone.directory / "backups").glob("*.db"))),
             "EXPORT": str(max((clone.directory / "backups").glob("*.jsonl")))}
    CLONES[name][1](clone)
    for words in CALLS:
        done, found = watch(*(given.get(word, word) for word in words))
        if words[0] == "restore-agent-checkpoint":  # it compares the files that were named, wherever they are
            found = [each for each in found if each != ("open", str(clone.outside / "secret"))]
        assert found == [], words
        assert done.status in (0, 1, 2, 3) and "internal error" not in done.err, (words, done)
        assert SECRET not in done.text + done.err and "\033" not in done.text + done.err, (words, done)
        assert not done.status or done.err, (words, done)
    assert {path.name for path in clone.outside.iterdir()} == {"secret"}
    assert (clone.outside / "secret").read_text() == SECRET
    assert {path.name for path in tmp_path.iterdir()} == {".milestones", "outside"}


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_what_watches_sees_what_it_is_there_for(clone, watch, environ):
    """That the tests before can fail: a command that is allowed is seen, and so is a file outside."""
    done, found = watch("import-coordination", str(clone.outside / "secret"))
    assert done.status == 2 and ("open", str(clone.outside / "secret")) in found
    set_command(clone)
    environ["MILESTONE_SPAWN_DIRS"] = str(clone.directory)
    assert "subprocess.Popen" in [event for event, _ in watch("restart-milestone-execution", "s")[1]]
    assert (clone.outside / "ran").exists()
