"""The portable SQL on a SQLite file, shared by many short-lived processes."""
from __future__ import annotations

import os
import sqlite3

from ..errors import StorageError, UsageError
from .interface import Clock, Storage, Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .interface import Params, Row

FILE = "coordination.db"
BUSY_SECONDS = 30.0
OLDEST_SQLITE = (3, 35, 0)
SCHEMA_VERSION = 1


class SqliteStorage(Storage):
    """A store in `DIRECTORY/coordination.db`, or in memory where nothing is to be made."""

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True) -> None:
        super().__init__(directory, clock, environ)
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StorageError(f"SQLite {sqlite3.sqlite_version} is too old, 3.35 is needed: "
                               "set MILESTONE_PYTHON to a newer Python")
        self.path = os.path.join(directory, FILE)
        exists = os.path.exists(self.path)
        self.in_memory = not exists and not create
        if not exists and create:
            create_directory(directory)
            _create_file(self.path)
        self._synchronous_known = False
        try:
            self.connection = sqlite3.connect(":memory:" if self.in_memory else self.path, timeout=BUSY_SECONDS,
                                              isolation_level=None, check_same_thread=False)
            self.connection.row_factory = _as_dict
            # Not trusted_schema = OFF: with it some versions of SQLite refuse json_valid() in a CHECK.
            for pragma in ("foreign_keys = ON", "temp_store = MEMORY", "journal_size_limit = 4194304"):
                self.connection.execute("PRAGMA " + pragma)
            self._open_schema()
        except sqlite3.Error as error:
            raise self._explain(error) from None

    def _open_schema(self) -> None:
        from_file = self.connection.execute("PRAGMA user_version").fetchone()["user_version"]
        if from_file != SCHEMA_VERSION:
            from .migrations import bring_up_to_date

            bring_up_to_date(self.connection, self.path, SCHEMA_VERSION)

    def transaction(self, lock: str = "") -> Transaction:
        return Transaction(self, self._begin_write)

    def snapshot(self) -> Transaction:
        return Transaction(self, lambda: self._run("BEGIN"))

    def _begin_write(self) -> None:
        if not self._synchronous_known:
            self._synchronous_known = True
            for row in self.execute("SELECT value FROM agent_coordination_config WHERE key = 'synchronous'"):
                if row["value"].lower() == "normal":
                    self._run("PRAGMA synchronous = NORMAL")
        self._run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise self._explain(error) from None

    def rollback(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def execute(self, sql: str, params: Params = {}) -> list[Row]:
        try:
            return self.connection.execute(sql, params).fetchall()
        except sqlite3.Error as error:
            raise self._explain(error) from None

    def _run(self, sql: str) -> None:
        self.execute(sql)

    def describe(self) -> Row:
        mode = self.execute("PRAGMA journal_mode")[0]["journal_mode"]
        return {"backend": self.backend, "engine": f"SQLite {sqlite3.sqlite_version}", "journal_mode": mode,
                "database": self.path, "exists": not self.in_memory, "schema_version": SCHEMA_VERSION}

    def check(self) -> list[str]:
        wrong = [row["integrity_check"] for row in self.execute("PRAGMA integrity_check")]
        wrong = [] if wrong == ["ok"] else wrong
        for row in self.execute("PRAGMA foreign_key_check"):
            wrong.append(f"table {row['table']}, row {row['rowid']}: refers to a row of {row['parent']} that is gone")
        return wrong

    def close(self) -> None:
        self.connection.close()

    def _explain(self, error: sqlite3.Error) -> Exception:
        """The driver's error as one of ours, with the path and what to do."""
        text, path = str(error), self.path
        if isinstance(error, sqlite3.IntegrityError):
            return UsageError(f"refused by the database: {text}")
        if "locked" in text or "busy" in text:
            return StorageError(f"{path} is busy: another process has been writing for {BUSY_SECONDS:.0f} s; try again")
        if "unable to open" in text or "readonly" in text:
            return StorageError(f"cannot write {path} ({text}): make it writable, or set MILESTONE_DIR to a "
                                "directory that is")
        if "not a database" in text or "malformed" in text or "encrypted" in text:
            return StorageError(f"{path} is not a readable database ({text}); it was left as it is: "
                                "move it away or put a backup in its place")
        if "full" in text or "I/O" in text:
            return StorageError(f"cannot write {path} ({text}): free some space, then try again")
        return StorageError(f"{path}: {text}")


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, row)}


def create_directory(directory: str) -> None:
    """Make the data directory, private to its owner and ignored by git, if it is not there."""
    try:
        if not os.path.isdir(directory):
            os.makedirs(os.path.dirname(directory), exist_ok=True)
            try:
                os.mkdir(directory, 0o700)
            except FileExistsError:  # another process was first, or it is no directory: the next line tells
                os.listdir(directory)
        ignore = os.path.join(directory, ".gitignore")
        if not os.path.exists(ignore):
            write_private(ignore, b"*\n")
    except OSError as error:
        raise StorageError(f"cannot make the data directory {directory} ({error.strerror}): "
                           "set MILESTONE_DIR to a directory you can write") from None


def write_private(path: str, data: bytes) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _create_file(path: str) -> None:
    """Make the empty database file with its rights, before any connection: SQLite's own files take them over."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(f"cannot make {path} ({error.strerror}): "
                           "set MILESTONE_DIR to a directory you can write") from None
