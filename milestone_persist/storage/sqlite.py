"""The portable SQL on a SQLite file, shared by many short-lived processes."""
from __future__ import annotations

import os
import sqlite3

from ..errors import StorageError
from ..tables import SCHEMA_VERSION
from .directory import create_directory
from .embedded import EmbeddedStorage
from .interface import READ_MARK, Clock, Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .interface import Params, Row

FILE = "coordination.db"


class SqliteStorage(EmbeddedStorage):
    """A store in `DIRECTORY/coordination.db` (or another `file`), or in memory where nothing is to be made.

    Another file that is not to be made is only read: it stays as it is.
    """

    FILES = (FILE, FILE + "-journal", FILE + "-wal", FILE + "-shm")

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True,
                 file: str = "") -> None:
        super().__init__(directory, os.path.join(directory, file or FILE), clock, environ)
        exists = os.path.exists(self.path)
        self.in_memory = not exists and not create
        if not exists and create:
            create_directory(directory)
            _create_file(self.path)
        self._synchronous_known = False
        self.connect(":memory:" if self.in_memory else self.path, apart=bool(file) and not create)

    def transaction(self, lock: str = "") -> Transaction:
        return Transaction(self, self._begin_write)

    def snapshot(self) -> Transaction:
        return Transaction(self, lambda: self._begin("BEGIN"))

    def is_torn(self) -> bool:
        return self.depth > 0  # in the child, SQLite takes the lock of the other thread for its own, for ever

    def _begin_write(self) -> None:
        if not self._synchronous_known:
            self._synchronous_known = True
            for row in self.execute("SELECT value FROM agent_coordination_config WHERE key = 'synchronous'"):
                if row["value"].lower() == "normal":
                    self.run("PRAGMA synchronous = NORMAL")
        self._begin("BEGIN IMMEDIATE")

    def _begin(self, sql: str) -> None:
        self.run(sql)

    def execute(self, sql: str, params: Params = {}) -> list[Row]:
        rows = super().execute(sql, params)
        if not self.depth and self.mark is not None:
            self.refuse_moved(self.run(READ_MARK))
        return rows

    def describe(self) -> Row:
        mode = self.execute("PRAGMA journal_mode")[0]["journal_mode"]
        return {"backend": self.backend, "engine": f"SQLite {sqlite3.sqlite_version}", "journal_mode": mode,
                "database": self.path, "exists": not self.in_memory, "schema_version": SCHEMA_VERSION}


def _create_file(path: str) -> None:
    """Make the empty database file with its rights, before any connection: SQLite's own files take them over."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(f"cannot make {path} ({error.strerror}): "
                           "set MILESTONE_DIR to a directory you can write") from None
