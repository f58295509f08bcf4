"""The portable SQL on JSON files: loaded into SQLite in memory under a lock, changed rows written back as a whole."""
from __future__ import annotations

import json
import os
import sqlite3

from ..errors import StorageError
from ..tables import TABLES
from .directory import create_directory
from .embedded import SCHEMA_VERSION, EmbeddedStorage
from .filelock import FileLock
from .interface import Clock, Transaction
from .journal import JOURNAL, finish_pending, is_pending, replace_files
from .layout import ONE_FILE, Table, damaged, parents_of, place_of, read_layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .interface import Params, Row
    from .layout import Key

HEAD = "file-store.json"  # there is a store; how often it was written; the last number given out in each numbered table
LOCK = "file-store.lock"


class FileStorage(EmbeddedStorage):
    """A store of JSON files below `directory`, or one in memory where nothing is to be made.

    Tables that others refer to are loaded at once, the others when a statement first names them; all again when the
    head shows that another process has written.
    """

    engine = "file"
    FILES = (HEAD, JOURNAL, *(place_of(name) for name in TABLES))

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True) -> None:
        super().__init__(directory, os.path.join(directory, HEAD), clock, environ)
        self._lock = FileLock(os.path.join(directory, LOCK))
        self._head = ""  # the head that belongs to the rows in memory
        self._inside = self._writing = False
        exists = os.path.exists(self.path) or is_pending(directory)
        self.in_memory = not exists and not create
        self._tables: list[Table] = []
        self._unloaded: list[Table] = []
        self._tracked: set[Table] = set()
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        if self.in_memory:
            self._start_empty()
            self._unloaded = []
        elif not exists:
            create_directory(directory)
            self._create()

    def _create(self) -> None:
        """Write the first head, and the settings as the schema has them."""
        self._acquire(exclusive=True)
        try:
            if not os.path.exists(self.path):
                self._start_empty()
                changes = {(table, table.key_of(row)) for table in self._tables if table.name in ONE_FILE
                           for row in self.run(f"SELECT * FROM {table.name}")}
                self._save(changes, {"schema_version": SCHEMA_VERSION, "store": os.urandom(8).hex(), "generation": 0})
        finally:
            self._lock.release()

    # Transactions

    def transaction(self, lock: str = "") -> Transaction:
        return Transaction(self, lambda: self._enter(exclusive=True))

    def snapshot(self) -> Transaction:
        return Transaction(self, lambda: self._enter(exclusive=False))

    def _enter(self, exclusive: bool) -> None:
        try:
            if not self.in_memory:
                self._acquire(exclusive)
                self._refresh()
            self._inside, self._writing = True, exclusive
            self.run("BEGIN")
            parents = parents_of(self._tables)
            self._load(table for table in self._tables if table.name in parents)
            if exclusive:
                self._track(table for table in self._tables if table not in self._unloaded)
        except BaseException:
            self.rollback()
            raise

    def _acquire(self, exclusive: bool) -> None:
        """Take the lock, with nothing left that a crash left half done."""
        self._lock.acquire(exclusive)
        try:
            while is_pending(self.directory):
                if not exclusive:
                    self._lock.release()
                    self._lock.acquire(exclusive=True)
                finish_pending(self.directory)
                if not exclusive:
                    self._lock.release()
                    self._lock.acquire(exclusive)
        except BaseException:
            self._lock.release()
            raise

    def commit(self) -> None:
        try:
            if self._writing and not self.in_memory:
                self._write_changes()
                self._drop_appended()
            super().commit()
        except BaseException:
            self.rollback()
            raise
        self._leave()

    def rollback(self) -> None:
        super().rollback()
        self._head = ""  # what was loaded meanwhile is undone too
        self._leave()

    def _leave(self) -> None:
        self._inside = False
        self._lock.release()

    def execute(self, sql: str, params: Params = {}) -> list[Row]:
        if not self._inside:
            with self.snapshot() if _only_reads(sql) else self.transaction():
                return self.execute(sql, params)
        if not self._writing and not _only_reads(sql):
            raise RuntimeError("a statement that writes, inside a snapshot")
        self._load_for(sql)
        return super().execute(sql, params)

    # Files to memory

    def _refresh(self) -> None:
        """Forget the rows in memory if another process has written since they were loaded."""
        text = self._read_head()
        if text == self._head:
            return
        try:
            head = json.loads(text)
            version, sequences = int(head["schema_version"]), dict(head["sequences"])
        except (ValueError, TypeError, KeyError) as error:
            raise damaged(self.path, f"not the head of a store: {error!r}") from None
        if version > SCHEMA_VERSION:
            raise StorageError(f"{self.path} has schema version {version}, newer than this program's {SCHEMA_VERSION}: "
                               "use a newer milestone_persist")
        self._start_empty()
        self.connection.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", sequences.items())
        self._head = text

    def _read_head(self) -> str:
        try:
            with open(self.path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            raise StorageError(f"{self.path} is gone, the store was moved or removed: open it again") from None
        except (OSError, UnicodeDecodeError) as error:
            raise damaged(self.path, f"it cannot be read: {error}") from None

    def _start_empty(self) -> None:
        self.connection.close()
        self.connect(":memory:")
        self._tables = read_layout(self.connection)
        self._unloaded, self._tracked = list(self._tables), set()
        self.connection.execute("CREATE TEMP TABLE changed (name, key)")

    def _load_for(self, sql: str) -> None:
        """Load what a statement may touch and is not there yet."""
        parents = parents_of(self._tables)
        if "DELETE FROM" in sql and any("DELETE FROM " + name in sql for name in parents):
            self._load(self._tables)
        for table in list(self._unloaded):
            if any(word in sql for word in table.words):
                if table.is_append(sql):
                    self._track([table])
                else:
                    self._load([table])

    def _load(self, tables: Iterable[Table], wrong: list[str] | None = None) -> None:
        """Load tables; the first file that does not fit raises StorageError, or each is told in `wrong`."""
        for table in [table for table in tables if table in self._unloaded]:
            self._untrack(table)
            self._load_table(table, wrong)
            self._unloaded.remove(table)
            if self._writing:
                self._track([table])

    def _load_table(self, table: Table, wrong: list[str] | None) -> None:
        files = []
        for file in table.files(self.directory):
            try:
                files.append((file, table.read_file(self.directory, file)))
            except StorageError as error:
                if wrong is None:
                    raise
                wrong.append(str(error))
        if table.name in ONE_FILE and files:
            self.run(f"DELETE FROM {table.name}")
        self.run("SAVEPOINT loading")
        try:
            self._insert(table, [row for _, rows in files for row in rows])
        except (sqlite3.Error, ValueError, OverflowError):
            self.run("ROLLBACK TO loading")
            self._insert_each(table, files, wrong)
        self.run("RELEASE loading")

    def _insert_each(self, table: Table, files: list[tuple[str, list[Row]]], wrong: list[str] | None) -> None:
        """Insert the rows of one file after the other, to tell which does not fit."""
        for file, rows in files:
            try:
                self._insert(table, rows)
            except (sqlite3.Error, ValueError, OverflowError) as error:
                fault = damaged(os.path.join(self.directory, file), str(error))
                if wrong is None:
                    raise fault from None
                wrong.append(str(fault))

    def _insert(self, table: Table, rows: list[Row]) -> None:
        alike: dict[tuple[str, ...], list[Row]] = {}
        for row in rows:
            alike.setdefault(tuple(row), []).append(row)
        for names, group in alike.items():
            self.connection.executemany(f"INSERT INTO {table.name} ({', '.join(names)}) "
                                        f"VALUES ({', '.join(':' + name for name in names)})", group)

    # Memory to files

    def _track(self, tables: Iterable[Table]) -> None:
        """From here on note the keys of the rows that change."""
        for table in tables:
            if table not in self._tracked:
                self._tracked.add(table)
                for event, sides in (("INSERT", ["NEW"]), ("UPDATE", ["OLD", "NEW"]), ("DELETE", ["OLD"])):
                    notes = "".join(f"INSERT INTO changed VALUES ('{table.name}', json_array(" + ", ".join(
                        f"{side}.{name}" for name in table.key) + ")); " for side in sides)
                    self.run(f"CREATE TEMP TRIGGER {table.name}_{event} AFTER {event} ON main.{table.name} "
                                     f"BEGIN {notes}END")

    def _untrack(self, table: Table) -> None:
        if table in self._tracked:
            self._tracked.remove(table)
            for event in ("INSERT", "UPDATE", "DELETE"):
                self.run(f"DROP TRIGGER temp.{table.name}_{event}")

    def _write_changes(self) -> None:
        named = {table.name: table for table in self._tables}
        changes = {(named[row["name"]], tuple(json.loads(row["key"])))
                   for row in self.run("SELECT DISTINCT name, key FROM changed")}
        head = json.loads(self._head)
        if changes or head["sequences"] != self._sequences():
            self.run("DELETE FROM changed")
            self._save(changes, head)

    def _drop_appended(self) -> None:
        """Keep no rows of tables that are not loaded: loading them will bring those too."""
        for table in self._tracked.intersection(self._unloaded):
            self._untrack(table)
            self.run(f"DELETE FROM {table.name}")

    def _save(self, changes: set[tuple[Table, Key]], head: Row) -> None:
        """Write the files that hold the changed rows, and the head, all or none."""
        by_file: dict[tuple[Table, str], dict[Key, Row | None]] = {}
        for table, key in changes:
            by_file.setdefault((table, table.file_of(key)), {})[key] = self._read_row(table, key)
        contents = {file: table.text_with(self.directory, file, rows, table not in self._unloaded)
                    for (table, file), rows in sorted(by_file.items(), key=lambda item: item[0][1])}
        head = {**head, "generation": head["generation"] + 1, "sequences": self._sequences()}
        text = json.dumps(head, indent=1) + "\n"
        replace_files(self.directory, {**contents, HEAD: text})
        self._head = text

    def _read_row(self, table: Table, key: Key) -> Row | None:
        where = " AND ".join(f"{name} = :{name}" for name in table.key)
        rows = self.run(f"SELECT * FROM {table.name} WHERE {where}", dict(zip(table.key, key)))
        return rows[0] if rows else None

    def _sequences(self) -> dict[str, int]:
        rows = self.run("SELECT name, seq FROM sqlite_sequence ORDER BY name")
        return {row["name"]: row["seq"] for row in rows}

    # What doctor needs

    def describe(self) -> Row:
        return {"backend": self.backend, "engine": f"JSON files, SQLite {sqlite3.sqlite_version} in memory",
                "journal_mode": "file", "database": self.directory, "exists": not self.in_memory,
                "schema_version": SCHEMA_VERSION}

    def check(self) -> list[str]:
        wrong: list[str] = []
        self._head = ""  # read every file anew
        try:
            with self.snapshot():
                self._load(self._tables, wrong)
                wrong += super().check() + self._check_numbers(json.loads(self._head)["sequences"])
                if wrong:
                    self._head = ""
        except StorageError as error:
            wrong.append(str(error))
        return wrong

    def _check_numbers(self, given_out: dict[str, int]) -> list[str]:
        return [f"{self.path}: {name} has number {there}, but only {given_out.get(name, 0)} were given out: raise that"
                for name, there in self._sequences().items() if there > given_out.get(name, 0)]


def _only_reads(sql: str) -> bool:
    word = sql.split(None, 1)[0].upper()
    return word in ("SELECT", "PRAGMA", "EXPLAIN") or (word == "WITH" and not any(
        verb in sql.upper() for verb in ("INSERT ", "UPDATE ", "DELETE ")))
