"""Turns a directory (named or found) and an environment into a call, and into an open storage."""
from __future__ import annotations

import os

from ..base.errors import StorageError
from ..base.location import GONE, NAME, check_path, find_data_directory, is_top
from ..base.times import parse_time
from ..base.values import check_id
from ..storage.call import Call, Clock
from ..storage.directory import is_inside
from .engines import open_storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..storage.interface import Storage


class FixedClock(Clock):
    """A clock that stands still at $MILESTONE_NOW, for users' tests of their agents."""

    def __init__(self, text: str) -> None:
        self.seconds = parse_time(text)

    def time(self) -> float:
        return self.seconds


def begin_call(directory: str, environ: Mapping[str, str], clock: Clock | None = None) -> Call:
    """The call on a directory, named or found from here; UsageError for an invalid environment."""
    if clock is None:
        clock = FixedClock(environ["MILESTONE_NOW"]) if environ.get("MILESTONE_NOW") else Clock()
    for name in ("AGENT_ID", "SESSION_ID", "MILESTONE_ID"):
        if environ.get(name):
            check_id(environ[name], "$" + name)
    return Call(_find_directory(directory, environ), clock, environ)


def _find_directory(directory: str, environ: Mapping[str, str]) -> str:
    named = directory or environ.get("MILESTONE_DIR", "")
    check_path(named, "the data directory")
    if os.path.isabs(named):
        return os.path.normpath(named)
    try:
        if named:
            return os.path.abspath(named)
        found = find_data_directory(os.getcwd(), environ)[0]
    except FileNotFoundError:
        raise StorageError(GONE) from None
    if os.path.islink(found) and not is_inside(found, os.path.dirname(found)):
        from ..base.quoting import quote

        real = os.path.realpath(found)
        raise StorageError(f"{found} is a symbolic link that leads out of its directory, to {real}: if it is your own, "
                           f"set MILESTONE_DIR={quote(real)}; else remove it")
    return found


def open_for(directory: str, environ: Mapping[str, str], clock: Clock | None = None, create: bool = True,
             in_use: bool = False, make: bool = False) -> Storage:
    """Open the storage of `directory`, or of the directory found from here.

    create: whether it is opened to write
    in_use: whether what is there is opened, whatever is set
    make: whether it is made if it is not there; else an empty one stands for it
    """
    call = begin_call(directory, environ, clock)
    return open_storage(call.directory, call.clock, environ, create, in_use, make)


def make_store(call: Call) -> Storage:
    """The store of a call's directory, created if necessary, and closed at the end."""
    made = open_for(call.directory, call.environ, call.clock, make=True)
    made.close()
    return made


def describe_new(store: Storage) -> str:
    """The line that reports a data directory that was just created."""
    line = f"made the data directory {store.directory} (backend {store.backend.word})"
    return line + (" in your home directory, for all folders below it that have none of their own: if you meant a "
                   "project, cd to it and call again" if is_in_home(store) else "")


def is_in_home(store: Storage) -> bool:
    """Whether a data directory was found to be in $HOME, where agents land whose project is elsewhere."""
    home, (folder, name) = store.environ.get("HOME", ""), os.path.split(store.directory)
    return (name == NAME and bool(home) and not store.environ.get("MILESTONE_DIR")
            and os.path.realpath(folder) == os.path.realpath(home) and not is_top(folder))
