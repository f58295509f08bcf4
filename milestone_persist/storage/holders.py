"""Finds which process holds a lock on a file, where the system says so: on Linux, in /proc/locks."""
from __future__ import annotations

import os

# SQLite's lock bytes: a writer holds one of these, a reader of a database without WAL the ones after them.
# The queue of writers is locked as a whole; the first in line keeps others waiting where nobody else does.
_WRITERS = {"": range(1073741824, 1073741826), "-shm": range(120, 121), "-queue": range(0), "-line": range(0)}
_READERS = range(1073741826, 1073742336)


def find_holders(path: str, doing: str) -> str:
    """The other processes that are `writing` or `reading` a database or lock file, as an error names them."""
    found: list[str] = []
    for ending, bytes_written in _WRITERS.items():
        if found and ending == "-line":
            break
        for kind, mode, process, start in _locks_on(path + ending):
            is_writer = mode == "WRITE" if kind == "FLOCK" else start in bytes_written
            is_reader = mode == "READ" if kind == "FLOCK" else not ending and start in _READERS
            if (is_writer if doing == "writing" else is_reader or is_writer) and process != os.getpid():
                found.append(_name(process))
    return ", ".join(dict.fromkeys(found))


def _locks_on(path: str) -> list[tuple[str, str, int, int]]:
    """The locks on a file: FLOCK or POSIX, WRITE or READ, the process, and the first byte."""
    try:
        number = os.stat(path)
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            rows = [line.split() for line in file if "->" not in line]  # those that wait for a lock
    except OSError:
        return []
    device_and_inode = f"{os.major(number.st_dev):02x}:{os.minor(number.st_dev):02x}:{number.st_ino}"
    return [(row[1], row[3], int(row[4]), int(row[6])) for row in rows
            if len(row) == 8 and row[5] == device_and_inode and row[4].isdigit()]  # of another container it is -1 or 0


def _name(process: int) -> str:
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            name, _, state = file.read().partition("(")[2].rpartition(") ")
    except OSError:
        return f"process {process}"
    advice = f", which is stopped: kill -CONT {process} lets it go on" if state[:1] in ("T", "t") else ""
    return f"process {process}, {name}{advice}"
