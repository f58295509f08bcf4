"""The data directory apart from the rows: folders, permissions, links, leftovers of killed writers, logs, space."""
from __future__ import annotations

import json
import os
import stat

from ..base.errors import StorageError
from ..base.found import KEPT, open_found
from ..base.location import is_own, is_shared
from .directory import is_ours
from .files import cannot_write, make_folder, move_whole, write_whole
from .findings import FIXED, NOTE, finding, line_of
from .parts import ENDING, remove_if_left_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..base.answers import Finding
    from .interface import Storage

FOLDERS = ("active", "completed", "config", "logs", "backups")
FILES = (".gitignore",)
FLAT = ("config", "watchers")  # in which are no folders
ENDINGS = (".yaml", ".jsonl", ".txt", ".log")  # of files in these folders
EARLIER = "enterprise.db"  # of an earlier milestone tool, which kept its records there


def make_folders(directory: str) -> list[str]:
    """Create the missing folders; returns which."""
    missing = [os.path.join(directory, name) for name in FOLDERS if not os.path.isdir(os.path.join(directory, name))]
    for path in missing:
        make_folder(path)
    return missing


def inspect_surroundings(store: Storage) -> list[Finding]:
    """Findings on everything in the data directory except the rows; none if there is no directory."""
    if not os.path.isdir(store.directory):
        return []
    return [*_find_full(store.directory), *_find_closed(store), *_find_links(store.directory),
            *_find_other_kinds(store.directory), *_find_other_names(store.directory),
            *_find_others(store),
            *_find_left_over(store.directory), *_find_torn_lines(store.directory), *find_earlier(store.directory)]


def _find_full(directory: str) -> Iterator[Finding]:
    try:
        room = os.statvfs(directory)
    except OSError:
        return
    for free, total, what in ((room.f_bavail, room.f_blocks, "space"), (room.f_favail, room.f_files, "inode")):
        if total and not free:
            yield finding(directory, f"no {what} is left on its file system", "free some" if what == "space" else
                          "remove files: each takes one")


def _find_closed(store: Storage) -> Iterator[Finding]:
    """Our files that their owner may not read and write; a directory that is open to others without permission."""
    directory = store.directory
    if not is_shared(directory, store.environ) and stat.S_IMODE(os.stat(directory).st_mode) & 0o077:
        yield finding(directory, "other users may look into it", severity=NOTE, fixable=True)
    lacking = _list_closed(directory)
    if lacking:
        more = f", nor {len(lacking) - 1} others" if lacking[1:] else ""
        yield finding(lacking[0], f"its owner may not read and write it{more}", severity=NOTE,
                      fixable=is_own(directory))


def _list_closed(directory: str) -> list[str]:
    return [path for path in _walk(directory) if not os.path.islink(path)
            and stat.S_IMODE(os.lstat(path).st_mode) & _needed(path) != _needed(path)]


def _needed(path: str) -> int:
    return 0o700 if os.path.isdir(path) else 0o600


def _find_links(directory: str) -> Iterator[Finding]:
    for path in _walk(directory):
        if os.path.islink(path):
            yield finding(path, "is a symbolic link, which the program does not follow",
                          "put the file itself in its place", NOTE)


def _find_other_kinds(directory: str) -> Iterator[Finding]:
    """Folders in place of files, files in place of folders, and anything else, without blocking on it."""
    for path in _walk(directory):
        kind, (first, _, rest) = os.lstat(path).st_mode, os.path.relpath(path, directory).partition(os.sep)
        is_folder = is_ours(first) and first not in FILES and "." not in first if not rest else not (
            first in FLAT or first in FOLDERS and path.endswith(ENDINGS))
        what = ("is a file, where a folder belongs" if stat.S_ISREG(kind) and is_folder and not rest else
                "is a folder, where a file belongs" if stat.S_ISDIR(kind) and is_ours(first) and not is_folder else
                "is not a regular file" if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind)) else "")
        if what:
            yield finding(path, what, "move it away")


def _find_other_names(directory: str) -> Iterator[Finding]:
    """Files of records and logs with another name (a hard link), through which others could be written."""
    kept = {os.lstat(path).st_ino for path in _walk(directory) if _is_left_over(path)}
    for path in _walk(directory):
        status = os.lstat(path)
        folder = os.path.relpath(path, directory).partition(os.sep)[0]
        if (folder in ("active", "completed", "logs") and stat.S_ISREG(status.st_mode) and status.st_nlink > 1
                and status.st_ino not in kept):
            yield finding(path, "the file has another name (a hard link), and is not used", "put a copy in its place")


def _find_others(store: Storage) -> Iterator[Finding]:
    """Files owned by a user other than the directory's, who could change them or their permissions."""
    owner = os.stat(store.directory).st_uid
    for path in [] if is_shared(store.directory, store.environ) else _walk(store.directory):
        if os.lstat(path).st_uid != owner:
            yield finding(path, f"belongs to another user (uid {os.lstat(path).st_uid}) than the directory",
                          f"chown {owner} it", NOTE)


def _is_left_over(path: str) -> bool:
    return os.path.basename(path).startswith(KEPT) or path.endswith(".part")


def _find_left_over(directory: str) -> Iterator[Finding]:
    for path in _walk(directory):
        if _is_left_over(path):
            yield finding(path, "a killed writer has left it, or one is at work", severity=NOTE, fixable=True)


def _find_torn_lines(directory: str) -> Iterator[Finding]:
    for path in _list_logs(directory):
        torn = _read_torn(path)
        if torn:
            yield finding(path, f"{len(torn)} lines are not JSON: a killed writer has left halves", severity=NOTE,
                          fixable=True)


def find_earlier(directory: str) -> list[Finding]:
    """A note about a database of an earlier tool, whose records this program does not read."""
    path = os.path.join(directory, EARLIER)
    if not os.path.isfile(path) or os.path.islink(path) or not os.path.getsize(path):
        return []
    return [finding(path, "is the database of an earlier milestone tool, and what it holds is not in this store",
                    f"sqlite3 {path} .dump shows it, create_milestone_record ID TEXT takes a record over", NOTE)]


def tell_earlier(store: Storage) -> None:
    """Warn of such a database."""
    for found in find_earlier(store.directory):
        store.warn(f"{found['where']} {line_of(found)}")


def _walk(directory: str) -> list[str]:
    """Everything in the data directory; in backups/ only files that are not backups."""
    found = []
    for folder, folders, names in os.walk(directory):
        if folder == directory:
            folders[:] = [name for name in folders if name != "backups"]
            found += [os.path.join(folder, "backups", name) for name in _list(os.path.join(folder, "backups"))]
        found += [os.path.join(folder, name) for name in (*folders, *names)]
    return sorted(found)


def _list(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name.endswith(".part") or not (
                entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False))]
    except OSError:
        return []


def _list_logs(directory: str) -> list[str]:
    folder = os.path.join(directory, "logs")
    names = os.listdir(folder) if os.path.isdir(folder) and not os.path.islink(folder) else []
    return [os.path.join(folder, name) for name in sorted(names) if name.endswith(".jsonl")]


def _read_torn(path: str) -> list[tuple[int, bytes]]:
    """Position and bytes of each line that is not a JSON object."""
    position, torn = 0, []
    try:
        with open_found(path) as file:
            for line in file:
                if line.strip() and not _is_whole(line):
                    torn.append((position, line.rstrip(b"\n")))
                position += len(line)
    except (OSError, StorageError):  # what it is then, others say
        return []
    return torn


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def fix_rights(store: Storage) -> list[Finding]:
    """Restore the owner's permissions on our files, and remove those of others on the directory."""
    done: list[Finding] = [{**found, "severity": FIXED} for found in _find_closed(store) if found["fixable"]]
    if done:
        for path in _list_closed(store.directory):
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | _needed(path))
        if not is_shared(store.directory, store.environ):
            os.chmod(store.directory, 0o700)
    return done


def fix_surroundings(store: Storage, folder: str) -> list[Finding]:
    """Repair everything except the rows, within the caller's transaction: no other writes. Records go to `folder`."""
    done = []
    try:
        for found in _find_left_over(store.directory):
            path = found["where"]
            if os.path.basename(path).startswith(KEPT) and os.lstat(path).st_nlink == 1:  # else the record is there
                move_whole(path, os.path.join(folder, os.path.basename(path)))
                done.append(finding(path, f"set aside: it is {folder}/{os.path.basename(path)}", severity=FIXED))
            else:
                (remove_if_left_over if path.endswith(ENDING) else os.unlink)(path)
                if not os.path.lexists(path):
                    done.append(finding(path, "a killed writer had left it: removed", severity=FIXED))
        done += [_blank_torn(path, folder) for path in _list_logs(store.directory) if _read_torn(path)]
    except OSError as error:
        raise cannot_write(error.filename or store.directory, error) from None
    return done


def _blank_torn(path: str, folder: str) -> Finding:
    """Overwrite incomplete lines with spaces, so that a concurrent append loses nothing; their text is kept."""
    torn = _read_torn(path)
    kept = os.path.join(folder, os.path.basename(path) + ".torn")
    write_whole(kept, b"".join(line + b"\n" for _, line in torn))
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        for start, line in torn:
            os.pwrite(descriptor, b" " * len(line), start)
    finally:
        os.close(descriptor)
    return finding(path, f"{len(torn)} half lines were taken out: they are in {kept}", severity=FIXED)
