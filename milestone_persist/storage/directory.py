"""The data directory: made private to its owner and ignored by git."""
from __future__ import annotations

import os

from ..errors import StorageError


def create_directory(directory: str) -> None:
    """Make the data directory, private to its owner and ignored by git, if it is not there."""
    try:
        if not os.path.isdir(directory):
            os.makedirs(os.path.dirname(directory), exist_ok=True)
            try:
                os.mkdir(directory, 0o700)
                sync_directory(os.path.dirname(directory))
            except FileExistsError:  # another process was first, or it is no directory: the next line tells
                os.listdir(directory)
        ignore = os.path.join(directory, ".gitignore")
        if not os.path.exists(ignore):
            write_private(ignore, b"*\n")
    except OSError as error:
        raise StorageError(f"cannot make the data directory {directory} ({error.strerror}): "
                           + how_to_write(directory, "mkdir it yourself, writable")) from None


def require_usable(directory: str) -> None:
    """StorageError where a data directory is that cannot be read; one that is not there is empty."""
    try:
        os.listdir(directory)
    except OSError as error:
        if not isinstance(error, FileNotFoundError) or os.path.islink(directory):
            advice = ("move it away, or name a directory in MILESTONE_DIR" if isinstance(error, NotADirectoryError) else
                      "make it a directory you can read")
            raise StorageError(f"cannot use the data directory {directory} ({error.strerror}): {advice}") from None


def open_private(path: str, flags: int) -> int:
    """A descriptor of a file that only its owner can read, made if it is not there.

    Never through a symbolic link: one that came with a cloned repository may lead anywhere.
    """
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def write_private(path: str, data: bytes) -> None:
    """Write a file that only its owner can read."""
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(data)


def write_whole(path: str, data: bytes, replace: bool = True) -> None:
    """Write a private file whole, durably, or not at all; its folder is made if need be.

    replace: whether it may take the place of one that is there; else FileExistsError
    Raises StorageError where the system refuses.
    """
    part = f"{path}.{os.urandom(6).hex()}.part"
    try:
        make_folder(os.path.dirname(path))
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            (os.replace if replace else _put_new)(part, path)
            sync_directory(os.path.dirname(path))
        finally:
            if os.path.lexists(part):
                os.unlink(part)
    except FileExistsError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from None


def make_folder(path: str) -> None:
    """Make a private folder and those above it, durably, where they are not there."""
    path = os.path.abspath(path)
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:  # another process was first, or it is no folder: what comes next tells
            return
        sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Make what was created, renamed or removed in a folder durable, if its file system can be asked to."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        import errno

        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def move_whole(old: str, new: str) -> None:
    """Move a file or folder to a place in a folder that is made if need be, durably; OSError if that fails."""
    make_folder(os.path.dirname(new))
    os.replace(old, new)
    for folder in {os.path.dirname(old), os.path.dirname(new)}:
        sync_directory(folder)


def _put_new(part: str, path: str) -> None:
    """Give a file its name, of several at once to one; FileExistsError if it is taken."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.replace(part, path)


def cannot_write(path: str, error: OSError) -> StorageError:
    """The error to raise where the system refuses to write `path`."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"cannot write {path} ({error.strerror}): free some space, then try again")
    if error.errno == errno.ELOOP:
        return StorageError(f"cannot write {path}: it is a symbolic link, which may lead anywhere; remove it")
    if error.errno == errno.ENOENT:
        return StorageError(f"cannot write {path}: its folder is gone, the store was moved or removed")
    return StorageError(f"cannot write {path} ({error.strerror}): {how_to_write(path)}")


def can_write(folder: str) -> bool:
    """Whether files can be made and removed in a folder."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def how_to_write(path: str, first: str = "make it writable") -> str:
    """What to do where the system refuses: never to name another directory, which would make a second store."""
    return (f"{first}; in a sandbox, allow {_find_root(path)} (Codex: "
            "sandbox_workspace_write.writable_roots, Claude Code: sandbox.filesystem.allowWrite)")


def _find_root(path: str) -> str:
    """The data directory in which a path lies; the path itself where it is in none."""
    from .selection import IN_USE

    here = os.path.realpath(path)
    while not os.path.exists(os.path.join(here, IN_USE)):
        here, below = os.path.dirname(here), here
        if here == below:
            return os.path.realpath(path)
    return here


def move_files(directory: str, names: tuple[str, ...], place: str) -> None:
    """Move some files and folders of the data directory to another folder of it; those not there are passed over."""
    for name in names:
        old = os.path.join(directory, name)
        if os.path.lexists(old):
            move_whole(old, os.path.join(place, name))
