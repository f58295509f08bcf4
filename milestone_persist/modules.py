"""Finding the package's own modules: what Python does for any, in a few of its steps.

Byte code is taken only where Python would take it: kept by this Python, of the source as it stands. All else is left to
Python, which compiles and keeps it.
"""
from __future__ import annotations

import sys
from marshal import loads
from os import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import CodeType, ModuleType
else:  # without `importlib`, which would cost more than it saves
    ModuleSpec, SourceFileLoader = type(__spec__), type(__loader__)

_PREFIX = __name__.rpartition(".")[0] + "."
_CACHED = f".{sys.implementation.cache_tag}.pyc"
_HEAD = 16  # bytes before the code


class Loader(SourceFileLoader):
    """Python's loader of a source file, which was given the byte code."""

    code: CodeType

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


class Finder:
    """Finds modules of the package in `home`, its folder; `magic` begins byte code of this Python."""

    def __init__(self, home: str, magic: bytes) -> None:
        self.home, self.begin = home, magic + bytes(4)  # the zeros: it is of the source that has this time and size

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Where a module is, and its byte code; None where Python is to look for it."""
        if not name.startswith(_PREFIX):
            return None
        folder, _, tail = f"{self.home}/{name[len(_PREFIX):].replace('.', '/')}".rpartition("/")
        return self._find(name, folder, tail) or self._find(name, f"{folder}/{tail}", "__init__")

    def _find(self, name: str, folder: str, tail: str) -> ModuleSpec | None:
        source, cached = f"{folder}/{tail}.py", f"{folder}/__pycache__/{tail}{_CACHED}"
        try:
            with open(cached, "rb", 0) as file:
                data = file.read()
            status = stat(source)
        except OSError:
            return None
        if data[:_HEAD] != self.begin + _as_kept(int(status.st_mtime)) + _as_kept(status.st_size):
            return None
        loader = Loader(name, source)
        loader.code = loads(memoryview(data)[_HEAD:])
        spec = ModuleSpec(name, loader, origin=source)
        spec.has_location, spec.cached = True, cached
        if tail == "__init__":
            spec.submodule_search_locations = [folder]
        return spec


def _as_kept(number: int) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(4, "little")


def find_quickly(home: str) -> None:
    """Let the modules of the package in `home` be found in this way, if they are files and Python keeps such code."""
    magic = getattr(sys.modules.get("_frozen_importlib_external"), "MAGIC_NUMBER", None)
    if magic and hasattr(SourceFileLoader, "path_stats") and not (sys.flags.optimize or sys.pycache_prefix):
        sys.meta_path.insert(0, Finder(home, magic))
