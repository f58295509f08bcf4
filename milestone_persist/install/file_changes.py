"""A set of changes to files of a project: each atomic, by a rename; a failure undoes the earlier ones.

They keep the modes that are there. A kill leaves some done: the manifest, written first, tells the next run which. So
does a power cut: the bytes of a file are durable before it has its name, and each change before the next one.
"""
from __future__ import annotations

import errno
import os

from ..base.errors import StorageError
from ..storage.files import flush, remove_if_there, sync_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

NEW = ".milestone-new"  # the file that is about to take its place
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EBUSY)  # not there, a link, a mount


class FileChanges:
    """A context in which files are changed: all of them or, after an error (raised as StorageError), none.

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
            path = str(error.filename or "a file").replace(NEW, "")
            raise StorageError(f"cannot write {path} ({error.strerror}): {done}") from None

    def take_back(self) -> list[str]:
        """Undo everything, the last change first; returns what could not be undone."""
        left = []
        for undo in reversed(self._undo):
            try:
                undo()
            except OSError as error:
                left.append(str(error.filename))
        return left

    def write(self, path: str, data: bytes, mode: int = 0o644, is_kept: bool = False) -> None:
        """Put a file in place, with the mode of the existing one, unless that is kept."""
        if self.dry_run:
            return
        _make_temporary(path, data, mode, keeps_mode=not is_kept)
        self._put(path, is_kept)

    def link(self, path: str, target: str, is_kept: bool = False) -> None:
        """Put a symbolic link in place."""
        if self.dry_run:
            return
        remove_if_there(path + NEW)
        os.symlink(target, path + NEW)
        self._put(path, is_kept)

    def make_directory(self, path: str) -> None:
        """Create a folder and missing parents."""
        if not self.dry_run and not os.path.isdir(path):
            self.make_directory(os.path.dirname(path))
            os.mkdir(path, 0o755)
            self._undo.append(lambda: os.rmdir(path))
            sync_directory(os.path.dirname(path))

    def keep(self, path: str, name: str) -> None:
        """Give a file that is about to be replaced a second name; there only if a killed call has given it that."""
        if self.dry_run:
            return
        remove_if_there(name)
        try:
            os.link(path, name, follow_symlinks=False)
        except (OSError, NotImplementedError):  # a file system without hard links, or of this kind
            os.rename(path, name)
        self._undo.append(lambda: _bring_back(name, path))
        sync_directory(os.path.dirname(name))

    def bring_back(self, name: str, path: str) -> None:
        """Rename a kept file back to its old name, replacing whatever is there."""
        if not self.dry_run:
            restore = _restorer(path)
            os.replace(name, path)
            self._undo += [restore, lambda: os.rename(path, name)]
            sync_directory(os.path.dirname(path))

    def remove(self, path: str) -> None:
        """Remove a file or a link."""
        if not self.dry_run:
            restore = _restorer(path)
            os.unlink(path)
            self._undo.append(restore)
            sync_directory(os.path.dirname(path))

    def remove_left(self, path: str) -> None:
        """Remove what a killed process has written to replace a file."""
        if not self.dry_run:
            remove_if_there(path + NEW)

    def remove_directory(self, path: str) -> None:
        """Remove a folder if it is empty."""
        if self.dry_run:
            return
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                raise
        else:
            self._undo.append(lambda: os.mkdir(path, 0o755))
            sync_directory(os.path.dirname(path))

    def _put(self, path: str, is_kept: bool = False) -> None:
        try:
            restore = None if is_kept else _restorer(path)
            os.replace(path + NEW, path)
        except OSError:
            remove_if_there(path + NEW)
            raise
        if restore:
            self._undo.append(restore)
        sync_directory(os.path.dirname(path))


def _make_temporary(path: str, data: bytes, mode: int, keeps_mode: bool) -> None:
    """Write the new contents of `path` next to it, durably; perhaps with the mode of the existing file."""
    remove_if_there(path + NEW)
    descriptor = os.open(path + NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if keeps_mode and os.path.isfile(path):
                os.fchmod(descriptor, os.stat(path).st_mode & 0o7777)
            file.write(data)
            file.flush()
            flush(descriptor)
    except OSError:
        remove_if_there(path + NEW)
        raise


def _bring_back(name: str, path: str) -> None:
    """Undo that a file was kept under another name."""
    if os.path.lexists(path) and os.path.samestat(os.lstat(name), os.lstat(path)):
        os.unlink(name)  # two names of one file, of which a rename would leave both
    else:
        os.rename(name, path)


def _restorer(path: str) -> Callable[[], None]:
    """The action that restores the file `path` to its present state."""
    if os.path.islink(path):
        target = os.readlink(path)

        def restore() -> None:
            remove_if_there(path)
            os.symlink(target, path)
    elif os.path.exists(path):
        with open(path, "rb") as file:
            data, state = file.read(), os.stat(path)

        def restore() -> None:
            _make_temporary(path, data, state.st_mode & 0o7777, keeps_mode=True)
            os.replace(path + NEW, path)
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    else:
        def restore() -> None:
            remove_if_there(path)
    return restore
