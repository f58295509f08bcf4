"""SQLite's driver: the part of the standard module that one call needs, which costs a twentieth of a call less.

A process that has the module already, and any Python without that part, gets the module itself.
"""
from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3 as sqlite3
elif "sqlite3" in sys.modules:
    sqlite3 = sys.modules["sqlite3"]
else:
    try:
        import _sqlite3 as sqlite3
    except ImportError:
        import sqlite3

__all__ = ["sqlite3"]
