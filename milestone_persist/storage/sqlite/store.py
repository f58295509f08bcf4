"""The portable SQL on a SQLite file, shared by many short-lived processes."""
from __future__ import annotations

import os
import time

from ...base.driver import sqlite3
from ...base.errors import StorageError
from ...base.location import can_write
from ...base.tables import APPLICATION_ID, SCHEMA_VERSION
from ..backends import HYBRID
from ..directory import create_directory
from ..files import cannot_write, make_file, sync_directory, write_whole
from ..interface import LOOK_SECONDS, READ_TOMBSTONE, Posted, Snapshot, Transaction
from ..selection import read_note_stamp
from ..write_queue import WriteQueue
from .embedded import EmbeddedStorage, busy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ...base.answers import Description, Finding
    from ..call import Clock
    from ..interface import Params, Row, Statement

FILE = HYBRID.head  # of DATABASE too
FLUSHED = {"full": "FULL", "normal": "NORMAL"}  # the setting `synchronous`, and SQLite's
READ_FIRST = ("SELECT (SELECT value FROM agent_coordination_config WHERE key = 'synchronous'), "
              "(SELECT moved_to FROM store_moves)")  # what a transaction begins with
BETWEEN = "\n\n"  # two statements of a schema that was read
READ_SCHEMA = f"SELECT group_concat(sql, '{BETWEEN}') FROM sqlite_master"


class SqliteStorage(EmbeddedStorage):
    """A store in `DIRECTORY/coordination.db` (or another `file`), or in memory if nothing is to be created.

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
        self._was_in_use = False  # whether a read has found no tombstone
        if not exists and create:
            create_directory(directory)
            _create_file(self.path)
        self._setting: str | None = "full"  # the last that was obeyed
        self._synchronous, self._changes = FLUSHED["full"], 0
        self._queue = WriteQueue(os.path.join(directory, FILE)) if self.is_own and not self.in_memory else None
        self.lock_timeout = None if create else LOOK_SECONDS
        self.connect(":memory:" if self.in_memory else self.path, apart=bool(file) and not create)
        self.lock_timeout = None

    def connect(self, database: str, apart: bool = False) -> None:
        """Open the database; if WAL files cannot be created next to it, as immutable: then it has no writer."""
        try:
            super().connect(database, apart)
        except StorageError:
            if self.in_memory or os.path.exists(self.path + "-wal") or can_write(self.directory):
                raise
            name = self.path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
            super().connect(f"file:{name}?immutable=1", apart)

    def bring_up_to_date(self, database: str) -> None:
        try:
            if self._pragma("application_id") == APPLICATION_ID:  # else it may be another program's
                self._wait_for_turn(self.wait_seconds)
            super().bring_up_to_date(database)
        finally:
            self.end_turn()

    def try_writing(self) -> None:
        super().try_writing()
        with Transaction(self, lambda: self._begin_write("BEGIN EXCLUSIVE", "reading")):
            pass

    def transaction(self, lock: str = "", foreseen: Sequence[Statement] = ()) -> Transaction:
        return Transaction(self, self._begin_write)

    def snapshot(self, foreseen: Sequence[Statement] = ()) -> Snapshot:
        return Snapshot(self, self._begin_read)

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
        from .canonical import SCHEMA

        try:
            if self.column(READ_SCHEMA) == [SCHEMA] or _is_beside_others(self, SCHEMA.split(BETWEEN)):
                return
            from .comparison import refuse_altered

            refuse_altered(self)
        except sqlite3.Error as error:
            raise self.explain(error) from None

    def _begin_read(self) -> None:
        try:
            self.connection.execute("BEGIN")
        except sqlite3.Error as error:
            raise self.explain(error) from None

    def _begin_write(self, sql: str = "BEGIN IMMEDIATE", doing: str = "writing") -> list[Row]:
        seconds = self.wait_seconds
        until = time.monotonic() + seconds
        try:
            self._wait_for_turn(seconds)
            setting, moved_to = self._begin(sql, doing, until)
            if setting != self._setting:  # another process may have changed it
                self.run("ROLLBACK")  # SQLite takes it between transactions only
                self._flush_as(setting)
                _, moved_to = self._begin(sql, doing, until)
            self._changes = self.connection.total_changes
            return [] if moved_to is None else [{"value": moved_to}]
        except BaseException:
            self.rollback()
            raise

    def _begin(self, sql: str, doing: str, until: float) -> sqlite3.Row:
        """Begin, and read what every transaction reads first: the `synchronous` setting and the tombstone."""
        try:
            self.fetch(sql, until=until)
            return self.fetch(READ_FIRST)[0]
        except sqlite3.Error as error:
            raise self.explain(error, doing) from None

    def _flush_as(self, setting: str | None) -> None:
        self._synchronous = FLUSHED.get((setting or "").strip().lower(), FLUSHED["full"])
        self.run(f"PRAGMA synchronous = {self._synchronous}")
        self._setting = setting

    def _wait_for_turn(self, seconds: float) -> None:
        if self._queue and not self._queue.enter(seconds):
            raise busy(self.path, seconds, "writing")

    def end_turn(self) -> None:
        if self._queue:  # with a write-ahead log, what is copied from it into the database at a commit belongs to it
            self._queue.leave()

    def make_durable(self) -> None:
        """Sync the folder, from which a commit removes its journal: if it reappeared, it would undo the commit.

        SQLite would do it before it says whether it has committed (synchronous = EXTRA), and then call that a failure.
        """
        if self._synchronous != FLUSHED["full"] or not self.is_own or self.in_memory \
                or self._changes == self.connection.total_changes or os.path.exists(self.path + "-wal"):
            return
        try:
            sync_directory(os.path.dirname(self.path))
        except OSError as error:
            raise StorageError(f"this was done, but {self.path} could not be synced ({error.strerror}), and a power "
                               "cut may undo it: do not do it again") from None

    def close(self) -> None:
        super().close()
        if self._queue:
            self._queue.close()

    def execute(self, sql: str, params: Params = {}) -> list[Any]:
        if self.depth:
            return self.run(sql, params)
        rows = super().execute(sql, params)
        if self.note_stamp is not None:
            self.refuse_moved([] if self._was_in_use else self.run(READ_TOMBSTONE))
            self._was_in_use = True  # a move that begins later writes another note before anybody writes elsewhere
        return rows

    def execute_each(self, sql: str, rows: Sequence[Params]) -> None:
        if not rows:
            return
        try:
            self.connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self.explain(error) from None

    def post_insert(self, sql: str, row: Params) -> Posted:
        self.run(sql, row)
        return Posted([{"id": self._cursor.lastrowid}])

    def insert_each(self, sql: str, rows: Sequence[Params]) -> list[int]:
        self.execute_each(sql, rows[:-1])
        for row in rows[-1:]:
            self.run(sql, row)
        last = self._cursor.lastrowid or 0
        return [*range(last - len(rows) + 1, last + 1)]  # nobody else inserts meanwhile

    def check(self) -> list[str]:
        from ..findings import is_unsound, line_of

        return [line_of(found) for found in self.inspect() if is_unsound(found)]

    def inspect(self) -> list[Finding]:
        from ..findings import finding
        from ..orphans import GONE
        from ..remedies import advise_restoring
        from .comparison import compare_schema

        try:
            lost = advise_restoring(self.directory) if self.is_own else ""
            found: list[Finding] = self.patiently(lambda: compare_schema(self.connection, self.path, lost))
        except sqlite3.Error as error:
            raise self.explain(error) from None
        if not found:  # else asking the rows may fail, or never end
            found += [finding(self.path, line, fixable=line.endswith(GONE)) for line in super().check()]
        return found

    def fix(self, folder: str) -> list[Finding]:
        from ..findings import FIXED, finding
        from ..orphans import make_parents
        from .comparison import compare_schema, fix_schema, is_lacking

        if not any(fault["fixable"] for fault in self.inspect()) or self.patiently(
                lambda: is_lacking(self.connection)):
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


def _is_beside_others(store: SqliteStorage, ours: list[str]) -> bool:
    """Whether the schema is ours, in another order, or beside what others have on tables of their own.

    That is set off by nothing that is done here.
    """
    tables = [statement.split()[2].partition("(")[0] for statement in ours
              if statement.startswith(("CREATE TABLE", "CREATE VIEW"))]
    names = ", ".join(f"'{table}'" for table in tables)
    there = store.column(f"SELECT sql FROM sqlite_master WHERE lower(tbl_name) IN ({names}) AND sql > ''")
    return sorted(there) == sorted(ours)


def _create_file(path: str) -> None:
    """Create the empty database file with its permissions, before any connection: SQLite's own files inherit them."""
    try:
        os.close(make_file(path))
    except FileExistsError:
        return
    except OSError as error:
        raise cannot_write(path, error) from None
