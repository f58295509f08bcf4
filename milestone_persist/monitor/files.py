"""The session monitor's files in the data directory: its lock, its description of itself, its log.

The one instance is the process that holds the lock on session-monitor.lock. It is asked to end by a file that names it,
which works across containers as well; session-monitor.pid is for people to read and nothing here acts on it.
"""
from __future__ import annotations

import os

from ..base.errors import StorageError
from ..base.found import open_found
from ..storage.files import append_line, hand_over, open_private
from ..storage.held_file import read_held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row

LOCK, STOP, PID = "session-monitor.lock", "session-monitor.stop", "session-monitor.pid"
LOG = os.path.join("logs", "session-monitor.log")
LOG_BYTES = 1_000_000


def find_monitor(directory: str) -> Row | None:
    """The running monitor's description (token, pid, host, seconds, started_at); None if none is running."""
    is_held, about = read_held(os.path.join(directory, LOCK)) or (False, {})
    return {key: about.get(key) for key in ("token", "pid", "host", "seconds", "started_at")} if is_held else None


def append_log(directory: str, line: str, limit: int = LOG_BYTES) -> None:
    """Append a line to the log; a log that would exceed `limit` bytes is rotated first."""
    path, data = os.path.join(directory, LOG), (line + "\n").encode("utf-8", "backslashreplace")
    try:
        os.mkdir(os.path.dirname(path), 0o700)  # not makedirs: a data directory that was deleted stays so
        hand_over(os.path.dirname(path), directory)
    except FileExistsError:
        pass
    try:
        if os.path.getsize(path) + len(data) > limit:
            os.replace(path, path + ".1")
    except FileNotFoundError:
        pass
    descriptor = open_private(path, os.O_RDWR | os.O_APPEND)
    try:
        append_line(descriptor, data)
    finally:
        os.close(descriptor)


def last_line(directory: str) -> str | None:
    """The end of the log; None if there is none."""
    try:
        with open_found(os.path.join(directory, LOG), alone=True) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except (OSError, StorageError):
        return None
    return lines[-1] if lines else None
