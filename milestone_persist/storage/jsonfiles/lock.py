"""A lock between processes and threads, on files of its own: shared for readers, exclusive for a writer.

Who wants it passes a queue of one place first, and waits there for the lock. So whoever has just given it back cannot
take it again before the one that waits, and readers that come and go cannot keep a writer out.
"""
from __future__ import annotations

import fcntl
import os
import time

from ..directory import cannot_write, open_private
from ..sqlite import embedded


class FileLock:
    """Not reentrant; each holder has one of its own. `path`.lock and `path`.queue are never removed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, exclusive: bool, seconds: float | None = None) -> None:
        """Wait for the lock, so many seconds or as long as is usual; Busy when others keep it longer."""
        seconds = embedded.BUSY_SECONDS if seconds is None else seconds
        until = time.monotonic() + seconds
        place = _wait(self.path + ".queue", fcntl.LOCK_EX, until, seconds)
        try:
            self._descriptor = _wait(self.path + ".lock", fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, until,
                                     seconds)
        finally:
            _let_go(place)

    def release(self) -> None:
        """Give the lock back; doing so again does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _let_go(descriptor)


def _let_go(descriptor: int) -> None:
    """Unlock, and only then close: a child forked meanwhile has the same lock open, and would keep it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _wait(path: str, kind: int, until: float, seconds: float) -> int:
    """The descriptor that holds the lock on a file."""
    descriptor = _open(path)
    try:
        while not _try(descriptor, kind):
            if time.monotonic() >= until:
                raise embedded.busy(path, seconds)
            time.sleep(0.001 + time.monotonic_ns() % 1009 / 250_000)  # 1 to 5 ms, each time another
    except OSError as error:
        os.close(descriptor)
        raise cannot_write(path, error) from None
    except BaseException:
        _let_go(descriptor)
        raise
    return descriptor


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _open(path: str) -> int:
    try:
        try:
            return open_private(path, os.O_RDWR)
        except OSError:  # who may only read may still lock
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise cannot_write(path, error) from None
