"""Which rows in memory were changed: triggers record their keys, including rows changed by the schema's triggers."""
from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

    from .layout import Key, Table

EVENTS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}


class Changes:
    """The changes of the tables that are `tracked`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.tracked: set[Table] = set()
        connection.execute("CREATE TEMP TABLE changed (name, key)")

    def track(self, table: Table) -> None:
        """From here on record the keys of the rows that change."""
        if table in self.tracked:
            return
        self.tracked.add(table)
        for event, sides in EVENTS.items():
            notes = ""
            for side in sides:
                key = ", ".join(f"{side}.{name}" for name in table.key)
                notes += f"INSERT INTO changed VALUES ('{table.name}', json_array({key})); "
            self.connection.execute(f"CREATE TEMP TRIGGER {table.name}_{event} AFTER {event} ON main.{table.name} "
                                    f"BEGIN {notes}END")

    def clear(self) -> None:
        """Track no table, and forget every change."""
        for table in self.tracked:
            for event in EVENTS:
                self.connection.execute(f"DROP TRIGGER IF EXISTS temp.{table.name}_{event}")
        self.tracked.clear()
        self.forget_after(0)

    def list_keys(self) -> list[tuple[str, Key]]:
        """The names of the tables and the keys, each once."""
        found = self.connection.execute("SELECT DISTINCT name, key FROM changed").fetchall()
        return [(row["name"], tuple(json.loads(row["key"]))) for row in found]

    def last(self) -> int:
        """The number of the last change."""
        return int(self.connection.execute("SELECT coalesce(max(rowid), 0) AS last FROM changed").fetchone()["last"])

    def forget_after(self, number: int) -> None:
        """Forget the changes that came after that one."""
        self.connection.execute("DELETE FROM changed WHERE rowid > ?", (number,))
