"""Replaces a file or folder of the program, so that a kill leaves either the old or the new one complete.

It gets the modes of any new file, and a power cut may leave neither: it can be made again.
"""
from __future__ import annotations

import contextlib
import os
import shutil
import sys

from ..base.errors import Refused, StorageError
from ..storage.locks import FolderLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def replace_folder(path: str, files: dict[str, bytes]) -> None:
    """Make `path` a folder with exactly these files, by their paths in it; StorageError if it cannot be written."""
    with _staging(path) as (new, old):
        for name, data in files.items():
            path_inside = os.path.join(new, name)
            os.makedirs(os.path.dirname(path_inside), exist_ok=True)
            with open(path_inside, "xb") as file:
                file.write(data)
        if os.path.isdir(path) and os.listdir(path):
            _swap(new, path, old)
        else:
            os.rename(new, path)


def replace_file(path: str, data: bytes, mode: int = 0o666) -> None:
    """Make `path` a file that holds `data`, its mode within the umask; StorageError if it cannot be written."""
    with _staging(path) as (new, _):
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        os.replace(new, path)


def remove_leftovers(path: str) -> None:
    """Remove what a process killed while replacing `path` has left next to it."""
    with _staging(path):
        pass


@contextlib.contextmanager
def _staging(path: str) -> Iterator[tuple[str, str]]:
    """Two free names next to `path`, for the new and the old contents; both are removed in the end."""
    home, name = os.path.split(path)
    new, old = (os.path.join(home, f".{name}.{part}") for part in ("new", "old"))
    try:
        os.makedirs(home, exist_ok=True)
        with FolderLock(home, seconds=0) as alone:
            if not alone:
                raise Refused(f"another process is writing in {home}: try again")
            if os.path.isdir(old) and not os.path.exists(path):  # one that could not swap was killed in between
                os.rename(old, path)
            try:
                _remove(new, old)
                yield new, old
            finally:
                _remove(new, old)
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror or error}): "
                           "make it writable, or name another place") from None


def _remove(*paths: str) -> None:
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.remove(path)


def _swap(new: str, path: str, old: str) -> None:
    """Replace one folder with another: in one step if the system can, else in two."""
    if not exchange(new, path):
        os.rename(path, old)
        try:
            os.rename(new, path)
        except OSError:
            os.rename(old, path)
            raise


def exchange(one: str, other: str) -> bool:
    """Exchange two paths atomically; returns whether it was done."""
    try:
        import ctypes

        system = ctypes.CDLL(None)
        paths = os.fsencode(one), os.fsencode(other)
        if sys.platform == "darwin":
            return bool(system.renamex_np(*paths, 2) == 0)
        return bool(system.renameat2(-100, paths[0], -100, paths[1], 2) == 0)
    except (ImportError, OSError, AttributeError):  # a libc without it
        return False
