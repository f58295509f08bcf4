"""The data directory: made private to its owner and ignored by git."""
from __future__ import annotations

import os
import stat

from ..base.errors import StorageError
from ..base.found import require_own
from ..base.location import NAME, is_own, is_shared
from ..base.tables import TABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# What the program opens in the data directory: at its top, and folders below that.
OURS = frozenset((".gitignore", "active", "completed", "config", "logs", "backups", "reports", "watchers",
                  *(table.replace("_", "-") for table in TABLES)))
INNER = (os.path.join("agent-messages", "acknowledged"),)

IN_USE = os.path.join("config", "backend-in-use.txt")  # where the rows are, and by which move they came there


def create_directory(directory: str) -> None:
    """Make the data directory, private to its owner and ignored by git, if it is not there."""
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
        raise StorageError(f"cannot make the data directory {directory} ({error.strerror}): "
                           + how_to_write(directory, "mkdir it yourself, writable")) from None


def require_usable(directory: str, environ: Mapping[str, str]) -> None:
    """StorageError where a data directory is that cannot be read, is another's or leads elsewhere.

    One that is not there is empty. One's own that others may write is made private, unless it is meant to be shared.
    """
    try:
        status = os.stat(directory)
        if not is_shared(directory, environ):
            if not is_own(directory):
                raise StorageError(f"{directory} belongs to another user (uid {status.st_uid}), who could read and "
                                   "change all that is in it: if it is meant to be shared, set "
                                   f"MILESTONE_SHARED_DIRS={directory}")
            _make_private(directory, status)
        with os.scandir(directory) as entries:
            ours = [entry for entry in entries if is_ours(entry.name)]
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


def _is_of_another_kind(path: str) -> bool:
    """Whether it is there and no regular file; a journal may go, and come, at any moment."""
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


def hand_over(made: int | str, folder: str, with_group: bool = True) -> None:
    """What was just made belongs, where root made it, to the owner of its folder, who would be locked out.

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


def is_ours(name: str) -> bool:
    """Whether the program itself opens what has that name at the top of the data directory."""
    return name in OURS or name.startswith(("coordination.db", "file-store.", "session-monitor."))


def refuse_link_out(path: str, directory: str) -> None:
    """StorageError for a symbolic link that leads out of a directory: it may have come with a cloned repository."""
    if os.path.islink(path) and not is_inside(path, directory):
        raise StorageError(f"cannot use {path}: it is a symbolic link that leads out of {directory}, to "
                           f"{os.path.realpath(path)}; remove it, or, if it is your own, put in its place what it "
                           "leads to")


def is_inside(path: str, directory: str) -> bool:
    """Whether a path, with every link followed, lies in a directory."""
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(directory), ""))


def open_private(path: str, flags: int) -> int:
    """A descriptor of a file that only its owner can read, made if it is not there.

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
    """Append a line to a file, whole or, on a full disk, not at all, on a line of its own even where the last is torn.

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
    """Write one private file: whole and durable when this returns, or after any failure or kill as it was before.

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
    """Write all that an empty file is to hold, durably, and close it."""
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left):]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_name(part: str, path: str, replace: bool) -> None:
    """Give a durable file its name, durably; FileExistsError, to all but one of several, where it must be new."""
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
    """Give a file a second name that must be new; False where the file system has no hard links."""
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
    """Make a private folder and those above it, durably, where they are not there."""
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
    try:
        for folder in {os.path.dirname(old), os.path.dirname(new)}:
            sync_directory(folder)
    except OSError:
        os.replace(new, old)
        raise


def remove_if_can(path: str) -> None:
    """Remove a file that does no harm where it stays, if it is there and the system lets it be removed."""
    try:
        os.unlink(path)
    except OSError:
        pass


def cannot_write(path: str, error: OSError, advice: str = "") -> StorageError:
    """The error to raise where the system refuses to write `path`.

    advice: what to do, where that is neither to free space nor to make the data directory writable
    """
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"cannot write {path} ({error.strerror}): {make_room(path)}, then try again")
    if error.errno == errno.ELOOP:
        return StorageError(f"cannot write {path}: it is a symbolic link, which may lead anywhere; remove it")
    if error.errno == errno.ENOENT and not advice:
        return StorageError(f"cannot write {path}: its folder is gone, the store was moved or removed")
    return StorageError(f"cannot write {path} ({error.strerror}): {advice or how_to_write(path)}")


def make_room(path: str) -> str:
    """What to do where a file cannot be made or grow: which limit that is can be asked."""
    import resource

    largest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    try:
        room = os.statvfs(os.path.dirname(path) or os.curdir)
    except OSError:
        return "free some space"
    if room.f_files and not room.f_favail:
        return "remove some files, for no inode is left on its file system"
    if largest != resource.RLIM_INFINITY and room.f_bavail:
        return f"let files be larger than {largest} bytes (ulimit -f)"
    return "free some space"


def how_to_make(path: str) -> str:
    """What to do where SQLite cannot make the file that it needs beside one: it does not say why."""
    try:
        room = os.statvfs(os.path.dirname(path) or os.curdir)
    except OSError:
        return how_to_write(path)
    is_full = room.f_files and not room.f_favail and can_write(os.path.dirname(path) or os.curdir)
    return f"{make_room(path)}, then try again" if is_full else how_to_write(path)


def can_write(folder: str) -> bool:
    """Whether files can be made and removed in a folder."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def how_to_write(path: str, first: str = "make it writable") -> str:
    """What to do where the system refuses: never to name another directory, which would make a second store."""
    return (f"{first}; in a sandbox, allow {_find_root(path)} (Codex: "
            "sandbox_workspace_write.writable_roots, Claude Code: sandbox.filesystem.allowWrite)")


def _find_root(path: str) -> str:
    """The data directory in which a path lies; the path itself where it is in none."""

    here = os.path.realpath(path)
    while not os.path.exists(os.path.join(here, IN_USE)):
        here, below = os.path.dirname(here), here
        if here == below:
            return os.path.realpath(path)
    return here


def damaged(directory: str, path: str, why: str, aside: str = "") -> StorageError:
    """The error for a file of the store that does not hold what belongs there.

    aside: what of it the store is sound without, and doctor --fix sets aside
    """
    from ..base.invocation import way_called
    from .remedies import advise_restoring

    why = " ".join(why.split())  # a CHECK is told as it is written
    aside = f"let {way_called()} doctor --fix set {aside} aside, " if aside else ""
    return StorageError(f"{path}: {why}; everything was left as it is: fix the file, {aside}or "
                        f"{advise_restoring(directory)}")


def move_files(directory: str, names: tuple[str, ...], folder: str) -> None:
    """Move some files and folders of the data directory to another folder of it; those not there are passed over."""
    for name in names:
        old = os.path.join(directory, name)
        if os.path.lexists(old):
            move_whole(old, os.path.join(folder, name))


def is_one_of(path: str, directory: str, names: tuple[str, ...]) -> bool:
    """Whether a path leads to one of some files of the data directory, or to one in a folder among them."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    paths = [os.path.join(directory, name) for name in names]
    paths += [os.path.join(folder, name) for path in paths for folder, _, names in os.walk(path) for name in names]
    return any(os.path.lexists(path) and os.path.samestat(status, os.lstat(path)) for path in paths)
