"""Inspects a store without opening it, because opening would upgrade it."""
from __future__ import annotations

import os

from ..base.driver import sqlite3
from ..base.errors import StorageError
from ..base.found import read_found
from ..base.tables import SCHEMA_VERSION
from ..storage.backends import JSONFILES, SQLITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.backends import Backend

READ_SECONDS = 1.0


def require_present_version(directory: str, backend: Backend) -> None:
    """StorageError for a store of a version other than this program's; a store on a server is not checked."""
    path = os.path.join(directory, backend.head)
    readers = {SQLITE: _read_sqlite, JSONFILES: _read_files}
    version = readers[backend.engine](path) if backend.engine in readers else SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        raise StorageError(f"{path} has schema version {version}, this program {SCHEMA_VERSION}: any other call brings "
                           "an earlier one up to date")


def _read_sqlite(path: str) -> int:
    name = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        connection = sqlite3.connect(f"file:{name}?mode=ro", uri=True, timeout=READ_SECONDS)
        try:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be read ({error})") from None


def _read_files(path: str) -> int:
    import json

    try:
        return int(json.loads(read_found(path) or b"")["schema_version"])
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        raise StorageError(f"{path} cannot be read ({error!r:.100})") from None
