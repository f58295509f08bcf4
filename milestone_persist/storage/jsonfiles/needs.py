"""The rows that a statement needs in memory: those it may touch, and those to which what it writes will refer.

Those whose keys it names, where that is proved, else all of their table; archived rows only where it may touch them.
"""
from __future__ import annotations

from .layout import OF_ONE_ROW, SWEEP
from .statements import READING, read_statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...base.errors import StorageError
    from ..interface import Params
    from .layout import Table
    from .memory import Memory
    from .statements import Statement

LONGEST_ID = 4096  # in characters, of what a statement may name


def load_needed(memory: Memory, sql: str, params: Params) -> None:
    """Load what a statement needs and is not loaded yet; StorageError if the file of such a row is corrupt."""
    statement = read_statement(sql)
    removes_parents = "DELETE FROM" in sql and any("DELETE FROM " + name in sql for name in memory.parents)
    if removes_parents:
        memory.load_all()
    if statement.verb not in (*READING, "DELETE"):
        _load_referred(memory, statement, params)
    for table in _list_touched(memory, sql):
        if table.is_append(sql):
            memory.changes.track(table)
        else:
            _load_touched(memory, table, statement, params)
            if table in memory.without_archive and not _avoids_archived(memory, table, statement, params):
                _load_archived(memory, table, statement, params)
    if memory.corrupt:
        _refuse_corrupt(memory, params, removes_parents)


def list_left_out(memory: Memory, sql: str) -> list[StorageError]:
    """Why rows are left out where a statement reads many."""
    touched = [table.folder for table in _list_touched(memory, sql)] if memory.corrupt else []
    return [fault for file, fault in memory.corrupt.items() if file.rpartition("/")[0] in touched]


def _list_touched(memory: Memory, sql: str) -> list[Table]:
    return [table for table in memory.tables if any(word in sql for word in table.words)]


def _load_touched(memory: Memory, table: Table, statement: Statement, params: Params) -> None:
    """Load the rows of a table that a statement may touch: only those it names, if it can touch no others."""
    reactions = _find_reactions(table, statement)
    if (table in memory.unloaded and table.holds_one_row and OF_ONE_ROW.issuperset({*reactions} - {SWEEP})
            and not statement.changes(table.key)):
        proof = statement.prove(table)
        if proof is not None:
            memory.load_rows(table, [tuple(params.get(name) for name in names) for names in proof])
            if SWEEP in reactions and statement.verb == "INSERT":
                memory.load_expired(table, params.get("now"))
            return
    memory.load_tables([table])


def _find_reactions(table: Table, statement: Statement) -> list[str]:
    """The views and triggers by which a statement may touch more rows of a table than it says."""
    return [name for name, (kind, on) in table.touched_by.items() if on in statement.sql
            and (kind == "view" or statement.verb not in READING)]


def _load_referred(memory: Memory, statement: Statement, params: Params) -> None:
    """Load the rows to which the inserted or changed rows of a statement will refer."""
    for table in memory.tables:
        if not table.refers or not any(name == table.name for _, name, _, _ in statement.sources):
            continue
        given = statement.inserted()
        for column, name in table.refers:
            value = (given or {}).get(column, "") or statement.assigned(column)
            if value.startswith(":"):
                memory.load_rows(memory.named[name], [(params.get(value[1:]),)])
            elif value or given is None and (statement.verb != "UPDATE" or statement.changes([column])):
                memory.load_tables([memory.named[name]])


def _avoids_archived(memory: Memory, table: Table, statement: Statement, params: Params) -> bool:
    """Whether SQLite's own plan proves that a statement touches no archived row: its indexes have none of them."""
    plan = [row["detail"] for row in memory.connection.execute("EXPLAIN QUERY PLAN " + statement.sql, params)]
    others = [f" {other.name} USING" for other in memory.tables if other is not table]
    results = {step.split()[1] for step in plan if step.startswith("CO-ROUTINE")} - statement.names
    none = {"SCAN CONSTANT ROW", *(f"SCAN {name}" for name in results)}
    steps = [step for step in plan if step.startswith(("SEARCH", "SCAN")) and step not in none
             and not any(other in step for other in others)]
    return bool(steps) and all(any(f" INDEX {name} " in step for name in table.open_indexes) for step in steps)


def _load_archived(memory: Memory, table: Table, statement: Statement, params: Params) -> None:
    """Load the archived rows that a statement may touch: those whose numbers it names, or all."""
    proof = None if _find_reactions(table, statement) else statement.prove(table)
    keys = [tuple(params.get(name) for name in names) for names in proof or ()]
    if proof is None or not all(type(part) is int and part > 0 for key in keys for part in key):
        memory.load_archived(table)
    else:
        memory.load_archived_rows(table, keys)


def _refuse_corrupt(memory: Memory, params: Params, all_count: bool) -> None:
    """StorageError if a statement may need the row of a corrupt file: it names that row's key."""
    names = [value for value in params.values() if isinstance(value, str) and len(value) < LONGEST_ID]
    for file, fault in memory.corrupt.items():
        if all_count or any(table.may_hold(file, name) for table in memory.tables for name in names):
            raise fault
