"""Compares the schema in a SQLite file with the canonical one: what is missing, different, or foreign."""
from __future__ import annotations

import os
import re
import sqlite3

from ...base.errors import StorageError
from ...base.invocation import way_called
from ..findings import finding, line_of
from ..interface import Damaged
from .harmless import is_harmless_index, list_targets, plain
from .migrations import read_script
from .reshaping import quote, reshape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...base.answers import Finding
    from .store import SqliteStorage

    Objects = dict[str, tuple[str, str, str]]  # name: type, table, SQL

SHOWN = 3  # alterations that an error names
ALL = ("SELECT name, type, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND NOT (type = 'table' "
       "AND name IN ('sqlite_sequence', 'sqlite_stat1', 'sqlite_stat4'))")  # others may only be named like SQLite's own


def compare_schema(connection: sqlite3.Connection, path: str, lost: str = "") -> list[Finding]:
    """A finding for each object that differs from the schema. Foreign tables, views and indexes are allowed.

    lost: what to do where one of the tables is not there
    """
    ours, there = _read_model(), _read_objects(connection)
    found, gone = [], _list_gone(ours, there)
    for name, (kind, table, sql) in ours.items():
        fault = _find_fault(kind, sql, there.get(name))
        if fault and (name in gone or table not in gone):
            in_the_way = name in there and there[name][0] == "table" != kind
            found.append(finding(path, f"{kind} {name} {fault}", lost if name in gone else
                                 "rename that table, then repair" if in_the_way else "",
                                 fixable=name not in gone and not in_the_way))
    for name in _list_harmful(connection, ours, there):
        kind, table, _ = there[name]
        found.append(finding(path, f"{kind} {name} on {table} is not of this program, and may undo or refuse what a "
                             "call does", fixable=True))
    return found


def fix_schema(connection: sqlite3.Connection) -> str:
    """Restore the canonical schema and keep all rows, within the caller's transaction; the SQL of what was dropped."""
    ours, there = _read_model(), _read_objects(connection)
    misplaced = [name for name, (kind, table, _) in there.items()
                 if kind != "table" and name in ours and ours[name][:2] != (kind, table.lower())]
    harmful = _list_harmful(connection, ours, there) + misplaced
    for name in harmful:
        connection.execute(f"DROP {there[name][0]} {quote(name)}")
    reshape(connection, read_script())
    return "".join(there[name][2] + ";\n" for name in harmful)


def refuse_altered(store: SqliteStorage) -> None:
    """StorageError unless the file's schema has the canonical effect; indexes and views may be missing.

    Damaged where that cannot be repaired.
    """
    altered = [fault for fault in store.patiently(lambda: compare_schema(store.connection, store.path))
               if not re.match(r"(index|view) \S+ is missing$", fault["what"])]
    if not altered:
        return
    text = f"{store.path}: {'; '.join(map(line_of, altered[:SHOWN]))}"
    if not all(fault["fixable"] for fault in altered):
        raise Damaged(text, store, store.backend)
    raise StorageError(f"{text}; nothing was done: {way_called()} doctor --fix repairs it, and keeps what it takes out")


def is_lacking(connection: sqlite3.Connection) -> bool:
    """Whether one of the tables is missing: working without it could hide the rows it had."""
    return bool(_list_gone(_read_model(), _read_objects(connection)))


def _list_gone(ours: Objects, there: Objects) -> list[str]:
    return [name for name, (kind, _, _) in ours.items() if kind == "table" and there.get(name, ("",))[0] != kind]


def _list_harmful(connection: sqlite3.Connection, ours: Objects, there: Objects) -> list[str]:
    """Foreign triggers and indexes that may undo, refuse or block a write to one of our tables.

    A trigger counts where a table of ours, or one that a harmless trigger writes to, sets it off.
    """
    def columns(table: str) -> list[Any]:
        cursor = connection.cursor()
        cursor.row_factory = None
        return cursor.execute(f"PRAGMA table_info({quote(table)})").fetchall()

    others = {name.lower(): sql for name, (kind, _, sql) in there.items() if kind == "table" and name not in ours}
    reached = [name for name, (kind, _, _) in ours.items() if kind == "table"]
    harmful = []
    for reach in reached:
        for name, (kind, table, sql) in there.items():
            if name in ours or table.lower() != reach:
                continue
            if kind == "index" and not is_harmless_index(sql):
                harmful.append(name)
            if kind == "trigger":
                targets = list_targets(sql, others, columns)
                if targets is None:
                    harmful.append(name)
                reached += [target for target in targets or [] if target not in reached]
    return harmful


def _find_fault(kind: str, sql: str, there: tuple[str, str, str] | None) -> str:
    if there is None:
        return "is missing"
    if there[0] != kind:
        return f"was replaced by a {there[0]}"
    mine, theirs = plain(sql), plain(there[2])
    is_same = theirs == mine or kind == "table" and _has_only_more_columns(theirs, mine)
    return "" if is_same else "is another than this program's"


def _has_only_more_columns(theirs: str, mine: str) -> bool:
    """Whether ALTER TABLE has only added columns to a table's SQL, without restricting or changing anything."""
    start = len(os.path.commonprefix([theirs, mine]))
    more = theirs[start:start + len(theirs) - len(mine)].strip()
    return (theirs[:start] + theirs[start + len(theirs) - len(mine):] == mine and "," in (more[:1], more[-1:])
            and not re.search(r"\b(check|references|constraint|unique|not null|generated|as|default \()(?!\w)", more))


def _read_model() -> Objects:
    model = sqlite3.connect(":memory:", isolation_level=None)
    for statement in read_script():
        model.execute(statement)
    found = _read_objects(model)
    model.close()
    return found


def _read_objects(connection: sqlite3.Connection) -> Objects:
    cursor = connection.cursor()
    cursor.row_factory = None
    rows: list[Any] = cursor.execute(ALL).fetchall()
    return {name: (kind, table, sql) for name, kind, table, sql in rows}
