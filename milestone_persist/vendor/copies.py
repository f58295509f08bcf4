"""Copies of the program for projects where nothing can be installed: a folder, or one file (a zipapp)."""
from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import os
import zipfile

from ..base import __version__
from ..base.errors import Refused, UsageError
from ..base.invocation import way_called
from .contents import NAME, read, read_own_files, walk
from .replace import remove_leftovers, replace_file, replace_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Copy, Drift

DIGESTS, VERSION, START = "SHA256SUMS", "VERSION", "__main__.py"
UNCHECKED, CHECKED = 0b01, 0b11  # flags of byte code that is tied to its source by a digest (PEP 552)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip file can hold


def write_folder(path: str) -> Copy:
    """Copy the program into a folder that is new, empty or an earlier copy; tells whether it was written.

    UsageError for any other place.
    """
    if (os.getcwd() + "/").startswith(path + "/"):
        raise UsageError(f"{path} is or holds the current directory: cd out of it first")
    if os.path.lexists(path) and not os.path.isdir(path):
        raise UsageError(f"{path} is not a folder: name another, or use --zipapp for a file")
    files = _with_digests(folder_files())
    old = _find_replaceable(path) if os.path.isdir(path) and os.listdir(path) else {}
    if old == files:
        remove_leftovers(path)
    else:
        code = {importlib.util.cache_from_source(name): data for name, data in compile_files(files, CHECKED).items()}
        replace_folder(path, {**files, **code})
    return {"path": path, "form": "folder", "version": __version__, "written": old != files}


def write_zipapp(path: str) -> Copy:
    """Write the program as one executable file that is new or an earlier one; tells whether it was written.

    UsageError for any other place.
    """
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder: name a file for --zipapp")
    files = _zip_files()
    code = {name + "c": data for name, data in compile_files(files, UNCHECKED).items()}
    files = _with_digests({**files, **code})
    old = _find_replaceable(path) if os.path.exists(path) else {}
    if old == files:
        remove_leftovers(path)
    else:
        replace_file(path, _pack(files), 0o777)
    return {"path": path, "form": "zipapp", "version": __version__, "written": old != files}


def check_copy(path: str) -> Copy:
    """Compare a copy, folder or zipapp, with its own list of digests and this program; Refused if it is not one."""
    files = _read_copy(path)
    if not files:
        raise Refused(f"{path} is not a copy of {NAME}: make one with {way_called()} vendor")
    listed = _read_digests(files)
    return {"path": path, "form": "folder" if os.path.isdir(path) else "zipapp",
            "version": files[VERSION].decode("utf-8", "replace").strip(), "drift": _find_drift(files, listed),
            "current": {name: digest for name, digest in listed.items() if not name.endswith(".pyc")}
            == _digest_all(_zip_files() if START in listed else folder_files())}


def folder_files() -> dict[str, bytes]:
    """The files of a copy that is a folder."""
    return {**_common_files(), ".gitignore": b"__pycache__/\n"}


def _zip_files() -> dict[str, bytes]:
    files = _common_files()
    return {**files, START: files[f"{NAME}/{START}"]}


def _common_files() -> dict[str, bytes]:
    return {**read_own_files(), VERSION: f"{__version__}\n".encode()}


def compile_files(files: dict[str, bytes], flags: int) -> dict[str, bytes]:
    """Byte code of the modules, for this Python, which a read-only copy could not keep.

    Compiling at every call makes it cost four times as much; checking the code against its source, a tenth more.
    """
    return {name: _compile_one(name, data, flags) for name, data in files.items() if name.endswith(".py")}


def _compile_one(name: str, data: bytes, flags: int) -> bytes:
    code = compile(data, name, "exec", dont_inherit=True, optimize=0)
    # marshal's later formats depend on what else the process holds, so that two runs would differ.
    return (importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + importlib.util.source_hash(data)
            + marshal.dumps(code, 2))


def _pack(files: dict[str, bytes]) -> bytes:
    """The files as a zip application, uncompressed: it starts faster, and needs no zlib."""
    file = io.BytesIO(b"#!/usr/bin/env python3\n")
    file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # the same wherever it is made
            archive.writestr(entry, files[name])
    return file.getvalue()


def _digest_all(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}


def _with_digests(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files and the list of their digests, in the form that `sha256sum --check` reads."""
    lines = [f"{digest}  {name}\n" for name, digest in _digest_all(files).items()]
    return {**files, DIGESTS: "".join(lines).encode()}


def _read_digests(files: dict[str, bytes]) -> dict[str, str]:
    pairs = [line.partition("  ") for line in files[DIGESTS].decode("utf-8", "replace").splitlines()]
    return {name: digest for digest, _, name in pairs}


def _read_copy(path: str) -> dict[str, bytes]:
    """The files of a copy by name, {} if it is not a copy; anything but a regular file counts as empty."""
    files = {}
    if os.path.isfile(os.path.join(path, DIGESTS)):
        wholes = {name: os.path.join(path, name) for name in walk(path, "")}
        files = {name: read(whole) if os.path.isfile(whole) else b"" for name, whole in wholes.items()}
    elif os.path.isfile(path) and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    return files if {DIGESTS, VERSION} <= set(files) and NAME in files[DIGESTS].decode("utf-8", "replace") else {}


def _find_drift(files: dict[str, bytes], listed: dict[str, str]) -> list[Drift]:
    """What differs from a copy's own list of digests."""
    found = _digest_all({name: data for name, data in files.items() if name != DIGESTS})
    kinds = {name: "missing" if name not in found else "extra" if name not in listed else "changed"
             for name in sorted({*listed, *found}) if listed.get(name) != found.get(name)}
    return [{"file": name, "drift": kind} for name, kind in kinds.items()]


def _find_replaceable(path: str) -> dict[str, bytes]:
    """The files of an earlier copy that is unchanged; UsageError for anything else, so that nothing is lost."""
    files = _read_copy(path)
    if not files:
        raise UsageError(f"{path} is there and is not a copy of {NAME}: name another place")
    theirs = [row for row in _find_drift(files, _read_digests(files)) if row["drift"] != "missing"]
    if theirs:
        raise UsageError(f"{path} has a file of its own ({theirs[0]['drift']}: {theirs[0]['file']}): move it away, "
                         "or remove the copy")
    return files
