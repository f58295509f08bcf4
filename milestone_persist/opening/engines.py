"""Opening the storage of a data directory."""
from __future__ import annotations

from ..storage.directory import create_directory, move_files, require_usable
from ..storage.interface import Clock, Damaged, Storage, StorageMoved
from ..storage.selection import choose_engine, claim_engine, database_url, engine_in_use, mark_of, require_url
from .presence import find_lost, is_being_made, note_made, note_making

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def open_storage(directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True,
                 in_use: bool = False) -> Storage:
    """The storage of `directory`; where there is none and `create` is false, an empty one that leaves no trace.

    in_use: whether what is there is opened, whatever the settings say
    """
    require_usable(directory, environ)
    mark = mark_of(directory)
    engine = in_use and engine_in_use(directory) or choose_engine(directory, environ)
    require_url(directory, engine, environ)
    create = create or is_being_made(directory)  # whoever comes finishes it, or would take it for an empty one
    lost = find_lost(directory, engine)
    if mark != mark_of(directory):  # made or moved just now, by another process
        return open_storage(directory, clock, environ, create, in_use)
    if lost:
        store = Storage(directory, clock, environ)
        store.FILES = files_of(engine)
        raise Damaged(lost, store)
    is_new = create and not engine_in_use(directory)
    if is_new:
        create_directory(directory)
        note_making(directory)
        engine, is_new = claim_engine(directory, engine)
        mark = mark_of(directory)
    try:
        storage = open_engine(engine, directory, clock, environ, create)
    except StorageMoved:  # between the choice and the opening
        return open_storage(directory, clock, environ, create, in_use)
    storage.is_new = is_new
    storage.mark = mark  # as it was before the choice: whoever changed it since is noticed
    if create:
        note_made(directory)
    return storage


def open_engine(engine: str, directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True,
                file: str = "", aside: str = "", other: bool = False) -> Storage:
    """The storage of that kind, whatever is in use.

    file: another file than coordination.db
    aside: folder to which files of that kind that are there already are moved first
    other: whether it is beside the one in use
    """
    kind = _find_kind(engine)
    if aside:
        move_files(directory, kind.FILES, aside)
    given: tuple[Any, ...] = (directory, clock, environ, create)
    if engine == "postgresql":
        given += (database_url(environ),)
    else:
        given += (other,) if engine == "file" else (file,)
    storage: Storage = kind(*given)
    storage.engine = engine
    storage.open_other = lambda engine, file="", aside="", create=True: open_engine(
        engine, directory, clock, environ, create, file, aside, other=True)
    return storage


def files_of(engine: str) -> tuple[str, ...]:
    """The names below a data directory that hold the rows of that kind of storage, the one it is known by first."""
    files: tuple[str, ...] = _find_kind(engine).FILES
    return files


def _find_kind(engine: str) -> Any:
    """The class of a kind of storage, loaded only when it is wanted."""
    if engine == "file":
        from ..storage.jsonfiles.store import FileStorage

        return FileStorage
    if engine == "postgresql":
        from ..storage.postgresql.store import PostgresqlStorage

        return PostgresqlStorage
    from ..storage.sqlite.store import SqliteStorage

    return SqliteStorage
