"""Which file a row is in, and its form there; derived from the schema, so that a new table needs no change here.

A row is one JSON object whose keys are the columns; texts are kept as the texts they are, JSON columns too. A table
has the folder of its name, `agent_registry` the folder `agent-registry`, with a `.json` file for each row, named
after its key. Rows that the database numbers lie, a line each, in `.jsonl` files of a hundred numbers; settings in one.
Acknowledged messages lie apart, in `agent-messages/acknowledged`, so that an inbox is read without all of history.
"""
from __future__ import annotations

import json

from ...base.errors import StorageError
from ...base.filenames import file_name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from typing import Any

    from ..interface import Row
    from .journal import StoreFiles

    Key = tuple[Any, ...]

ONE_FILE = {"agent_coordination_config": "config/settings.jsonl", "store_moves": "config/store-moves.jsonl"}
# table: column that tells that a row is archived, folder of the archived rows, indexes that hold none of them
ARCHIVED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "agent_messages": ("acknowledged_at", "acknowledged", ("agent_messages_pending", "agent_messages_taken"))}
# references that are no foreign keys
LOOSE = {"agent_state": (("saved_in", "coordination_sessions"),)}
# triggers that touch only the row itself, and those it refers to
OF_ONE_ROW = frozenset(("update_session_activity", "name_session_of_state", "keep_removed_version",
                        "check_capabilities_insert", "check_capabilities_update"))
SWEEP = "cleanup_expired_state"  # touches what has expired beside that: the head tells what will
BOM = "\ufeff"  # as some editors put it before a text
ROWS_A_FILE = 100
LONGEST = 230  # bytes of a file name, without its ending


class Table:
    """One table: its columns, its key, the tables it refers to, and the names by which a statement may touch it."""

    def __init__(self, connection: sqlite3.Connection, name: str, sql: str) -> None:
        info = connection.execute(f"PRAGMA table_info({name})").fetchall()
        self.name = name
        self.columns = frozenset(row["name"] for row in info)
        self.key = tuple(row["name"] for row in sorted(info, key=lambda row: int(row["pk"])) if row["pk"])
        found = [(row["from"], row["table"]) for row in connection.execute(f"PRAGMA foreign_key_list({name})")]
        self.parents = {table for _, table in found}
        self.refers = (*found, *LOOSE.get(name, ()))  # columns, each with the table whose key it holds
        self.referred_by: set[tuple[str | None, str]] = set()  # tables, each with such a column
        self.numbered = "AUTOINCREMENT" in sql
        self.words = {name}
        self.folder = folder_of(name)
        self.archived_by, self.archived_in, self.open_indexes = ARCHIVED.get(name, ("", "", ()))
        self.touched_by: dict[str, tuple[str, str]] = {}  # views and triggers: "view" or "trigger", and on what
        self.reactions: dict[str, str] = {}  # triggers that change other rows when one is inserted, by name
        self.holds_one_row = not self.numbered and name not in ONE_FILE  # a file
        self.aside = "it" if self.holds_one_row else "the lines that are not rows"  # what doctor --fix sets aside

    def is_append(self, sql: str) -> bool:
        """Whether a statement only adds a row that the database numbers: it needs no existing row."""
        start = f"INSERT INTO {self.name} ("
        return (self.numbered and sql.startswith(start) and sql.count(self.name) == 1
                and "id" not in sql[len(start):sql.index(")")].split(", "))

    def file_of(self, key: Key, archived: bool = False) -> str:
        """The file, relative to the data directory, that holds the row with this key."""
        if self.name in ONE_FILE:
            return self.folder
        if self.numbered:
            folder = f"{self.folder}/{self.archived_in}" if archived else self.folder
            return f"{folder}/{(key[0] - 1) // ROWS_A_FILE * ROWS_A_FILE + 1:08d}.jsonl"
        return f"{self.folder}/{'='.join(map(self._name_part, key))}.json"

    def _name_part(self, part: str) -> str:
        return file_name_of(part, longest=LONGEST // len(self.key))

    def names_beginning(self, files: StoreFiles, first: str) -> list[str]:
        """The existing files of rows whose key begins with that value."""
        start = self._name_part(first) + "="
        return sorted(f"{self.folder}/{name}" for name in files.list(self.folder)
                      if name.startswith(start) and name.endswith(".json"))

    def may_hold(self, file: str, name: str) -> bool:
        """Whether a file holds one row, whose key begins with that name."""
        folder, _, base = file.rpartition("/")
        return self.holds_one_row and folder == self.folder and (
            base[:-len(".json")].partition("=")[0] == self._name_part(name))

    def files_of(self, key: Key, row: Row | None, was_archived: bool) -> dict[str, Row | None]:
        """What each file must hold for this key, the row or nothing; `was_archived`: whether it was, perhaps."""
        archived = bool(self.archived_by) and row is not None and row[self.archived_by] is not None
        files: dict[str, Row | None] = {self.file_of(key, archived): row}
        if self.archived_by and (archived or was_archived):
            files[self.file_of(key, not archived)] = None
        return files

    def names(self, files: StoreFiles, archived: bool = False) -> list[str]:
        """The existing files, relative to the data directory, of the archived rows or of the others."""
        if self.name in ONE_FILE:
            return [self.folder] if files.exists(self.folder) else []
        ending = ".jsonl" if self.numbered else ".json"
        folder = f"{self.folder}/{self.archived_in}" if archived else self.folder
        return [f"{folder}/{name}" for name in sorted(files.list(folder)) if name.endswith(ending) and name[0] != "."]

    def read_file(self, files: StoreFiles, file: str) -> list[Row]:
        """The rows of a file; StorageError names the file if its contents are invalid."""
        path = files.path(file)
        try:
            text = files.read(file).decode()
            text = text[1:] if text.startswith(BOM) else text
            if file.endswith(".jsonl"):
                text = "[" + ",".join(line for line in text.split("\n") if line.strip()) + "]"
            rows = json.loads(text)
            if rows == [] and self.numbered:  # a file without rows is removed
                raise ValueError("it is empty")
        except OSError as error:
            raise damaged(files.directory, path, error.strerror or "it cannot be read", self.aside) from None
        except (ValueError, RecursionError) as error:
            raise damaged(files.directory, path, f"not JSON: {error}", self.aside) from None
        rows = rows if file.endswith(".jsonl") else [rows]
        for row in rows:
            wrong = self._find_fault(row, file)
            if wrong:
                raise damaged(files.directory, path, wrong, self.aside)
        return rows

    def read_line(self, line: bytes, file: str) -> Row:
        """The row in one line of a file; ValueError if it does not belong there."""
        row: Row = json.loads(line.decode())
        if self._find_fault(row, file):
            raise ValueError
        return row

    def _find_fault(self, row: Any, file: str) -> str:
        if not isinstance(row, dict):
            return "not a JSON object"
        if not self.columns.issuperset(row):
            return f"unknown key {min(set(row) - self.columns)!r}"
        for name in self.key:
            if not isinstance(row.get(name), int if self.numbered else str):
                return f"{name} is missing or of the wrong kind"
        key = self.key_of(row)
        archived = bool(self.archived_by) and row.get(self.archived_by) is not None
        home = self.file_of(key)
        if file == home or (archived and file == self.file_of(key, archived)):
            return ""
        return f"{key[0]!r} belongs in {home}"

    def key_of(self, row: Row) -> Key:
        """The values of a row's key, in the order of its columns."""
        return tuple(row[name] for name in self.key)

    def change_file(self, files: StoreFiles, file: str, changes: dict[Key, Row | None],
                    may_exist: bool) -> dict[str, str | None]:
        """The new text of a file in which these rows have changed (None: are gone), as {file: text}.

        The text is None where no row is left; {} where nothing has changed.
        may_exist: whether the rows may be there already; StorageError if they are and may not
        """
        if file.endswith(".json"):
            row = changes.popitem()[1]
            return {file: None if row is None else json.dumps(row, ensure_ascii=False, indent=1) + "\n"}
        before = {self.key_of(row): row for row in self.read_file(files, file)} if files.exists(file) else {}
        if not may_exist and not before.keys().isdisjoint(changes):
            raise damaged(files.directory, files.path(file), "it has rows whose numbers were not given out yet")
        after = {key: row for key, row in sorted({**before, **changes}.items()) if row is not None}
        return {} if before == after else {file: write_lines(after.values()) or None}


def write_lines(rows: Iterable[Row]) -> str:
    """The text of a file of many rows."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read_layout(connection: sqlite3.Connection) -> list[Table]:
    """Every table of the schema, those that others refer to first."""
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL "
                               "AND name NOT LIKE 'sqlite!_%' ESCAPE '!'").fetchall()
    tables = [Table(connection, row["name"], row["sql"]) for row in found if row["type"] == "table"]
    for row in found:  # a statement on a view, or on a table with a trigger, touches what they mention
        if row["type"] in ("view", "trigger"):
            for table in tables:
                if table.name in row["sql"]:
                    table.words.add(row["tbl_name"])
                    table.touched_by[row["name"]] = (row["type"], row["tbl_name"])
                if table.name == row["tbl_name"] and "AFTER INSERT" in row["sql"]:
                    table.reactions[row["name"]] = row["sql"]
    for table in tables:
        table.referred_by = {(child.name, column) for child in tables for column, parent in child.refers
                             if parent == table.name}
    parents = {name for table in tables for name in table.parents}
    return sorted(tables, key=lambda table: table.name not in parents)


def folder_of(table: str) -> str:
    """Where the rows of a table are: its folder, or its only file."""
    return ONE_FILE.get(table, table.replace("_", "-"))


def damaged(directory: str, path: str, why: str, aside: str = "") -> StorageError:
    """The error for a file of the store with invalid contents.

    aside: what of it the store is sound without, and doctor --fix sets aside
    """
    from ...base.invocation import way_called
    from ..remedies import advise_restoring

    why = " ".join(why.split())  # a CHECK is told as it is written
    aside = f"let {way_called()} doctor --fix set {aside} aside, " if aside else ""
    return StorageError(f"{path}: {why}; everything was left as it is: fix the file, {aside}or "
                        f"{advise_restoring(directory)}")
