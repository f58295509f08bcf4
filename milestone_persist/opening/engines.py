"""Opening the storage of a data directory; an empty store never takes the place of a full one.

A store is noted before it is made, so that of several processes one decides what it is; until it is made, a second
note says so. What is noted, made and not there has been removed.
"""
from __future__ import annotations

import os

from ..base.errors import StorageError
from ..base.location import NAME
from ..storage.backends import IN_USE, JSONFILES, POSTGRES, SQLITE
from ..storage.call import Call
from ..storage.directory import create_directory, move_files, require_usable
from ..storage.files import write_whole
from ..storage.interface import Damaged, StorageMoved
from ..storage.selection import (
    backend_in_use,
    claim_backend,
    database_url,
    read_note_stamp,
    read_word,
    require_url,
    select_backend,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..storage.backends import Backend
    from ..storage.call import Clock
    from ..storage.interface import Storage

BEING_MADE = os.path.join("config", "being-made")
SETTINGS = os.path.join("config", "settings.jsonl")  # of the file backend
ANYBODYS = 0o1002  # the mode of a folder in which everybody may write, and nobody remove what is others'


def open_storage(directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True,
                 in_use: bool = False, make: bool = False) -> Storage:
    """The storage of `directory`; if there is none, an empty one that leaves no trace.

    create: whether it is opened to write
    in_use: whether what is there is opened, whatever the settings say
    make: whether it is made if it is not there
    Damaged where the rows in use are gone or unreadable, StorageError where it cannot be used.
    """
    require_usable(directory, environ)
    stamp = read_note_stamp(directory)
    used = backend_in_use(directory)
    backend = in_use and used or select_backend(directory, environ, used)
    require_url(directory, backend, environ)
    create = create or is_being_made(directory)  # the next process finishes it, or would take it for an empty one
    lost = find_lost(directory, backend)
    if stamp != read_note_stamp(directory):  # made or moved just now, by another process
        return open_storage(directory, clock, environ, create, in_use, make)
    if lost:
        raise Damaged(lost, Call(directory, clock, environ), backend)
    is_new = make and not used
    create = create and bool(used or make)
    if is_new:
        _refuse_shared_folder(directory, environ)
        create_directory(directory)
        note_making(directory)
        backend, is_new = claim_backend(directory, backend)
        stamp = read_note_stamp(directory)
    try:
        storage = open_backend(backend, directory, clock, environ, create)
    except StorageMoved:  # between the choice and the opening
        return open_storage(directory, clock, environ, create, in_use, make)
    storage.is_new, storage.is_unmade = is_new, not (used or make)
    storage.note_stamp = stamp  # as it was before the choice: so a change since then is noticed
    if create:
        note_made(directory)
    return storage


def _refuse_shared_folder(directory: str, environ: Mapping[str, str]) -> None:
    """StorageError if a store would be created in /tmp or the like only because an agent has changed directory."""
    folder, name = os.path.split(directory)
    try:
        is_anybodys = os.stat(folder).st_mode & ANYBODYS == ANYBODYS
    except OSError:  # it is not there yet
        return
    if is_anybodys and name == NAME and not environ.get("MILESTONE_DIR"):
        raise StorageError(f"there is no store in {folder}, and none is made there, where everybody writes: cd to your "
                           "project first, or name a directory in MILESTONE_DIR")


def open_backend(backend: Backend, directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True,
                 file: str = "", aside: str = "", other: bool = False) -> Storage:
    """A storage of that kind, whatever is in use.

    file: another SQLite file than the one of the data directory
    aside: folder to which files of that kind that are there already are moved first
    other: whether it is beside the one in use
    """
    kind = _find_kind(backend)
    if aside:
        move_files(directory, kind.FILES, aside)
    what = {JSONFILES: other, SQLITE: file, POSTGRES: database_url(environ)}[backend.engine]
    storage: Storage = kind(directory, clock, environ, create, what)
    storage.backend = backend
    storage.open_other = lambda backend, file="", aside="", create=True: open_backend(
        backend, directory, clock, environ, create, file, aside, other=True)
    return storage


def files_of(backend: Backend) -> tuple[str, ...]:
    """The names below a data directory that hold the rows of that kind of storage, its head file first."""
    files: tuple[str, ...] = _find_kind(backend).FILES
    return files


def _find_kind(backend: Backend) -> Any:
    """The class of a kind of storage, loaded when it is needed."""
    if backend.engine == JSONFILES:
        from ..storage.jsonfiles.store import FileStorage

        return FileStorage
    if backend.engine == POSTGRES:
        from ..storage.postgresql.store import PostgresqlStorage

        return PostgresqlStorage
    from ..storage.sqlite.store import SqliteStorage

    return SqliteStorage


def note_making(directory: str) -> None:
    """Before a store is noted: it will be missing for a moment."""
    write_whole(os.path.join(directory, BEING_MADE), b"")


def note_made(directory: str) -> None:
    """The store exists: from now on it must not be missing."""
    try:
        os.unlink(os.path.join(directory, BEING_MADE))
    except OSError:  # there is no such note, or this call only reads
        pass


def is_being_made(directory: str) -> bool:
    """Whether a store is noted that a process is creating, or was creating when it was killed."""
    return os.path.exists(os.path.join(directory, BEING_MADE)) and os.path.exists(os.path.join(directory, IN_USE))


def find_lost(directory: str, backend: Backend) -> str:
    """The error text if the store that holds the rows of a directory was removed; "" if all is well."""
    head = os.path.join(directory, backend.head)
    if not backend.head:
        return ""
    if os.path.lexists(head) and not os.path.isfile(head):
        return f"{head} is not a regular file"
    if _is_there(head):
        return ""
    missing = read_word(directory, IN_USE) == backend.name and not os.path.exists(os.path.join(directory, BEING_MADE))
    if backend.engine == JSONFILES:
        from ..storage.jsonfiles.journal import is_pending

        # The journal after the rows: while a store is made, it is there before they are, and until the head is.
        missing = (missing or _has_rows(directory)) and not is_pending(directory)
    if not missing or _is_there(head):  # who makes it has finished between the looks
        return ""
    what = "its rows cannot be used without it" if backend.engine == JSONFILES else "the data with it"
    return f"{head} is missing, and {what}: restore it; to start again, give {directory} another name"


def _is_there(head: str) -> bool:
    try:
        return os.path.getsize(head) > 0
    except OSError:
        return False


def _has_rows(directory: str) -> bool:
    """Whether there are files of the file backend, looking only at those that no earlier tool used."""
    if os.path.exists(os.path.join(directory, SETTINGS)):
        return True
    folders = [os.path.join(directory, name) for name in ("coordination-sessions", "milestones")]
    return any(os.listdir(folder) for folder in folders if os.path.isdir(folder))
