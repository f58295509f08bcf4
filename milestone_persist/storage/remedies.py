"""What to do about a damaged store: which backup there is, and the command that restores it."""
from __future__ import annotations

import os

from ..base.quoting import command


def advise_restoring(directory: str) -> str:
    """What brings back a store that cannot be read: the command with the newest backup, where there is one."""
    newest = find_newest_backup(directory)
    words = command(["restore_coordination", newest]) if newest else "restore_coordination FILE"
    return (f"{words} brings back the newest backup, and keeps these files" if newest else
            f"{words} brings back a backup, and keeps these files; {os.path.join(directory, 'backups')} has none")


def find_newest_backup(directory: str) -> str:
    """The path of the newest file below backups/ that backup_coordination has named; "" if there is none."""
    folder = os.path.join(directory, "backups")
    try:
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries if _is_backup(entry.name)
                     and entry.is_file(follow_symlinks=False)]
    except OSError:
        return ""
    return max(paths, default="")


def _is_backup(name: str) -> bool:
    """Whether a name is made of date, time and a random end: copies of another kind are named otherwise."""
    words = name[:-len(".db")].split("-")
    return name.endswith(".db") and [len(word) for word in words] == [8, 6, 8] and (words[0] + words[1]).isdigit()
