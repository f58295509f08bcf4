"""Upgrades a SQLite database to the present schema, in one transaction after a backup."""
from __future__ import annotations

import os
import sqlite3

from ...base.errors import StorageError, newer
from ...base.packaged import read_packaged
from ...base.tables import APPLICATION_ID, SCHEMA_FILE
from ..filesystem import is_network
from ..parts import ENDING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

EARLIER = ("agent_registry", "agent_messages", "agent_state", "coordination_sessions")  # by which its tool is known


def bring_up_to_date(connection: sqlite3.Connection, path: str, newest: int) -> None:
    """Create the schema or upgrade it to the present version; StorageError, and nothing changed, if it is newer."""
    if _pragma(connection, "user_version") == _pragma(connection, "application_id") == 0 and not _tables(connection):
        _prefer_wal(connection, path)
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA foreign_keys = OFF")  # while tables are replaced; not to be changed in a transaction
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _pragma(connection, "user_version")  # again: another process may have been first
        _refuse_foreign(connection, path, version, newest)
        if version < newest and _tables(connection) and os.path.exists(path) and not path.endswith(ENDING):
            from .safe_copy import back_up

            back_up(path, f"before-version-{newest}")
        if version == 0:
            _make_schema(connection)
        elif version < newest:
            from ..steps import take_steps
            from .reshaping import reshape

            reshape(connection, read_script())
            take_steps(version, connection.execute)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")


def _refuse_foreign(connection: sqlite3.Connection, path: str, version: int, newest: int) -> None:
    application, tables = _pragma(connection, "application_id"), _tables(connection)
    if application != APPLICATION_ID and (application or version or tables and {*EARLIER} - tables):
        raise StorageError(f"{path} belongs to another program; it was left as it is: "
                           "move it away")
    if version > newest:
        raise newer(path, version, newest)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute("PRAGMA " + name).fetchone()[name]
    return value


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' "
                              "ESCAPE '!'")
    return {row["name"] for row in rows}


def _prefer_wal(connection: sqlite3.Connection, path: str) -> None:
    """WAL for a new database, where it is safe: a local file system and a SQLite without the WAL-reset bug."""
    if os.path.exists(path) and has_safe_wal(sqlite3.sqlite_version_info) and not is_network(path):
        connection.execute("PRAGMA journal_mode = WAL")


def has_safe_wal(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the fix for the WAL-reset bug (3.51.3; in older release lines 3.50.7 and 3.44.6)."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def statements(script: str) -> Iterator[str]:
    """The statements of an SQL script, one by one, so that they can run inside a transaction."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def read_script() -> list[str]:
    """The statements of the canonical schema."""
    return [*statements(read_packaged("sql", SCHEMA_FILE))]


def _make_schema(connection: sqlite3.Connection) -> None:
    """Create the canonical schema; convert a database of an earlier tool."""
    if _tables(connection):
        from ..takeover.adoption import adopt

        adopt(connection, read_script())
        return
    for statement in read_script():
        connection.execute(statement)
