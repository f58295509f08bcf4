"""The portable SQL on JSON files: loaded into in-memory SQLite under a lock, changed rows written back atomically."""
from __future__ import annotations

import os
import sqlite3

from ...base.errors import StorageError, newer
from ...base.found import read_found
from ...base.tables import SCHEMA_VERSION, TABLES
from ..backends import FILE
from ..directory import create_directory
from ..interface import BRIEF_SECONDS, Move, Snapshot, StorageMoved, Transaction
from ..selection import backend_in_use, store_in_use
from ..sqlite.embedded import EmbeddedStorage
from .head import Head, first_head, version_in
from .journal import JOURNAL, StoreFiles, is_pending, replace_files
from .layout import ONE_FILE, damaged, folder_of
from .lock import FileLock
from .memory import Memory
from .needs import list_left_out, load_needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ...base.answers import Description, Finding
    from ..call import Clock
    from ..interface import Params, Statement
    from .memory import Faults

HEAD = FILE.head  # it says that there is a store
LOCK = "file-store"  # .lock and .queue
ONE_LOOKS_SECONDS = 15.0  # in which one of all processes looks for silent agents: for that every agent is read


class FileStorage(EmbeddedStorage):
    """A store of JSON files below `directory`, or one in memory if nothing is to be created.

    What is in memory stays there until the file of `head` tells that another process has written. A file edited by
    hand is read by the next process that opens the store.
    """

    backend = FILE
    head: Head  # that belongs to the rows in memory
    FILES = (HEAD, JOURNAL, *(folder_of(name) for name in (*TABLES, "store_moves")))

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True,
                 other: bool = False) -> None:
        """Open it; StorageMoved if it would have to be created but the rows are elsewhere, unless it is an `other`."""
        super().__init__(directory, os.path.join(directory, HEAD), clock, environ)
        self.lock = FileLock(os.path.join(directory, LOCK))
        self._is_current = False  # whether these need not be read again whatever the head is
        self._inside = False
        self.lenient = False  # whether rows may refer to what is not there
        self._warned: set[str] = set()
        exists = os.path.exists(self.path) or is_pending(directory)
        self.in_memory = not exists and not create
        self.files = StoreFiles(directory)
        self._refuse_newer()
        self.connect(":memory:")
        self.memory = Memory(self.connection, self.files)
        if self.in_memory:
            self.memory.load_nothing()
        elif not exists:
            create_directory(directory)
            try:
                self._create(other)
            except BaseException:
                self.close()
                raise

    def _create(self, other: bool) -> None:
        """Write the first head, and the settings as the schema has them."""
        self.acquire(exclusive=True)
        try:
            if not other and backend_in_use(self.directory) not in (None, self.backend):
                raise StorageMoved(Move(store_in_use(self.directory)))
            if not os.path.exists(self.path):
                settings = [(table, table.key_of(row)) for table in self.memory.tables if table.name in ONE_FILE
                            for row in self.run(f"SELECT * FROM {table.name}")]
                self.head = first_head()
                self.save(self.memory.files_of(settings))
        finally:
            self._leave()

    # Transactions

    def transaction(self, lock: str = "", foreseen: Sequence[Statement] = ()) -> Transaction:
        return Transaction(self, lambda: self._enter(exclusive=True))

    def snapshot(self, foreseen: Sequence[Statement] = ()) -> Snapshot:
        return Snapshot(self, lambda: self._enter(exclusive=False))

    def change_stamp(self) -> object:
        try:
            head = os.stat(self.path)
        except FileNotFoundError:
            return None
        return head.st_mtime_ns, head.st_ino, head.st_size

    def is_at_hand(self, table: str) -> bool:
        return self.memory.named[table] not in self.memory.unloaded

    def has_looked(self) -> bool:
        return super().has_looked() or not self.in_memory and self._others_have_looked()

    def _others_have_looked(self) -> bool:
        """The time of the last check is the modification time of the queue file."""
        path, now = os.path.join(self.directory, LOCK + ".queue"), self.clock.time()
        try:
            if 0 <= now - os.stat(path).st_mtime < ONE_LOOKS_SECONDS:
                return True
            os.utime(path, (now, now), follow_symlinks=False)
        except OSError:  # whoever may not write it looks each time
            pass
        return False

    def _enter(self, exclusive: bool) -> None:
        try:
            if not self.in_memory:
                self._reach(exclusive)
            self._inside = True
            self.run(f"PRAGMA foreign_keys = {'OFF' if self.lenient else 'ON'}")
            self.run("BEGIN")
            self.memory.start(exclusive)
        except BaseException as error:
            raise self._give_up(error) from None

    def _reach(self, exclusive: bool) -> None:
        """Take the lock and see what is new; a reader continues without the lock if it is not available."""
        try:
            self.acquire(exclusive, self.wait_seconds if exclusive else min(BRIEF_SECONDS, self.wait_seconds))
        except StorageError:
            if exclusive:
                raise
            if self._load_unlocked():
                return
            self.acquire(exclusive, self.wait_seconds)
        self._refresh()
        if self.head.version < SCHEMA_VERSION:
            self._bring_up_to_date(exclusive)

    def _load_unlocked(self) -> bool:
        """Load every row without the lock; False if others were writing meanwhile.

        What is read is whole if head and journal are the same afterwards: a change has a journal before its first file
        is in place, and another head after that.
        """
        for _ in range(3):
            before = self.glance()
            wrong: Faults = []
            self.files.look_for_journal()
            self.forget()
            self._refresh()
            self.run("PRAGMA foreign_keys = OFF")
            self.memory.load_all(wrong)
            if not wrong and self.glance() == before:
                return True
        self.forget()
        return False

    def glance(self) -> list[bytes]:
        """Head and journal as they are now."""
        return [read_found(os.path.join(self.directory, name)) or b"" for name in (HEAD, JOURNAL)]

    def acquire(self, exclusive: bool, seconds: float | None = None) -> None:
        """Take the lock; a writer completes what a crash left unfinished, a reader reads through it."""
        try:
            self.lock.acquire(exclusive, seconds)
        except StorageError:
            if not os.path.isdir(self.directory):
                self.refuse_moved(found=[])
            raise
        try:
            if exclusive:
                self.files.carry_out_journal()
            else:
                self.files.look_for_journal()
        except BaseException:
            self.lock.release()
            raise

    def commit(self) -> None:
        try:
            if self.memory.writing and not self.in_memory:
                self._write_changes()
        except BaseException as error:
            raise self._give_up(error) from None
        try:
            self.memory.drop_unread()
            self.connection.execute("ROLLBACK" if self.memory.corrupt else "COMMIT")  # then all is read again
        except sqlite3.Error:  # closed meanwhile by another thread; what counts is in the files
            self.forget()
        finally:
            self._leave()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self.forget()  # what was loaded meanwhile is undone too
            self._leave()

    def _give_up(self, error: BaseException) -> BaseException:
        """Undo everything; returns the error to raise."""
        self.rollback()
        return self.explain(error) if isinstance(error, sqlite3.Error) else error

    def _leave(self) -> None:
        self._inside = False
        if self.memory.corrupt:  # it may be fixed
            self.forget()
        self.lock.release()

    def execute(self, sql: str, params: Params = {}) -> list[Any]:
        if not self._inside:
            with self.snapshot() if _only_reads(sql) else self.transaction():
                return self.execute(sql, params)
        if not self.memory.writing and not _only_reads(sql):
            raise RuntimeError("a statement that writes, inside a snapshot")
        try:
            load_needed(self.memory, sql, params)
        except sqlite3.Error as error:
            raise self.explain(error) from None
        for fault in list_left_out(self.memory, sql):
            self._warn_once(f"left out: {fault}")
        return self.run(sql, params)

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self.warn(text)

    def require_whole(self) -> None:
        self.memory.load_all()
        for fault in self.memory.corrupt.values():
            raise fault

    # Files to memory

    def _refresh(self) -> None:
        """Forget the rows in memory if another process has written since they were loaded."""
        text = self._read_head()
        if self._is_current and text == self.head.text:
            return
        try:
            head = Head(text)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise damaged(self.directory, self.path, f"not the head of a store: {error!r:.100}") from None
        if head.version > SCHEMA_VERSION:
            raise newer(self.path, head.version, SCHEMA_VERSION)
        self.memory.clear(head)
        self.head, self._is_current = head, True

    def forget(self) -> None:
        """Read every file again from now on."""
        self._is_current = False

    def _refuse_newer(self) -> None:
        """StorageError for a store written by a newer program, before any other check."""
        try:
            version = version_in(self.files.read(HEAD))
        except OSError:  # its user is told
            return
        if version > SCHEMA_VERSION:
            raise newer(self.path, version, SCHEMA_VERSION)

    def _read_head(self) -> str:
        try:
            return self.files.read(HEAD).decode()
        except FileNotFoundError:
            self.refuse_moved(found=[])
            raise StorageError(f"{self.path} is gone, the store was moved or removed: open it again") from None
        except (OSError, UnicodeDecodeError) as error:
            raise damaged(self.directory, self.path, f"it cannot be read: {error}") from None

    def _bring_up_to_date(self, exclusive: bool) -> None:
        """Run the upgrade steps from the version in the files, and write the head with the present one."""
        from ..steps import take_steps

        if not exclusive:
            self.lock.release()
            self.acquire(exclusive=True, seconds=self.wait_seconds)
            self._refresh()  # another process may have been first
        if self.head.version == SCHEMA_VERSION:
            return
        self._inside = True
        self.run("BEGIN")
        self.memory.start(writing=True)
        take_steps(self.head.version, self.execute)
        self.save(self.memory.changed_files())
        self.memory.drop_unread()
        self.run("ROLLBACK" if self.memory.corrupt else "COMMIT")

    # Memory to files

    def _write_changes(self) -> None:
        files = self.memory.changed_files()
        if files or self.head.sequences != self.memory.sequence_values():
            self.save(files)

    def save(self, files: dict[str, str | None]) -> None:
        """Write the changed files together with the new head."""
        head = self.head.next(self.files, files, self.memory.sequence_values())
        replace_files(self.directory, {**files, HEAD: head.text}, self.lock.require_held)
        self.head, self.memory.expiring = head, head.expiring

    def set_aside(self, folder: str) -> None:
        self.acquire(exclusive=True)  # no other process is reading the files
        try:
            super().set_aside(folder)
        finally:
            self._leave()

    # What doctor needs

    def describe(self) -> Description:
        return {"backend": self.backend.word, "engine": f"JSON files, SQLite {sqlite3.sqlite_version} in memory",
                "journal_mode": "file", "database": self.directory, "exists": not self.in_memory,
                "schema_version": SCHEMA_VERSION}

    def check(self) -> list[str]:
        from ..findings import line_of

        return [line_of(found) for found in self.inspect()]

    def inspect(self) -> list[Finding]:
        from .doctor import inspect

        return inspect(self)

    def fix(self, folder: str) -> list[Finding]:
        """Move every unreadable file to `folder`; rows that refer to its row are kept, and so is its key.

        Of a file of many rows a copy goes there, and those that can be read stay.
        """
        from .doctor import fix

        self.lenient = True
        self.forget()
        try:
            return fix(self, folder)
        finally:
            self.lenient = False
            self.forget()


def _only_reads(sql: str) -> bool:
    word = sql.split(None, 1)[0].upper()
    return word in ("SELECT", "PRAGMA", "EXPLAIN") or (word == "WITH" and not any(
        verb in sql.upper() for verb in ("INSERT ", "UPDATE ", "DELETE ")))
