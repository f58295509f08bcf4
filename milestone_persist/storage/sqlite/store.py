"""The portable SQL on a SQLite file, shared by many short-lived processes."""
from __future__ import annotations

import os

from ...base.driver import sqlite3
from ...base.errors import StorageError
from ...base.tables import SCHEMA_FILE, SCHEMA_VERSION
from ..backends import HYBRID
from ..directory import can_write, cannot_write, create_directory, make_file, write_whole
from ..interface import LOOK_SECONDS, READ_TOMBSTONE, Transaction
from ..selection import read_note_stamp
from .embedded import EmbeddedStorage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ...base.answers import Description, Finding
    from ..call import Clock
    from ..interface import Params

FILE = HYBRID.head  # of DATABASE too
# The setting `synchronous`, and SQLite's. With its FULL the removal of a rollback journal is not synced: after a power
# cut the journal can be there again, and undo what was committed. EXTRA syncs it, and is as FULL where there is a WAL.
FLUSHED = {"full": "EXTRA", "normal": "NORMAL"}


class SqliteStorage(EmbeddedStorage):
    """A store in `DIRECTORY/coordination.db` (or another `file`), or in memory where nothing is to be made.

    Another file that is not to be made is only read: it stays as it is.
    """

    FILES = (FILE, FILE + "-journal", FILE + "-wal", FILE + "-shm")

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True,
                 file: str = "") -> None:
        super().__init__(directory, os.path.join(directory, file or FILE), clock, environ)
        self.is_own = not file
        exists = os.path.exists(self.path)
        self.in_memory = not exists and not create
        self._is_known = self.in_memory or not self.is_own
        if not exists and create:
            create_directory(directory)
            _create_file(self.path)
        self._synchronous = FLUSHED["full"]
        self.lock_timeout = None if create else LOOK_SECONDS
        self.connect(":memory:" if self.in_memory else self.path, apart=bool(file) and not create)
        if not create:
            self.set_lock_timeout(None)

    def connect(self, database: str, apart: bool = False) -> None:
        """Open the database; where WAL needs files beside it that cannot be made, as it is: it has no writer then."""
        try:
            super().connect(database, apart)
        except StorageError:
            if self.in_memory or os.path.exists(self.path + "-wal") or can_write(self.directory):
                raise
            name = self.path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
            super().connect(f"file:{name}?immutable=1", apart)

    def set_lock_timeout(self, seconds: float | None) -> None:
        super().set_lock_timeout(seconds)
        self.run(f"PRAGMA busy_timeout = {1000 * self.wait_seconds:.0f}")

    def try_writing(self) -> None:
        super().try_writing()
        with Transaction(self, lambda: self._begin("BEGIN EXCLUSIVE", "reading")):
            pass

    def transaction(self, lock: str = "") -> Transaction:
        return Transaction(self, self._begin_write)

    def snapshot(self) -> Transaction:
        return Transaction(self, lambda: self._begin("BEGIN"))

    def change_stamp(self) -> object:
        if self.in_memory:
            return read_note_stamp(self.directory)
        try:
            return self._pragma("data_version")
        except sqlite3.Error as error:
            raise self.explain(error) from None

    def forked_in_transaction(self) -> bool:
        return self.depth > 0  # in the child, SQLite takes the lock of the other thread for its own, for ever

    def refuse_altered(self) -> None:
        if not self._is_known:
            self._refuse_altered()
            self._is_known = True

    def _refuse_altered(self) -> None:
        from ...base.packaged import read_packaged

        canonical = read_packaged("sql", SCHEMA_FILE).replace("IF NOT EXISTS ", "")
        there = self.run("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND (name, type) <> "
                         "('sqlite_sequence', 'table')")
        if len(there) == canonical.count("\nCREATE ") and all(row["sql"] + ";" in canonical for row in there):
            return
        from .comparison import refuse_altered

        try:
            refuse_altered(self)
        except sqlite3.Error as error:
            raise self.explain(error) from None

    def _begin_write(self) -> None:
        self._begin("BEGIN IMMEDIATE")
        try:
            wanted = self._read_synchronous()
            if wanted != self._synchronous:
                self.rollback()  # SQLite takes it between transactions only
                self.run(f"PRAGMA synchronous = {wanted}")
                self._synchronous = wanted
                self._begin("BEGIN IMMEDIATE")
        except BaseException:
            self.rollback()
            raise

    def _read_synchronous(self) -> str:
        """What the setting asks for now: another process may have changed it."""
        rows = self.run("SELECT value FROM agent_coordination_config WHERE key = 'synchronous'")
        return FLUSHED.get(rows[0]["value"].strip().lower() if rows else "full", FLUSHED["full"])

    def _begin(self, sql: str, doing: str = "writing") -> None:
        try:
            self.connection.execute(sql)
        except sqlite3.Error as error:
            raise self.explain(error, doing) from None

    def execute(self, sql: str, params: Params = {}) -> list[Any]:
        rows = super().execute(sql, params)
        if not self.depth and self.note_stamp is not None:
            self.refuse_moved(self.run(READ_TOMBSTONE))
        return rows

    def check(self) -> list[str]:
        from ..findings import is_unsound, line_of

        return [line_of(found) for found in self.inspect() if is_unsound(found)]

    def inspect(self) -> list[Finding]:
        from ..findings import finding
        from ..orphans import GONE
        from ..remedies import advise_restoring
        from .comparison import compare_schema

        try:
            found = compare_schema(self.connection, self.path, advise_restoring(self.directory) if self.is_own else "")
        except sqlite3.Error as error:
            raise self.explain(error) from None
        if not found:  # else asking the rows may fail, or never end
            found += [finding(self.path, line, fixable=line.endswith(GONE)) for line in super().check()]
        return found

    def fix(self, folder: str) -> list[Finding]:
        from ..findings import FIXED, finding
        from ..orphans import make_parents
        from .comparison import compare_schema, fix_schema, is_lacking

        if not any(fault["fixable"] for fault in self.inspect()) or is_lacking(self.connection):
            return []
        kept = self._keep_copy()
        done = [finding(self.path, f"a copy of it as it was is {kept}", severity=FIXED)]
        self.run("PRAGMA foreign_keys = OFF")  # while tables are replaced
        try:
            with self.transaction():
                schema = compare_schema(self.connection, self.path)
                dropped = fix_schema(self.connection) if schema else ""
                if dropped:
                    write_whole(os.path.join(folder, "dropped.sql"), dropped.encode())
                    done.append(finding(self.path, f"the SQL of what was dropped is {folder}/dropped.sql",
                                        severity=FIXED))
                done += [{**fault, "severity": FIXED} for fault in schema if fault["fixable"]]
                done += make_parents(self)
        finally:
            self.run("PRAGMA foreign_keys = ON")
        return done

    def _keep_copy(self) -> str:
        from .safe_copy import back_up

        with self.transaction():
            try:
                return back_up(self.path, "before-doctor")
            except sqlite3.Error as error:
                raise self.explain(error) from None

    def describe(self) -> Description:
        mode = self.run("PRAGMA journal_mode")[0]["journal_mode"]
        return {"backend": self.backend.word, "engine": f"SQLite {sqlite3.sqlite_version}", "journal_mode": mode,
                "database": self.path, "exists": not self.in_memory, "schema_version": SCHEMA_VERSION}


def _create_file(path: str) -> None:
    """Make the empty database file with its rights, before any connection: SQLite's own files take them over."""
    try:
        os.close(make_file(path))
    except FileExistsError:
        return
    except OSError as error:
        raise cannot_write(path, error) from None
