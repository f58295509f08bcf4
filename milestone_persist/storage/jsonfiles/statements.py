"""Which rows a statement touches, if its text proves that it touches only rows whose keys it names.

The statements are ours, written in one way: words of SQL in capitals, one space between words, the key of a table
compared with a parameter by `=` in the outermost AND of a WHERE. What is written otherwise proves nothing, and then
all rows of the table are read. A proof is the names of the parameters that have the key, or its first column.
"""
from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .layout import Table

    Names = tuple[str, ...]  # of parameters

SOURCE = re.compile(r"\b(FROM|JOIN|UPDATE|INTO) (\w+)\b(?: ([a-z]\w*))?")
CONDITION = re.compile(r"(?:(\w+)\.)?(\w+) = (?::(\w+)|(\w+)\.(\w+))")  # a column, and a parameter or another column
WORD = re.compile(r"\b\w+\b(?!\.)")
END = re.compile(r" (?:ORDER BY|LIMIT|RETURNING|GROUP BY|UNION|EXCEPT|INTERSECT|ON CONFLICT)\b")
VALUES = ") VALUES ("
JOIN = re.compile(r" (?:LEFT |INNER )?JOIN ")
PARENTHESIS = re.compile(r"([()])")
ASSIGNMENT = r"(?:SET|,) (\w+) = (?:coalesce\((\w+), )?(:\w+)\)?(?=, | WHERE )"
READER = " WHERE agent_registry.agent_id = to_agent"
READING = ("SELECT", "PRAGMA", "EXPLAIN")
MOST_KEPT = 500
_read: dict[str, Statement] = {}


def read_statement(sql: str) -> Statement:
    """The analysis of a statement, cached by its text."""
    found = _read.get(sql)
    if not found:
        if len(_read) > MOST_KEPT:
            _read.clear()
        found = _read[sql] = Statement(sql)
    return found


class Statement:
    """One statement: its verb, the tables in it, and what it touches of each."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.verb = sql.split(None, 1)[0].upper()
        self.sources = [(found[1], found[2], found[3] or found[2], found.end()) for found in SOURCE.finditer(sql)]
        self.names = {name for _, table, alias, _ in self.sources for name in (table, alias)}
        self.aliases = {alias: table for _, table, alias, _ in self.sources
                        if {other for _, other, name, _ in self.sources if name == alias} == {table}}
        self._proofs: dict[str, list[Names] | None] = {}

    def prove(self, table: Table) -> list[Names] | None:
        """The keys by which it touches a table; None if it may touch all rows.

        A row that is joined by a reference in another row of ours needs no key: it is there with that one.
        """
        if table.name not in self._proofs:
            self._proofs[table.name] = self._prove(table)
        return self._proofs[table.name]

    def _prove(self, table: Table) -> list[Names] | None:
        proved: list[Names] = []
        own = [source for source in self.sources if source[1] == table.name]
        if len(own) != WORD.findall(self.sql).count(table.name):
            return None
        for word, _, alias, end in own:
            conditions = self._conditions(word, end)
            names = self._given_values(table) if word == "INTO" else self._compared(table, alias, conditions)
            names = self._referred(table, alias, conditions) if names == [] else names
            names = self._read_by_owner(end) if names is None else names
            if names is None:
                return None
            proved += names
        return proved

    def inserted(self) -> dict[str, str] | None:
        """The value text of each column in an INSERT; None if its rows come from elsewhere."""
        head, found, rest = self.sql.partition(" (")[2].partition(VALUES)
        columns, values = head.split(", "), _level(rest).split(", ")
        if not found or self.verb != "INSERT" or "(" in head or "), (" in rest or len(columns) != len(values):
            return None
        return dict(zip(columns, values))

    def changes(self, columns: Iterable[str]) -> bool:
        """Whether an UPDATE sets one of these columns."""
        head = _level(self.sql).partition(" WHERE ")[0]
        return self.verb == "UPDATE" and any(f" {column} = " in head for column in columns)

    def assigned(self, column: str) -> str:
        """The parameter, as `:name`, that an UPDATE sets a column to, if only where it is NULL; "" for others."""
        found = re.finditer(ASSIGNMENT, self.sql) if self.verb == "UPDATE" else ()
        return next((match[3] for match in found if match[1] == column and match[2] in (None, column)), "")

    def _given_values(self, table: Table) -> list[Names] | None:
        given = self.inserted() or {}
        values = [given.get(column, "") for column in table.key]
        is_proof = all(value[:1] == ":" and value[1:].isidentifier() for value in values)
        return [tuple(value[1:] for value in values)] if is_proof else None

    def _conditions(self, word: str, end: int) -> list[str]:
        """All conditions on the rows of a source: those of its WHERE, and of its own JOIN."""
        scope = END.split(_level(self.sql[end:]), 1)[0]
        before, _, where = scope.partition(" WHERE ")
        own = JOIN.split(before)[0].partition(" ON ")[2] if word == "JOIN" else ""
        both = f"{own} AND {where}"
        return [] if " OR " in both or "CASE " in both else both.split(" AND ")

    def _compared(self, table: Table, alias: str, conditions: list[str]) -> list[Names]:
        """The parameters compared with the key, or with its first columns."""
        given = {column: parameter for owner, column, parameter, _, _ in _read_equal(conditions)
                 if parameter and owner in ("", alias)}
        names: list[str] = []
        for column in table.key:
            if column not in given:
                break
            names.append(given[column])
        return [tuple(names)] if names else []

    def _referred(self, table: Table, alias: str, conditions: list[str]) -> list[Names] | None:
        """No key is needed if an existing row refers to it: it was loaded with that one."""
        is_referred = any((owner, column) == (alias, table.key[0]) and (self.aliases.get(other), theirs) in
                          table.referred_by for owner, column, _, other, theirs in _read_equal(conditions))
        return [] if is_referred else None

    def _read_by_owner(self, end: int) -> list[Names] | None:
        """The recipient of all messages that a statement touches."""
        if not self.sql.startswith(READER, end) or not self._conditions("", end):
            return None
        inboxes: list[Names] = []
        for word, name, _, start in self.sources:
            if name == "agent_messages" and word != "INTO":
                own = [parameter for owner, column, parameter, _, _ in _read_equal(self._conditions(word, start))
                       if (owner, column) == ("", "to_agent") and parameter]
                if not own:
                    return None
                inboxes += [(name,) for name in own]
        return inboxes or None


def _read_equal(conditions: list[str]) -> list[tuple[str, ...]]:
    """Of those that say that a column is equal to something: what CONDITION tells, "" where there is nothing."""
    return [found.groups("") for found in map(CONDITION.fullmatch, conditions) if found]


def _level(sql: str) -> str:
    """The beginning of a text up to the end of its level of parentheses, without deeper levels."""
    found, depth = [], 0
    for piece in PARENTHESIS.split(sql):
        depth += (piece == "(") - (piece == ")")
        if depth < 0:
            break
        if not depth or piece == "(" and depth == 1:
            found.append(piece)
    return "".join(found)
