"""The files the program consists of, read from wherever it runs: checkout, installation, wheel as a zip, zipapp."""
from __future__ import annotations

import os

from ..base import __version__
from ..base.errors import Refused
from ..base.packaged import PACKAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__loader__: Any
NAME = "milestone_persist"
FOLDERS = ("agents", "shell", "sql")  # beside the package in a checkout, inside it in a wheel
LICENSE = "LICENSE"
_LICENSES = (f"{NAME}-{__version__}.dist-info/licenses/{LICENSE}", LICENSE)  # of an installation; of a checkout


def read_own_files() -> dict[str, bytes]:
    """Every file of the program by its path in a checkout, in order; Refused if the licence is missing."""
    archive = getattr(__loader__, "archive", "")
    found = _in_zip(archive) if archive else _in_folders(os.path.dirname(PACKAGE))
    if LICENSE not in found:
        raise Refused(f"{LICENSE} is missing beside {PACKAGE}, and no copy may go without it: put it there")
    return {path: found[path] for path in sorted(found)}


def _in_zip(archive: str) -> dict[str, bytes]:
    import zipfile

    with zipfile.ZipFile(archive) as file:
        return {path: file.read(name) for path, name in _paths(file.namelist()).items()}


def _in_folders(home: str) -> dict[str, bytes]:
    names = [name for top in (NAME, *FOLDERS) for name in walk(home, top)]
    names += [name for name in _LICENSES if os.path.isfile(os.path.join(home, name))]
    return {path: read(os.path.join(home, name)) for path, name in _paths(names).items()}


def walk(home: str, folder: str) -> Iterator[str]:
    """The paths, relative to `home`, of all files in one of its folders, except byte code caches."""
    path = os.path.join(home, folder)
    for name in sorted(os.listdir(path)) if os.path.isdir(path) else ():
        inner = f"{folder}/{name}" if folder else name
        whole = os.path.join(path, name)
        if not os.path.isdir(whole) or os.path.islink(whole):
            yield inner
        elif name != "__pycache__":
            yield from walk(home, inner)


def read(path: str) -> bytes:
    """What a file holds."""
    with open(path, "rb") as file:
        return file.read()


def _paths(names: Iterable[str]) -> dict[str, str]:
    """The path in a checkout of each name that belongs to the program."""
    names = sorted(names)
    inside = {folder for folder in FOLDERS if any(name.startswith(f"{NAME}/{folder}/") for name in names)}
    found = {}
    for name in names:
        parts = name.split("/")
        if parts[0] in inside:  # something of another program's
            continue
        if parts[0] == NAME and parts[1] in inside:
            del parts[0]
        if parts[0] in (NAME, *FOLDERS) and _is_kept(parts):
            found["/".join(parts)] = name
    licenses = [name for name in _LICENSES if name in names]
    return {**found, **({LICENSE: licenses[0]} if licenses else {})}


def _is_kept(parts: list[str]) -> bool:
    """Neither byte code, nor hidden, nor a folder, nor in a folder that a wheel has not: sql/history is for tests."""
    return (parts[0] == NAME or len(parts) == 2) and "__pycache__" not in parts and parts[-1] != "" \
        and not parts[-1].startswith(".") and not parts[-1].endswith((".pyc", "~"))
