"""A lock between processes and threads, on files of its own: shared for readers, exclusive for a writer.

It is given in order of arrival: who has just released it cannot take it again before the one that waits, and readers
that come and go cannot keep a writer out.
"""
from __future__ import annotations

import os

from ...base.errors import Busy
from ..directory import cannot_write, open_private
from ..holders import find_holders
from ..sqlite import embedded
from ..write_queue import Line


class FileLock:
    """Not reentrant; each holder has one of its own. `path`.lock and `path`.queue are never removed."""

    def __init__(self, path: str) -> None:
        self.front, self.line = path + ".lock", path + ".queue"
        self._held: Line | None = None

    @property
    def is_held(self) -> bool:
        """Whether this one has it."""
        return self._held is not None

    def acquire(self, exclusive: bool, seconds: float | None = None) -> None:
        """Wait for the lock, so many seconds or as long as is usual; Busy when others keep it longer."""
        seconds = embedded.BUSY_SECONDS if seconds is None else seconds
        held = Line(self.front, self.line, _open)
        try:
            if not held.enter(exclusive, seconds):
                raise self._busy(seconds)
        except OSError as error:
            raise cannot_write(self.front, error) from None
        self._held = held

    def _busy(self, seconds: float) -> Busy:
        """The error that tells what others do; the first in line may wait for one that does not know the line."""
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
