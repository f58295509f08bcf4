"""Creates, writes and moves files and folders: private to the owner, atomically, and durably."""
from __future__ import annotations

import fcntl
import os
import stat
import sys

from ..base.errors import StorageError
from ..base.found import require_own


def hand_over(made: int | str, folder: str, with_group: bool = True) -> None:
    """Give a file that root has just created to the owner of its folder, who would otherwise be locked out.

    with_group: in a folder that a group may write, which is a shared one, the group may too
    """
    above = os.stat(folder)
    try:
        if os.geteuid() == 0 and above.st_uid:
            os.chown(made, above.st_uid, above.st_gid)
        if with_group and above.st_mode & 0o020:
            os.chown(made, -1, above.st_gid)
            mode = os.stat(made).st_mode
            kept = above.st_mode & stat.S_ISGID if stat.S_ISDIR(mode) else 0
            os.chmod(made, stat.S_IMODE(mode) | (mode & 0o700) >> 3 | kept)
    except PermissionError:  # root without its rights, or a user who is not in that group
        pass


def open_private(path: str, flags: int) -> int:
    """A descriptor of a file that only its owner can read, created if it does not exist.

    Never through a symbolic link: one that came with a cloned repository may lead anywhere. Nor what is no file, or is
    one of a database, or has another name elsewhere and would be written: StorageError.
    """
    try:
        require_own(path, os.lstat(path), alone=bool(flags & (os.O_APPEND | os.O_TRUNC)))
    except FileNotFoundError:
        try:
            return make_file(path, flags)
        except FileExistsError:  # another process was first
            pass
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:  # it was removed just now, or its folder: then the next look tells
        return make_file(path, flags)


def make_file(path: str, flags: int = os.O_WRONLY) -> int:
    """A descriptor of a new file that only the owner of its folder can read; FileExistsError if there is one."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    hand_over(descriptor, os.path.dirname(path))
    return descriptor


def append_line(descriptor: int, data: bytes) -> None:
    """Append a whole line to a file or, on a full disk, nothing; starts a new line if the last one is incomplete.

    descriptor: opened to read and to append
    """
    size, written = os.fstat(descriptor).st_size, 0
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        raise


def write_whole(path: str, data: bytes, replace: bool = True, makes_folder: bool = True) -> None:
    """Write one private file: complete and durable on return, unchanged after any failure or kill.

    What is not at hand as bytes is written by way of NewFile, which promises the same.
    replace: whether it may take the place of one that is there; else FileExistsError
    makes_folder: whether its folder is made if need be
    Raises StorageError where the system refuses.
    """
    part = f"{path}.{os.urandom(6).hex()}.part"
    try:
        if makes_folder:
            make_folder(os.path.dirname(path))
        try:
            fill_file(make_file(part), data)
            give_name(part, path, replace)
        finally:
            remove_if_can(part)
    except FileExistsError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from None


def fill_file(descriptor: int, data: bytes) -> None:
    """Write the contents of an empty file, durably, and close it."""
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left):]
        flush(descriptor)
    finally:
        os.close(descriptor)


def flush(descriptor: int) -> None:
    """Make the writes to a file or a folder durable. OSError if that fails."""
    if sys.platform == "darwin":  # fsync leaves it in the cache of the drive, which a power cut empties
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
        except OSError:  # not every file system has it
            pass
    os.fsync(descriptor)


def give_name(part: str, path: str, replace: bool) -> None:
    """Rename a durable file, durably; if the name must be new, FileExistsError for all but one of several."""
    is_linked = not replace and _link_new(part, path)
    if not is_linked:
        os.replace(part, path)
    try:
        if is_linked:
            os.unlink(part)
        sync_directory(os.path.dirname(path))
    except OSError:
        if not replace:
            remove_if_can(path)
        raise


def _link_new(part: str, path: str) -> bool:
    """Give a file a second name that must be new; False if the file system has no hard links."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        return False
    return True


def make_folder(path: str) -> None:
    """Create a private folder and missing parents, durably."""
    path = os.path.abspath(path)
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:  # another process was first, or it is not a folder: what comes next tells
            return
        hand_over(path, os.path.dirname(path))
        sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Make creations, renames and removals in a folder durable, if its file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush(descriptor)
    except OSError as error:
        import errno

        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def move_whole(old: str, new: str) -> None:
    """Move a file or folder into a folder, which is created if necessary, durably; OSError if that fails."""
    make_folder(os.path.dirname(new))
    os.replace(old, new)
    try:
        for folder in {os.path.dirname(old), os.path.dirname(new)}:
            sync_directory(folder)
    except OSError:
        os.replace(new, old)
        raise


def remove_if_there(path: str) -> None:
    """Remove a file if it exists; OSError if the system refuses."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def remove_if_can(path: str) -> None:
    """Remove a harmless file, if it exists and the system allows it."""
    try:
        os.unlink(path)
    except OSError:
        pass


def cannot_write(path: str, error: OSError, advice: str = "") -> StorageError:
    """The error to raise if the system refuses to write `path`.

    advice: what to do, where that is neither to free space nor to make the data directory writable
    """
    import errno

    from .remedies import how_to_write, make_room

    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"cannot write {path} ({error.strerror}): {make_room(path)}, then try again")
    if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        return StorageError(f"cannot lock {path} ({error.strerror}): its file system has no locks, by which calls keep "
                            "out of each other's way; mount it with locks, or move the project to one that has them")
    if error.errno == errno.ELOOP:
        return StorageError(f"cannot write {path}: it is a symbolic link, which may lead anywhere; remove it")
    if error.errno == errno.ENOENT and not advice:
        return StorageError(f"cannot write {path}: its folder is gone, the store was moved or removed")
    return StorageError(f"cannot write {path} ({error.strerror}): {advice or how_to_write(path)}")
