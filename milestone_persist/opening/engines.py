"""Opening the storage of a data directory."""
from __future__ import annotations

from ..storage.backends import JSONFILES, POSTGRES, SQLITE
from ..storage.call import Call
from ..storage.directory import create_directory, move_files, require_usable
from ..storage.interface import Damaged, StorageMoved
from ..storage.selection import (
    backend_in_use,
    claim_backend,
    database_url,
    read_note_stamp,
    require_url,
    select_backend,
)
from .presence import find_lost, is_being_made, note_made, note_making

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..storage.backends import Backend
    from ..storage.call import Clock
    from ..storage.interface import Storage


def open_storage(directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True,
                 in_use: bool = False) -> Storage:
    """The storage of `directory`; where there is none and `create` is false, an empty one that leaves no trace.

    in_use: whether what is there is opened, whatever the settings say
    """
    require_usable(directory, environ)
    stamp = read_note_stamp(directory)
    backend = in_use and backend_in_use(directory) or select_backend(directory, environ)
    require_url(directory, backend, environ)
    create = create or is_being_made(directory)  # the next process finishes it, or would take it for an empty one
    lost = find_lost(directory, backend)
    if stamp != read_note_stamp(directory):  # made or moved just now, by another process
        return open_storage(directory, clock, environ, create, in_use)
    if lost:
        raise Damaged(lost, Call(directory, clock, environ), backend)
    is_new = create and not backend_in_use(directory)
    if is_new:
        create_directory(directory)
        note_making(directory)
        backend, is_new = claim_backend(directory, backend)
        stamp = read_note_stamp(directory)
    try:
        storage = open_backend(backend, directory, clock, environ, create)
    except StorageMoved:  # between the choice and the opening
        return open_storage(directory, clock, environ, create, in_use)
    storage.is_new = is_new
    storage.note_stamp = stamp  # as it was before the choice: so a change since then is noticed
    if create:
        note_made(directory)
    return storage


def open_backend(backend: Backend, directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True,
                 file: str = "", aside: str = "", other: bool = False) -> Storage:
    """The storage of that kind, whatever is in use.

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
    """The names below a data directory that hold the rows of that kind of storage, the one it is known by first."""
    files: tuple[str, ...] = _find_kind(backend).FILES
    return files


def _find_kind(backend: Backend) -> Any:
    """The class of a kind of storage, loaded only when it is wanted."""
    if backend.engine == JSONFILES:
        from ..storage.jsonfiles.store import FileStorage

        return FileStorage
    if backend.engine == POSTGRES:
        from ..storage.postgresql.store import PostgresqlStorage

        return PostgresqlStorage
    from ..storage.sqlite.store import SqliteStorage

    return SqliteStorage
