"""Changes to files of a project that belong together: each whole, by a rename, and a failure takes back those before.

They keep the modes that are there. A kill leaves some done: the manifest, written first, tells the next run which.
"""
from __future__ import annotations

import os

from ..base.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_NEW = ".milestone-new"  # the file that is about to take its place


class FileChanges:
    """A context in which files are changed: all of it, or after an error (raised as StorageError) nothing of it.

    dry_run: nothing is changed at all
    """

    def __init__(self, dry_run: bool = False) -> None:
        self.dry_run = dry_run
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> FileChanges:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if error is None:
            return
        left = self.take_back()
        if isinstance(error, OSError):
            done = f"{', '.join(left)} could not be put back" if left else "nothing was changed"
            path = str(error.filename or "a file").replace(_NEW, "")
            raise StorageError(f"cannot write {path} ({error.strerror}): {done}") from None

    def take_back(self) -> list[str]:
        """Undo all that was done, the last first; what could not be undone."""
        left = []
        for undo in reversed(self._undo):
            try:
                undo()
            except OSError as error:
                left.append(str(error.filename))
        return left

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Put a file in its place; one that is there keeps its mode."""
        if self.dry_run:
            return
        _make_temporary(path, data, mode)
        self._put(path)

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link in its place."""
        if self.dry_run:
            return
        _remove_if_there(path + _NEW)
        os.symlink(target, path + _NEW)
        self._put(path)

    def make_directory(self, path: str) -> None:
        """Make a folder and those above it, where they are not there."""
        if not self.dry_run and not os.path.isdir(path):
            self.make_directory(os.path.dirname(path))
            os.mkdir(path, 0o755)
            self._undo.append(lambda: os.rmdir(path))

    def move(self, old: str, new: str) -> None:
        """Rename a file; `new` must not be there."""
        if not self.dry_run:
            os.rename(old, new)
            self._undo.append(lambda: os.rename(new, old))

    def remove(self, path: str) -> None:
        """Remove a file or a link."""
        if not self.dry_run:
            self._undo.append(_restorer(path))
            os.unlink(path)

    def remove_directory(self, path: str) -> None:
        """Remove a folder if it is empty."""
        try:
            if not self.dry_run:
                os.rmdir(path)
                self._undo.append(lambda: os.mkdir(path, 0o755))
        except OSError:
            pass

    def _put(self, path: str) -> None:
        try:
            restore = _restorer(path)
            os.replace(path + _NEW, path)
        except OSError:
            _remove_if_there(path + _NEW)
            raise
        self._undo.append(restore)


def _make_temporary(path: str, data: bytes, mode: int) -> None:
    """Write what is to become the file `path`, beside it, with the mode of the file that is there."""
    _remove_if_there(path + _NEW)
    descriptor = os.open(path + _NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if os.path.isfile(path):
                os.fchmod(descriptor, os.stat(path).st_mode & 0o7777)
            file.write(data)
    except OSError:
        _remove_if_there(path + _NEW)
        raise


def _restorer(path: str) -> Callable[[], None]:
    """What puts the file `path` back to what it is now."""
    if os.path.islink(path):
        target = os.readlink(path)

        def restore() -> None:
            _remove_if_there(path)
            os.symlink(target, path)
    elif os.path.exists(path):
        with open(path, "rb") as file:
            data, state = file.read(), os.stat(path)

        def restore() -> None:
            _make_temporary(path, data, state.st_mode & 0o7777)
            os.replace(path + _NEW, path)
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    else:
        def restore() -> None:
            _remove_if_there(path)
    return restore


def _remove_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
