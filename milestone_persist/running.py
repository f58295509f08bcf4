"""Running one operation: on an open storage, following it where the rows were moved, and moving up when it is time."""
from __future__ import annotations

from .errors import MilestoneError
from .storage.interface import StorageMoved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .registry import Operation
    from .storage.interface import Storage

UNNOTICED = "Recovery"  # the group in which the caller's own heartbeat must not hide the silence of its session


def run_operation(op: Operation, args: Sequence[Any], options: dict[str, Any], opened: Callable[[], Storage],
                  release: Callable[[], None]) -> Any:
    """Call an operation; raises what it raises.

    opened: gives the open storage
    release: closes it, so that `opened` opens it anew
    """
    store = opened()
    try:
        if op.opens and op.group != UNNOTICED and store.environ.get("AGENT_ID"):
            _note_caller(store)
        data = op.run(store, args, options)
    except StorageMoved as moved:  # by another process; nothing was done
        release()
        _follow(store, moved)
        store = opened()
        data = op.run(store, args, options)
    if store.milestones_added:
        store.milestones_added = False
        _grow(store, release)
    return data


def _note_caller(store: Storage) -> None:
    from .operations.membership import note_caller

    try:
        note_caller(store)
    except StorageMoved:
        raise
    except MilestoneError:  # the operation itself will tell, if it needs what could not be written
        pass


def _follow(store: Storage, moved: StorageMoved) -> None:
    """Finish the switch that another process may have been killed in; elsewhere than in its directory there is none."""
    import os

    from .storage.selection import IN_USE, engine_in_use, write_word

    if os.path.realpath(store.directory) != moved.directory:
        raise moved
    if engine_in_use(store.directory) != moved.engine:
        write_word(store.directory, IN_USE, moved.engine)


def _grow(store: Storage, release: Callable[[], None]) -> None:
    from .operations.migration import grow

    if grow(store):
        release()
