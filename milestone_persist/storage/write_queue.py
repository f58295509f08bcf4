"""The queue of the processes and threads that want to write: two locks, each given in order of arrival.

SQLite's own lock is asked for again and again, by whoever wakes first; with many writers one can wait for ever. Here
the system wakes the next. The lock on FILE-queue is that of who writes; the lock on FILE-line that of the first who
waits: it keeps who has just written, and is still awake, from being the next. It is an order among those who use it,
not what keeps two writers apart: where it cannot be had (a file system without locks, a folder that can only be
read), or for a program that does not know it, SQLite's lock does that alone.
"""
from __future__ import annotations

import _thread
import os

from ..base.found import require_own
from .directory import make_file
from .locks import close_locked, lock, unlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_OPEN: set[WriteQueue] = set()  # those with open files: what a forked child has to close


class WriteQueue:
    """The place of one connection in the queue for the database at `path`; not reentrant."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._files: _Files | None = None
        self._is_in = False

    def enter(self, seconds: float) -> bool:
        """Wait for one's turn at most so long; False if it has not come. True also where there is no queue.

        Whatever else it ends with, `leave` is to be called.
        """
        self._is_in = True
        try:
            if not self._files:
                self._files = _Files(self.path)
                _OPEN.add(self)
            return self._files.lock(seconds=0) or self._wait(self._files, seconds)
        except OSError:
            return True

    def _wait(self, files: _Files, seconds: float) -> bool:
        """Let a thread wait, which can be left behind: no lock has a time limit, and polling has no order."""
        if seconds <= 0:
            return False
        try:
            waiter = _Waiter(files)
        except RuntimeError:  # no thread can be started: too many processes, or the interpreter ends
            return files.lock(seconds)
        has_come = False
        try:
            has_come = waiter.wait(seconds)
        finally:
            if not has_come:
                self._files = None
                _OPEN.discard(self)
                waiter.give_up()
        return has_come

    def leave(self) -> None:
        """Let the next one write; doing so again does nothing."""
        was_in, self._is_in = self._is_in, False
        if was_in and self._files:
            try:
                unlock(self._files.front)
            except OSError:  # a file system without locks
                pass

    def close(self) -> None:
        """Leave, and close the files; doing so again does nothing."""
        files, self._files = self._files, None
        _OPEN.discard(self)
        if files:
            files.close(close_locked)

    def forget(self) -> None:
        """In a forked child: close the parent's files. Their locks stay the parent's, and end with it."""
        files, self._files = self._files, None
        if files:
            files.close(os.close)


class _Files:
    """What is locked: `front` by who writes, `line` by the first of those who wait."""

    def __init__(self, path: str) -> None:
        self.front = _open(path + "-queue")
        try:
            self.line = _open(path + "-line")
        except BaseException:
            os.close(self.front)
            raise

    def lock(self, seconds: float | None = None) -> bool:
        """Be the first in line, and then in front; each at most so long. OSError where there are no locks."""
        if not lock(self.line, alone=True, seconds=seconds):
            return False
        try:
            return lock(self.front, alone=True, seconds=seconds)
        finally:
            unlock(self.line)

    def close(self, close: Callable[[int], None]) -> None:
        close(self.line)
        close(self.front)


class _Waiter:
    """A thread that waits for the lock; if it comes too late, it is given back and the files closed."""

    def __init__(self, files: _Files) -> None:
        self.files = files
        self.has_come = self.is_given_up = False
        self.error: OSError | None = None
        self.state, self.done = _thread.allocate_lock(), _thread.allocate_lock()
        self.done.acquire()
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            self.files.lock()
        except OSError as error:
            self.error = error
        with self.state:
            self.has_come = True
            self.done.release()
            if self.is_given_up:
                self.files.close(close_locked)

    def wait(self, seconds: float) -> bool:
        """Whether the lock has come in that time. OSError where the file system has none."""
        self.done.acquire(timeout=min(seconds, _thread.TIMEOUT_MAX))
        if self.error:
            raise self.error
        return self.has_come

    def give_up(self) -> None:
        """Leave the files to the thread, which closes them when the lock comes; if it has come just now, close them."""
        with self.state:
            self.is_given_up = True
            if self.has_come:
                self.files.close(close_locked)


def _open(path: str) -> int:
    """A file of the queue, made if it is not there. Who may only read it may still lock it."""
    while True:
        try:
            require_own(path, os.lstat(path), alone=False)
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            try:
                return make_file(path, os.O_RDONLY)
            except FileExistsError:  # another process was first
                continue


def _forget_all(*args: Any) -> None:
    while _OPEN:
        _OPEN.pop().forget()


os.register_at_fork(after_in_child=_forget_all)
