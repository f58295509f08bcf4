"""The data directory: created private to its owner and ignored by git; which files in it are the program's."""
from __future__ import annotations

import os
import stat

from ..base.errors import StorageError
from ..base.location import NAME, is_own, is_shared, is_top
from ..base.tables import TABLES
from .backends import FILE, HYBRID, IN_USE
from .files import hand_over, move_whole, sync_directory, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# What the program opens in the data directory: at its top, and folders below that.
OURS = frozenset((".gitignore", "active", "completed", "config", "logs", "backups", "reports", "watchers",
                  *(table.replace("_", "-") for table in TABLES)))
INNER = (os.path.join("agent-messages", "acknowledged"),)


def create_directory(directory: str) -> None:
    """Create the data directory, private to its owner and ignored by git, if it does not exist; or StorageError."""
    try:
        if not os.path.isdir(directory):
            os.makedirs(os.path.dirname(directory), exist_ok=True)
            try:
                os.mkdir(directory, 0o700)
                hand_over(directory, os.path.dirname(directory), with_group=False)
                sync_directory(os.path.dirname(directory))
            except FileExistsError:  # another process was first, or it is not a directory: the next line tells
                os.listdir(directory)
        ignore = os.path.join(directory, ".gitignore")
        if not os.path.exists(ignore):
            write_whole(ignore, b"*\n")
    except OSError as error:
        from .remedies import how_to_write

        raise StorageError(f"cannot make the data directory {directory} ({error.strerror}): "
                           + how_to_write(directory, "mkdir it yourself, writable")) from None


def require_usable(directory: str, environ: Mapping[str, str]) -> None:
    """StorageError if a data directory cannot be read, belongs to another user, or leads elsewhere.

    One that is not there is empty. One's own that others may write is made private, unless it is meant to be shared.
    """
    try:
        status, is_open = os.stat(directory), is_shared(directory, environ)
        if not is_open and not is_own(directory):
            raise StorageError(f"{directory} belongs to another user (uid {status.st_uid}), who could read and "
                               "change all that is in it: if it is meant to be shared, set "
                               f"MILESTONE_SHARED_DIRS={directory}")
        with os.scandir(directory) as entries:
            found = list(entries)
        _refuse_project(directory, [entry.name for entry in found])
        if not is_open:
            _make_private(directory, status)
        ours = [entry for entry in found if is_ours(entry.name)]
        links = sorted(entry.path for entry in ours if entry.is_symlink())
        for path in [*links, *(os.path.join(directory, name) for name in INNER)]:
            refuse_link_out(path, directory)
        for entry in ours:
            if entry.name.startswith("coordination.db-") and _is_of_another_kind(entry.path):  # SQLite waits for a pipe
                raise StorageError(f"cannot use {entry.path}: it is not a regular file; move it away")
    except OSError as error:
        if not isinstance(error, FileNotFoundError) or os.path.islink(directory):
            is_found = os.path.basename(directory) == NAME and os.path.lexists(directory)
            advice = ("move it away, or name a directory in MILESTONE_DIR" if is_found else
                      "name a directory in MILESTONE_DIR"
                      ) if isinstance(error, NotADirectoryError) else "make it a directory you can read"
            raise StorageError(f"cannot use the data directory {directory} ({error.strerror}): {advice}") from None


def _refuse_project(directory: str, names: list[str]) -> None:
    """StorageError where the folder above a data directory was named: all in it would be hidden from git."""
    is_project = NAME in names or ".git" in names and is_top(directory)
    if is_project and not (FILE.head in names or HYBRID.head in names
                           or os.path.lexists(os.path.join(directory, IN_USE))):
        raise StorageError(f"{directory} is a project, not its data directory: name {os.path.join(directory, NAME)}, "
                           "or unset MILESTONE_DIR")


def _is_of_another_kind(path: str) -> bool:
    """Whether it exists and is not a regular file; a journal may appear and disappear at any moment."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return os.path.islink(path)
    except OSError:  # a link to itself
        return True


def _make_private(directory: str, status: os.stat_result) -> None:
    if status.st_mode & 0o022:
        try:
            os.chmod(directory, stat.S_IMODE(status.st_mode) & ~0o077)
        except OSError:  # a file system that has no modes, or cannot be written
            pass


def is_ours(name: str) -> bool:
    """Whether the program itself opens files of that name at the top of the data directory."""
    return name in OURS or name.startswith(("coordination.db", "file-store.", "session-monitor."))


def refuse_link_out(path: str, directory: str) -> None:
    """StorageError for a symbolic link that leads out of a directory: it may have come with a cloned repository."""
    if os.path.islink(path) and not is_inside(path, directory):
        raise StorageError(f"cannot use {path}: it is a symbolic link that leads out of {directory}, to "
                           f"{os.path.realpath(path)}; remove it, or, if it is your own, put in its place what it "
                           "leads to")


def is_inside(path: str, directory: str) -> bool:
    """Whether a path, with every link followed, is inside a directory."""
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(directory), ""))


def move_files(directory: str, names: tuple[str, ...], folder: str) -> None:
    """Move files and folders of the data directory to another folder in it; missing ones are skipped."""
    for name in names:
        old = os.path.join(directory, name)
        if os.path.lexists(old):
            move_whole(old, os.path.join(folder, name))


def is_one_of(path: str, directory: str, names: tuple[str, ...]) -> bool:
    """Whether a path leads to one of these files of the data directory, or into one of these folders."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    paths = [os.path.join(directory, name) for name in names]
    paths += [os.path.join(folder, name) for path in paths for folder, _, names in os.walk(path) for name in names]
    return any(os.path.lexists(path) and os.path.samestat(status, os.lstat(path)) for path in paths)
