"""A copy of a database file, kept before its schema is changed."""
from __future__ import annotations

import os
import sqlite3
import time

from ..errors import StorageError
from .directory import make_file, make_folder, sync_directory


def back_up(path: str, label: str) -> None:
    """Copy the database to backups/LABEL-TIME.db, whole or not at all, while the caller keeps every writer out."""
    folder = os.path.join(os.path.dirname(path), "backups")
    # The file's own time: a run that was killed and its successor make the same copy.
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(os.stat(path).st_mtime))
    kept = os.path.join(folder, f"{label}-{stamp}.db")
    part = kept + ".part"
    try:
        make_folder(folder)
        for rest in (part, part + "-wal", part + "-shm", part + "-journal"):  # of a run that was killed
            if os.path.lexists(rest):
                os.unlink(rest)
        os.close(make_file(part))
        _copy(path, part)
        os.replace(part, kept)
        sync_directory(folder)
    except OSError as error:
        raise StorageError(f"cannot write the backup {kept} ({error.strerror}); {path} was left as it is: "
                           "make the folder writable") from None


def _copy(path: str, target: str) -> None:
    source, copy = sqlite3.connect(path, isolation_level=None), sqlite3.connect(target, isolation_level=None)
    try:
        wrong = source.execute("PRAGMA quick_check").fetchone()[0]
        if wrong != "ok":
            raise StorageError(f"{path} is damaged ({wrong.splitlines()[0]}); it was left as it is: "
                               "put a backup in its place")
        source.backup(copy)
        copy.close()
    except BaseException:
        copy.close()
        os.unlink(target)
        raise
    finally:
        source.close()
