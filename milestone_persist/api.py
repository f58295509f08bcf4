"""The Python API: a Store whose methods are the operations."""
from __future__ import annotations

import os
import sys
import threading
import warnings

from .base.environment import live_environment
from .base.errors import MilestoneWarning, StorageError, closed
from .base.values import show
from .opening.place import open_for
from .registry import Operation, all_operations, find_operation
from .running import run_operation
from .storage.selection import backend_in_use, read_note_stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .methods import Operations  # methods.pyi is made from the table of operations
    from .storage.call import Clock
    from .storage.interface import Storage
else:
    Operations = object


def open_store(directory: str | bytes | os.PathLike[str] | None = None, *, clock: Clock | None = None,
               environ: Mapping[str, str] | None = None) -> Store:
    """Open the coordination store; use it as a context manager, or close() it. One that is not there is empty, until
    the first call that writes makes it.

    directory: the data directory; None finds it as the shell functions do (MILESTONE_DIR, nearest .milestones/, …)
    clock: a replacement for the system's clock
    environ: variables that give defaults (SESSION_ID, AGENT_ID, MILESTONE_ID, MILESTONE_*); None: os.environ
    Raises StorageError if it cannot be used.
    """
    return Store("" if directory is None else os.fsdecode(directory), clock, environ)


class Store(Operations):
    """An open store; its methods are the operations. Threads may share it, and processes: after a fork, or pickled.

    directory: the data directory, absolute
    A method raises Refused (not found, nothing to do), UsageError (bad value; nothing was changed) or StorageError
    (the storage cannot be used), all of them MilestoneError; what the command line says as a warning is issued as
    MilestoneWarning.
    """

    def __init__(self, directory: str, clock: Clock | None, environ: Mapping[str, str] | None) -> None:
        self._is_live = environ is None or environ is os.environ
        self.clock, self.environ = clock, live_environment() if environ is None or self._is_live else environ
        self.connections: dict[tuple[int, int], Storage] = {}  # one connection for each process and thread
        self._calls: set[tuple[int, int]] = set()  # of those that are in a call; only its thread changes that
        self._closed = self._follows = False  # whether it follows rows that were moved, whatever is set
        self.directory = directory
        self.directory = self.storage().directory

    def storage(self) -> Storage:
        """This thread's connection, where SQL runs; tests make it fail."""
        if self._closed:  # and no lock is taken: one held by another thread would outlive a fork
            raise closed()
        key = os.getpid(), threading.get_ident()
        found = self.connections.get(key)
        if found is not None and found.is_unmade and read_note_stamp(self.directory) != found.note_stamp:
            self._close_connections(lambda thread: thread == threading.get_ident())
            found = None  # another process has made it
        if found is None:
            self._refuse_torn()
            self._close_connections(lambda thread: thread not in sys._current_frames())
            found = self.connections[key] = open_for(self.directory, self.environ, self.clock, in_use=self._is_moved())
            found.warn = _warn
            if self._closed:  # meanwhile, by another thread
                self.close()
                self._refuse_closed()
        return found

    def _is_moved(self) -> bool:
        """Whether to follow the rows to where they were moved, whatever the settings say."""
        return self._follows and bool(backend_in_use(self.directory))

    def _release(self) -> None:
        """Close the connection of this thread; the next call opens the backend then in use."""
        self._follows = True
        self._close_connections(lambda thread: thread == threading.get_ident())

    def _refuse_closed(self) -> None:
        if self._closed:
            raise closed()

    def _refuse_torn(self) -> None:
        kept = list(self.connections.items())
        if any(process != os.getpid() and storage.forked_in_transaction() for (process, _), storage in kept):
            raise StorageError("this process was forked while another thread was writing, and cannot use the store: "
                               "fork while no thread does, or start processes by spawn")

    def _close_connections(self, is_done: Callable[[int], bool]) -> None:
        for key, storage in list(self.connections.items()):
            if key[0] != os.getpid() or not is_done(key[1]):  # those of a parent process are not ours to close
                continue
            in_call = key != (os.getpid(), threading.get_ident()) and key in self._calls
            if self._closed or not in_call:  # else a new thread has the number of one that has ended
                storage.stopped = True
            if in_call:  # its thread closes it, at the end of its call
                continue
            if self.connections.pop(key, None) is storage:  # else another thread was first
                storage.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Where it is, not its connections: another process opens it again, with its own os.environ if this one did."""
        self._refuse_closed()
        return Store, (self.directory, self.clock, None if self._is_live else dict(self.environ))

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of all threads; closing it again does nothing.

        A call that another thread is in ends with its present transaction, and closes its connection then.
        """
        self._closed = True
        self._close_connections(lambda thread: True)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(op.name for op in all_operations())]

    if not TYPE_CHECKING:  # a checker of types knows the methods from methods.pyi, and no others

        def __getattr__(self, name: str) -> Callable[..., Any]:
            found = None if name.startswith("_") else find_operation(name)
            if found is None or found.name != name:
                raise AttributeError(f"a store has no operation {name!r}")
            setattr(Store, name, _method(found))  # made when it is first asked for
            return getattr(self, name)


def _method(op: Operation) -> Callable[..., Any]:
    """The method that runs an operation."""
    def call(self: Store, *args: Any, **options: Any) -> Any:
        key = os.getpid(), threading.get_ident()
        is_within = key in self._calls  # another call, whose warning somebody answers with this one
        self._calls.add(key)
        try:
            return run_operation(op, args, options, self.storage, self._release)
        finally:
            if not is_within:
                self._calls.remove(key)
            if self._closed:  # by another thread; looked at after this, as `close` looks at this after that:
                self._release()  # one of them sees the other

    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = op.function.__doc__
    call.__wrapped__ = op.function  # type: ignore[attr-defined]  # from which inspect has the signature
    return call


def _warn(text: str) -> None:
    """Issue a warning that points at the caller of this package."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        level, frame = level + 1, frame.f_back
    warnings.warn(show(text), MilestoneWarning, stacklevel=level)
