"""The switch from one store of a directory to another: which of them is valid, and what remains to do after a kill.

A store that is not in use has a tombstone: `BACKEND DIRECTORY` where the rows are, or that after `from `, where it is
a copy which is not in use yet. The note of what is in use is written between the two: after the old store got its
tombstone, before the new one loses its own. All three have the name of the move: another machine may have a directory
of the same name.
"""
from __future__ import annotations

from ..base.errors import StorageError
from ..storage.backends import IN_USE, NAMED
from ..storage.interface import COPY, READ_TOMBSTONE, Move, StorageMoved
from ..storage.selection import (
    FIXED,
    MOVING,
    database_url,
    fix_backend,
    name_store,
    read_note_stamp,
    read_word,
    write_word,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.backends import Backend
    from ..storage.interface import Storage


def read_tombstone(store: Storage) -> Move | None:
    """The tombstone of a store, read within the caller's transaction; None if it has none."""
    rows = store.execute(READ_TOMBSTONE)
    return Move(rows[0]["value"], rows[0]["move"]) if rows else None


def write_tombstone(store: Storage, backend: Backend, move: str) -> None:
    """Write the tombstone that makes late writers follow, within the caller's transaction."""
    _write_tombstone(store, name_store(backend.name, store.directory), move)


def write_copy_tombstone(store: Storage, backend: Backend, move: str) -> None:
    """Mark a copy of another store of the directory as not in use yet, within the caller's transaction."""
    _write_tombstone(store, COPY + name_store(backend.name, store.directory), move)


def _write_tombstone(store: Storage, target: str, move: str) -> None:
    remove_tombstone(store)
    store.execute("INSERT INTO store_moves (moved_to, move, noted_at) VALUES (:target, :move, :now)",
                  {"target": target, "move": move, "now": store.now()})


def remove_tombstone(store: Storage) -> None:
    """Make a store valid (again), within the caller's transaction."""
    store.execute("DELETE FROM store_moves")


def finish_switch(store: Storage) -> None:
    """Do the next step of a switch recorded in a tombstone, if it is still necessary; then open the store again.

    Raises StorageMoved where the rows are elsewhere than in this directory.
    """
    note, store.note_stamp = store.note_stamp, None

    def is_noted() -> bool:
        return read_note_stamp(store.directory) != note

    try:
        if not is_noted():
            with store.transaction():
                if not is_noted():
                    _take_step(store)
    except StorageError:
        if not is_noted():  # else another process has finished it, and the store was set aside
            raise


def _take_step(store: Storage) -> None:
    move = read_tombstone(store)
    if move is None:
        return
    if move.store != name_store(move.backend, store.directory):
        raise StorageMoved(move)
    if move.is_copy:
        if move.name != read_word(store.directory, IN_USE, 1):
            raise StorageMoved(move)
        remove_tombstone(store)
    elif move.backend != store.backend.name:
        _require_copy(store, move)
        if read_word(store.directory, FIXED) or database_url(store.environ):  # it would contradict
            fix_backend(store.directory, MOVING)
        write_word(store.directory, IN_USE, f"{move.backend} {move.name}")


def _require_copy(store: Storage, move: Move) -> None:
    """StorageMoved if the store to which the rows were moved is missing."""
    backend = NAMED.get(move.backend)
    if backend is None:
        raise StorageMoved(move)
    if backend.has_rows_of(store.backend):
        return
    target = store.open_other(backend, create=False)
    try:
        with target.snapshot():
            copy = read_tombstone(target)
    finally:
        target.close()
    if copy is None or not copy.is_copy or copy.name != move.name:
        raise StorageMoved(move)
