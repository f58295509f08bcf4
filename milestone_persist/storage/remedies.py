"""What to do if the system refuses to write, or if a store is damaged."""
from __future__ import annotations

import os

from ..base.location import can_write
from ..base.quoting import command
from .backends import IN_USE


def advise_restoring(directory: str) -> str:
    """How to restore a store that cannot be read: the command with the newest backup, if there is one."""
    newest = find_newest_backup(directory)
    words = command(["restore_coordination", newest]) if newest else "restore_coordination FILE"
    return (f"{words} brings back the newest backup, and keeps these files" if newest else
            f"{words} brings back a backup, and keeps these files; {os.path.join(directory, 'backups')} has none")


def find_newest_backup(directory: str) -> str:
    """The path of the newest file below backups/ named by backup_coordination; "" if there is none."""
    folder = os.path.join(directory, "backups")
    try:
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries if _is_backup(entry.name)
                     and entry.is_file(follow_symlinks=False)]
    except OSError:
        return ""
    return max(paths, default="")


def _is_backup(name: str) -> bool:
    """Whether a name consists of date, time and a random end: other kinds of copies have other names."""
    words = name[:-len(".db")].split("-")
    return name.endswith(".db") and [len(word) for word in words] == [8, 6, 8] and (words[0] + words[1]).isdigit()


def make_room(path: str, is_full: bool = True) -> str:
    """What to do if a file cannot be created or grow: the limit that was reached can be determined.

    is_full: whether the system reported a limit; else the disk may have failed
    """
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
    if not is_full and room.f_bavail:
        return "see in the system's log why the disk or its file system fails, for there is room"
    return "free some space"


def how_to_make(path: str) -> str:
    """What to do if SQLite cannot create the file that it needs next to one: it does not say why."""
    try:
        room = os.statvfs(os.path.dirname(path) or os.curdir)
    except OSError:
        return how_to_write(path)
    is_full = room.f_files and not room.f_favail and can_write(os.path.dirname(path) or os.curdir)
    return f"{make_room(path)}, then try again" if is_full else how_to_write(path)


def how_to_write(path: str, first: str = "make it writable") -> str:
    """What to do if the system refuses: never suggests another directory, which would create a second store."""
    return (f"{first}; in a sandbox, allow {_find_root(path)} (Codex: "
            "sandbox_workspace_write.writable_roots, Claude Code: sandbox.filesystem.allowWrite)")


def _find_root(path: str) -> str:
    """The data directory that contains a path; the path itself if there is none."""
    here = os.path.realpath(path)
    while not os.path.exists(os.path.join(here, IN_USE)):
        here, below = os.path.dirname(here), here
        if here == below:
            return os.path.realpath(path)
    return here
