"""Which rows a statement touches, where its text proves it: those with keys that it names, and no others.

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
PARAMETER = re.compile(r":(\w+)")
END = re.compile(r" (?:ORDER BY|LIMIT|RETURNING|GROUP BY|UNION|EXCEPT|INTERSECT|ON CONFLICT)\b")
VALUES = ") VALUES ("
INBOX = re.compile(r"to_agent = :(\w+)")
READER = " WHERE agent_registry.agent_id = to_agent"
READING = ("SELECT", "PRAGMA", "EXPLAIN")
MOST_KEPT = 500
_read: dict[str, Statement] = {}


def read_statement(sql: str) -> Statement:
    """What is known of a statement; what was read of one text stays."""
    found = _read.get(sql)
    if not found:
        if len(_read) > MOST_KEPT:
            _read.clear()
        found = _read[sql] = Statement(sql)
    return found


class Statement:
    """One statement: its verb, the tables that stand in it, and what of each it touches."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.verb = sql.split(None, 1)[0].upper()
        self.sources = [(found[1], found[2], found[3] or found[2], found.end()) for found in SOURCE.finditer(sql)]
        self.names = {name for _, table, alias, _ in self.sources for name in (table, alias)}
        self.aliases = {alias: table for _, table, alias, _ in self.sources
                        if {other for _, other, name, _ in self.sources if name == alias} == {table}}
        self._proofs: dict[str, list[Names] | None] = {}

    def prove(self, table: Table) -> list[Names] | None:
        """The keys by which it touches a table; None where all of its rows may be touched.

        A row that is joined by a reference in another row of ours needs no key: it is there with that one.
        """
        if table.name not in self._proofs:
            self._proofs[table.name] = self._prove(table)
        return self._proofs[table.name]

    def _prove(self, table: Table) -> list[Names] | None:
        proved: list[Names] = []
        own = [source for source in self.sources if source[1] == table.name]
        if len(own) != len(re.findall(rf"\b{table.name}\b(?!\.)", self.sql)):
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
        """What an INSERT gives each column, as its text stands; None where its rows come from elsewhere."""
        head, found, rest = self.sql.partition(" (")[2].partition(VALUES)
        columns, values = head.split(", "), _level(rest).split(", ")
        if not found or self.verb != "INSERT" or "(" in head or "), (" in rest or len(columns) != len(values):
            return None
        return dict(zip(columns, values))

    def changes(self, columns: Iterable[str]) -> bool:
        """Whether an UPDATE sets one of these columns."""
        head = _level(self.sql).partition(" WHERE ")[0]
        return self.verb == "UPDATE" and any(re.search(rf"\b{column} = ", head) for column in columns)

    def assigned(self, column: str) -> str:
        """The parameter, as `:name`, that an UPDATE gives a column, if only where it holds nothing; "" for others."""
        form = rf"(?:SET|,) {column} = (?:coalesce\({column}, )?(:\w+)\)?(?:, | WHERE )"
        found = re.search(form, self.sql) if self.verb == "UPDATE" else None
        return found[1] if found else ""

    def _given_values(self, table: Table) -> list[Names] | None:
        given = self.inserted() or {}
        names = [PARAMETER.fullmatch(given.get(column, "")) for column in table.key]
        return [tuple(name[1] for name in names if name)] if all(names) else None

    def _conditions(self, word: str, end: int) -> list[str]:
        """What must hold of the rows of a source, all of it: the conditions of its WHERE, and of its own JOIN."""
        scope = END.split(_level(self.sql[end:]), 1)[0]
        before, _, where = scope.partition(" WHERE ")
        own = re.split(r" (?:LEFT |INNER )?JOIN ", before)[0].partition(" ON ")[2] if word == "JOIN" else ""
        both = f"{own} AND {where}"
        return [] if " OR " in both or "CASE " in both else both.split(" AND ")

    def _compared(self, table: Table, alias: str, conditions: list[str]) -> list[Names]:
        """The parameters that are compared with the key, or with the first columns of it."""
        names: list[str] = []
        for column in table.key:
            form = re.compile(rf"(?:{alias}\.)?{column} = :(\w+)")
            found = [match[1] for match in map(form.fullmatch, conditions) if match]
            if not found:
                break
            names.append(found[0])
        return [tuple(names)] if names else []

    def _referred(self, table: Table, alias: str, conditions: list[str]) -> list[Names] | None:
        """No key is needed where a row that is there refers to it: it was read with that one."""
        form = re.compile(rf"{alias}\.{table.key[0]} = (\w+)\.(\w+)")
        found = [match for match in map(form.fullmatch, conditions) if match]
        return [] if any((self.aliases.get(match[1]), match[2]) in table.referred_by for match in found) else None

    def _read_by_owner(self, end: int) -> list[Names] | None:
        """The agent to whom all the messages are sent that a statement touches."""
        if not self.sql.startswith(READER, end) or not self._conditions("", end):
            return None
        inboxes: list[Names] = []
        for word, name, _, start in self.sources:
            if name == "agent_messages" and word != "INTO":
                own = [match[1] for match in map(INBOX.fullmatch, self._conditions(word, start)) if match]
                if not own:
                    return None
                inboxes += [(name,) for name in own]
        return inboxes or None


def _level(sql: str) -> str:
    """The beginning of a text as far as its level of parentheses goes; what is deeper is left out."""
    found, depth = [], 0
    for piece in re.split(r"([()])", sql):
        depth += (piece == "(") - (piece == ")")
        if depth < 0:
            break
        if not depth or piece == "(" and depth == 1:
            found.append(piece)
    return "".join(found)
