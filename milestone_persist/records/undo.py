"""Writes and moves files within a transaction: if it fails, these changes are undone."""
from __future__ import annotations

import os

from ..base.found import KEPT, read_found
from ..storage.files import cannot_write, move_whole, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..storage.call import Call
    from ..storage.interface import Storage


def stamp(call: Call) -> str:
    """The current time as part of a file name, made unique by a random end."""
    return f"{call.now()[:19].replace('-', '').replace(':', '').replace(' ', '-')}-{os.urandom(4).hex()}"


def write_file(store: Storage, path: str, data: bytes) -> None:
    """Replace a file, given by its path in the data directory."""
    store.require_made()
    full = os.path.join(store.directory, path)
    before = read_found(full, alone=True)
    if before is None:
        return write_new(store, path, data)
    if full not in store.kept:
        store.undo.append(_keep(store, full, before))
    write_whole(full, data)


def _keep(store: Storage, full: str, before: bytes) -> Callable[[], None]:
    """Give a file that will be replaced a second name: undoing then needs no disk space."""
    kept = os.path.join(store.directory, f"{KEPT}{len(store.kept)}")
    try:
        if os.path.lexists(kept):  # of one who was killed
            os.unlink(kept)
        os.link(full, kept)
    except OSError:  # a file system without hard links
        return lambda: write_whole(full, before)
    store.kept[full] = kept
    return lambda: os.replace(kept, full)


def write_new(store: Storage, path: str, data: bytes) -> None:
    """Write a new file; FileExistsError if there is one of that name."""
    store.require_made()
    full = os.path.join(store.directory, path)
    write_whole(full, data, replace=False)
    store.undo.append(lambda: os.unlink(full))


def move_file(store: Storage, old: str, new: str) -> None:
    """Move a file or folder; both are paths in the data directory."""
    store.require_made()
    before, after = os.path.join(store.directory, old), os.path.join(store.directory, new)
    try:
        move_whole(before, after)
    except OSError as error:
        raise cannot_write(after, error) from None
    store.undo.append(lambda: os.replace(after, before))


def set_aside(store: Storage, path: str) -> str:
    """Move a file or folder of the data directory to a new folder below backups/; returns that folder."""
    backup = os.path.join("backups", stamp(store))
    move_file(store, path, os.path.join(backup, path))
    return os.path.join(store.directory, backup)
