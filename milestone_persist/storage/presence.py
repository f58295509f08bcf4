"""Whether what holds the rows of a directory is there: an empty store never takes the place of a full one.

A store is noted before it is made, so that of several processes one decides what it is; until it is made, a second
note says so. What is noted, made and not there has been removed.
"""
from __future__ import annotations

import os

from .directory import write_whole
from .selection import IN_USE, read_word

BEING_MADE = os.path.join("config", "being-made")
SETTINGS = os.path.join("config", "settings.jsonl")  # of the file backend
HEADS = {"hybrid": "coordination.db", "database": "coordination.db", "file": "file-store.json"}


def note_making(directory: str) -> None:
    """Before a store is noted: it will not be there for a moment."""
    write_whole(os.path.join(directory, BEING_MADE), b"")


def note_made(directory: str) -> None:
    """The store is there: from now on it may not be missing."""
    try:
        os.unlink(os.path.join(directory, BEING_MADE))
    except OSError:  # there is no such note, or somebody only reads
        pass


def find_lost(directory: str, engine: str) -> str:
    """What to say if the store that holds the rows of a directory was removed; "" if all is well."""
    head = os.path.join(directory, HEADS.get(engine, ""))
    if engine not in HEADS or _is_there(head):
        return ""
    noted = read_word(directory, IN_USE) == engine and not os.path.exists(os.path.join(directory, BEING_MADE))
    if engine == "file":
        return _find_lost_rows(directory, head, noted)
    return f"{head} is gone, and the data with it; to begin anew, remove {IN_USE} in {directory}" if noted else ""


def _find_lost_rows(directory: str, head: str, noted: bool) -> str:
    from .journal import is_pending

    # The journal last: while a store is made, it is there before the rows are, and until the head is.
    if not (noted or _has_rows(directory)) or is_pending(directory) or _is_there(head):
        return ""
    return (f"{head} is gone, and the rows beside it are of no use without; to begin anew, move their folders, "
            f"{SETTINGS} and {IN_USE} out of {directory}")


def _is_there(head: str) -> bool:
    try:
        return os.path.getsize(head) > 0
    except OSError:
        return False


def _has_rows(directory: str) -> bool:
    """Whether there are files of the file backend, by those of its places in which no earlier tool kept anything."""
    if os.path.exists(os.path.join(directory, SETTINGS)):
        return True
    folders = [os.path.join(directory, name) for name in ("coordination-sessions", "milestones")]
    return any(os.listdir(folder) for folder in folders if os.path.isdir(folder))
