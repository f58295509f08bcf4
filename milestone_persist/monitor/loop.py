"""The session monitor: it checks, waits, and ends when asked to; its processes are in monitor_process.py."""
from __future__ import annotations

import os
import time

from ..base.errors import MilestoneError, StorageError
from ..base.found import read_found
from ..base.signals import note_signals
from ..base.times import format_time
from ..cli.text.forms import plain
from ..storage.files import write_whole
from ..storage.held_file import say_in, try_holding
from ..storage.locks import close_locked, is_same_file
from .files import LOCK, PID, STOP, append_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

    from ..storage.call import Clock
    from ..storage.interface import Row

POLL_SECONDS = 0.25  # between two looks whether it should end
MAX_CLOCK_JUMP = 60  # a clock that runs ahead by more was set, or the machine slept


def in_thread(action: Callable[[], None]) -> Thread:
    """Start a check in parallel to the loop, which can then end even while the check waits for a busy database."""
    import threading

    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


class Monitor:
    """A monitor: `enter` takes the lock, `run` checks every so many seconds until it is stopped, `leave` releases it.

    check: does one check and returns the words for the log
    echo: is given each line of the log too
    begin: begins a check and returns the thread it runs in
    """

    def __init__(self, directory: str, seconds: int, clock: Clock, check: Callable[[], str],
                 echo: Callable[[str], None] = lambda line: None,
                 begin: Callable[[Callable[[], None]], Thread] = in_thread) -> None:
        self.directory, self.seconds, self.clock = directory, seconds, clock
        self.check, self.echo, self.begin = check, echo, begin
        self.descriptor: int | None = None
        self.signal = ""
        self.is_missed = False  # whether the last look found the lock file gone
        self.lead = self._lead()
        self.about: Row = {"token": os.urandom(8).hex(), "pid": os.getpid(), "host": os.uname().nodename,
                           "seconds": seconds, "started_at": format_time(clock.time())}

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _lead(self) -> float:
        """The difference between wall clock and monotonic clock."""
        return self.clock.time() - self.clock.monotonic()

    def enter(self) -> bool:
        """Become the monitor of the directory; False if another one is. OSError if its files cannot be written."""
        for _ in range(10):  # who asks whether a monitor runs holds the lock for an instant
            self.descriptor = try_holding(self._path(LOCK))
            if self.descriptor is not None:
                self._announce(self.descriptor)
                line = self._line(f"started: pid {self.about['pid']}, every {self.seconds} s")
                append_log(self.directory, line)
                self.echo(line)
                return True
            time.sleep(0.02)
        return False

    def _announce(self, descriptor: int) -> None:
        say_in(descriptor, self.about)
        write_whole(self._path(PID), f"{self.about['pid']}\n".encode(), makes_folder=False)

    def run(self) -> str:
        """Check immediately and then every so many seconds; returns why it ended."""
        due, work = self.clock.monotonic(), None
        while not (reason := self._reason_to_end()):
            if self.clock.monotonic() >= due and not (work and work.is_alive()):
                due = self.clock.monotonic() + self.seconds
                work = self.begin(self._check_and_log)
            self.clock.sleep(POLL_SECONDS)
        if work:
            work.join(POLL_SECONDS)
        return reason

    def _check_and_log(self) -> None:
        ahead, self.lead = self._lead() - self.lead, self._lead()
        if ahead > MAX_CLOCK_JUMP:
            self.write(f"the clock leapt {ahead:.0f} s ahead: not checked, agents have until the next check to report")
            return
        try:
            self.write(self.check())
        except MilestoneError as error:
            self.write(f"error: {error}")
        except Exception as error:
            self.write(f"error: {type(error).__name__}: {error}")

    def _reason_to_end(self) -> str:
        if self.signal:
            return self.signal
        try:
            os.stat(self.directory)
            if read_found(self._path(STOP)) == self.about["token"].encode():
                return "asked to stop"
            return "" if self._still_holds() else "another monitor took over"
        except FileNotFoundError:
            return "the data directory is gone"
        except (OSError, StorageError):  # out of reach for a while
            return ""

    def _still_holds(self) -> bool:
        """Whether the lock is still ours; a removed lock file is created and locked again."""
        if self.descriptor is not None and is_same_file(self.descriptor, self._path(LOCK)):
            self.is_missed = False
            return True
        if not self.is_missed:  # the whole directory may be on its way out: put nothing into it for a moment
            self.is_missed = True
            return True
        fresh = try_holding(self._path(LOCK))
        if fresh is None:
            return False
        self._release()
        self.descriptor = fresh
        self._announce(fresh)
        return True

    def leave(self, reason: str) -> None:
        """Report the end, remove the files and release the lock."""
        self.write(f"ended: {reason}")
        if self.descriptor is not None and is_same_file(self.descriptor, self._path(LOCK)):
            for name in (PID, STOP):
                try:
                    os.unlink(self._path(name))
                except OSError:
                    pass
        self._release()

    def _release(self) -> None:
        if self.descriptor is not None:
            close_locked(self.descriptor)
        self.descriptor = None

    def write(self, text: str) -> None:
        """Write a line to the log; if that fails, the monitor continues without it."""
        line = self._line(text)
        self.echo(line)
        try:
            append_log(self.directory, line)
        except OSError:
            pass

    def _line(self, text: str) -> str:
        return f"{format_time(self.clock.time())} {plain(text)}"

    def install_signal_handlers(self) -> list[tuple[int, Any]]:
        """Shut down cleanly on SIGTERM, SIGINT and SIGHUP; returns the previous handlers."""
        def note(name: str) -> None:
            self.signal = name

        return note_signals(note)
