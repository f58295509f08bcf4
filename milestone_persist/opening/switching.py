"""The switch from one store of a directory to another: which of them counts, and what is left to do after a kill.

A store that does not count has a mark: `BACKEND DIRECTORY` where the rows are, or that after `from `, where it is a
copy which is not in use yet. The note of what is in use is written between the two: after the old store got its mark,
before the new one loses its own. All three have the name of the move: another machine may have a directory of the same
name.
"""
from __future__ import annotations

from ..base.errors import StorageError
from ..storage.backends import NAMED
from ..storage.directory import IN_USE
from ..storage.interface import COPY, READ_MARK, Move, StorageMoved
from ..storage.selection import FIXED, MOVING, database_url, fix_backend, mark_of, name_place, read_word, write_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.backends import Backend
    from ..storage.interface import Storage


def read_mark(store: Storage) -> Move | None:
    """What the mark of a store tells, within the caller's transaction; None if it has none."""
    rows = store.execute(READ_MARK)
    return Move(rows[0]["value"], rows[0]["move"]) if rows else None


def mark_retired(store: Storage, backend: Backend, move: str) -> None:
    """Leave the mark that makes late writers follow, within the caller's transaction."""
    _write_mark(store, name_place(backend.name, store.directory), move)


def mark_copy(store: Storage, backend: Backend, move: str) -> None:
    """Mark a copy of another store of the directory as not in use yet, within the caller's transaction."""
    _write_mark(store, COPY + name_place(backend.name, store.directory), move)


def _write_mark(store: Storage, place: str, move: str) -> None:
    remove_mark(store)
    store.execute("INSERT INTO store_moves (moved_to, move, noted_at) VALUES (:place, :move, :now)",
                  {"place": place, "move": move, "now": store.now()})


def remove_mark(store: Storage) -> None:
    """Let a store count (again), within the caller's transaction."""
    store.execute("DELETE FROM store_moves")


def finish_switch(store: Storage) -> None:
    """Do the next step of a switch that a store's mark tells of, if nobody has; the store is to be opened anew then.

    Raises StorageMoved where the rows are elsewhere than in this directory.
    """
    note, store.mark = store.mark, None

    def is_noted() -> bool:
        return mark_of(store.directory) != note

    try:
        if not is_noted():
            with store.transaction():
                if not is_noted():
                    _take_step(store)
    except StorageError:
        if not is_noted():  # else somebody has finished it, and the store was set aside
            raise


def _take_step(store: Storage) -> None:
    move = read_mark(store)
    if move is None:
        return
    if move.place != name_place(move.backend, store.directory):
        raise StorageMoved(move)
    if move.is_copy:
        if move.name != read_word(store.directory, IN_USE, 1):
            raise StorageMoved(move)
        remove_mark(store)
    elif move.backend != store.backend.name:
        _require_copy(store, move)
        if read_word(store.directory, FIXED) or database_url(store.environ):  # it would contradict
            fix_backend(store.directory, MOVING)
        write_word(store.directory, IN_USE, f"{move.backend} {move.name}")


def _require_copy(store: Storage, move: Move) -> None:
    """StorageMoved if what the rows were moved to is not there."""
    backend = NAMED.get(move.backend)
    if backend is None:
        raise StorageMoved(move)
    if backend.has_rows_of(store.backend):
        return
    target = store.open_other(backend, create=False)
    try:
        with target.snapshot():
            copy = read_mark(target)
    finally:
        target.close()
    if copy is None or not copy.is_copy or copy.name != move.name:
        raise StorageMoved(move)
