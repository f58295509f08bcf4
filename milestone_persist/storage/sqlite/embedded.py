"""The common base of storages that run SQLite in this process: the connection, the statements, the errors."""
from __future__ import annotations

import sys
import time

from ...base import driver
from ...base.driver import sqlite3
from ...base.errors import Busy, StorageError, UsageError, closed
from ...base.found import forget_database, note_database
from ...base.tables import APPLICATION_ID, LARGEST_NUMBER, NUMBERED, SCHEMA_VERSION, TABLES
from ..interface import Damaged, Storage
from ..locks import AT_ONCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..call import Clock
    from ..interface import Params, Row

BUSY_SECONDS = 30.0
STEP_SECONDS = 0.1  # how long SQLite asks for a lock by itself, less often each time; then it is begun again
OLDEST_SQLITE = (3, 35, 0)
STEPS = 10_000_000  # of SQLite's virtual machine, a part of a second
MOST_STEPS = 500  # times so many, and a query is stopped: longer than any of a store that people can work with


class EmbeddedStorage(Storage):
    """Base of the storages on SQLite; errors name `path`; `is_own`: whether it is the directory's own database."""

    connection: sqlite3.Connection
    _cursor: sqlite3.Cursor  # of `fetch`
    _noted = ""
    _rounds = 0  # how often the present statement went on for STEPS
    is_own = False

    def __init__(self, directory: str, path: str, clock: Clock, environ: Mapping[str, str]) -> None:
        super().__init__(directory, clock, environ)
        self.path = path
        if tuple(map(int, sqlite3.sqlite_version.split("."))) < OLDEST_SQLITE:
            raise StorageError(f"SQLite {sqlite3.sqlite_version} is too old, 3.35 is needed: "
                               "set MILESTONE_PYTHON to a newer Python")

    def connect(self, database: str, apart: bool = False) -> None:
        """Open `database` (a path or `:memory:`) with the present schema.

        apart: leave the file as it is; one of an earlier version is brought up to date in memory
        """
        self._noted = note_database(database) if database != ":memory:" else ""
        try:
            self.connection = sqlite3.connect(database, timeout=min(STEP_SECONDS, self.wait_seconds),
                                              isolation_level=None, check_same_thread=False, uri=True)
            self.connection.set_progress_handler(self._is_too_long, STEPS)
            self.patiently(lambda: self._prepare(database, apart))
        except BaseException as error:
            EmbeddedStorage.close(self)
            if isinstance(error, sqlite3.Error):
                raise self.explain(error) from None
            raise

    def _prepare(self, database: str, apart: bool) -> None:
        if apart and self._pragma("user_version") < SCHEMA_VERSION:
            self.connection, database = _copy_to_memory(self.connection), ":memory:"
        self.connection.row_factory = _as_dict
        self._renew_cursor()
        # Not trusted_schema = OFF: with it some versions of SQLite refuse json_valid() in a CHECK.
        for pragma in ("foreign_keys = ON", "synchronous = FULL", "temp_store = MEMORY",
                       "journal_size_limit = 4194304",
                       *(["fullfsync = ON"] if sys.platform == "darwin" else [])):  # see files.flush
            self.connection.execute("PRAGMA " + pragma)
        if (self._pragma("user_version"), self._pragma("application_id")) != (SCHEMA_VERSION, APPLICATION_ID):
            self.bring_up_to_date(database)

    def bring_up_to_date(self, database: str) -> None:
        """Create the schema, or upgrade it."""
        from .migrations import bring_up_to_date

        self.connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS:.0f}")  # who is first may need long
        bring_up_to_date(self.connection, database, SCHEMA_VERSION)
        self.connection.execute(f"PRAGMA busy_timeout = {1000 * min(STEP_SECONDS, self.wait_seconds):.0f}")

    def patiently(self, action: Callable[[], Any], until: float | None = None) -> Any:
        """The result of an action that changes nothing if another process has the lock; retried until then.

        until: by the clock of time.monotonic; None: as long as it waits for others
        """
        until = time.monotonic() + self.wait_seconds if until is None else until
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                if str(error) != driver.LOCKED or time.monotonic() >= until:
                    raise
            time.sleep(0.001 + time.monotonic_ns() % 1009 / 250_000)  # 1 to 5 ms, each time another

    def _pragma(self, name: str) -> int:
        return int(self.column("PRAGMA " + name)[0])

    def column(self, sql: str) -> list[Any]:
        """The first value of each row of a query without parameters; raises the driver's errors."""
        def read() -> list[Any]:
            cursor = self.connection.cursor()
            cursor.row_factory = None
            return [row[0] for row in cursor.execute(sql)]

        found: list[Any] = self.patiently(read)
        return found

    def _is_too_long(self) -> bool:
        self._rounds += 1
        return self._rounds > MOST_STEPS

    def commit(self) -> None:
        try:
            self.fetch("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise self.explain(error, "reading") from None
        finally:
            self.end_turn()

    @property
    def wait_seconds(self) -> float:
        """How long it waits for another process."""
        return BUSY_SECONDS if self.lock_timeout is None else min(self.lock_timeout, BUSY_SECONDS)

    def rollback(self) -> None:
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self.explain(error) from None
        finally:
            self.end_turn()

    def end_turn(self) -> None:
        """Give the turn to the next writer, if there is a queue."""

    def execute(self, sql: str, params: Params = {}) -> list[Any]:
        self.refuse_stopped()
        return self.run(sql, params)

    def run(self, sql: str, params: Params = {}) -> list[Any]:
        """Run one statement directly on the connection."""
        try:
            rows = self.fetch(sql, params)
            if not rows:
                return rows
            names = rows[0].keys()
            return [dict(zip(names, row if bytes not in map(type, row) else map(_decode, row))) for row in rows]
        except sqlite3.Error as error:
            raise self.explain(error) from None

    def fetch(self, sql: str, params: Params = {}, until: float | None = None) -> list[sqlite3.Row]:
        """The raw rows of one statement; raises the driver's errors. Retried until then, like `patiently`."""
        self._rounds = 0
        try:
            return self._cursor.execute(sql, params).fetchall()
        except BaseException as error:
            self._cursor.close()  # else it would keep its lock
            self._renew_cursor()
            if until == AT_ONCE or not isinstance(error, sqlite3.OperationalError) or str(error) != driver.LOCKED:
                raise
        rows: list[sqlite3.Row] = self.patiently(lambda: self.fetch(sql, params, AT_ONCE), until)
        return rows

    def _renew_cursor(self) -> None:
        self._cursor = self.connection.cursor()
        self._cursor.row_factory = sqlite3.Row

    def sequence_values(self) -> dict[str, int]:
        given_out = {row["name"]: row["seq"] for row in self.execute("SELECT name, seq FROM sqlite_sequence")}
        return {table: given_out.get(table, 0) for table in NUMBERED}

    def advance_sequences(self, numbers: Mapping[str, int] = {}) -> None:
        for given in ({"name": name, "seq": number} for name, number in numbers.items() if number):
            self.execute("UPDATE sqlite_sequence SET seq = :seq WHERE name = :name AND seq < :seq", given)
            self.execute("INSERT INTO sqlite_sequence (name, seq) SELECT :name, :seq WHERE NOT EXISTS "
                         "(SELECT 1 FROM sqlite_sequence WHERE name = :name)", given)

    def check(self) -> list[str]:
        wrong = [row["integrity_check"] for row in self.execute("PRAGMA integrity_check")]
        wrong = [] if wrong == ["ok"] else self._name_rows(wrong)
        for table in TABLES:  # not those of others that may lie beside them
            wrong += [f"table {table}, row {row['rowid']}: refers to a row of {row['parent']} that is gone"
                      for row in self.execute(f"PRAGMA foreign_key_check({table})")]
        spent = self._find_spent()
        return wrong + [spent] * bool(spent) + self._find_corrupt()

    def _find_spent(self) -> str:
        """`tell_spent` for the existing rows, and for the last numbers."""
        try:
            last = {f"the id of a row of {table}": self.column(f"SELECT coalesce(max(id), 0) FROM {table}")[0]
                    for table in NUMBERED}
            return tell_spent({**last, **self.sequence_values()})
        except (sqlite3.Error, StorageError):  # what is wrong is told as it was found
            return ""

    def _name_rows(self, wrong: list[str]) -> list[str]:
        from .checks import name_rows

        return name_rows(wrong, self.execute)

    def _find_corrupt(self) -> list[str]:
        """A line for each value that is not text."""
        from .undecodable import find_corrupt

        try:
            return [f"{column} is {fault}"
                    for column, fault in self.patiently(lambda: [*find_corrupt(self.connection)])]
        except sqlite3.Error as error:
            raise self.explain(error) from None

    def close(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
        self._forget()

    def _forget(self) -> None:
        noted, self._noted = self._noted, ""
        if noted:
            forget_database(noted)

    def explain(self, error: sqlite3.Error, doing: str = "writing") -> Exception:
        """The driver's error as one of ours, with the path and what to do; `doing`: what another may be doing."""
        text, path = " ".join(str(error).split()), self.path  # a CHECK is told as it is written
        if text.startswith(driver.UNDECODABLE):
            return StorageError(f"{path}: {self._name_undecodable() or text}")
        if text == driver.FOREIGN_KEY:
            from ...base.invocation import way_called

            return StorageError(f"{path}: a row that this needs is missing; nothing was done: {way_called()} doctor "
                                "tells which, doctor --fix makes it again")
        if isinstance(error, sqlite3.IntegrityError):
            return UsageError(f"refused by the database: {text}")
        if text.startswith(driver.LOCKED_ANYHOW):
            return busy(path, self.wait_seconds, doing)
        if text.startswith(driver.CLOSED):  # by another thread
            return closed()
        if text.startswith(driver.NOT_WRITABLE):
            from ..remedies import how_to_make

            return StorageError(f"cannot write {path} ({text}): {how_to_make(path)}")
        if text.startswith(driver.UNREADABLE):
            wrong = f"{path} is not a readable database ({text})"
            return Damaged(wrong, self, self.backend) if self.is_own else StorageError(wrong + ": name another file")
        if text.startswith(driver.NO_ROOM):
            return self._explain_full(text)
        if text == "interrupted":
            from ...base.invocation import way_called

            return StorageError(f"{path}: a query went on for too long and was stopped; nothing was done: "
                                f"{way_called()} doctor tells what is wrong")
        return StorageError(f"{path}: {text}")

    def _explain_full(self, text: str) -> StorageError:
        """The error if there is no space: on the disk, or among the numbers of rows."""
        from ..remedies import make_room

        is_full = text.startswith(driver.FULL)
        spent = self._find_spent() if is_full else ""
        return StorageError(f"{self.path}: {spent}; nothing was done" if spent else
                            f"cannot write {self.path} ({text}): {make_room(self.path, is_full)}, then try again")

    def _name_undecodable(self) -> str:
        """The row with an unreadable value; "" if it cannot be determined."""
        from .undecodable import NOT_UTF8

        try:
            return next((line for line in self._find_corrupt() if line.endswith(NOT_UTF8)), "")
        except StorageError:
            return ""


def tell_spent(numbers: Mapping[str, object]) -> str:
    """Which of these numbers is so high that there is hardly one left to give out, as no call leaves it; or ""."""
    for name, number in numbers.items():
        if not isinstance(number, int) or number >= LARGEST_NUMBER:
            return (f"{number!r:.50} stands for the last number of {name}, and no call has given that out: lower it, "
                    "or remove such rows")
    return ""


def busy(path: str, seconds: float, doing: str = "writing") -> Busy:
    """The error of having waited in vain for another process that is `writing` or `reading`."""
    from ..holders import find_holders

    who = find_holders(path, doing)
    return Busy(f"{path} is busy: another process{f' ({who})' if who else ''} has been {doing} for "
                f"{seconds:.3g} s; try again")


def _copy_to_memory(file: sqlite3.Connection) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    file.backup(copy)
    file.close()
    return copy


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: _decode(value) for column, value in zip(cursor.description, row)}


def _decode(value: Any) -> Any:
    """The text of a BLOB: no column is one, but sqlite3's readfile() creates them."""
    if type(value) is not bytes:
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise sqlite3.OperationalError(driver.UNDECODABLE) from None
