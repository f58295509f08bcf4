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
    found, top = _search_upward(cwd, environ.get("HOME", ""))
    if found:
        return found, "nearest one upward from the current directory"
    main = main_worktree(top) if top else ""
    if main:
        return os.path.join(main, NAME), f"main worktree of the linked git worktree {top}"
    return os.path.join(cwd, NAME), "none upward from the current directory: this is where it will be made"


def _search_upward(cwd: str, home: str) -> tuple[str, str]:
    """The nearest data directory (or "") and the top of the repository, if the search came that far (or "")."""
    here, home = cwd, os.path.realpath(home) if home else ""
    while True:
        if _is_ours(os.path.join(here, NAME), here == cwd):
            return os.path.join(here, NAME), ""
        if os.path.lexists(os.path.join(here, ".git")):
            return "", here
        parent = os.path.dirname(here)
        if parent == here or os.path.realpath(here) == home:
            return "", ""
        here = parent


def _is_ours(path: str, is_here: bool) -> bool:
    """Whether a data directory is there and can be trusted: above the current directory, it must be the user's own."""
    if not os.path.isdir(path):
        return False
    return is_here or os.geteuid() in (0, os.stat(path).st_uid)


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
