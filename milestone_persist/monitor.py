"""The session monitor as a process, in the background or in the foreground: it checks, waits and ends when asked to."""
from __future__ import annotations

import os
import sys
import time

from .errors import MilestoneError, Refused, StorageError
from .monitor_files import LOCK, LOG, PID, STOP, append_log, find_monitor, is_same_file, read_text, try_lock
from .packaged import PACKAGE
from .render import plain
from .storage.directory import cannot_write, write_private
from .times import format_time
from .values import dump_json, parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Thread
    from typing import Any

    from .storage.interface import Clock, Row

POLL_SECONDS = 0.25  # between two looks whether it should end
LEAP_SECONDS = 60  # a clock that runs ahead by more was set, or the machine slept
PATIENCE_SECONDS = 30.0  # for a new monitor to answer, and for one that was asked to end
# By path, not -m: so it works from a checkout, an installation, a zip and a zipapp, and from any directory.
_START = ("import sys; sys.path.append(sys.argv.pop(1)); "
          "from milestone_persist.operations.monitoring import run_in_background; run_in_background(*sys.argv[1:])")


def in_thread(action: Callable[[], None]) -> Thread:
    """Begin a check beside the loop, which so can end even while the check waits for a busy database."""
    import threading

    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


class Monitor:
    """A monitor: `enter` takes the lock, `run` checks every so many seconds until it is to end, `leave` gives it back.

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
        """How far the clock of the day is ahead of the one that only grows."""
        return self.clock.time() - self.clock.monotonic()

    def enter(self) -> bool:
        """Become the monitor of the directory; False if another one is. OSError if its files cannot be written."""
        for _ in range(10):  # who asks whether a monitor runs holds the lock for an instant
            self.descriptor = try_lock(self.directory)
            if self.descriptor is not None:
                self._announce(self.descriptor)
                line = self._line(f"started: pid {self.about['pid']}, every {self.seconds} s")
                append_log(self.directory, line)
                self.echo(line)
                return True
            time.sleep(0.02)
        return False

    def _announce(self, descriptor: int) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, dump_json(self.about).encode(), 0)
        write_private(self._path(PID), f"{self.about['pid']}\n".encode())

    def run(self) -> str:
        """Check at once and then every so many seconds; returns why it ended."""
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
        if ahead > LEAP_SECONDS:
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
            if read_text(self._path(STOP)) == self.about["token"]:
                return "asked to stop"
            return "" if self._still_holds() else "another monitor took over"
        except FileNotFoundError:
            return "the data directory is gone"
        except OSError:  # out of reach for a while
            return ""

    def _still_holds(self) -> bool:
        """Whether the lock is still ours; a lock file that somebody removed is made and locked again."""
        if self.descriptor is not None and is_same_file(self.descriptor, self._path(LOCK)):
            self.is_missed = False
            return True
        if not self.is_missed:  # the whole directory may be on its way out: put nothing into it for a moment
            self.is_missed = True
            return True
        fresh = try_lock(self.directory)
        if fresh is None:
            return False
        self._release()
        self.descriptor = fresh
        self._announce(fresh)
        return True

    def leave(self, reason: str) -> None:
        """Say that it ends, take its files away and give the lock back."""
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
            os.close(self.descriptor)
        self.descriptor = None

    def write(self, text: str) -> None:
        """A line in the log; where that cannot be written, the monitor goes on without."""
        line = self._line(text)
        self.echo(line)
        try:
            append_log(self.directory, line)
        except OSError:
            pass

    def _line(self, text: str) -> str:
        return f"{format_time(self.clock.time())} {plain(text)}"

    def heed_signals(self) -> list[tuple[int, Any]]:
        """End in good order on SIGTERM, SIGINT and SIGHUP; returns what was done on them before."""
        import signal

        def note(number: int, frame: object) -> None:
            self.signal = signal.Signals(number).name

        return [(number, signal.signal(number, note)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]


def run_in_foreground(monitor: Monitor) -> str:
    """Be the monitor of a directory until a signal or stop_session_monitor ends it; Refused if there is one."""
    import signal
    import threading

    try:
        if not monitor.enter():
            raise Refused(describe_running(find_monitor(monitor.directory) or {}) + ": stop_session_monitor ends it")
    except OSError as error:
        raise _refusal(monitor.directory, error) from None
    is_main = threading.current_thread() is threading.main_thread()
    before = monitor.heed_signals() if is_main else []
    try:
        reason = monitor.run()
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    monitor.leave(reason)
    return reason


def background_command(directory: str, seconds: int) -> list[str]:
    """The command line of the process in the background."""
    return [sys.executable, "-I", "-S", "-c", _START, os.path.dirname(PACKAGE), directory, str(seconds)]


def start_in_background(directory: str, seconds: int, environ: Mapping[str, str]) -> Row:
    """Start a monitor that outlives the caller; its answer, once it holds the lock: what it says of itself, and
    whether it was `started` or had been running."""
    import subprocess

    if not sys.executable:
        raise StorageError("this Python does not know its own path: run start_session_monitor from a shell")
    child = subprocess.Popen(background_command(directory, seconds), env=dict(environ), cwd="/",
                             start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    try:
        answer = child.communicate(timeout=PATIENCE_SECONDS)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        child.kill()
        answer = f"no answer within {PATIENCE_SECONDS:.0f} s"
    finally:
        if child.stdout:
            child.stdout.close()
    return _read_answer(answer)


def _read_answer(answer: str) -> Row:
    try:
        told: Row = parse_json(answer)
    except ValueError:
        told = {"error": "the session monitor did not start: " + (answer.strip().splitlines() or ["it died"])[-1]}
    if "error" in told:
        raise StorageError(told["error"])
    return told


def serve_in_background(monitor: Monitor) -> None:
    """The life of the process that start_in_background started: one answer to the one who waits, then the loop."""
    if os.fork():  # the caller's child ends at once; the monitor belongs to nobody
        os._exit(0)
    os.umask(0o077)
    monitor.about["pid"] = os.getpid()
    monitor.heed_signals()
    try:
        entered = monitor.enter()
        told = {"started": entered, **(monitor.about if entered else find_monitor(monitor.directory) or {})}
    except OSError as error:
        entered, told = False, {"error": str(_refusal(monitor.directory, error))}
    heard = _answer(told)
    if entered:
        monitor.leave(monitor.run() if heard else "nobody waited for it to start")
    os._exit(0)  # not waiting for a check that still waits for the database


def _answer(told: Row) -> bool:
    """Tell the starter and let go of its pipe; whether it is still there."""
    try:
        os.write(1, dump_json(told).encode())
    except BrokenPipeError:
        return False
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return True


def _refusal(directory: str, error: OSError) -> StorageError:
    return cannot_write(error.filename or os.path.join(directory, LOCK), error)


def describe_running(about: Row) -> str:
    """The words for a monitor that runs."""
    return (f"a session monitor is running: pid {about.get('pid')} on {plain(about.get('host'))}, "
            f"every {about.get('seconds')} s since {about.get('started_at')}")


def stop_monitor(directory: str) -> Row:
    """Ask the running monitor to end and wait until it has; what it had said of itself. Refused if none runs."""
    found = find_monitor(directory)
    if found is None:
        raise Refused(f"no session monitor is running for {directory}: nothing to stop")
    asked, until = None, time.monotonic() + PATIENCE_SECONDS
    about: Row | None = found
    while about is not None and asked in (None, about["token"]):
        if asked is None and about["token"]:
            asked, found = about["token"], about
            _write_request(directory, asked)
        if time.monotonic() > until:
            raise StorageError(f"{describe_running(found)}; {PATIENCE_SECONDS:.0f} s after it was asked to end it has "
                               f"not: see {os.path.join(directory, LOG)} and end that process yourself")
        time.sleep(0.02)
        about = find_monitor(directory)
    _withdraw_request(directory, asked)
    return found


def _write_request(directory: str, token: str) -> None:
    path = os.path.join(directory, STOP)
    try:
        write_private(path, token.encode())
    except OSError as error:
        raise cannot_write(path, error) from None


def _withdraw_request(directory: str, token: str | None) -> None:
    """Take away what a monitor that ended by itself has left."""
    path = os.path.join(directory, STOP)
    try:
        if read_text(path) == token:
            os.unlink(path)
    except OSError:  # another one who asked was quicker
        pass
