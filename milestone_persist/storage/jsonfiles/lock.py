"""A lock between processes and threads, on files of its own: shared for readers, exclusive for a writer.

A process passes a queue of one place first, and waits there for the lock. So one that has just released it cannot take
it again before the one that waits, and readers that come and go cannot keep a writer out.
"""
from __future__ import annotations

import os
import time

from ..directory import cannot_write, open_private
from ..locks import close_locked, lock
from ..sqlite import embedded


class FileLock:
    """Not reentrant; each holder has one of its own. `path`.lock and `path`.queue are never removed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor: int | None = None

    def acquire(self, exclusive: bool, seconds: float | None = None) -> None:
        """Wait for the lock, so many seconds or as long as is usual; Busy when others keep it longer."""
        seconds = embedded.BUSY_SECONDS if seconds is None else seconds
        until = time.monotonic() + seconds
        queue = wait_for(self.path + ".queue", True, until, seconds)
        try:
            self.descriptor = wait_for(self.path + ".lock", exclusive, until, seconds)
        finally:
            close_locked(queue)

    def release(self) -> None:
        """Give the lock back; doing so again does nothing."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            close_locked(descriptor)


def wait_for(path: str, exclusive: bool, until: float, seconds: float) -> int:
    """The descriptor that holds the lock on a file; `seconds` are what an error names."""
    descriptor = _open(path)
    try:
        if not lock(descriptor, exclusive, until - time.monotonic()):
            raise embedded.busy(path, seconds)
    except OSError as error:
        close_locked(descriptor)
        raise cannot_write(path, error) from None
    except BaseException:
        close_locked(descriptor)
        raise
    return descriptor


def _open(path: str) -> int:
    try:
        try:
            return open_private(path, os.O_RDWR)
        except OSError:  # who may only read may still lock
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise cannot_write(path, error) from None
