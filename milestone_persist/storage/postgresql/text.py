"""Portable SQL as text for psql. Values become digits or base64, so that none can be read as SQL or as a command."""
from __future__ import annotations

import binascii
import re

from ...base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..interface import Params, Row

# Strings, names, comments and casts are left as they are; what is left of colons are parameters.
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|::\w+|:([A-Za-z_]\w*)""")
_REALS = ("cpu_usage", "memory_usage", "response_time")  # JSON tells 97 from 97.0, but not as which it is stored
# psql leaves out U+1FFFE, U+1FFFF, U+2FFFE … U+10FFFF where it prints a text: a row that has one comes as base64.
_LEFT_OUT = "".join(f"\\U{plane:04X}FFFE\\U{plane:04X}FFFF" for plane in range(1, 17))
# OFFSET 0 has the JSON of a row made once, and not for each place where it is named.
BASE64 = "{base64}"
_AS_LINE = (f"SELECT CASE WHEN t ~ '[{_LEFT_OUT}]' THEN '{BASE64}' || replace(encode(convert_to(t, 'UTF8'), 'base64'), "
            "chr(10), '') ELSE t END FROM (SELECT row_to_json(q)::text AS t FROM ")
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*""")
_WRITES, _RETURNING = re.compile(r"\b(INSERT|UPDATE|DELETE)\b"), re.compile(r"\bRETURNING\b")
READS, RETURNS, WRITES = "reads", "returns", "writes"  # what a statement does to rows
MOST_PARSED, LONGEST_PARSED = 1000, 4000
_PARSED: dict[str, tuple[str, list[str]]] = {}


def write_statement(sql: str, params: Params) -> str:
    """One statement that gives each row as a JSON object; cut off anywhere, it is no statement at all."""
    return write_rows(sql, fill(sql, params)) + ";"


def fill(sql: str, params: Params) -> str:
    """A statement with its values in their places."""
    parts = _parse(sql)[1]
    return "".join([write_value(params[part]) if place % 2 else part for place, part in enumerate(parts)])


def write_rows(sql: str, text: str, tag: str = "") -> str:
    """A filled statement that gives each row as a JSON object, with digits before it that tell whose it is."""
    kind = _parse(sql)[0]
    line = _AS_LINE.replace("SELECT", f"SELECT '{tag}' ||", 1) if tag else _AS_LINE
    if kind == READS:
        return f"{line}({text}\n) AS q OFFSET 0) AS r"
    return f"WITH q AS ({text}\n) " + (f"{line}q OFFSET 0) AS r" if kind == RETURNS else "SELECT")


def is_write(sql: str) -> bool:
    """Whether a statement changes rows."""
    return _parse(sql)[0] != READS


def _parse(sql: str) -> tuple[str, list[str]]:
    """What a statement does; its parts, every second of which is the name of a parameter."""
    found = _PARSED.get(sql)
    if found is None:
        words = _QUOTED.sub("", sql).upper()
        kind = READS if not _WRITES.search(words) else RETURNS if _RETURNING.search(words) else WRITES
        parts, position = [], 0
        for token in _TOKEN.finditer(sql):
            if token[1]:
                parts += [sql[position:token.start()], token[1]]
                position = token.end()
        found = kind, [*parts, sql[position:]]
        if len(sql) < LONGEST_PARSED:  # longer ones have values in them, and do not come again
            if len(_PARSED) >= MOST_PARSED:
                _PARSED.clear()
            _PARSED[sql] = found
    return found


def write_value(value: Any) -> str:
    """A value as SQL; TypeError if it is of no kind a column can hold."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return write_text(value)
    if isinstance(value, int):
        return f"({int(value)})"
    if not isinstance(value, float):
        raise TypeError(f"no column holds {type(value).__name__}")
    if value - value != 0:
        raise UsageError(f"{value} is not a number that a database can hold")
    return f"({value!r})"


def write_text(value: str) -> str:
    """Text as SQL, in base64."""
    return f"convert_from(decode('{binascii.b2a_base64(value.encode(), newline=False).decode()}','base64'),'UTF8')"


def write_script(script: str) -> str:
    """Any SQL, of one statement or several, as one that gives no rows; psql does not look into it."""
    return f"DO $do$ BEGIN EXECUTE {write_text(script)}; END $do$;"


def read_row(line: bytes) -> Row:
    """A row from its line, with the types SQLite gives: truth values are 1 and 0, whole reals are floats."""
    import json

    if line.startswith(BASE64.encode()):
        line = binascii.a2b_base64(line[len(BASE64):])
    row: Row = json.loads(line)
    for name, value in row.items():
        if isinstance(value, bool):
            row[name] = int(value)
        elif name in _REALS and value is not None:
            row[name] = float(value)
    return row
