"""Which file a row lies in, and how it reads there; taken from the schema, so that a new table needs nothing here.

A row is one JSON object whose keys are the columns; texts are kept as the texts they are, JSON columns too. A table
has the folder of its name, `agent_registry` the folder `agent-registry`, with a `.json` file for each row, named
after its key. Rows that the database numbers lie, a line each, in `.jsonl` files of a hundred numbers; settings in one.
"""
from __future__ import annotations

import json
import os

from ..errors import StorageError
from ..filenames import file_name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    from .interface import Row

    Key = tuple[Any, ...]

ONE_FILE = {"agent_coordination_config": "config/settings.jsonl"}
ROWS_A_FILE = 100
LONGEST = 230  # bytes of a file name, without its ending


class Table:
    """One table: its columns, its key, the tables it refers to and the words by which a statement may touch it."""

    def __init__(self, connection: sqlite3.Connection, name: str, sql: str) -> None:
        info = connection.execute(f"PRAGMA table_info({name})").fetchall()
        self.name = name
        self.columns = frozenset(row["name"] for row in info)
        self.key = tuple(row["name"] for row in sorted(info, key=lambda row: int(row["pk"])) if row["pk"])
        self.parents = {row["table"] for row in connection.execute(f"PRAGMA foreign_key_list({name})")}
        self.numbered = "AUTOINCREMENT" in sql
        self.words = {name}
        self.folder = place_of(name)

    def is_append(self, sql: str) -> bool:
        """Whether a statement only adds a row that the database numbers: it needs no row there is."""
        start = f"INSERT INTO {self.name} ("
        return (self.numbered and sql.startswith(start) and sql.count(self.name) == 1
                and "id" not in sql[len(start):sql.index(")")].split(", "))

    def file_of(self, key: Key) -> str:
        """The file, relative to the data directory, that holds the row with this key."""
        if self.name in ONE_FILE:
            return self.folder
        if self.numbered:
            return f"{self.folder}/{(key[0] - 1) // ROWS_A_FILE * ROWS_A_FILE + 1:08d}.jsonl"
        names = [file_name_of(part, longest=LONGEST // len(key)) for part in key]
        return f"{self.folder}/{'='.join(names)}.json"

    def files(self, directory: str) -> list[str]:
        """The files there are, relative to the data directory."""
        if self.name in ONE_FILE:
            return [self.folder] if os.path.exists(os.path.join(directory, self.folder)) else []
        ending = ".jsonl" if self.numbered else ".json"
        try:
            names = sorted(os.listdir(os.path.join(directory, self.folder)))
        except FileNotFoundError:
            return []
        return [f"{self.folder}/{name}" for name in names if name.endswith(ending) and name[0] != "."]

    def read_file(self, directory: str, file: str) -> list[Row]:
        """The rows of a file; StorageError names it where it does not hold what belongs there."""
        path = os.path.join(directory, file)
        try:
            with open(path, "rb") as opened:
                data = opened.read()
            texts = data.split(b"\n") if file.endswith(".jsonl") else [data]
            rows = [json.loads(text) for text in texts if text.strip()]
        except OSError as error:
            raise damaged(path, error.strerror or "it cannot be read") from None
        except (ValueError, RecursionError) as error:
            raise damaged(path, f"not JSON: {error}") from None
        for row in rows:
            wrong = self._find_fault(row, file)
            if wrong:
                raise damaged(path, wrong)
        return rows

    def _find_fault(self, row: Any, file: str) -> str:
        if not isinstance(row, dict):
            return "not a JSON object"
        if not self.columns.issuperset(row):
            return f"unknown key {min(set(row) - self.columns)!r}"
        for name in self.key:
            if not isinstance(row.get(name), int if self.numbered else str):
                return f"{name} is missing or of the wrong kind"
        belongs = self.file_of(self.key_of(row))
        return "" if belongs == file else f"{self.key_of(row)[0]!r} belongs in {belongs}"

    def key_of(self, row: Row) -> Key:
        return tuple(row[name] for name in self.key)

    def text_with(self, directory: str, file: str, changes: dict[Key, Row | None], may_exist: bool) -> str | None:
        """What a file must hold once these rows have changed (None: are gone); None if no row is left.

        may_exist: whether the rows may be there already; StorageError if they are and may not
        """
        if not self.numbered and self.name not in ONE_FILE:
            row = changes.popitem()[1]
            return None if row is None else json.dumps(row, ensure_ascii=False, indent=1) + "\n"
        there = os.path.exists(os.path.join(directory, file))
        rows = {self.key_of(row): row for row in self.read_file(directory, file)} if there else {}
        if not may_exist and not rows.keys().isdisjoint(changes):
            raise damaged(os.path.join(directory, file), "it has rows whose numbers were not given out yet")
        merged = {**rows, **changes}
        kept = [row for _, row in sorted(merged.items()) if row is not None]
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept) or None


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
    parents = parents_of(tables)
    return sorted(tables, key=lambda table: table.name not in parents)


def place_of(table: str) -> str:
    """Where the rows of a table lie: its folder, or its one file."""
    return ONE_FILE.get(table, table.replace("_", "-"))


def parents_of(tables: list[Table]) -> set[str]:
    """The tables that others refer to: their rows must be there before those of the others."""
    return {name for table in tables for name in table.parents}


def damaged(path: str, why: str) -> StorageError:
    """The error for a file that does not hold what belongs there."""
    return StorageError(f"{path}: {why}; everything was left as it is: mend the file or put a backup in its place")
