"""Files that one process holds locked as long as it lives, with a description of itself.

The holder has a lock on the file, which the system ends with the process, across containers as well; a process id in
the file is for people to read.
"""
from __future__ import annotations

import os

from ..base.errors import StorageError
from ..base.found import cannot_read, open_found
from ..base.values import dump_json, parse_json
from .files import cannot_write, open_private
from .locks import AT_ONCE, close_locked, is_same_file, lock, unlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .interface import Row


def try_holding(path: str) -> int | None:
    """A descriptor that holds the lock of a file, created if necessary; None while another process holds it."""
    while True:
        descriptor, ours = open_private(path, os.O_RDWR), False
        try:
            is_free = lock(descriptor, True, AT_ONCE)
            ours = is_free and is_same_file(descriptor, path)
        finally:
            if not ours:
                close_locked(descriptor)
        if ours or not is_free:  # else the file was replaced before we had its lock
            return descriptor if ours else None


def say_in(descriptor: int, about: Row) -> None:
    """Write the holder's description of itself."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, dump_json(about).encode(), 0)


def read_held(path: str) -> tuple[bool, Row] | None:
    """Whether a process holds a file, and the holder's description of itself; None if there is no such file.

    Nothing is known of a holder that is writing that, or whose file is corrupt.
    """
    try:
        with open_found(path) as file:
            is_held = not lock(file.fileno(), False, AT_ONCE)
            if not is_held:
                unlock(file.fileno())
            return is_held, _read_about(file.read(10_000))
    except FileNotFoundError:
        return None
    except OSError as error:  # of opening it, or else of its lock
        raise (cannot_read if error.filename else cannot_write)(error.filename or path, error) from None


def _read_about(data: bytes) -> Row:
    try:
        about = parse_json(data.decode())
    except ValueError:
        about = None
    return {key: value for key, value in about.items() if _is_plain(value)} if isinstance(about, dict) else {}


def _is_plain(value: object) -> bool:
    """Whether a holder may have said it: a number, or a text that is a line."""
    return isinstance(value, int) and abs(value) < 2 ** 63 or isinstance(value, str) and value.isprintable()


def remove_held(descriptor: int, path: str) -> None:
    """Remove the held file, and release its lock."""
    try:
        if is_same_file(descriptor, path):
            os.unlink(path)
    except (OSError, StorageError):
        pass
    finally:
        close_locked(descriptor)
