"""Queues of processes and threads that want to use a store: two locks, each granted in order of arrival.

SQLite's own lock is asked for again and again, by whoever wakes first; with many writers one can wait for ever. Here
the system wakes the next. The lock on one file is that of who is let in; the lock on the other that of the first who
waits: it keeps who has just been inside, and is still awake, from being the next.

For a database it is an order among those who use it, not what keeps two writers apart: where it cannot be had (a file
system without locks, a folder that can only be read), or for a program that does not know it, SQLite's lock does that
alone.
"""
from __future__ import annotations

import _thread
import os
import time

from ..base.found import require_own
from .files import make_file
from .locks import AT_ONCE, close_locked, is_same_file, lock, unlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_OPEN: set[Line] = set()  # those that are open, which a forked child has to close


class Line:
    """Two open files: the one whose turn it is holds the lock on `front`, the first waiter that on `line`."""

    def __init__(self, front: str, line: str, open_file: Callable[[str], int]) -> None:
        """Open both; open_file: gives the descriptor of a path."""
        self._front = open_file(front)
        try:
            self._line = open_file(line)
        except BaseException:
            os.close(self._front)
            raise
        _OPEN.add(self)

    def has_front(self, path: str) -> bool:
        """Whether a path still leads to the file whose lock gives the turn."""
        return is_same_file(self._front, path)

    def enter(self, alone: bool, seconds: float) -> bool:
        """Wait for the turn at most so long; if it has not come, or on any error, the queue is closed.

        alone: or with others who are not alone
        OSError where the file system has no locks.
        """
        has_come = False
        try:
            has_come = self.lock(alone, AT_ONCE) or seconds > 0 and self._wait(alone, seconds)
        finally:
            if not has_come:
                self.close()
        return has_come

    def _wait(self, alone: bool, seconds: float) -> bool:
        """Wait in a thread that can be abandoned: a lock has no time limit, and polling has no order."""
        try:
            waiter = _Waiter(self, alone)
        except RuntimeError:  # no thread can be started: too many processes, or the interpreter ends
            return self.lock(alone, time.monotonic() + seconds)
        has_come = False
        try:
            has_come = waiter.wait(seconds)
        finally:
            if not has_come:
                _OPEN.discard(self)  # it is the thread's now
                waiter.give_up()
        return has_come

    def lock(self, alone: bool, until: float | None = None) -> bool:
        """Become the first waiter, and then get the turn, both until then."""
        if not lock(self._line, True, until):
            return False
        try:
            return lock(self._front, alone, until)
        finally:
            unlock(self._line)

    def leave(self) -> None:
        """Give the turn to the next one; does nothing if closed."""
        if self in _OPEN:
            unlock(self._front)

    def close(self) -> None:
        """Leave the queue, and close the files; doing so again does nothing."""
        if self in _OPEN:
            _OPEN.discard(self)
            self.close_files(close_locked)

    def close_files(self, close: Callable[[int], None] = os.close) -> None:
        """Close both, each by `close`; a lock that a parent process has stays the parent's, and ends with it."""
        close(self._line)
        close(self._front)


class WriteQueue:
    """One connection's place in the queue of writers of the database at `path`; not reentrant."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._line: Line | None = None
        self._is_in = False

    def enter(self, seconds: float) -> bool:
        """Wait for the turn at most so long; False if it has not come. True also if there is no queue.

        Whatever else it ends with, `leave` is to be called.
        """
        self._is_in = True
        try:
            if self._line not in _OPEN:  # there is none yet, it was closed, or is a parent process's
                self._line = Line(self.path + "-queue", self.path + "-line", _open)
            return self._line.enter(True, seconds)
        except OSError:
            return True

    def leave(self) -> None:
        """Let the next one write; doing so again does nothing."""
        if self._is_in:
            self._is_in = False
            if self._line:
                self._line.leave()

    def close(self) -> None:
        """Leave the queue, and close the files; doing so again does nothing."""
        line, self._line = self._line, None
        if line:
            line.close()


class _Waiter:
    """A thread that waits for the turn; if it comes too late, the queue is closed then."""

    def __init__(self, line: Line, alone: bool) -> None:
        self.line, self.alone = line, alone
        self.has_come = self.is_given_up = False
        self.error: OSError | None = None
        self.state, self.done = _thread.allocate_lock(), _thread.allocate_lock()
        self.done.acquire()
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            self.line.lock(self.alone)
        except OSError as error:
            self.error = error
        with self.state:
            self.has_come = True
            self.done.release()
            if self.is_given_up:
                self.line.close_files(close_locked)

    def wait(self, seconds: float) -> bool:
        """Whether the turn has come in that time. OSError if the file system has no locks."""
        self.done.acquire(timeout=min(seconds, _thread.TIMEOUT_MAX))
        if self.error:
            raise self.error
        return self.has_come

    def give_up(self) -> None:
        """Leave the queue to the thread, which closes it when the turn comes; if it has just come, close it."""
        with self.state:
            self.is_given_up = True
            if self.has_come:
                self.line.close_files(close_locked)


def _open(path: str) -> int:
    """A file of the queue, created if necessary. A user who may only read it may still lock it."""
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
        _OPEN.pop().close_files()


os.register_at_fork(after_in_child=_forget_all)
