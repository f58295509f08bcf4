"""The queue of the processes and threads that want to write: a lock on a file of its own, given in order of arrival.

SQLite's own lock is asked for again and again, by whoever wakes first; with many writers one can wait for ever. Here
the system wakes the next. It is an order among those who use it, not what keeps two writers apart: where it cannot be
had (a file system without locks, a folder that can only be read), or for a program that does not know it, SQLite's
lock does that alone.
"""
from __future__ import annotations

import _thread
import os

from ..base.found import require_own
from .directory import make_file
from .locks import close_locked, lock, unlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OPEN: set[WriteQueue] = set()  # those with an open file: what a forked child has to close


class WriteQueue:
    """The place of one connection in the queue at `path`; not reentrant."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._is_in = False

    def enter(self, seconds: float) -> bool:
        """Wait for one's turn at most so long; False if it has not come. True also where there is no queue.

        Whatever else it ends with, `leave` is to be called.
        """
        self._is_in = True
        try:
            if self._descriptor < 0:
                self._descriptor = _open(self.path)
                _OPEN.add(self)
            if not lock(self._descriptor, alone=True, seconds=0):
                return self._wait(seconds)
        except OSError:
            pass
        return True

    def _wait(self, seconds: float) -> bool:
        """Let a thread wait, which can be left behind: no lock has a time limit, and polling has no order."""
        if seconds <= 0:
            return False
        try:
            waiter = _Waiter(self._descriptor)
        except RuntimeError:  # no thread can be started: too many processes, or the interpreter ends
            return lock(self._descriptor, alone=True, seconds=seconds)
        has_come = False
        try:
            has_come = waiter.wait(seconds)
        finally:
            if not has_come:
                self._descriptor = -1
                _OPEN.discard(self)
                waiter.give_up()
        return has_come

    def leave(self) -> None:
        """Let the next one write; doing so again does nothing."""
        was_in, self._is_in = self._is_in, False
        if was_in and self._descriptor >= 0:
            try:
                unlock(self._descriptor)
            except OSError:  # a file system without locks
                pass

    def close(self) -> None:
        """Leave, and close the file; doing so again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        _OPEN.discard(self)
        if descriptor >= 0:
            close_locked(descriptor)

    def forget(self) -> None:
        """In a forked child: close the parent's file. Its lock stays the parent's, and ends with it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Waiter:
    """A thread that waits for the lock; if it comes too late, it is given back and the file closed."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.has_come = self.is_given_up = False
        self.error: OSError | None = None
        self.state, self.done = _thread.allocate_lock(), _thread.allocate_lock()
        self.done.acquire()
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            lock(self.descriptor, alone=True)
        except OSError as error:
            self.error = error
        with self.state:
            self.has_come = True
            self.done.release()
            if self.is_given_up:
                close_locked(self.descriptor)

    def wait(self, seconds: float) -> bool:
        """Whether the lock has come in that time. OSError where the file system has none."""
        self.done.acquire(timeout=min(seconds, _thread.TIMEOUT_MAX))
        if self.error:
            raise self.error
        return self.has_come

    def give_up(self) -> None:
        """Leave the file to the thread, which closes it when the lock comes; if it has come just now, close it."""
        with self.state:
            self.is_given_up = True
            if self.has_come:
                close_locked(self.descriptor)


def _open(path: str) -> int:
    """The file of the queue, made if it is not there. Who may only read it may still lock it."""
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
