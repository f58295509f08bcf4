"""Whether what holds the rows of a directory is there: an empty store never takes the place of a full one.

A store is noted before it is made, so that of several processes one decides what it is; until it is made, a second
note says so. What is noted, made and not there has been removed.
"""
from __future__ import annotations

import os

from ..storage.backends import JSONFILES
from ..storage.directory import IN_USE, write_whole
from ..storage.selection import read_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.backends import Backend

BEING_MADE = os.path.join("config", "being-made")
SETTINGS = os.path.join("config", "settings.jsonl")  # of the file backend


def note_making(directory: str) -> None:
    """Before a store is noted: it will not be there for a moment."""
    write_whole(os.path.join(directory, BEING_MADE), b"")


def note_made(directory: str) -> None:
    """The store is there: from now on it may not be missing."""
    try:
        os.unlink(os.path.join(directory, BEING_MADE))
    except OSError:  # there is no such note, or somebody only reads
        pass


def is_being_made(directory: str) -> bool:
    """Whether a store is noted that a process is making, or was when it was killed."""
    return os.path.exists(os.path.join(directory, BEING_MADE)) and os.path.exists(os.path.join(directory, IN_USE))


def find_lost(directory: str, backend: Backend) -> str:
    """What to say if the store that holds the rows of a directory was removed; "" if all is well."""
    head = os.path.join(directory, backend.head)
    if not backend.head:
        return ""
    if os.path.lexists(head) and not os.path.isfile(head):
        return f"{head} is no regular file"
    if _is_there(head):
        return ""
    missing = read_word(directory, IN_USE) == backend.name and not os.path.exists(os.path.join(directory, BEING_MADE))
    if backend.engine == JSONFILES:
        from ..storage.jsonfiles.journal import is_pending

        # The journal after the rows: while a store is made, it is there before they are, and until the head is.
        missing = (missing or _has_rows(directory)) and not is_pending(directory)
    if not missing or _is_there(head):  # who makes it has finished between the looks
        return ""
    what = "the rows beside it are of no use without" if backend.engine == JSONFILES else "the data with it"
    return f"{head} is gone, and {what}; to begin anew, give {directory} another name"


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
