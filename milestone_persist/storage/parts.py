"""New files that have a temporary name until they are complete: a killed writer's file is never taken for complete.

A writer keeps a lock on its part, which ends with it: a part without one is left over, and the next writer removes it.
"""
from __future__ import annotations

import os
import stat

from ..base.errors import UsageError
from .files import cannot_write, flush, give_name, hand_over, make_folder, remove_if_can
from .locks import AT_ONCE, close_locked, lock

ENDING = ".new.part"
RESTS = ("-journal", "-wal", "-shm")  # what SQLite has beside a file


class NewFile:
    """Context with a private file `part` next to `path`; `finish` renames it to `path`, durably.

    inside: whether it lies in the data directory, and belongs to whom that belongs
    Raises UsageError where something has that name, unless it may be replaced, and StorageError where it cannot be
    written.
    """

    def __init__(self, path: str, inside: bool = False, replace: bool = False,
                 advice: str = "name a file you can write") -> None:
        self.path, self.inside, self.replace, self.advice = path, inside, replace, advice

    def __enter__(self) -> NewFile:
        try:
            if not self.replace and os.path.lexists(self.path):
                raise FileExistsError
            make_folder(os.path.dirname(self.path))
            _remove_left_over(os.path.dirname(self.path))
            self.part, self._lock = _make_part(self.path, self.inside)
        except OSError as error:
            raise self._explain(error) from None
        return self

    def finish(self) -> None:
        """Rename the file to its final name, durably; it is closed for writing."""
        try:
            flush(self._lock)
            give_name(self.part, self.path, self.replace)
        except OSError as error:
            raise self._explain(error) from None

    def __exit__(self, *exc: object) -> None:
        try:
            _remove(self.part)
        finally:
            close_locked(self._lock)

    def _explain(self, error: OSError) -> Exception:
        if isinstance(error, FileExistsError):
            return UsageError(f"{self.path} is there already: name a new file")
        return cannot_write(self.path, error, self.advice)


def _make_part(path: str, inside: bool) -> tuple[str, int]:
    """A new part, and the descriptor that keeps its lock."""
    while True:
        part = f"{path}.{os.urandom(6).hex()}{ENDING}"
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if inside:
            hand_over(descriptor, os.path.dirname(part))
        try:
            lock(descriptor, alone=False)
        except OSError:  # a file system without locks, where nothing is taken for left over
            pass
        if os.path.lexists(part):  # else it was taken for left over before it had its lock
            return part, descriptor
        close_locked(descriptor)


def _remove_left_over(folder: str) -> None:
    """Remove the parts of writers that were killed."""
    for name in os.listdir(folder):
        if name.endswith(ENDING):
            try:
                remove_if_left_over(os.path.join(folder, name))
            except OSError:  # it does no harm
                continue


def remove_if_left_over(part: str) -> None:
    """Remove a part whose writer was killed; that of a running writer is kept."""
    status, whole = os.lstat(part), part[:-len(ENDING) - 13]
    if status.st_nlink > 1:  # killed when it had its name already; any other may be a file of the store: let it be
        if os.path.lexists(whole) and os.path.samestat(status, os.lstat(whole)):
            _remove(part)
        return
    if stat.S_ISREG(status.st_mode):
        descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if lock(descriptor, True, AT_ONCE):
                _remove(part)
        finally:
            close_locked(descriptor)


def _remove(part: str) -> None:
    """Remove a part, after the files that SQLite has left next to it."""
    for path in (*(part + rest for rest in RESTS), part):
        remove_if_can(path)
