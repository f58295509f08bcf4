"""Locks on open files and folders, between processes and threads; the system releases them with the process."""
from __future__ import annotations

import fcntl
import os
import time

AT_ONCE = 0.0  # a time that is over


def lock(descriptor: int, alone: bool, until: float | None = None) -> bool:
    """Wait for a lock, exclusive or shared, until then or without limit; False if others hold it longer.

    until: by the clock of time.monotonic, tried once at least
    OSError where the file system has no locks.
    """
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    if until is None:
        fcntl.flock(descriptor, kind)
        return True
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
        time.sleep(0.001 + time.monotonic_ns() % 1009 / 250_000)  # 1 to 5 ms, each time another


def unlock(descriptor: int) -> None:
    """Release a lock."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def close_locked(descriptor: int) -> None:
    """Unlock before closing: a child forked meanwhile has the same lock open, and would keep it."""
    try:
        unlock(descriptor)
    except OSError:  # a file system without locks
        pass
    finally:
        os.close(descriptor)


def is_same_file(descriptor: int, path: str) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:  # it, or a folder above it, was removed or replaced
        return False


class FolderLock:
    """A context that only one process at a time is in for the same folder, if its file system has locks.

    seconds: how long to wait; it is entered with False if another process has the lock even then
    """

    def __init__(self, folder: str, seconds: float | None = None) -> None:
        self.folder, self.seconds = folder, seconds

    def __enter__(self) -> bool:
        self._descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            return lock(self._descriptor, True, None if self.seconds is None else time.monotonic() + self.seconds)
        except OSError:  # a file system without locks
            return True
        except BaseException:
            os.close(self._descriptor)
            raise

    def __exit__(self, *exc: object) -> None:
        close_locked(self._descriptor)
