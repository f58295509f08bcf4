"""Text that is none: what somebody has put into a text column as a BLOB, and bytes that are not UTF-8."""
from __future__ import annotations

from ...base.tables import TABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from typing import Any

BLOB = "a BLOB, not text: make it CAST({} AS TEXT)"
NOT_UTF8 = "not UTF-8: write it anew as text that is, or remove the row"


def find_spoilt(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Every value that is no text: (where it is, what is wrong and what to do), in the order of the tables."""
    factory, connection.text_factory = connection.text_factory, _decode
    try:
        for table, key in TABLES.items():
            cursor = connection.cursor()
            cursor.row_factory = None
            cursor.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            for values in cursor:
                for name, value in zip(names, values):
                    fault = _find_fault(value)
                    if fault:
                        row = "/".join(_show(values[names.index(part)]) for part in key)
                        yield f"{table}, row {row}: {name}", fault.format(name)
    finally:
        connection.text_factory = factory


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
    """A part of a key as a line of text can hold it."""
    data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "backslashreplace")
