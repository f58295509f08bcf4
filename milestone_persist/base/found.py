"""Reads files that others may have put there: follows no link, waits for no pipe, closes no open database."""
from __future__ import annotations

import os
import stat

from .errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

KEPT = ".kept-"  # prefix, at the top of the data directory, of the second name of a record that is being replaced
_DATABASES: list[str] = []  # those open in this process, once for each connection


def read_found(path: str, limit: int = -1, alone: bool = False) -> bytes | None:
    """The bytes of a file, or its first `limit` bytes; None if there is no file.

    StorageError for what must not be opened, as open_found says, and for what cannot be read.
    """
    try:
        with open_found(path, alone) as file:
            return file.read(limit)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise cannot_read(path, error) from None


def cannot_read(path: str, error: OSError) -> StorageError:
    """The error to raise if the system does not let a file be read."""
    return StorageError(f"cannot read {path} ({error.strerror}): make it readable")


def open_found(path: str, alone: bool = False) -> BinaryIO:
    """Open for reading a file that others may have put there: no link, no pipe, no file of a database.

    alone: whether it may have no other name (a hard link)
    StorageError for what must not be opened; OSError as of open.
    """
    while True:
        status = os.lstat(path)
        require_own(path, status, alone)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        opened = os.fstat(descriptor)
        if os.path.samestat(status, opened):
            return os.fdopen(descriptor, "rb")
        if not is_database(opened):  # otherwise leave it open: closing it would drop SQLite's locks
            os.close(descriptor)


def require_own(path: str, status: os.stat_result, alone: bool) -> None:
    """StorageError unless it is a regular file that is not part of a database; IsADirectoryError for a folder."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(21, os.strerror(21), path)
    if stat.S_ISLNK(status.st_mode):
        raise StorageError(f"cannot use {path}: it is a symbolic link, which may lead anywhere; remove it, or put the "
                           "file itself in its place")
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"cannot use {path}: it is not a regular file; remove it")
    if is_database(status):
        raise StorageError(f"cannot use {path}: it is a database in use, or another name of one; put another file "
                           "in its place")
    if alone and status.st_nlink > 1 and _has_other_name(path, status):
        raise StorageError(f"cannot use {path}: the file has another name (a hard link); put a copy in its place")


def _has_other_name(path: str, status: os.stat_result) -> bool:
    """Whether a file has names besides its own, the one under which it was written, and the one to restore."""
    own, (folder, name) = 1, os.path.split(path)
    for place in (folder, os.path.dirname(folder)):
        with os.scandir(place) as entries:
            for entry in entries:
                is_part = entry.name.startswith(name + ".") and entry.name.endswith(".part")
                if is_part or entry.name.startswith(KEPT):
                    own += entry.inode() == status.st_ino
    return os.lstat(path).st_nlink > own


def note_database(path: str) -> str:
    """Register an open database: opening and closing its files again in this process would drop its locks."""
    _DATABASES.append(path)
    return _DATABASES[-1]


def forget_database(path: str) -> None:
    """Unregister a closed database; `path` is what note_database returned."""
    _DATABASES.remove(path)


def is_database(status: os.stat_result) -> bool:
    """Whether a file belongs to a database that this process has open."""
    for path in [*_DATABASES]:
        for ending in ("", "-wal", "-shm", "-journal"):
            try:
                if os.path.samestat(status, os.lstat(path + ending)):
                    return True
            except OSError:
                continue
    return False
