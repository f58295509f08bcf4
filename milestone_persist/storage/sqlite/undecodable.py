"""Values that are not valid UTF-8 text, such as BLOBs in text columns."""
from __future__ import annotations

from ...base.tables import TABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from typing import Any

BLOB = "a BLOB, not text: make it CAST({} AS TEXT)"
NO_NUMBER = "text, where a number belongs: UPDATE it to one, or remove the row"
NUMBERS = ("INTEGER", "NUMERIC", "REAL")
NOT_UTF8 = "not UTF-8: write it again as text that is, or remove the row"


def find_corrupt(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Every value that is not text, or is text in place of a number: where it is, what is wrong and what to do."""
    factory, connection.text_factory = connection.text_factory, _decode
    try:
        for table, key in TABLES.items():
            cursor = connection.cursor()
            cursor.row_factory = None
            cursor.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            numbers = _find_numbers(connection, table)
            for values in cursor:
                for name, value in zip(names, values):
                    fault = _find_fault(value) or (NO_NUMBER if type(value) is str and name in numbers else "")
                    if fault:
                        row = "/".join(_show(values[names.index(part)]) for part in key)
                        yield f"{table}, row {row}: {name}", fault.format(name)
    finally:
        connection.text_factory = factory


def _find_numbers(connection: sqlite3.Connection, table: str) -> set[str]:
    cursor = connection.cursor()
    cursor.row_factory = None
    return {row[1] for row in cursor.execute(f"PRAGMA table_info({table})") if row[2] in NUMBERS}


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _find_fault(value: Any) -> str:
    try:
        if isinstance(value, bytes):
            value.decode()
            return BLOB
        if isinstance(value, str) and not value.isascii():
            value.encode()
    except UnicodeError:
        return NOT_UTF8
    return ""


def _show(part: Any) -> str:
    """A part of a key as printable text."""
    data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "backslashreplace")
