"""The folders on the way to installed files: which exist, and that none leads out of the project."""
from __future__ import annotations

import os

from ..base.errors import StorageError
from ..storage.directory import refuse_link_out
from .project_files import is_home, repository_of


def refuse_links_out(root: str, replaced: list[str], edited: list[str]) -> None:
    """StorageError for a link on the way to a file of a project, or in the place of an edited one, that leads out
    of its repository: it may have come with a clone."""
    if is_home(root):
        return
    top = repository_of(os.path.realpath(root)) or root
    seen = {"", "."}
    for path in [*map(os.path.dirname, replaced), *edited]:
        while path not in seen:
            seen.add(path)
            if os.path.islink(os.path.join(root, path)):
                refuse_link_out(os.path.join(root, path), top)
                _refuse_link_into_git(os.path.join(root, path), top)
            path = os.path.dirname(path)


def _refuse_link_into_git(path: str, top: str) -> None:
    """StorageError for a link that leads into git's own folder."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(top))
    if ".git" in inside.lower().split("/"):
        raise StorageError(f"cannot use {path}: it is a symbolic link that leads into {os.path.join(top, '.git')}; "
                           "remove it")


def nearest_folder(path: str) -> str:
    """The folder itself, or its nearest existing parent."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path
