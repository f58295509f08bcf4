"""The processes of the session monitor: in the foreground, in the background, and stopping it."""
from __future__ import annotations

import os
import sys
import time

from ..base.errors import Refused, StorageError
from ..base.found import read_found
from ..base.packaged import PACKAGE
from ..base.signals import restore_signals
from ..base.values import dump_json, parse_json
from ..cli.text.forms import plain
from ..storage.files import cannot_write, write_whole
from .files import LOCK, LOG, STOP, find_monitor
from .loop import Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..storage.interface import Row

START_TIMEOUT = 30.0  # seconds for a new monitor to answer
STOP_TIMEOUT = 30.0  # seconds for a monitor to end that was asked to
# By path, not -m: so it works from a checkout, an installation, a zip and a zipapp, and from any directory.
_START = ("import sys; sys.path.append(sys.argv.pop(1)); "
          "__import__(sys.argv[1], fromlist=['here']).run_in_background(*sys.argv[2:])")


def run_in_foreground(monitor: Monitor) -> str:
    """Be the monitor of a directory until a signal or stop_session_monitor ends it; Refused if there is one."""
    try:
        if not monitor.enter():
            raise Refused(describe_running(find_monitor(monitor.directory) or {}) + ": stop_session_monitor ends it")
    except OSError as error:
        raise _refusal(monitor.directory, error) from None
    before = monitor.install_signal_handlers()
    try:
        reason = monitor.run()
    finally:
        restore_signals(before)
    monitor.leave(reason)
    return reason


def background_command(module: str, directory: str, seconds: int) -> list[str]:
    """The command line of the process in the background, which calls a module's run_in_background."""
    return [sys.executable, "-I", "-S", "-c", _START, os.path.dirname(PACKAGE), module, directory, str(seconds)]


def start_in_background(module: str, directory: str, seconds: int, environ: Mapping[str, str]) -> Row:
    """Start a monitor that outlives the caller; its answer, once it holds the lock: what it says of itself, and
    whether it was `started` or had been running. StorageError, with why, if it does not come to that."""
    import subprocess

    if not sys.executable:
        raise StorageError("this Python does not know its own path: run start_session_monitor from a shell")
    child = subprocess.Popen(background_command(module, directory, seconds), env=dict(environ), cwd="/",
                             start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    try:
        answer = child.communicate(timeout=START_TIMEOUT)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        child.kill()
        answer = f"no answer within {START_TIMEOUT:.0f} s"
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
    if os.fork():  # the caller's child ends at once; the monitor has no parent
        os._exit(0)
    os.umask(0o077)
    monitor.about["pid"] = os.getpid()
    monitor.install_signal_handlers()
    try:
        entered = monitor.enter()
        told = {"started": entered, **(monitor.about if entered else find_monitor(monitor.directory) or {})}
    except (OSError, StorageError) as error:
        entered, told = False, {"error": str(_refusal(monitor.directory, error))}
    heard = _answer(told)
    if entered:
        monitor.leave(monitor.run() if heard else "the caller did not wait for it to start")
    os._exit(0)  # not waiting for a check that still waits for the database


def _answer(told: Row) -> bool:
    """Answer the starter and close its pipe; returns whether it was still there."""
    try:
        os.write(1, dump_json(told).encode())
    except BrokenPipeError:
        return False
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return True


def _refusal(directory: str, error: OSError | StorageError) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return cannot_write(error.filename or os.path.join(directory, LOCK), error)


def describe_running(about: Row) -> str:
    """The text about a running monitor."""
    return (f"a session monitor is running: pid {about.get('pid')} on {plain(about.get('host'))}, "
            f"every {about.get('seconds')} s since {about.get('started_at')}")


def stop_monitor(directory: str) -> Row:
    """Ask the running monitor to end and wait until it has; returns its description. Refused if none is running."""
    found = find_monitor(directory)
    if found is None:
        raise Refused(f"no session monitor is running for {directory}: nothing to stop")
    asked, until = None, time.monotonic() + STOP_TIMEOUT
    about: Row | None = found
    while about is not None and asked in (None, about["token"]):
        if asked is None and about["token"]:
            asked, found = about["token"], about
            write_whole(os.path.join(directory, STOP), str(asked).encode(), makes_folder=False)
        if time.monotonic() > until:
            raise StorageError(f"{describe_running(found)}; {STOP_TIMEOUT:.0f} s after it was asked to end it has "
                               f"not: see {os.path.join(directory, LOG)} and end that process yourself")
        time.sleep(0.02)
        about = find_monitor(directory)
    _withdraw_request(directory, asked)
    return found


def _withdraw_request(directory: str, token: str | None) -> None:
    """Remove the files of a monitor that has died."""
    path = os.path.join(directory, STOP)
    try:
        if token and read_found(path) == token.encode():
            os.unlink(path)
    except (OSError, StorageError):  # another one who asked was quicker
        pass
