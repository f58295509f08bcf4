"""Portable SQL as text for psql. Values become digits, letters or base64: none can be read as SQL or a command."""
from __future__ import annotations

import binascii
import re

from ...base.errors import UsageError
from ...base.json_text import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..interface import Params, Row

# Strings, names, comments and casts are left as they are; what is left of colons are parameters.
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|::\w+|:([A-Za-z_]\w*)""")
_REALS = ("cpu_usage", "memory_usage", "response_time")  # JSON tells 97 from 97.0, but not as which it is stored
_OTHER_TYPES = re.compile(f':(true|false)|"({"|".join(_REALS)})":'.encode()).search  # no row without has such values
# psql leaves out U+1FFFE, U+1FFFF, U+2FFFE … U+10FFFF where it prints a text: a row that has one comes as base64.
_LEFT_OUT = "".join(f"\\U{plane:04X}FFFE\\U{plane:04X}FFFF" for plane in range(1, 17))
# OFFSET 0 has the JSON of a row made once, and not for each place where it is named.
BASE64 = b"{base64}"
_AS_LINE = (f"CASE WHEN octet_length(t) > char_length(t) AND t ~ '[{_LEFT_OUT}]' THEN '{BASE64.decode()}' || "
            "replace(encode(convert_to(t, 'UTF8'), 'base64'), chr(10), '') ELSE t END "
            "FROM (SELECT row_to_json(q)::text AS t FROM ")
_HARMLESS = re.compile(r"[ -&(-\[\]-~]*").fullmatch  # no quote, backslash, control character or foreign letter
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*""")
_WRITES, _RETURNING = re.compile(r"\b(INSERT|UPDATE|DELETE)\b"), re.compile(r"\bRETURNING\b")
READS, RETURNS, WRITES = "reads", "returns", "writes"  # what a statement does to rows
TEXT, INTEGER, NOTHING, OTHER = "tin-"  # what a value is to the server
_MOST = 2**31 - 1  # as an integer
MOST_PARSED, LONGEST_PARSED = 1000, 4000
_PARSED: dict[str, tuple[str, list[str], list[str]]] = {}


class Filled:
    """A statement with its values, as they are written in SQL.

    kind: what it does to rows
    form: the statement, and the kind of each value, a letter each
    texts: the values that are not NULL
    """

    __slots__ = ("kind", "form", "texts")

    def __init__(self, sql: str, params: Params = {}) -> None:
        """UsageError or TypeError for what is no value."""
        self.kind, _, names = _PARSED.get(sql) or _parse(sql)
        kinds, texts = "", []
        for name in names:
            value = params[name]
            if isinstance(value, str):
                kinds += TEXT
                texts.append(f"'{value}'" if _HARMLESS(value) else _write_base64(value))
            elif value is None:
                kinds += NOTHING
            else:
                kind, text = _write_number(value)
                kinds += kind
                texts.append(text)
        self.form, self.texts = (sql, kinds), texts

    def write(self) -> str:
        """The statement as one would write it."""
        return self.fill(iter(map(_with_type, self.texts)))

    def fill(self, texts: Iterator[str]) -> str:
        """The statement with these texts in place of its values; NULLs use none of them."""
        sql, kinds = self.form
        _, parts, names = _parse(sql)
        values = {name: "NULL" if kind == NOTHING else next(texts) for name, kind in zip(names, kinds)}
        return "".join([values[part] if place % 2 else part for place, part in enumerate(parts)])

    def write_rows(self, tag: str = "") -> str:
        """The same, returning each row as a JSON object after `tag`; truncated anywhere, it is not a statement."""
        return self.give_rows(self.write(), tag)

    def give_rows(self, text: str, tag: str = "") -> str:
        """The same for a text of it."""
        before = f"'{tag}' || " if tag else ""
        if self.kind == READS:
            return f"SELECT {before}{_AS_LINE}({text}\n) AS q OFFSET 0) AS r"
        return f"WITH q AS ({text}\n) SELECT" + (f" {before}{_AS_LINE}q OFFSET 0) AS r" if self.kind == RETURNS else "")


def name_parameters(sql: str) -> list[str]:
    """The names of the parameters of a statement, each once."""
    return _parse(sql)[2]


def _parse(sql: str) -> tuple[str, list[str], list[str]]:
    """What a statement does; its parts, every second of which is the name of a parameter; these names, each once."""
    found = _PARSED.get(sql)
    if found is None:
        words = _QUOTED.sub("", sql).upper()
        kind = READS if not _WRITES.search(words) else RETURNS if _RETURNING.search(words) else WRITES
        parts, position = [], 0
        for token in _TOKEN.finditer(sql):
            if token[1]:
                parts += [sql[position:token.start()], token[1]]
                position = token.end()
        found = kind, [*parts, sql[position:]], list(dict.fromkeys(parts[1::2]))
        if len(sql) < LONGEST_PARSED:  # longer ones have values in them, and do not come again
            if len(_PARSED) >= MOST_PARSED:
                _PARSED.clear()
            _PARSED[sql] = found
    return found


def _write_number(value: Any) -> tuple[str, str]:
    """The kind of a number, and its SQL; TypeError if no column can store it."""
    if isinstance(value, int):
        return INTEGER if -_MOST <= value <= _MOST else OTHER, f"({int(value)})"
    if not isinstance(value, float):
        raise TypeError(f"no column holds {type(value).__name__}")
    if value - value != 0:
        raise UsageError(f"{value} is not a number that a database can hold")
    return OTHER, f"({value!r})"


def write_text(value: str) -> str:
    """Text as SQL: unchanged if nothing in it is special between quotes, else in base64."""
    return _with_type(f"'{value}'") if _HARMLESS(value) else _write_base64(value)


def _with_type(value: str) -> str:
    """A value as SQL where its type is not clear from the context: a quoted one alone could be anything."""
    return value + "::text" if value[0] == "'" else value


def _write_base64(value: str) -> str:
    return f"convert_from(decode('{binascii.b2a_base64(value.encode(), newline=False).decode()}','base64'),'UTF8')"


def write_script(script: str) -> str:
    """Any SQL, of one or several statements, as one that returns no rows; psql does not parse it."""
    return f"DO $do$ BEGIN EXECUTE {write_text(script)}; END $do$;"


def read_row(line: bytes) -> Row:
    """A row from its line, with the types SQLite gives: truth values are 1 and 0, whole reals are floats."""
    if line.startswith(BASE64):
        line = binascii.a2b_base64(line[len(BASE64):])
    row: Row = loads(line.decode())
    for name, value in row.items() if _OTHER_TYPES(line) else ():
        if isinstance(value, bool):
            row[name] = int(value)
        elif name in _REALS and value is not None:
            row[name] = float(value)
    return row
