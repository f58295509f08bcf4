"""Copies of database files: one kept before a schema change, one of a backup to be restored."""
from __future__ import annotations

import os
import sqlite3
import time

from ...base.driver import FULL, NO_DATABASE
from ...base.errors import StorageError, UsageError, newer
from ...base.found import open_found
from ...base.quoting import command
from ...base.tables import APPLICATION_ID, SCHEMA_VERSION
from ..parts import RESTS, NewFile

OF_OTHERS = "not of this program"


def back_up(path: str, label: str) -> str:
    """Copy the database to backups/LABEL-TIME.db, completely or not at all, while the caller excludes all writers."""
    folder = os.path.join(os.path.dirname(path), "backups")
    # The file's own time: a run that was killed and its successor make the same copy.
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(os.stat(path).st_mtime))
    kept = os.path.join(folder, f"{label}-{stamp}.db")
    with NewFile(kept, replace=True, inside=True, advice=f"{path} was left as it is; make the folder writable") as new:
        _copy(path, new.part)
        new.finish()
    return kept


def _copy(path: str, target: str) -> None:
    source, copy = sqlite3.connect(path, isolation_level=None), sqlite3.connect(target, isolation_level=None)
    try:
        wrong = source.execute("PRAGMA quick_check").fetchone()[0]
        if wrong != "ok":
            raise sqlite3.DatabaseError(f"malformed: {wrong.splitlines()[0]}")
        source.backup(copy)
    finally:
        source.close()
        copy.close()


def copy_backup(path: str, target: str) -> None:
    """Copy a backup, which is only read, to an existing private file; UsageError if it is not a backup."""
    try:
        source, copy = _open_backup(path), sqlite3.connect(target)
        try:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            source.close()
            copy.close()
    except sqlite3.Error as error:
        raise _explain(path, error) from None


def require_backup(path: str) -> None:
    """UsageError for a file that is not a backup, or is damaged, before anything is created for it."""
    try:
        source = _open_backup(path)
        try:
            wrong = source.execute("PRAGMA quick_check").fetchone()[0]
        finally:
            source.close()
    except sqlite3.Error as error:
        raise _explain(path, error) from None
    if wrong != "ok":
        raise _explain(path, sqlite3.DatabaseError(wrong.splitlines()[0]))


def _open_backup(path: str) -> sqlite3.Connection:
    """A read-only connection to a backup; sqlite3.Error if the backup is not this program's."""
    address = "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23") + "?mode=ro"
    beside = [path + rest for rest in RESTS if os.path.lexists(path + rest)]
    for rest in beside:
        if not os.path.isfile(rest):  # SQLite would wait for a pipe
            raise UsageError(f"cannot use {rest}: it is not a regular file; copy {path} elsewhere, and name that")
    if not beside:
        address += "&immutable=1"  # else SQLite makes files beside one with a WAL
    source = sqlite3.connect(address, uri=True)
    try:
        [(name,)], [(version,)] = (source.execute("PRAGMA " + pragma) for pragma in ("application_id", "user_version"))
        if name != APPLICATION_ID:
            raise sqlite3.DatabaseError(OF_OTHERS)
        if version > SCHEMA_VERSION:
            raise newer(path, version, SCHEMA_VERSION)
    except BaseException:
        source.close()
        raise
    return source


def _is_export(path: str) -> bool:
    try:
        with open_found(path) as file:
            return file.read(10).startswith(b'{"format"')
    except (OSError, StorageError):
        return False


def _explain(path: str, error: sqlite3.Error) -> Exception:
    text = str(error)
    if _is_export(path):
        return UsageError(f"{path!r} is an export, no backup: {command(['import_coordination', path, '--replace'])} "
                          "replaces everything by it")
    if text.startswith((OF_OTHERS, *NO_DATABASE)):
        return UsageError(f"{path!r} is not a backup ({text}): give a file that backup_coordination wrote")
    if text.startswith(FULL):
        return StorageError(f"cannot copy the backup {path!r} ({text}): free some space, then try again")
    return UsageError(f"cannot read the backup {path!r} ({text}): it is damaged or not whole; name another one")
