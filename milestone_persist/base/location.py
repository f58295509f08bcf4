"""Finds the data directory of a call, and why it is that one."""
from __future__ import annotations

import os

from .errors import StorageError, UsageError
from .found import read_found

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
    where = "at the top of the repository" if top else "here"
    return os.path.join(top or cwd, NAME), f"none upward from the current directory: it will be made {where}"


def _search_upward(cwd: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The nearest data directory (or "") and the top of the repository, if the search came that far (or "")."""
    here, home = cwd, os.path.realpath(environ["HOME"]) if environ.get("HOME") else ""
    while True:
        path = os.path.join(here, NAME)
        if os.path.isdir(path) and (here == cwd or is_own(path) or is_shared(path, environ)):
            return path, ""
        if is_top(here):
            return "", here
        parent = os.path.dirname(here)
        if parent == here or os.path.realpath(here) == home:
            return "", ""
        here = parent


def check_path(path: str, what: str) -> None:
    """UsageError for an impossible path, or one whose ~ no shell has expanded: a folder would get that name."""
    if "\0" in path:
        raise UsageError(f"{what} holds a NUL byte: name another")
    try:
        path.isascii() or os.fsencode(path)
    except UnicodeEncodeError:
        raise UsageError(f"{what} holds half a character, which no name of a file can: name another") from None
    if path == "~" or path.startswith("~/"):
        raise UsageError(f"{what} begins with a ~ that the shell did not expand: write $HOME{path[1:]} "
                         f"(a folder of that name is ./{path})")
    if what == "FILE" and path.endswith("/"):
        raise UsageError(f"{what} ends with a slash, as folders do: name a file, such as {path}NAME")


def is_own(path: str) -> bool:
    """Whether a directory is the user's own.

    For root, who in containers works on what others own, so is one that was mounted, or that lies in a folder of the
    same owner: but not one in a folder that all may write.
    """
    status, me = os.stat(path), os.geteuid()
    if me or status.st_uid == me:
        return status.st_uid == me
    above = os.stat(os.path.dirname(os.path.realpath(path)))
    return above.st_uid == status.st_uid or above.st_dev != status.st_dev


def is_shared(path: str, environ: Mapping[str, str]) -> bool:
    """Whether $MILESTONE_SHARED_DIRS names a directory, which may belong to another user and be open to a group."""
    names = environ.get("MILESTONE_SHARED_DIRS", "").split(os.pathsep)
    return any(names) and os.path.realpath(path) in (os.path.realpath(name) for name in names if name)


def can_write(folder: str) -> bool:
    """Whether files can be created and removed in a folder."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def is_top(folder: str) -> bool:
    """Whether a folder is the top of a git repository or worktree: sandboxes put an empty .git into any other.

    One into which nobody may look counts as a repository: outside the sandbox it is one, and both have one store.
    """
    path = os.path.join(folder, ".git")
    try:
        os.lstat(os.path.join(path, "HEAD"))
        return True
    except PermissionError:
        return True
    except OSError:
        return bool(_read_link(path))


def main_worktree(top: str) -> str:
    """The main worktree of the repository whose linked worktree is at `top`; "" if that is not a linked worktree."""
    link = _read_link(os.path.join(top, ".git"))
    gitdir = os.path.join(top, link)
    common = _read_line(os.path.join(gitdir, "commondir")) if link else ""
    if not common:
        return ""
    common = os.path.realpath(os.path.join(gitdir, common))
    main = os.path.dirname(common)
    theirs = os.path.join(main, ".git")  # with a bare repository it may be a file that names it
    return main if common == os.path.realpath(os.path.join(main, _read_link(theirs) or theirs)) else ""


def _read_link(path: str) -> str:
    """The repository that a .git file names; "" if .git is not such a file."""
    word, _, path_named = _read_line(path).partition(": ")
    return path_named if word == "gitdir" else ""


def _read_line(path: str) -> str:
    """The path, or other text, in a small file of git's; "" if it cannot be read."""
    try:
        text = os.fsdecode(read_found(os.path.realpath(path), 10_000) or b"").rstrip("\r\n")
        return "" if "\0" in text else text
    except StorageError:  # a sandbox may put a device there, others a pipe
        return ""
