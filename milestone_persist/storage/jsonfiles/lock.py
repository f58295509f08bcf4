"""A lock between processes and threads, on separate files: shared for readers, exclusive for a writer.

It is given in order of arrival: who has just released it cannot take it again before the one that waits, and readers
that come and go cannot keep a writer out.
"""
from __future__ import annotations

import os
import time

from ...base.errors import Busy, StorageError
from ..files import cannot_write, open_private
from ..holders import find_holders
from ..sqlite import embedded
from ..write_queue import Line


class FileLock:
    """Not reentrant; each holder has its own. Only others ever remove `path`.lock and `path`.queue."""

    def __init__(self, path: str) -> None:
        self.front, self.line = path + ".lock", path + ".queue"
        self._held: Line | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._held is not None

    def acquire(self, exclusive: bool, seconds: float | None = None) -> None:
        """Wait for the lock, so many seconds or the default time; Busy if others hold it longer."""
        seconds = embedded.BUSY_SECONDS if seconds is None else seconds
        until = time.monotonic() + seconds
        held = self._enter(exclusive, seconds, seconds)
        while not held.has_front(self.front):  # it was removed before we had its lock, or replaced
            held.close()
            if time.monotonic() > until:
                raise self._busy(seconds)
            held = self._enter(exclusive, max(0, until - time.monotonic()), seconds)
        self._held = held

    def _enter(self, exclusive: bool, left: float, seconds: float) -> Line:
        held = Line(self.front, self.line, _open)
        try:
            if not held.enter(exclusive, left):
                raise self._busy(seconds)
        except OSError as error:
            raise cannot_write(self.front, error) from None
        return held

    def require_held(self) -> None:
        """StorageError if the file was removed meanwhile: others may hold a lock on a new one."""
        if self._held and not self._held.has_front(self.front):
            raise StorageError(f"{self.front} was removed or replaced while this call had its lock: nothing was done; "
                               "leave that file there, and try again")

    def _busy(self, seconds: float) -> Busy:
        """The error that says what others do; the first in the queue may wait for a process outside of it."""
        for doing in ("writing", "reading"):
            if find_holders(self.front, doing):
                return embedded.busy(self.front, seconds, doing)
        return embedded.busy(self.line, seconds)

    def release(self) -> None:
        """Give the lock back; doing so again does nothing."""
        held, self._held = self._held, None
        if held:
            held.close()


def _open(path: str) -> int:
    try:
        try:
            return open_private(path, os.O_RDWR)
        except OSError:  # who may only read may still lock
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise cannot_write(path, error) from None
