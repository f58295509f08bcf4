"""Which data directory a call uses, and why."""
from __future__ import annotations

import os

NAME = ".milestones"
GONE = "the current directory is gone: cd to one that is there"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def find_data_directory(cwd: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The absolute path of the data directory and the reason it was chosen, whether it exists or not."""
    if environ.get("MILESTONE_DIR"):
        return os.path.abspath(os.path.join(cwd, environ["MILESTONE_DIR"])), "MILESTONE_DIR is set"
    found, top = _search_upward(cwd, environ)
    if found:
        return found, "nearest one upward from the current directory"
    main = main_worktree(top) if top else ""
    if main:
        return os.path.join(main, NAME), f"main worktree of the linked git worktree {top}"
    return os.path.join(cwd, NAME), "none upward from the current directory: this is where it will be made"


def _search_upward(cwd: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The nearest data directory (or "") and the top of the repository, if the search came that far (or "")."""
    here, home = cwd, os.path.realpath(environ["HOME"]) if environ.get("HOME") else ""
    while True:
        path = os.path.join(here, NAME)
        if os.path.isdir(path) and (here == cwd or is_own(path) or is_shared(path, environ)):
            return path, ""
        if os.path.lexists(os.path.join(here, ".git")):
            return "", here
        parent = os.path.dirname(here)
        if parent == here or os.path.realpath(here) == home:
            return "", ""
        here = parent


def is_own(path: str) -> bool:
    """Whether a directory is the user's own.

    For root, who in containers works on what others own, so is one that was mounted, or that lies in a folder of the
    same owner: but not one that somebody has put into a folder all may write.
    """
    status, me = os.stat(path), os.geteuid()
    if me or status.st_uid == me:
        return status.st_uid == me
    above = os.stat(os.path.dirname(os.path.realpath(path)))
    return above.st_uid == status.st_uid or above.st_dev != status.st_dev


def is_shared(path: str, environ: Mapping[str, str]) -> bool:
    """Whether $MILESTONE_SHARED_DIRS names a directory, which then may be of another user and open to a group."""
    names = environ.get("MILESTONE_SHARED_DIRS", "").split(os.pathsep)
    return os.path.realpath(path) in (os.path.realpath(name) for name in names if name)


def main_worktree(top: str) -> str:
    """The main worktree of the repository whose linked worktree begins at `top`; "" if it is not a linked one."""
    try:
        with open(os.path.join(top, ".git"), encoding="utf-8") as file:
            link = file.read().strip()
        if not link.startswith("gitdir: "):
            return ""
        gitdir = os.path.join(top, link[len("gitdir: "):])
        with open(os.path.join(gitdir, "commondir"), encoding="utf-8") as file:
            common = os.path.realpath(os.path.join(gitdir, file.read().strip()))
    except (OSError, UnicodeDecodeError):
        return ""
    return os.path.dirname(common) if os.path.basename(common) == ".git" else ""
