"""The Python API: a Store whose methods are the operations."""
from __future__ import annotations

import os
import threading
import warnings

from .errors import MilestoneWarning, StorageError
from .opening import open_for
from .registry import Operation, find_operation
from .storage.interface import Clock, Storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def open_store(directory: str | os.PathLike[str] | None = None, *, clock: Clock | None = None,
               environ: Mapping[str, str] | None = None) -> Store:
    """Open the coordination store, made if it is not there; use it as a context manager, or close() it.

    directory: the data directory; None finds it as the shell functions do (MILESTONE_DIR, nearest .milestones/, …)
    clock: a replacement for the system's clock
    environ: variables that give defaults (SESSION_ID, AGENT_ID, MILESTONE_ID, MILESTONE_*); None: os.environ
    Raises StorageError if it cannot be used.
    """
    return Store("" if directory is None else os.fspath(directory), clock, os.environ if environ is None else environ)


class Store:
    """An open store. Its methods are the operations; it may be used by several threads, and after a fork."""

    def __init__(self, directory: str, clock: Clock | None, environ: Mapping[str, str]) -> None:
        self._clock, self._environ = clock, environ
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], Storage] = {}  # one connection for each process and thread
        self._closed = False
        self.directory = directory
        self.directory = self._storage().directory

    def _storage(self) -> Storage:
        key = (os.getpid(), threading.get_ident())
        found = self._open.get(key)
        if found is None:
            with self._lock:
                if self._closed:
                    raise StorageError("the store is closed: open it again with open_store()")
                found = self._open[key] = open_for(self.directory, self._environ, self._clock)
                found.warn = _warn
        return found

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found = None if name.startswith("_") else find_operation(name)
        if found is None or found.name != name:
            raise AttributeError(f"a store has no operation {name!r}")
        return _method(self, found)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of every thread; closing again does nothing."""
        with self._lock:
            self._closed = True
            for (process, _), storage in self._open.items():
                if process == os.getpid():  # those of a parent process are not ours to close
                    storage.close()
            self._open = {key: kept for key, kept in self._open.items() if key[0] != os.getpid()}


def _method(store: Store, op: Operation) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        positionals = [p.name for p in op.positionals if not p.repeated]
        values = list(args)
        for name in positionals[len(values):]:
            if name not in options:
                break
            values.append(options.pop(name))
        return op.run(store._storage(), values, options)

    call.__name__, call.__doc__ = op.name, op.function.__doc__
    return call


def _warn(text: str) -> None:
    warnings.warn(text, MilestoneWarning, stacklevel=5)
