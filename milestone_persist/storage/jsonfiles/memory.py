"""The rows of the file backend in memory: which are loaded, and how changes are written to the files."""
from __future__ import annotations

import sqlite3

from ...base.driver import FOREIGN_KEY
from ...base.errors import StorageError
from .changes import Changes
from .layout import Table, damaged, read_layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..interface import Row
    from .head import Head
    from .journal import StoreFiles
    from .layout import Key

    Faults = list[tuple[str, StorageError]]  # a file, and why it does not hold what belongs there


class Memory:
    """A fresh in-memory SQLite database, and which files are loaded into it.

    A row is loaded with those it refers to. `writing`: whether changes are noted.
    `corrupt`: why a file is not what belongs there, for each that holds one row: only who needs that row is refused.
    """

    def __init__(self, connection: sqlite3.Connection, files: StoreFiles) -> None:
        self.connection, self.files = connection, files
        self.tables = read_layout(connection)
        self.named = {table.name: table for table in self.tables}
        self.parents = {name for table in self.tables for name in table.parents}
        self.unloaded = set(self.tables)
        self.without_archive = {table for table in self.tables if table.archived_by}  # without their archived rows
        self.known_archives: dict[Table, set[str]] = {}  # of these: the files of archived rows that are loaded
        self.known: dict[Table, set[str]] = {}  # of tables that are unloaded: the files that were looked for
        self.expiring: dict[str, str] = {}  # files of rows that expire, and when
        self.changes = Changes(connection)
        self.writing = False
        self.corrupt: dict[str, StorageError] = {}

    def clear(self, head: Head) -> None:
        """Forget every row, and continue from a head."""
        self.changes.clear()
        self.connection.execute("PRAGMA foreign_keys = OFF")
        for name in ("sqlite_sequence", *(table.name for table in self.tables)):
            self.connection.execute(f"DELETE FROM {name}")
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.connection.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", head.sequences.items())
        self.unloaded = set(self.tables)
        self.without_archive = {table for table in self.tables if table.archived_by}
        self.known, self.known_archives, self.expiring, self.corrupt = {}, {}, head.expiring, {}

    def start(self, writing: bool) -> None:
        """Prepare for a transaction that has begun."""
        self.writing = writing
        if writing:
            for table in {*self.tables}.difference(self.unloaded).union(self.known):
                self.changes.track(table)

    def load_rows(self, table: Table, keys: Iterable[tuple[object, ...]]) -> None:
        """Load the rows of a table with these keys, or whose keys begin so."""
        if table not in self.unloaded:
            return
        files: list[str] = []
        for key in keys:
            if not all(isinstance(part, (str, type(None))) for part in key):  # SQLite makes text of it
                self.load_tables([table])
                return
            if None in key:  # no key is NULL
                continue
            whole = len(key) == len(table.key)
            names = [table.file_of(key)] if whole else table.names_beginning(self.files, str(key[0]))
            files += self._unknown(table, names)
        self._load_files(table, files)

    def _unknown(self, table: Table, names: list[str]) -> list[str]:
        """Those of these files that exist and have not been looked for yet; marks them as looked for."""
        known = self.known.setdefault(table, set())
        fresh = [name for name in dict.fromkeys(names) if name not in known]
        known.update(fresh)
        return [name for name in fresh if self.files.exists(name)]

    def load_all(self, wrong: Faults | None = None) -> None:
        """Load every file; the first invalid one raises StorageError or, with `wrong`, each is added there."""
        self.load_tables(self.tables, wrong)
        for table in list(self.without_archive):
            self.load_archived(table, wrong)

    def load_nothing(self) -> None:
        """Mark every table as loaded: there are no files."""
        self.unloaded, self.without_archive = set(), set()

    def load_tables(self, tables: Iterable[Table], wrong: Faults | None = None) -> None:
        """Load all rows of some tables that are not archived."""
        for table in tables:
            if table in self.unloaded:
                known = self.known.pop(table, set())
                self._load_files(table, [name for name in table.names(self.files) if name not in known], wrong)
                self.unloaded.remove(table)

    def load_expired(self, table: Table, now: str | None) -> None:
        """Load the rows of a table that have expired by then, or all that expire at all."""
        over = [file for file, time in self.expiring.items() if now is None or time <= now]
        self._load_files(table, self._unknown(table, over))

    def load_archived_rows(self, table: Table, keys: Iterable[Key]) -> None:
        """Load the rows of a table with these keys that are archived."""
        known = self.known_archives.setdefault(table, set())
        names = {table.file_of(key, archived=True) for key in keys if not self._read_row(table, key)}.difference(known)
        known.update(names)
        self._load_files(table, [name for name in sorted(names) if self.files.exists(name)])

    def load_archived(self, table: Table, wrong: Faults | None = None) -> None:
        """Load all archived rows of a table."""
        known = self.known_archives.pop(table, set())
        self._load_files(table, [name for name in table.names(self.files, archived=True) if name not in known], wrong)
        self.without_archive.remove(table)

    def _load_files(self, table: Table, names: list[str], wrong: Faults | None = None) -> None:
        """Load the rows of some files, and before them those they refer to."""
        files = []
        for file in names:
            try:
                files.append((file, table.read_file(self.files, file)))
            except StorageError as error:
                self._note_fault(table, file, error, wrong)
        for column, parent in table.refers if self.unloaded else ():
            keys = (row.get(column) for _, rows in files for row in rows)  # one that is no plain value, none can have
            self.load_rows(self.named[parent], {(key,) for key in keys if not isinstance(key, (list, dict))})
        if files:
            self._add(table, files, wrong)
        if self.writing:
            self.changes.track(table)

    def _add(self, table: Table, files: list[tuple[str, list[Row]]], wrong: Faults | None) -> None:
        """Insert the rows of files, which is no change."""
        last = self.changes.last()
        for name in table.reactions:  # what a trigger removed here would stay in its file
            self.connection.execute(f"DROP TRIGGER {name}")
        self.connection.execute("SAVEPOINT loading")
        try:
            self.insert(table, [row for _, rows in files for row in rows])
        except (sqlite3.Error, ValueError, OverflowError):
            self.connection.execute("ROLLBACK TO loading")
            self._insert_each(table, files, wrong)
        self.connection.execute("RELEASE loading")
        for sql in table.reactions.values():
            self.connection.execute(sql)
        self.changes.forget_after(last)

    def _insert_each(self, table: Table, files: list[tuple[str, list[Row]]], wrong: Faults | None) -> None:
        """Insert the rows file by file, to find the invalid one."""
        for file, rows in files:
            try:
                self.insert(table, rows)
            except (sqlite3.Error, ValueError, OverflowError) as error:
                why = "it refers to a row that is missing" if str(error) == FOREIGN_KEY else str(error)
                fault = damaged(self.files.directory, self.files.path(file), why, table.aside)
                self._note_fault(table, file, fault, wrong)

    def _note_fault(self, table: Table, file: str, fault: StorageError, wrong: Faults | None) -> None:
        """A file with one row is left out; a file with many rows is an error, or added to `wrong`."""
        if table.holds_one_row:
            self.corrupt.setdefault(file, fault)
            self.connection.execute("PRAGMA defer_foreign_keys = ON")  # what refers to its row is loaded all the same
        elif wrong is None:
            raise fault from None
        else:
            wrong.append((file, fault))

    def insert(self, table: Table, rows: list[Row]) -> None:
        """Add rows to a table; sqlite3.Error, ValueError or OverflowError if one is invalid."""
        alike: dict[tuple[str, ...], list[Row]] = {}
        for row in rows:
            alike.setdefault(tuple(row), []).append(row)
        for names, group in alike.items():
            self.connection.executemany(
                f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                [tuple(row.values()) for row in group])

    def changed_files(self) -> dict[str, str | None]:
        """The new text of each file that contains or contained a changed row; None if no row is left."""
        return self.files_of((self.named[name], key) for name, key in self.changes.list_keys())

    def files_of(self, keys: Iterable[tuple[Table, Key]]) -> dict[str, str | None]:
        """The same for the rows with these keys."""
        by_file: dict[tuple[str, Table], dict[Key, Row | None]] = {}
        for table, key in keys:
            was_archived = table not in self.without_archive or (
                table in self.known_archives and table.file_of(key, archived=True) in self.known_archives[table])
            for file, row in table.files_of(key, self._read_row(table, key), was_archived).items():
                if table.holds_one_row and table in self.unloaded and file not in self.known.get(table, ()):
                    raise RuntimeError(f"{file} was not read before it is written")
                if file in self.corrupt:
                    raise self.corrupt[file]
                by_file.setdefault((file, table), {})[key] = row
        contents: dict[str, str | None] = {}
        for (file, table), rows in by_file.items():
            contents.update(table.change_file(self.files, file, rows, table not in self.unloaded))
        return contents

    def _read_row(self, table: Table, key: Key) -> Row | None:
        where = " AND ".join(f"{name} = ?" for name in table.key)
        row: Row | None = self.connection.execute(f"SELECT * FROM {table.name} WHERE {where}", key).fetchone()
        return row

    def drop_unread(self) -> None:
        """After changes are written: drop rows of files that are not loaded, so that these can be loaded later."""
        for table in self.changes.tracked.intersection(self.unloaded).difference(self.known):
            self.connection.execute(f"DELETE FROM {table.name}")
        for table in self.changes.tracked.intersection(self.without_archive):
            self.connection.execute(f"DELETE FROM {table.name} WHERE {table.archived_by} IS NOT NULL")
            self.known_archives.pop(table, None)
        self.changes.forget_after(0)

    def sequence_values(self) -> dict[str, int]:
        """The last number assigned in each table whose rows the database numbers."""
        rows = self.connection.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name")
        return {row["name"]: row["seq"] for row in rows}
