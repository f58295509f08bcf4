"""All record files replaced as one: where the process is killed on the way, the next call puts the old ones back."""
from __future__ import annotations

import os

from .events import record_event
from .record_files import FOLDERS
from .undoing import move_file, read_bytes, stamp, write_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Storage

MARK = os.path.join("config", "record-swap.txt")  # the folder that keeps the old files, and which of FOLDERS there were
DONE = "store_records_kept"  # the event by which it is known that the transaction was committed


def swap_out(store: Storage) -> None:
    """Move all record files below backups/, so that others can be written, within the caller's transaction."""
    place = os.path.join("backups", stamp(store))
    there = [folder for folder in FOLDERS if os.path.lexists(os.path.join(store.directory, folder))]
    write_new(store, MARK, " ".join([place, *there]).encode())
    for folder in there:
        move_file(store, folder, os.path.join(place, folder))
    record_event(store, DONE, detail=place)


def is_swapped_out(store: Storage) -> bool:
    """Whether a swap was begun and is not finished."""
    return os.path.lexists(os.path.join(store.directory, MARK))


def finish_swap(store: Storage) -> None:
    """After a swap whose transaction was committed, forget it; else undo it. Within the caller's transaction."""
    place, *there = (read_bytes(os.path.join(store.directory, MARK)) or b"").decode("utf-8", "replace").split(" ")
    if not is_swapped_out(store):
        return
    if _is_ours(place) and not store.execute("SELECT 1 AS done FROM events WHERE event = :event AND detail = :place",
                         {"event": DONE, "place": place}):
        for folder in FOLDERS:
            _put_back(store, place, folder, folder in there)
        store.warn("whoever was replacing all records was killed: the old ones are there again")
    os.unlink(os.path.join(store.directory, MARK))


def _is_ours(place: str) -> bool:
    """Whether a mark, which may have come with a cloned repository, names a folder of ours."""
    parent, name = os.path.split(place)
    return parent == "backups" and not name.startswith(".")


def _put_back(store: Storage, place: str, folder: str, was_there: bool) -> None:
    """Give a folder its old files; those written meanwhile are kept beside where these were."""
    old = os.path.join(place, folder)
    is_moved = os.path.lexists(os.path.join(store.directory, old))
    if (is_moved or not was_there) and os.path.lexists(os.path.join(store.directory, folder)):
        move_file(store, folder, os.path.join(place, "unfinished", folder))
    if is_moved:
        move_file(store, old, folder)
