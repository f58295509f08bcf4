"""Runs one operation on an open storage: follows moved rows, and moves to a larger backend when necessary."""
from __future__ import annotations

from .base.errors import MilestoneError, StorageError
from .storage.interface import CODEX, CODEX_SECONDS, LOOK_SECONDS, Damaged, StorageMoved
from .storage.selection import backend_in_use, read_note_stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .registry import Operation
    from .storage.call import Call
    from .storage.interface import Storage

GROUP_WITHOUT_HEARTBEAT = "Recovery"  # here the caller's own heartbeat must not hide its session's silence
BEGINS = "register_agent"  # which asks when that id was heard from before
AGENTS_WORK = ("Agents", "State", "Messages", "Checkpoints", "Sessions")  # what a registered agent does
INSPECT = ("doctor", "where")  # which tell what is there, whatever it is
MAX_REDIRECTS = 5  # how many times one call opens the store again because its rows were moved


def run_operation(op: Operation, args: Sequence[Any], options: dict[str, Any], opened: Callable[[], Storage],
                  release: Callable[[], None], is_repeated: bool = False) -> Any:
    """Call an operation; raises what it raises.

    opened: gives the open storage
    release: closes it, so that `opened` opens again what is in use
    is_repeated: whether a program calls it again and again, which is no sign that the agent in whose name it does lives
    """
    makes = op.makes_store(args, options)
    usual = None if makes or op.changes_existing(args, options) else LOOK_SECONDS

    def run(store: Storage) -> tuple[Storage, Any]:
        store.makes = makes
        if store.is_new:
            _tell_new(store, op)
        before, store.lock_timeout = store.lock_timeout, CODEX_SECONDS if store.environ.get(CODEX) else usual
        try:
            return store, _run(op, store, args, options, is_repeated)
        finally:
            store.lock_timeout = before

    try:
        store, data = follow_moves(run, opened, release)
    except Damaged as damage:
        if op.repair is None:
            raise
        repaired = op.repair(damage, *args, **options)
        release()
        store, data = follow_moves(run, opened, release)
        data.update(repaired)
    if op.in_use:  # which may have moved the rows, and closed it
        release()
    if store.milestones_added:
        store.milestones_added = False
        _grow(store, release)
    return data


def _run(op: Operation, store: Storage, args: Sequence[Any], options: dict[str, Any], is_repeated: bool) -> Any:
    """The result of an operation on a store."""
    if op.name not in INSPECT and op.repair is None:
        store.refuse_altered()
    if not is_repeated and not store.is_unmade and op.group != GROUP_WITHOUT_HEARTBEAT and op.name != BEGINS \
            and store.environ.get("AGENT_ID"):
        _note_caller(store)
    warn = store.warn
    try:
        if store.is_unmade and store.makes:
            return _run_unmade(op, store, args, options)
        return op.run(store, args, options)
    except Exception as error:
        raise blame(store, error) from None
    finally:
        store.warn = warn


def _run_unmade(op: Operation, store: Storage, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """The same if the store has to be created first: warnings come from the second run, on the new store."""
    warn = store.warn
    held: list[str] = []
    store.warn = held.append
    try:
        return op.run(store, args, options)
    except StorageMoved:
        held.clear()
        raise
    finally:
        for text in held:
            warn(text)


def blame(store: Storage, error: Exception) -> Exception:
    """The error to raise for an unexpected one: if rows of the store are corrupt, it names them."""
    if isinstance(error, (MilestoneError, OSError, MemoryError, StorageMoved)):
        return error
    try:
        with store.hurry():
            wrong = store.check()
    except MilestoneError as other:
        wrong = [str(other)]
    if not wrong:
        return error
    from .base.invocation import way_called

    return StorageError(f"{store.directory} is damaged: {wrong[0]}; {way_called()} doctor tells all")


def follow_moves(action: Callable[[Storage], Any], opened: Callable[[], Storage], release: Callable[[], None]) -> Any:
    """The result of an action on the storage in use, which is reopened each time its rows were moved.

    Where something is to last in one that is not made yet, it is made first.
    StorageError where they are in no store that can be opened from here.
    """
    is_new = False
    try:
        for _ in range(MAX_REDIRECTS):
            store = opened()
            store.is_new = is_new
            try:
                return action(store)
            except StorageMoved:  # by another process, or not made yet; nothing was done
                is_new = _make(store) if store.is_unmade else _finish_switch(store)
                release()
                _refuse_removed(store)
            except Damaged:  # or its files were set aside, and others are in their place
                if store.note_stamp in (None, read_note_stamp(store.directory)):
                    raise
                release()
        return action(opened())
    except StorageMoved as moved:
        raise StorageError(str(moved)) from None


def look(call: Call, action: Callable[[Storage], Any], in_use: bool = False) -> Any:
    """The result of an action on the storage of a call's directory, which is opened for it, but never created.

    in_use: whether it is what is there, whatever is set
    """
    from .opening.place import open_for

    opened: list[Storage] = []

    def get() -> Storage:
        if not opened:
            opened.append(open_for(call.directory, call.environ, call.clock, create=False, in_use=in_use))
        return opened[0]

    def release() -> None:
        while opened:
            opened.pop().close()

    def act(store: Storage) -> Any:
        try:
            return action(store)
        except Exception as error:
            raise blame(store, error) from None

    try:
        return follow_moves(act, get, release)
    finally:
        release()


def _refuse_removed(store: Storage) -> None:
    if not backend_in_use(store.directory):
        raise StorageError(f"the store in {store.directory} was removed meanwhile: nothing was done")


def _note_caller(store: Storage) -> None:
    from .coordination.membership import note_caller

    try:
        with store.hurry():
            note_caller(store)
    except MilestoneError:  # the operation itself will tell, if it needs what could not be written
        pass


def _make(store: Storage) -> bool:
    from .opening.place import make_store

    return make_store(store).is_new


def _tell_new(store: Storage, op: Operation) -> None:
    """Say which store was made, unless the answer does; to who may have been registered in another, that it is empty.
    """
    from .opening.place import describe_new, is_in_home

    if op.text != "ready" or is_in_home(store):
        empty = "; it is empty: what was registered and saved before is not in it" * (op.group in AGENTS_WORK)
        store.tell(describe_new(store) + empty * (op.name != BEGINS))


def _finish_switch(store: Storage) -> bool:
    from .opening.switching import finish_switch

    finish_switch(store)
    return False


def _grow(store: Storage, release: Callable[[], None]) -> None:
    from .moving.scaling import grow

    if grow(store):
        release()
