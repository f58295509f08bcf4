"""Rows that violate a CHECK; SQLite itself names only the table."""
from __future__ import annotations

import re

from ...base.tables import TABLES
from ...base.values import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..interface import Row

FAILED = "CHECK constraint failed in "  # so begins what PRAGMA integrity_check says of a table
MOST_ROWS = 20  # named of those that break one rule
LONGEST_RULE = 100  # characters of a rule that are shown: a vocabulary is long
_TOKEN = re.compile(r"'(?:[^']|'')*'|--[^\n]*|[()]|\bCHECK\b", re.IGNORECASE)


def name_rows(wrong: list[str], run: Callable[[str], list[Row]]) -> list[str]:
    """integrity_check's output, with each line about a table replaced by lines about its rows: key, values, rule.

    run: runs a query
    """
    found = []
    for line in dict.fromkeys(wrong):  # one for each row
        table = line[len(FAILED):] if line.startswith(FAILED) else ""
        found += [*_find_rows(table, run)] or [line] if table in TABLES else [line]
    return found


def _find_rows(table: str, run: Callable[[str], list[Row]]) -> Iterator[str]:
    [created] = run(f"SELECT sql FROM sqlite_master WHERE type = 'table' AND name = '{table}'")
    columns = [row["name"] for row in run(f"PRAGMA table_info({table})")]
    for rule in read_rules(created["sql"]):
        rows = run(f"SELECT * FROM {table} WHERE ({rule}) IS FALSE LIMIT {MOST_ROWS + 1}")
        named = [name for name in columns if re.search(rf"\b{name}\b", rule)]
        for row in rows[:MOST_ROWS]:
            key = "/".join(show(str(row[part])) for part in TABLES[table])
            values = ", ".join(f"{name} is {_shorten(repr(row[name]), 40)}" for name in named)
            yield f"{table}, row {key}: {values}, which breaks CHECK ({_shorten(rule, LONGEST_RULE)})"
        if rows[MOST_ROWS:]:
            yield f"{table}: more rows than {MOST_ROWS} break CHECK ({_shorten(rule, LONGEST_RULE)})"


def read_rules(created: str) -> list[str]:
    """The conditions of the CHECKs in the SQL of a table, one line each."""
    rules: list[str] = []
    depth, begun = 0, -1
    awaited = False
    for token in _TOKEN.finditer(created):
        word = token[0].upper()
        if word == "CHECK" and begun < 0:
            awaited = True
        elif word == "(":
            depth += 1
            if awaited:
                awaited, begun, outer = False, token.end(), depth
        elif word == ")":
            if begun >= 0 and depth == outer:
                rules.append(" ".join(re.sub(r"--[^\n]*", "", created[begun:token.start()]).split()))
                begun = -1
            depth -= 1
    return rules


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most - 1] + "…"
