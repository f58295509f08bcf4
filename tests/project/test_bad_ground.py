"""Bad ground: what is done to a store and what lies around it; each is named, loses nothing silently, says what helps.

The list is the data of the table in docs/reliability.md, which `python3 tests/ground.py` writes again.
"""
from __future__ import annotations

import contextlib
import itertools
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile

import pytest
from conftest import share
from ground import Damage, Ground, read_table
from users import NOBODY, ordinary_user

from milestone_persist.storage.sqlite import embedded

FILE, HYBRID = "file", "hybrid"
DB, HEAD = "coordination.db", "file-store.json"
A, KEY, MAIL = "agent-registry/a.json", "agent-state/a=k.json", "agent-messages/00000001.jsonl"
OLD_MAIL, EVENTS = "agent-messages/acknowledged/00000001.jsonl", "events/00000001.jsonl"
SETTINGS, LOG = "config/settings.jsonl", "logs/storage-events.jsonl"
SESSION, MILESTONE = "coordination-sessions/s.json", "milestones/m.json"
RECORD, NOTE, FIXED = "active/m.yaml", "config/backend-in-use.txt", "config/storage-backend.txt"
CONFLICT = b"<<<<<<< HEAD\n%s=======\n%s>>>>>>> theirs\n"


# What is done to one path, given in the data directory

def remove(name):
    def do(scene):
        path = scene.directory / name
        (shutil.rmtree if path.is_dir() and not path.is_symlink() else os.unlink)(path)
    return do


def write(name, data):
    def do(scene):
        path = scene.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data(path.read_bytes()) if callable(data) else data)
    return do


def cut(name, length):
    return write(name, lambda data: data[:length])


def put(name, at, piece):
    """Bytes in the place of others."""
    return write(name, lambda data: data[:at] + piece + data[at + len(piece):])


def instead(name, make):
    """Something else in the place of a file or folder."""
    def do(scene):
        path = scene.directory / name
        if os.path.lexists(path):
            remove(name)(scene)
        path.parent.mkdir(exist_ok=True)
        make(path)
    return do


def folder(name):
    return instead(name, os.mkdir)


def pipe(name):
    return instead(name, os.mkfifo)


def link(name, target=""):
    """A symbolic link, to a file outside if nothing else is named."""
    def do(scene):
        instead(name, lambda path: path.symlink_to((target or "OUTSIDE/outside").replace(
            "OUTSIDE", str(scene.directory.parent))))(scene)
    return do


def copy(old, new):
    return lambda scene: shutil.copy(scene.directory / old, scene.directory / new)


def move(old, new):
    return lambda scene: os.rename(scene.directory / old, scene.directory / new)


def mode(name, bits):
    return lambda scene: os.chmod(scene.directory / name, bits)


def both(*acts):
    def do(scene):
        for act in acts:
            act(scene)
    return do


def other_name(name):
    def do(scene):
        scene.beside.add("other")
        os.link(scene.directory / name, scene.directory.parent / "other")
    return do


def sql(text, name=DB):
    def do(scene):
        connection = sqlite3.connect(scene.directory / name)
        connection.executescript(f"PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {text}")
        connection.close()
    return do


def hot_journal(scene):
    """The journal of a change that was never finished: the file is half written, the journal takes it back."""
    path = scene.directory / DB
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE agent_state SET state_value = 'half'")
    connection.execute("CREATE TABLE big AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 99) "
                       "SELECT randomblob(4000) FROM n")
    kept = {end: (scene.directory / (DB + end)).read_bytes() for end in ("", "-journal")}
    connection.execute("ROLLBACK")
    connection.close()
    for end, data in kept.items():
        (scene.directory / (DB + end)).write_bytes(data)


def foreign_wal(scene):
    """The log of another database, where SQLite looks for that of this one."""
    connection = sqlite3.connect(scene.directory.parent / "other.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (x)")
    shutil.copy(scene.directory.parent / "other.db-wal", scene.directory / (DB + "-wal"))
    connection.close()
    (scene.directory.parent / "other.db").unlink()


def in_wal_mode(scene):
    """A log with changes that were never put into the database, as of a process that was killed."""
    connection = sqlite3.connect(scene.directory / DB, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("UPDATE agent_messages SET priority = 6 WHERE id = 3")
    kept = {end: (scene.directory / (DB + end)).read_bytes() for end in ("", "-wal")}
    connection.close()
    for end, data in kept.items():
        (scene.directory / (DB + end)).write_bytes(data)


def replaced_directory(make):
    def do(scene):
        shutil.rmtree(scene.directory)
        make(scene.directory)
    return do


def led_elsewhere(scene):
    """The whole directory lies elsewhere, and a link leads there."""
    os.rename(scene.directory, scene.directory.parent / "elsewhere")
    scene.directory.symlink_to("elsewhere")
    scene.beside.add("elsewhere")


# What surrounds every call

def variables(**given):
    @contextlib.contextmanager
    def within(scene):
        if "MILESTONE_NOW" in given:
            scene.clock = None
        scene.environ.update({name: value.replace("DIRECTORY", str(scene.directory)) for name, value in given.items()})
        yield
    return within


def without(*names):
    @contextlib.contextmanager
    def within(scene):
        for name in names:
            scene.environ.pop(name, None)
        yield
    return within


def clock(seconds):
    @contextlib.contextmanager
    def within(scene):
        scene.clock.seconds += seconds
        yield
    return within


def umask(bits):
    @contextlib.contextmanager
    def within(scene):
        before = os.umask(bits)
        try:
            yield
        finally:
            os.umask(before)
    return within


def limit(kind, number):
    """A soft limit of the process: what would be larger is refused by the system."""
    @contextlib.contextmanager
    def within(scene):
        before = resource.getrlimit(kind)
        resource.setrlimit(kind, (number, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(kind, before)
    return within


def under(*prefix):
    """Each call is a process of its own, under another program."""
    @contextlib.contextmanager
    def within(scene):
        scene.prefix = [word.replace("DIRECTORY", str(scene.directory)) for word in prefix]
        yield
        scene.prefix = None
    return within


def by_owner(*closed):
    """By an ordinary user who owns it all and has taken the rights to some of it from himself."""
    @contextlib.contextmanager
    def within(scene):
        home = scene.directory.parent
        for parent in (home.parent, home.parent.parent):
            os.chmod(parent, 0o755)
        paths = [home, scene.directory, *scene.directory.rglob("*"), home / "outside"]
        for path in paths:
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        for name, bits in closed:
            os.chmod(scene.directory / name, bits)
        try:
            with ordinary_user():
                yield
        finally:
            for path in paths:
                if path.exists() and not path.is_symlink():
                    os.chmod(path, 0o700 if path.is_dir() else 0o600)
    return within


def held(statement):
    """Another process, here another connection, keeps the database while every call is made."""
    @contextlib.contextmanager
    def within(scene):
        before, embedded.BUSY_SECONDS = embedded.BUSY_SECONDS, 0.05
        connection = sqlite3.connect(scene.directory / DB, isolation_level=None)
        for each in statement.split(";"):
            connection.execute(each).fetchall()
        try:
            yield
        finally:
            connection.close()
            embedded.BUSY_SECONDS = before
    return within


def mounted(options, spoil):
    """The directory is a file system of its own in memory; `spoil` uses it up, given its path."""
    @contextlib.contextmanager
    def within(scene):
        with tempfile.TemporaryDirectory() as kept:
            shutil.copytree(scene.directory, f"{kept}/all", symlinks=True)
            done = mount("-t", "tmpfs", "-o", f"mode=700,{options}", "none", str(scene.directory))
            if done.returncode:
                pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
            try:
                shutil.copytree(f"{kept}/all", scene.directory, symlinks=True, dirs_exist_ok=True)
                spoil(scene.directory)
                yield
            finally:
                subprocess.run(["umount", str(scene.directory)], check=True)
    return within


def mount(*words):
    return subprocess.run(["mount", *words], capture_output=True, text=True, check=False)


def fill_space(directory):
    with contextlib.suppress(OSError), open(directory / "filler", "wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def fill_inodes(directory):
    with contextlib.suppress(OSError):
        for number in itertools.count():
            (directory / f"filler-{number}").touch()


def make_read_only(directory):
    assert mount("-o", "remount,ro", str(directory)).returncode == 0


def of_file(name, key, is_head=False):
    """What may happen to any file of the file backend."""
    yield f"{key} removed", remove(name)
    yield f"{key} empty", write(name, b"")
    yield f"{key} full of zeros", write(name, lambda data: b"\0" * len(data))
    yield f"{key} cut in half", write(name, lambda data: data[:len(data) // 2])
    yield f"{key} of text that is not JSON", write(name, b"hello\n")
    yield f"{key} not UTF-8", write(name, lambda data: data.replace(b'"', b"\xff", 1))
    yield f"{key} with a BOM", write(name, lambda data: b"\xef\xbb\xbf" + data)
    yield f"{key} with conflict markers", write(name, lambda data: CONFLICT % (data, data))
    yield f"{key} a folder", folder(name)
    yield f"{key} a pipe", pipe(name)
    yield f"{key} a link out", link(name)
    yield f"{key} with a second name (hard link)", other_name(name)


HOLD = "CREATE TABLE IF NOT EXISTS t (x)"
ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c"
IN_DATABASE = {
    f"{DB} removed": remove(DB),
    f"{DB} empty": write(DB, b""),
    f"{DB} full of zeros": write(DB, lambda data: b"\0" * len(data)),
    f"{DB} full of other bytes": write(DB, lambda data: bytes(range(256)) * (len(data) // 256)),
    f"{DB} cut to 100 bytes": cut(DB, 100),
    f"{DB} cut after its first page": cut(DB, 4096),
    f"{DB} cut in half": write(DB, lambda data: data[:len(data) // 8192 * 4096]),
    f"{DB} without its last page": write(DB, lambda data: data[:-4096]),
    f"{DB} without its last byte": write(DB, lambda data: data[:-1]),
    f"{DB} without its first 16 bytes": put(DB, 0, b"\0" * 16),
    f"{DB} with a page of zeros": put(DB, 4096 * 3, b"\0" * 4096),
    f"{DB} with a page of other bytes": put(DB, 4096 * 2, b"\xaa" * 4096),
    f"{DB} with another page size": put(DB, 16, b"\x00\x07"),
    f"{DB} of a format to come": put(DB, 18, b"\x09\x09"),
    f"{DB} with bytes behind its end": write(DB, lambda data: data + b"more" * 2000),
    f"{DB} a text": write(DB, b"hello, world\n" * 100),
    f"{DB} a picture": write(DB, b"\x89PNG\r\n\x1a\n" + b"\0" * 9000),
    f"{DB} with a BOM": write(DB, lambda data: b"\xef\xbb\xbf" + data),
    f"{DB} with conflict markers": write(DB, lambda data: CONFLICT % (data, data)),
    f"{DB} with CRLF for LF, as git may make it": write(DB, lambda data: data.replace(b"\n", b"\r\n")),
    f"{DB} a pointer of Git LFS": write(DB, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    f"{DB} of another program": both(remove(DB), sql("CREATE TABLE bookmarks (x)")),
    f"{DB} with another application id": sql("PRAGMA application_id = 7"),
    f"{DB} of a newer version": sql("PRAGMA user_version = 99"),
    f"{DB} that says it is older than it is": sql("PRAGMA user_version = 1"),
    f"{DB} a folder": folder(DB),
    f"{DB} a pipe": pipe(DB),
    f"{DB} a link out": link(DB),
    f"{DB} a link to nothing": link(DB, "nothing"),
    f"{DB} a link to a folder": link(DB, "config"),
    f"{DB} a link to a copy beside it": both(move(DB, "copy.db"), link(DB, "copy.db")),
    f"{DB} with a second name (hard link)": other_name(DB),
    "a record that is a link to the database": link("active/x.yaml", f"../{DB}"),
    "a record that is another name of the database": lambda scene: os.link(scene.directory / DB, scene.directory /
                                                                           "active" / "x.yaml"),
    "a log that is another name of the database": both(remove(LOG), lambda scene: os.link(
        scene.directory / DB, scene.directory / LOG)),
    "a hot journal": hot_journal,
    "a journal of other bytes": write(f"{DB}-journal", b"garbage" * 1000),
    "an empty journal": write(f"{DB}-journal", b""),
    "a journal of zeros": write(f"{DB}-journal", b"\0" * 5000),
    "a journal that is a folder": folder(f"{DB}-journal"),
    "a journal that is a pipe": pipe(f"{DB}-journal"),
    "a journal that is a link out": link(f"{DB}-journal"),
    "a hot journal whose database is gone": both(hot_journal, remove(DB)),
    "a log (WAL) that was never put back": in_wal_mode,
    "a log (WAL) of another database": foreign_wal,
    "a log (WAL) of other bytes": write(f"{DB}-wal", b"garbage" * 1000),
    "a log (WAL) that is a folder": folder(f"{DB}-wal"),
    "shared memory (SHM) of other bytes": both(in_wal_mode, write(f"{DB}-shm", b"garbage" * 4682)),
    "the database beside the files of the file backend": lambda scene: [
        (scene.directory / name).write_text("{}") for name in (HEAD, "file-store.lock")],
    "a trigger that deletes each new message": sql("CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN DELETE FROM "
                                                   "agent_messages WHERE id = NEW.id; END"),
    "a trigger that refuses each heartbeat": sql("CREATE TRIGGER t BEFORE UPDATE ON agent_registry BEGIN SELECT "
                                                 "RAISE(ABORT, 'no'); END"),
    "a trigger that only takes notes": sql("CREATE TABLE n (x); CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN "
                                           "INSERT INTO n VALUES (NEW.id); END"),
    "a table replaced by an endless view": sql(f"DROP TABLE agent_health_log; CREATE VIEW agent_health_log AS "
                                               f"{ENDLESS}"),
    "a view that was changed": sql("DROP VIEW active_agents; CREATE VIEW active_agents AS SELECT 1"),
    "a view that is missing": sql("DROP VIEW active_agents"),
    "an index that is missing": sql("DROP INDEX agent_messages_pending"),
    "a trigger of the schema that is missing": sql("DROP TRIGGER update_session_activity"),
    "a unique index of others": sql("CREATE UNIQUE INDEX u ON agent_messages (message_type, id)"),
    "a table of others": sql("CREATE TABLE notes (x); INSERT INTO notes VALUES (1)"),
    "a column of others": sql("ALTER TABLE agent_state ADD COLUMN note"),
    "a computed column": sql("ALTER TABLE agent_state ADD COLUMN n AS (abs(-9223372036854775808))"),
    "a column that is gone": sql("ALTER TABLE agent_registry DROP COLUMN resource_usage"),
    "a CHECK that was loosened": sql("PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, "
                                     "'BETWEEN 1 AND 10', 'BETWEEN 1 AND 99')"),
    "the table of messages gone": sql("DROP TABLE agent_messages"),
    "the table of agents gone": sql("DROP TABLE agent_registry"),
    "the table of settings gone": sql("DROP TABLE agent_coordination_config"),
    "the table of moves gone": sql("DROP TABLE store_moves"),
    "all tables gone": sql("".join(f"DROP TABLE {name};" for name in (
        "agent_messages", "agent_registry", "agent_state", "coordination_sessions", "agent_checkpoints", "events",
        "agent_health_log", "agent_coordination_config", "store_moves", "milestones", "milestone_locks",
        "idempotency_keys"))),
    "an agent's row gone": sql("DELETE FROM agent_registry"),
    "a session's row gone": sql("DELETE FROM coordination_sessions"),
    "a milestone's row gone": sql("DELETE FROM milestones WHERE id = 'm'"),
    "the settings gone": sql("DELETE FROM agent_coordination_config"),
    "the numbers given out gone": sql("DELETE FROM sqlite_sequence"),
    "a value that is a BLOB": sql("UPDATE agent_state SET state_value = CAST('v' AS BLOB)"),
    "a value that is not UTF-8": sql("UPDATE agent_state SET state_value = CAST(X'ff' AS TEXT)"),
    "an id that is not UTF-8": sql("UPDATE agent_messages SET from_agent = CAST(X'ff' AS TEXT)"),
    "a number that is text": sql("UPDATE agent_messages SET priority = 'high' WHERE id = 3"),
    "a version that is text": sql("UPDATE agent_state SET version = 'x'"),
    "progress that is text": sql("UPDATE coordination_sessions SET progress = 'half'"),
    "a payload that is not JSON": sql("UPDATE agent_messages SET payload = '{' WHERE id = 3"),
    "capabilities that are not JSON": sql("UPDATE agent_registry SET capabilities = '['"),
    "a checkpoint that is not JSON": sql("UPDATE agent_checkpoints SET state_snapshot = '{'"),
    "a status of no vocabulary": sql("UPDATE agent_registry SET status = 'idle'"),
    "a time that is no time": sql("UPDATE agent_registry SET last_heartbeat = 'yesterday'"),
    "a time in another form": sql("UPDATE agent_messages SET created_at = '2026-01-01T00:00:00Z'"),
    "a time in 2099": sql("UPDATE agent_registry SET last_heartbeat = '2099-01-01 00:00:00.000'"),
    "a setting that is none": sql("UPDATE agent_coordination_config SET value = 'abc' WHERE key = 'session_timeout'"),
    "an unknown setting": sql("INSERT INTO agent_coordination_config (key, value) VALUES ('colour', 'red')"),
    "mail to nobody": sql("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
                          "VALUES ('s', 'a', 'nobody', 'error_report', '{}')"),
    "a dead letter": sql("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, "
                         "dead_lettered_at) VALUES ('s', 'a', 'b', 'error_report', '{}', '2026-01-01 00:00:00.000')"),
    "a tombstone that leads elsewhere": sql("INSERT INTO store_moves (moved_to, move) VALUES ('file /elsewhere', 'x')"),
    "a tombstone that says nothing": sql("INSERT INTO store_moves (moved_to, move) VALUES ('?', '')"),
}
AROUND = {
    "the record gone": remove(RECORD),
    "the record empty": write(RECORD, b""),
    "the record not UTF-8": write(RECORD, b"\xff\xfe"),
    "the record with a NUL": write(RECORD, b"title: One\n\0"),
    "the record with a BOM": write(RECORD, b"\xef\xbb\xbftitle: One\n"),
    "the record with CRLF": write(RECORD, b"title: One\r\n"),
    "the record with conflict markers": write(RECORD, CONFLICT % (b"title: One\n", b"title: Two\n")),
    "the record edited by hand": write(RECORD, b"title: One\nnote: mine\n"),
    "the record a folder": folder(RECORD),
    "the record a pipe": pipe(RECORD),
    "the record a link out": link(RECORD),
    "the record with a second name (hard link)": other_name(RECORD),
    "a second record of one milestone": copy(RECORD, "active/%6d.yaml"),
    "a record named with an escape sequence": copy(RECORD, "active/\033[31m.yaml"),
    "a record written by hand": copy(RECORD, "active/n.yaml"),
    "a copy of an editor beside the record": copy(RECORD, "active/m.yaml~"),
    "half a record of a killed writer": write("active/m.yaml.0123456789ab.part", b"ti"),
    "a record whose replacement was killed": lambda scene: os.link(scene.directory / RECORD,
                                                                   scene.directory / ".kept-0"),
    "the other name of a record of a killed writer": write(".kept-0", b"title: Old\n"),
    "active/ gone": remove("active"),
    "active/ a file": instead("active", lambda path: path.write_text("x")),
    "active/ a link out": link("active", "OUTSIDE/folder"),
    "completed/ gone": remove("completed"),
    "the note of the backend gone": remove(NOTE),
    "the note of the backend empty": write(NOTE, b""),
    "the note of the backend of other bytes": write(NOTE, b"\xff\0"),
    "the note of the backend names PostgreSQL": write(NOTE, b"postgresql 1\n"),
    "the note of the backend with CRLF": write(NOTE, lambda data: data.replace(b"\n", b"\r\n")),
    "the note of the backend with a BOM": write(NOTE, lambda data: b"\xef\xbb\xbf" + data),
    "the note of the backend with conflict markers": write(NOTE, lambda data: CONFLICT % (data, data)),
    "the note of the backend a folder": folder(NOTE),
    "the note of the backend a pipe": pipe(NOTE),
    "the note of the backend a link out": link(NOTE),
    "a fixed backend that is none": write(FIXED, b"mysql\n"),
    "a fixed backend that is another": write(FIXED, b"database\n"),
    "config/ gone": remove("config"),
    "config/ a file": instead("config", lambda path: path.write_text("x")),
    "a note that the store is being made": write("config/being-made", b""),
    "half a line in the log": write(LOG, lambda data: data + b'{"half'),
    "the log of other bytes": write(LOG, b"\xff\0\n"),
    "the log a folder": folder(LOG),
    "the log a pipe": pipe(LOG),
    "the log a link out": link(LOG),
    "logs/ gone": remove("logs"),
    "logs/ a file": instead("logs", lambda path: path.write_text("x")),
    "logs/ a link out": link("logs", "OUTSIDE/folder"),
    ".gitignore gone": remove(".gitignore"),
    ".gitignore a folder": folder(".gitignore"),
    "backups/ gone": remove("backups"),
    "backups/ a file": instead("backups", lambda path: path.write_text("x")),
    "half a backup of a killed writer": write("backups/b.db.0123456789ab.new.part", b"SQLite"),
    "an unknown file": write("notes.txt", b"x"),
    "the database of an earlier tool": sql("CREATE TABLE milestones (x)", "enterprise.db"),
    "reports/ a link out": link("reports", "OUTSIDE/folder"),
    "the monitor's file of other bytes": write("session-monitor.pid", b"\xff"),
    "the directory a file": replaced_directory(lambda path: path.write_text("x")),
    "the directory empty": replaced_directory(os.mkdir),
    "the directory a link to nothing": replaced_directory(lambda path: path.symlink_to("nothing")),
    "the directory a link to itself": replaced_directory(lambda path: path.symlink_to(path.name)),
    "the directory a link that was named": led_elsewhere,
    "a directory that all may write": mode(".", 0o777),
}
IN_FILES = {
    **dict(of_file(HEAD, "the head")), **dict(of_file(A, "an agent's file")),
    **dict(of_file(MAIL, "the file of messages")), "a value's file removed": remove(KEY), "a value's file empty": write(
        KEY, b""), "the settings removed": remove(SETTINGS), "settings with a BOM": write(
            SETTINGS, lambda data: b"\xef\xbb\xbf" + data), "half of the settings": write(
                SETTINGS, lambda data: data[:len(data) // 2]),
    "the head of a newer version": write(HEAD, lambda data: data.replace(b'schema_version": ', b'schema_version": 9')),
    "the head with numbers that are text": write(HEAD, lambda data: data.replace(b'"generation": ',
                                                                                 b'"generation": "x", "y": ')),
    "the head with fewer numbers given out": write(HEAD, lambda data: data.replace(b'"agent_messages": 3',
                                                                                   b'"agent_messages": 1')),
    "the head nested too deeply": write(HEAD, b"[" * 100_000),
    "the lock removed": remove("file-store.lock"),
    "the lock a folder": folder("file-store.lock"),
    "the lock a link out": link("file-store.lock"),
    "its journal of other bytes": write("file-store.journal", b"garbage"),
    "a journal that writes outside": write("file-store.journal", b'{"../outside": "mine"}'),
    "a journal that writes a file of nobody": write("file-store.journal", b'{"active/m.yaml": "mine"}'),
    "a journal that is a pipe": pipe("file-store.journal"),
    "a journal that is a link out": link("file-store.journal"),
    "an agent's file under another name": move(A, "agent-registry/z.json"),
    "an agent's file with an unknown key": write(A, b'{"colour": "red"}'),
    "an agent's file twice": copy(A, "agent-registry/A.json"),
    "a file of no row among the agents": write("agent-registry/readme.txt", b"x"),
    "the session's file removed": remove(SESSION),
    "the session's file of other bytes": write(SESSION, b"\xff"),
    "the milestone's file removed": remove(MILESTONE),
    "the milestone's file of other bytes": write(MILESTONE, b"{"),
    "acknowledged messages of other bytes": write(OLD_MAIL, b"{"),
    "acknowledged messages removed": remove(OLD_MAIL),
    "a message twice": write(MAIL, lambda data: data + data.splitlines(True)[0]),
    "half a message": write(MAIL, lambda data: data + b'{"id": 4, "sess'),
    "the messages with CRLF": write(MAIL, lambda data: data.replace(b"\n", b"\r\n")),
    "events of other bytes": write(EVENTS, b"\0\n"),
    "the folder of agents gone": remove("agent-registry"),
    "the folder of values gone": remove("agent-state"),
    "the folder of messages gone": remove("agent-messages"),
    "the folder of messages a file": instead("agent-messages", lambda path: path.write_text("x")),
    "the folder of messages a link out": link("agent-messages", "OUTSIDE/folder"),
    "all of the files beside a database": write(DB, b"SQLite format 3\0"),
}
SURROUNDINGS = {
    "umask 000": umask(0), "umask 077": umask(0o77), "umask 777": umask(0o777),
    "no HOME": without("HOME"), "a HOME that is not there": variables(HOME="/nowhere"),
    "a /tmp that is not there": variables(TMPDIR="/nowhere", TEMP="/nowhere"),
    "the clock an hour back": clock(-3600), "the clock a year ahead": clock(365 * 86400), "the clock in 1970": clock(
        -1767225600), "the clock in 2100": clock(74 * 365 * 86400),
    "MILESTONE_NOW that is no time": variables(MILESTONE_NOW="now"),
    "an AGENT_ID with an escape sequence": variables(AGENT_ID="\033[31m"),
    "a backend that is none": variables(MILESTONE_BACKEND="mysql"),
    "a database URL that is none": variables(MILESTONE_DATABASE_URL="nonsense://x"),
    "MILESTONE_DIR that begins with a ~": variables(MILESTONE_DIR="~/none"),
    "MILESTONE_DIR below a file": variables(MILESTONE_DIR="DIRECTORY/../outside/x"),
}
OF_OTHERS = {
    "the directory may only be read": by_owner((".", 0o500)),
    "the directory may not be entered": by_owner((".", 0)),
    "active/ may only be read": by_owner(("active", 0o500)),
    "active/ may not be entered": by_owner(("active", 0)),
    "the record may not be read": by_owner((RECORD, 0)),
    "logs/ may only be read": by_owner(("logs", 0o500)),
    "the log may only be read": by_owner((LOG, 0o400)),
    "backups/ may only be read": by_owner(("backups", 0o500)),
}
OF_OTHERS_FILES = {
    "the head may not be read": by_owner((HEAD, 0)), "the lock may not be read": by_owner(("file-store.lock", 0)),
    "an agent's file may not be read": by_owner((A, 0)), "the messages may not be read": by_owner((MAIL, 0)),
    "the folder of messages may only be read": by_owner(("agent-messages", 0o500)),
}
OF_OTHERS_DATABASE = {"the database may only be read": by_owner((DB, 0o400)),
                      "the database may not be read": by_owner((DB, 0))}
OWNED = {"the directory of another user": lambda scene: os.chown(scene.directory, 1234, 1234),
         "the database of another user": lambda scene: os.chown(scene.directory / DB, 1234, 1234),
         "active/ of another user": lambda scene: os.chown(scene.directory / "active", 1234, 1234)}
IN_USE = {"another process writes": held("BEGIN IMMEDIATE"), "another process has it all": held("BEGIN EXCLUSIVE"),
          "another process reads": held("BEGIN; SELECT * FROM agent_state")}
PROCESSES = {
    "the C locale": under("env", "LC_ALL=C", "LANG=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"),
    "a current directory that is gone": under(
        "sh", "-c", 'cd "$0" && mkdir gone && cd gone && rmdir ../gone && exec "$@"', "DIRECTORY/.."),
    "files of at most 4 KB (ulimit -f)": under("sh", "-c", 'ulimit -f 8; exec "$@"', "sh"),
    "standard input closed": under("sh", "-c", 'exec "$@" <&-', "sh"),
}
MOUNTED = {  # only root mounts
    "a full disk": mounted("size=2m", fill_space), "no inode left": mounted("nr_inodes=200", fill_inodes),
    "a file system that is read-only": mounted("size=2m", make_read_only),
}
# With these nothing is wrong, or nothing that can be told: SQLite itself passes over what stands in the place of its
# journals, what is in a record is its owner's affair, and what is missing beside the rows is made again.
HARMLESS = frozenset((
    f"{DB} with bytes behind its end", f"{DB} that says it is older than it is", "a hot journal",
    "a journal of other bytes", "an empty journal", "a journal of zeros", "a log (WAL) that was never put back",
    "a log (WAL) of other bytes", "shared memory (SHM) of other bytes",
    "the database beside the files of the file backend",
    "a trigger that only takes notes", "a table of others", "a column of others", "the settings gone",
    "the numbers given out gone", "a time in 2099", "the record empty", "the record with a BOM", "the record with CRLF",
    "the record with conflict markers", "the record edited by hand", "a record written by hand",
    "a copy of an editor beside the record", "the note of the backend gone", "the note of the backend empty",
    "the note of the backend of other bytes", "the note of the backend with CRLF", "the note of the backend with a BOM",
    "the note of the backend with conflict markers", "config/ gone", "a note that the store is being made",
    "logs/ gone", ".gitignore gone", "backups/ gone", "an unknown file", "the monitor's file of other bytes",
    "the directory a link that was named", "a directory that all may write", "an agent's file with a BOM",
    "the file of messages with a BOM", "settings with a BOM", "the settings removed", "the lock removed",
    "a file of no row among the agents", "the messages with CRLF", "all of the files beside a database",
    "umask 000", "umask 077", "umask 777", "no HOME", "a HOME that is not there", "a /tmp that is not there",
    "the clock a year ahead", "the clock in 2100", "the C locale", "a current directory that is gone",
    "standard input closed", f"{DB} with a second name (hard link)", "the head with a second name (hard link)",
    "an agent's file with a second name (hard link)", "the file of messages with a second name (hard link)",
))
DAMAGES = [
    *(Damage(name, HYBRID, do) for name, do in IN_DATABASE.items()),
    *(Damage(name, HYBRID, do) for name, do in AROUND.items()),
    *(Damage(name, FILE, do) for name, do in IN_FILES.items()),
    *(Damage(name, FILE, AROUND[name]) for name in list(AROUND)[::8]),
    *(Damage(name, (HYBRID, FILE)[number % 2], within=within) for number, (name, within) in enumerate(
        SURROUNDINGS.items())),
    *(Damage(name, HYBRID, within=within)
      for name, within in {**OF_OTHERS, **OF_OTHERS_DATABASE, **IN_USE, **PROCESSES}.items()),
    *(Damage(name, FILE, within=within) for name, within in OF_OTHERS_FILES.items()),
    *(Damage(name, HYBRID, do) for name, do in OWNED.items()),
    *(Damage(name, backend, within=within) for name, within in MOUNTED.items() for backend in (HYBRID, FILE)),
]


for damage in DAMAGES:
    damage.harmless = damage.name in HARMLESS
IS_ROOT = os.geteuid() == 0  # who alone gives files away, and mounts
POSSIBLE = [damage for damage in DAMAGES if not (
    damage.name in OWNED and not IS_ROOT or damage.name in MOUNTED and not (IS_ROOT and sys.platform == "linux"))]


@pytest.fixture(scope="session")
def ground(tmp_path_factory):
    return Ground(tmp_path_factory.mktemp("ground"))


@pytest.mark.parametrize("damage", share(POSSIBLE, sys.version_info[1], 8), ids=lambda damage: damage.name)
def test_a_damage_is_named_and_loses_nothing_silently(ground, damage):
    report = ground.try_damage(damage)
    assert not report.wrong, "\n".join(report.wrong)
    if sys.platform == "linux":
        assert report.row() in read_table()


def test_the_table_has_a_row_for_each_damage():
    named = [tuple(row.split(" | ")[:2]) for row in read_table()]
    assert named == [(f"| {damage.name}", damage.backend) for damage in DAMAGES] and len({*named}) == len(named)
    assert len(DAMAGES) >= 150
