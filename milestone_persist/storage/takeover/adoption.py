"""Takes over a database made by an earlier shell tool: its tables in our form, everything else unchanged."""
from __future__ import annotations

import json
import sqlite3

from ...base.tables import TABLES
from ...base.vocabulary import GOING_ON, OPERATION_TYPES, any_of
from .fitting import NOWHERE, TO_ALL, fit_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..interface import Row

OLD_TABLES = [table for table in TABLES if table not in ("milestone_locks", "idempotency_keys", "events")]
NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
BEFORE = "_before_takeover"  # the end of the name of a table that stood where one of ours must be


def adopt(connection: sqlite3.Connection, script: list[str]) -> None:
    """Give a database without a version the schema `script`, with every row, within the caller's transaction.

    Foreign keys must be off. Tables, views and triggers of other names stay as they are.
    """
    factory = connection.text_factory
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    connection.execute("PRAGMA legacy_alter_table = ON")  # leaves what refers to a renamed table as it is
    try:
        Takeover(connection, script).run()
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
        connection.text_factory = factory


class Takeover:
    """One takeover: rename the old tables, create and fill the new ones, drop the old ones."""

    def __init__(self, connection: sqlite3.Connection, script: list[str]) -> None:
        self.connection, self.script = connection, script
        self.notes: list[tuple[str, str]] = []
        self.counts: dict[str, int] = {}

    def run(self) -> None:
        """Give the tables the present form, with their rows."""
        numbers = self._sequence_values()
        triggers = self._make_room()
        for statement in self.script:
            if "CREATE TABLE" in statement:  # settings come later, and triggers, which delete what has expired
                self.connection.execute(statement)
        for table in TABLES:
            if table in self.counts:
                self._refill(table)
        for parent in ADD_PARENT:
            self._make_parents(parent)
        self.connection.execute("UPDATE agent_state SET saved_in = (SELECT session_id FROM agent_registry a "
                                "WHERE a.agent_id = agent_state.agent_id)")
        for statement in self.script:
            self.connection.execute(statement)
        for table, number in numbers.items():
            self.connection.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, table))
        for name, table, sql in triggers:
            self._restore_trigger(name, table, sql)
        self._write_notes()

    def _rows(self, sql: str, given: Any = ()) -> Iterator[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.row_factory = None
        yield from cursor.execute(sql, given)

    def _has(self, name: str, kind: str) -> bool:
        return bool([*self._rows("SELECT 1 FROM sqlite_master WHERE name = ? AND type = ?", (name, kind))])

    def _sequence_values(self) -> dict[str, int]:
        """The last number assigned in each table, so that none is reused."""
        if not self._has("sqlite_sequence", "table"):
            return {}
        return {str(name): int(number) for name, number in self._rows("SELECT name, seq FROM sqlite_sequence")
                if name in TABLES}

    def _make_room(self) -> list[tuple[str, str, str]]:
        """Rename tables with our names and drop their indexes, triggers and views; returns foreign triggers."""
        ours = _names_of(self.script)
        triggers = []
        for name, kind, table, sql in [*self._rows("SELECT name, type, tbl_name, sql FROM sqlite_master WHERE "
                                                   "sql IS NOT NULL AND type <> 'table'")]:
            if kind == "trigger" and table in TABLES and name not in ours:
                triggers.append((name, table, sql))
            if name in ours and kind != "index" or table in TABLES:
                self.connection.execute(f"DROP {kind} IF EXISTS {quote(name)}")
        for name in sorted(ours):
            if self._has(name, "table"):
                self._move_aside(name)
        return triggers

    def _move_aside(self, name: str) -> None:
        self.connection.execute(f"ALTER TABLE {quote(name)} RENAME TO {quote(name + BEFORE)}")
        if name in OLD_TABLES and set(TABLES[name]) <= set(self._columns(name + BEFORE)):
            self.counts[name] = 0
        else:  # a foreign one, of the same name
            self.notes.append(("table_renamed", f"{name} is {name + BEFORE} now"))

    def _columns(self, table: str) -> dict[str, bool]:
        """The columns of a table and whether they must be set; a number that counts up need not."""
        return {row[1]: bool(row[3]) for row in self._rows(f"PRAGMA table_info({quote(table)})")}

    def _refill(self, table: str) -> None:
        """Copy every row of the old table into the new one, the latest first, and drop the old one."""
        columns = self._columns(table)
        for row in self._old_rows(table + BEFORE):
            self._insert_adopted(table, row, columns)
            self.counts[table] += 1
        self.connection.execute(f"DROP TABLE {quote(table + BEFORE)}")

    def _old_rows(self, table: str) -> Iterator[Row]:
        names = [*self._columns(table)]
        select = f"SELECT {', '.join(map(quote, names))} FROM {quote(table)}"
        try:
            self.connection.execute(f"SELECT rowid FROM {quote(table)} LIMIT 0")
            select += " ORDER BY rowid DESC"
        except sqlite3.OperationalError:  # made WITHOUT ROWID
            pass
        return (dict(zip(names, values)) for values in self._rows(select))

    def _insert_adopted(self, table: str, row: Row, columns: dict[str, bool]) -> None:
        if table == "agent_messages" and not row.get("session_id"):
            row = {**row, "session_id": self._session_of(row)}
        fitted, lost = fit_row(table, row, columns)
        try:
            for one in self._recipients(fitted) if table == "agent_messages" else [fitted]:
                self._insert(table, one)
        except sqlite3.IntegrityError as error:  # no key, or one that a later row has
            self.notes.append(("row_left_out", _json({"table": table, "why": str(error), "row": row})))
            return
        if lost:
            key = {name: fitted.get(name) for name in TABLES[table]}
            self.notes.append(("row_changed", _json({"table": table, "key": key, "was": lost})))

    def _session_of(self, message: Row) -> str | None:
        """The session of a message that names none: its sender's, else its recipient's."""
        for end in ("from_agent", "to_agent"):
            for (session_id,) in self._rows("SELECT session_id FROM agent_registry WHERE agent_id = ?",
                                            (message.get(end),)):
                return str(session_id)
        return None

    def _insert(self, table: str, row: Row) -> None:
        self.connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                                [*row.values()])

    def _recipients(self, message: Row) -> list[Row]:
        """A message, or one row a recipient where it is to everyone in its session."""
        if message["to_agent"] != TO_ALL:
            return [message]
        others = [name for (name,) in self._rows(
            "SELECT agent_id FROM agent_registry WHERE session_id = ? AND agent_id <> ? ORDER BY agent_id",
            (message["session_id"], message["from_agent"]))] or ["everyone"]
        return [{**message, "to_agent": name, "id": None if number else message["id"]}
                for number, name in enumerate(others)]

    def _make_parents(self, parent: str) -> None:
        """Create the missing rows that others, including unknown tables, refer to."""
        key = TABLES[parent][0]
        for child, column in [*self._references(parent)]:
            value = quote(column)
            missing = self._rows(f"SELECT DISTINCT {value} FROM {quote(child)} WHERE {value} <> '' AND {value} NOT IN "
                                 f"(SELECT {key} FROM {parent})")
            for (name,) in [*missing]:
                ADD_PARENT[parent](self, str(name))
                self.notes.append(("row_added", _json({"table": parent, "key": {key: name}, "for": child})))

    def _references(self, parent: str) -> Iterator[tuple[str, str]]:
        """Every column that refers to a table's key: (table, column)."""
        for (table,) in [*self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")]:
            for _, _, to, column, target, *_ in [*self._rows(f"PRAGMA foreign_key_list({quote(table)})")]:
                if to.lower() == parent and target in (None, TABLES[parent][0]):
                    yield table, column

    def _add_agent(self, agent_id: str) -> None:
        """In the session of its messages or checkpoints, else the last that had begun when it first saved state."""
        self.connection.execute(
            "INSERT INTO agent_registry (agent_id, agent_type, status, session_id, spawn_time, last_heartbeat) "
            "SELECT :id, 'unregistered', CASE WHEN saved > 0 THEN 'active' ELSE 'terminated' END, coalesce("
            "(SELECT session_id FROM agent_messages WHERE :id IN (from_agent, to_agent) ORDER BY id DESC LIMIT 1), "
            "(SELECT session_id FROM agent_checkpoints WHERE agent_id = :id ORDER BY created_at DESC LIMIT 1), "
            "(SELECT session_id FROM coordination_sessions WHERE created_at <= first "
            f"ORDER BY created_at DESC LIMIT 1), :nowhere), coalesce(first, {NOW}), coalesce(last, {NOW}) "
            "FROM (SELECT min(began) AS first, max(ended) AS last, sum(saved) AS saved FROM ("
            "SELECT created_at AS began, updated_at AS ended, 1 AS saved FROM agent_state WHERE agent_id = :id "
            "UNION ALL SELECT created_at, created_at, 0 FROM agent_checkpoints WHERE agent_id = :id "
            "UNION ALL SELECT timestamp, timestamp, 0 FROM agent_health_log WHERE agent_id = :id))",
            {"id": agent_id, "nowhere": NOWHERE})

    def _add_session(self, session_id: str) -> None:
        """As old as its agents, messages and checkpoints; completed, unless an agent or a message in it waits."""
        word = session_id.partition("-")[0]
        self.connection.execute(
            "INSERT INTO coordination_sessions (session_id, milestone_id, operation_type, status, agent_count, "
            "created_at, last_activity) SELECT :id, max(milestone), :type, "
            "CASE WHEN sum(waiting) > 0 THEN 'active' ELSE 'completed' END, "
            f"sum(agents), coalesce(min(began), {NOW}), coalesce(max(ended), {NOW}) "
            "FROM (SELECT NULL AS milestone, 0 AS waiting, 0 AS agents, NULL AS began, NULL AS ended "
            f"UNION ALL SELECT milestone_id, status IN {any_of(GOING_ON)}, 1, spawn_time, last_heartbeat "
            "FROM agent_registry WHERE session_id = :id "
            "UNION ALL SELECT NULL, delivered_at IS NULL, 0, created_at, created_at "
            "FROM agent_messages WHERE session_id = :id "
            "UNION ALL SELECT NULL, 0, 0, created_at, created_at FROM agent_checkpoints WHERE session_id = :id)",
            {"id": session_id, "type": word if word in OPERATION_TYPES else "execution"})

    def _add_milestone(self, milestone_id: str) -> None:
        self.connection.execute("INSERT INTO milestones (id, title) VALUES (:id, :id)", {"id": milestone_id})

    def _restore_trigger(self, name: str, table: str, sql: str) -> None:
        """Recreate a foreign trigger on one of our tables, unless it cannot work there any more."""
        same = ", ".join(f"{column} = {column}" for column in self._columns(table))
        try:
            self.connection.execute(sql)
            for use in (f"INSERT INTO {table} DEFAULT VALUES", f"UPDATE {table} SET {same}", f"DELETE FROM {table}"):
                self.connection.execute("EXPLAIN " + use)
        except sqlite3.OperationalError as error:
            self.connection.execute(f"DROP TRIGGER IF EXISTS {quote(name)}")
            self.notes.append(("trigger_left_out", _json({"why": str(error), "sql": sql})))

    def _write_notes(self) -> None:
        rows = {table: number for table, number in self.counts.items() if number}
        for event, detail in [("done", _json({"rows": rows})), *self.notes]:
            self.connection.execute("INSERT INTO events (event, detail) VALUES (?, ?)", ("takeover_" + event, detail))


# In this order: each may need rows of the next.
ADD_PARENT: dict[str, Callable[[Takeover, str], None]] = {
    "agent_registry": Takeover._add_agent, "coordination_sessions": Takeover._add_session,
    "milestones": Takeover._add_milestone}


def quote(name: str) -> str:
    """The name of a table, column or trigger as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _json(value: Any) -> str:
    """A note as JSON that is ASCII, so that bytes which are not UTF-8 survive in it as \\udcXX."""
    return json.dumps(value, default=lambda data: data.decode("utf-8", "surrogateescape"))


def _names_of(script: list[str]) -> set[str]:
    """The tables, views and triggers that the schema makes."""
    connection = sqlite3.connect(":memory:")
    for statement in script:
        connection.execute(statement)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type <> 'index'")}
    connection.close()
    return names - {"sqlite_sequence"}
