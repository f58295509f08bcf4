"""Converts a SQLite database of an earlier version to the present schema, with every row."""
from __future__ import annotations

import sqlite3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OLD = "_of_before"  # the end of the name of a table while its rows are copied
THEIRS = "_not_ours"  # the end of the name of a foreign table that stood where a new one of ours must be


def reshape(connection: sqlite3.Connection, script: list[str]) -> None:
    """Give every table the form defined in `script`, within the caller's transaction; foreign keys must be off.

    New columns get their defaults. What others have added stays: tables, views, columns, indexes, triggers.
    """
    switches = ("legacy_alter_table", "ignore_check_constraints")  # what refers to a table stays, and so does every row
    for name in switches:
        connection.execute(f"PRAGMA {name} = ON")
    try:
        reshaping = _Reshaping(connection, script)
        try:
            reshaping.run()
        finally:
            reshaping.model.close()
    finally:
        for name in switches:
            connection.execute(f"PRAGMA {name} = OFF")


class _Reshaping:
    def __init__(self, connection: sqlite3.Connection, script: list[str]) -> None:
        self.connection, self.script = connection, script
        self.model = sqlite3.connect(":memory:", isolation_level=None)
        for statement in script:
            self.model.execute(statement)

    def run(self) -> None:
        numbers = self._ask("SELECT name, seq FROM sqlite_sequence")
        wanted = {name: (kind, sql) for kind, name, sql in _ask(self.model, "SELECT type, name, sql FROM sqlite_master "
                                                                "WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'")}
        tables = [name for name, (kind, _) in wanted.items() if kind == "table"]
        for table in tables:
            self._move_away_theirs(table)
        theirs = self._drop_what_hangs_on(wanted)
        for table in tables:
            self._remake(table, wanted[table][1])
        for statement in [*self.script, *theirs]:
            self.connection.execute(statement)
        for given in numbers:
            self.connection.execute("UPDATE sqlite_sequence SET seq = :seq WHERE name = :name",
                                    dict(zip(("name", "seq"), given)))
            self.connection.execute("INSERT INTO sqlite_sequence (name, seq) SELECT :name, :seq WHERE NOT EXISTS "
                                    "(SELECT 1 FROM sqlite_sequence WHERE name = :name)",
                                    dict(zip(("name", "seq"), given)))

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        return _ask(self.connection, sql)

    def _columns(self, table: str) -> dict[str, str]:
        return {row[1]: row[2] for row in self._ask(f"PRAGMA table_info({quote(table)})")}

    def _move_away_theirs(self, table: str) -> None:
        """Rename a foreign table that has the name of one of ours."""
        needed = {row[1] for row in _ask(self.model, f"PRAGMA table_info({table})") if row[3] and row[4] is None}
        there = self._columns(table)
        if there and not needed <= set(there):
            self.connection.execute(f"ALTER TABLE {quote(table)} RENAME TO {quote(table + THEIRS)}")

    def _drop_what_hangs_on(self, wanted: dict[str, tuple[str, str]]) -> list[str]:
        """Drop our views, and all indexes and triggers of our tables; returns the SQL of foreign ones."""
        theirs = []
        for kind, name, owner, sql in self._ask("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE "
                                                "sql IS NOT NULL AND type <> 'table' ORDER BY type = 'view'"):
            if owner in wanted:
                self.connection.execute(f"DROP {kind} {quote(name)}")
                if name not in wanted:
                    theirs.append(str(sql))
        return theirs

    def _remake(self, table: str, sql: str) -> None:
        """Recreate a table in its present form, with its rows."""
        before = self._ask(f"SELECT sql FROM sqlite_master WHERE name = '{table}'")
        if before == [(sql,)]:
            return
        old = self._columns(table)
        if before:
            self.connection.execute(f"ALTER TABLE {table} RENAME TO {table}{OLD}")
        self.connection.execute(sql)
        if before:
            for name in old.keys() - self._columns(table).keys():
                self.connection.execute(f"ALTER TABLE {table} ADD COLUMN {quote(name)} {old[name]}")
            names = ", ".join(map(quote, old))
            self.connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {table}{OLD} ORDER BY rowid")
            self.connection.execute(f"DROP TABLE {table}{OLD}")


def _ask(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    """All rows, whatever row factory the connection has."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(sql).fetchall()


def quote(name: str) -> str:
    """A name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'
