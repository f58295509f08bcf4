"""A lock between processes and threads, on a file of its own: shared for readers, exclusive for a writer."""
from __future__ import annotations

import fcntl
import os
import time

from . import embedded
from .directory import cannot_write

LONGEST_NAP = 0.02  # seconds between two tries


class FileLock:
    """Not reentrant; each holder has a FileLock of its own. The file is never removed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, exclusive: bool) -> None:
        """Wait for the lock; StorageError when another process keeps it too long."""
        self._descriptor = self._open()
        until, nap = time.monotonic() + embedded.BUSY_SECONDS, 0.0005
        while True:
            try:
                fcntl.flock(self._descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                return
            except OSError as error:
                if not isinstance(error, BlockingIOError) or time.monotonic() >= until:
                    self.release()
                    busy = isinstance(error, BlockingIOError)
                    raise (embedded.busy(self.path) if busy else cannot_write(self.path, error)) from None
            time.sleep(nap)
            nap = min(nap * 2, LONGEST_NAP)

    def _open(self) -> int:
        try:
            try:
                return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            except PermissionError:  # who may only read may still lock
                return os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def release(self) -> None:
        """Give the lock back; doing so again does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
