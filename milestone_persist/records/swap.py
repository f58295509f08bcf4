"""Replaces all record files atomically: if the process is killed, the next call restores the old ones."""
from __future__ import annotations

import os

from ..base.found import read_found
from ..storage.events import record_event
from ..storage.files import cannot_write, move_whole
from .files import FOLDERS
from .undo import move_file, stamp, write_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Storage

SWAP_NOTE = os.path.join("config", "record-swap.txt")  # the folder of the old files, and which of FOLDERS there were
DONE = "store_records_kept"  # the event by which it is known that the transaction was committed


def swap_out(store: Storage) -> None:
    """Move all record files below backups/, so that others can be written, within the caller's transaction."""
    backup = os.path.join("backups", stamp(store))
    there = [folder for folder in FOLDERS if os.path.lexists(os.path.join(store.directory, folder))]
    write_new(store, SWAP_NOTE, " ".join([backup, *there]).encode())
    for folder in there:
        move_file(store, folder, os.path.join(backup, folder))
    record_event(store, DONE, detail=backup)


def is_swapped_out(store: Storage) -> bool:
    """Whether a swap was begun and is not finished."""
    return os.path.lexists(os.path.join(store.directory, SWAP_NOTE))


def finish_swap(store: Storage) -> None:
    """Forget a swap whose transaction was committed; else undo it. The transaction may fail."""
    path = os.path.join(store.directory, SWAP_NOTE)
    data = read_found(path, alone=True)
    if data is None:
        return
    backup, *there = data.decode("utf-8", "replace").split(" ")
    try:
        if _is_ours(backup) and not _is_done(store, backup):
            for folder in FOLDERS:
                _put_back(store.directory, backup, folder, folder in there)
            store.warn("an interrupted replacement of all records was rolled back")
        os.unlink(path)
    except OSError as error:
        raise cannot_write(path, error) from None


def _is_ours(backup: str) -> bool:
    """Whether a note, which may have come with a cloned repository, names a folder of ours."""
    parent, name = os.path.split(backup)
    return parent == "backups" and not name.startswith(".")


def _is_done(store: Storage, backup: str) -> bool:
    return bool(store.execute("SELECT 1 AS done FROM events WHERE event = :event AND detail = :backup",
                              {"event": DONE, "backup": backup}))


def _put_back(directory: str, backup: str, name: str, was_there: bool) -> None:
    """Restore the old files of a folder; those written meanwhile are kept next to the old files' location."""
    folder, old = os.path.join(directory, name), os.path.join(directory, backup, name)
    is_moved = os.path.lexists(old)
    if (is_moved or not was_there) and os.path.lexists(folder):
        move_whole(folder, os.path.join(directory, backup, "unfinished", name))
    if is_moved:
        move_whole(old, folder)
