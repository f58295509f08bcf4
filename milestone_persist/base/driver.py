"""SQLite's driver: the part of the standard module that a call needs, which costs a fifth of a call less; its messages.

That part is private to CPython: a process that has the module already, and a Python without that part, get the module.
"""
from __future__ import annotations

import sys

from . import is_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3 as sqlite3
    from typing import Any

__all__ = ["sqlite3"]

# How messages begin. Behind that may stand the name of anything: a view may be called `busy`.
LOCKED = "database is locked"  # by others; of one's own locks it says something else
LOCKED_ANYHOW = (LOCKED, "database table is locked", "database schema is locked")
CLOSED = "Cannot operate on a closed"
NOT_WRITABLE = ("unable to open database", "attempt to write a readonly")
NO_DATABASE = ("file is not a database", "file is encrypted")
UNREADABLE = (*NO_DATABASE, "database disk image is malformed", "malformed database schema", "malformed: ")
FULL = "database or disk is full"
NO_ROOM = (FULL, "disk I/O error")
FOREIGN_KEY = "FOREIGN KEY constraint failed"
UNDECODABLE = "Could not decode"  # text that is not UTF-8


def _import_driver() -> Any:
    if "sqlite3" not in sys.modules:
        try:
            return _import_alone() if is_program else __import__("_sqlite3")
        except (ImportError, AttributeError):
            pass
    return __import__("sqlite3")


def _import_alone() -> Any:
    """The driver without `functools`, from which it needs a statement cache: the C cache behind it is enough.

    Only where no other thread could meet what stands in its place meanwhile.
    """
    if sys.modules.keys() & {"functools", "threading"}:
        return __import__("_sqlite3")
    make_cache = __import__("_functools")._lru_cache_wrapper
    standin: Any = type(sys)("functools")
    standin.lru_cache = lambda size: lambda function: make_cache(function, size, False, tuple)
    sys.modules["functools"] = standin
    try:
        return __import__("_sqlite3")
    finally:
        del sys.modules["functools"]


if not TYPE_CHECKING:
    sqlite3 = _import_driver()
