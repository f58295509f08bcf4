"""Finds the package's own modules as Python does, in fewer steps.

Byte code is taken only where Python would take it: kept by this Python, of the source as it stands. All else is left to
Python, which compiles and keeps it. Only where the code is spoilt, as Python leaves it when the disk is full, Python
would fail for ever: it is taken away, and the source compiled.
"""
from __future__ import annotations

import os
import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import CodeType, ModuleType
else:  # without `importlib`, which would cost more than it saves
    ModuleSpec, SourceFileLoader, ModuleType = type(__spec__), type(__loader__), type(sys)
    CodeType = type((lambda: 0).__code__)

_PREFIX = __name__.rpartition(".")[0] + "."
_CACHED = f".{sys.implementation.cache_tag}.pyc"
_HEAD, _MOST = 16, 200_000  # bytes before the code; of a file that is read in one go
_OF_TIME, _OF_CONTENT = bytes(4), b"\3\0\0\0"  # byte code that tells time and size of its source, or a hash (PEP 552)


class Loader(SourceFileLoader):
    """Python's loader of a source file, given the byte code."""

    code: CodeType

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


class Finder:
    """Finds modules of the package in `home`, its folder; `magic` begins byte code of this Python.

    hash_source: what gives the hash of a source
    """

    def __init__(self, home: str, magic: bytes, hash_source: Callable[[int, bytes], bytes] | None) -> None:
        self.home, self.magic, self.hash_source = home, magic, hash_source

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """The location of a module, and its byte code; None if Python should look for it."""
        if not name.startswith(_PREFIX):
            return None
        inner = name[len(_PREFIX):].replace(".", "/")
        return self._find(name, inner) or self._find(name, inner + "/__init__")

    def load_all(self, paths: Sequence[str]) -> None:
        """Load modules, by their paths in the package, in an order in which none needs a later one.

        Import statements then find them loaded. Where one cannot be, the rest is left to these, which tell why.
        """
        for inner in paths:
            name = _PREFIX + inner.replace("/__init__", "").replace("/", ".")
            try:
                spec = None if name in sys.modules else self._find(name, inner)
                if spec:
                    _load(spec)
            except Exception:
                return

    def _find(self, name: str, inner: str) -> ModuleSpec | None:
        folder, _, tail = f"{self.home}/{inner}".rpartition("/")
        source, cached = f"{folder}/{tail}.py", f"{folder}/__pycache__/{tail}{_CACHED}"
        try:
            data = _read(cached)
            if data[:4] != self.magic or not self._is_of(source, data[4:8], data[8:_HEAD]):
                return None
        except OSError:
            return None
        loader = Loader(name, source)
        loader.code = _code_in(data) or _compile(loader, cached)
        spec = ModuleSpec(name, loader, origin=source)
        spec.has_location, spec.cached = True, cached
        if tail == "__init__":
            spec.submodule_search_locations = [folder]
        return spec

    def _is_of(self, source: str, kind: bytes, told: bytes) -> bool:
        """Whether byte code matches the present source, by its header."""
        if kind == _OF_TIME:
            status = os.stat(source)
            return told == _as_kept(int(status.st_mtime)) + _as_kept(status.st_size)
        return kind == _OF_CONTENT and self.hash_source is not None and told == self.hash_source(
            int.from_bytes(self.magic, "little"), _read(source))


def _read(path: str) -> bytes:
    """The contents of a file; OSError also for one that is too long."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = os.read(descriptor, _MOST)
    finally:
        os.close(descriptor)
    if len(data) == _MOST:
        raise OSError
    return data


def _code_in(data: bytes) -> CodeType | None:
    """The code after the header of byte code; None if it is invalid."""
    try:
        code = loads(memoryview(data)[_HEAD:])
    except Exception:
        return None
    return code if isinstance(code, CodeType) else None


def _compile(loader: Loader, cached: str) -> CodeType:
    """The code compiled from the source, if its byte code is corrupt: removes that, and Python writes it again."""
    _remove(cached)
    return loader.source_to_code(loader.get_data(loader.path), loader.path)


def _remove(cached: str) -> None:
    try:
        os.unlink(cached)
    except OSError:  # it may only be read
        pass


def drop_first_code() -> None:
    """Remove the byte code of modules that Python loads before this finder, if some of it is corrupt."""
    for tail in ("__init__", "modules"):
        _remove(f"{_home()}/__pycache__/{tail}{_CACHED}")


def _home() -> str:
    return sys.modules[_PREFIX[:-1]].__path__[0]


def _load(spec: ModuleSpec) -> None:
    """Load a found module as an import statement does."""
    module = sys.modules[spec.name] = ModuleType(spec.name)
    module.__dict__.update(__spec__=spec, __loader__=spec.loader, __package__=spec.parent, __file__=spec.origin,
                           __cached__=spec.cached)
    if spec.submodule_search_locations:
        module.__path__ = spec.submodule_search_locations
    try:
        if spec.loader:
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    above, _, tail = spec.name.rpartition(".")
    setattr(sys.modules[above], tail, module)


def _as_kept(number: int) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(4, "little")


def find_quickly() -> None:
    """Install this finder for the modules of the package, if they are files and Python stores byte code.

    What calls from a shell need is loaded at once.
    """
    magic = getattr(sys.modules.get("_frozen_importlib_external"), "MAGIC_NUMBER", None)
    if not magic or not hasattr(SourceFileLoader, "path_stats") or sys.flags.optimize or sys.pycache_prefix:
        return
    own = sys.modules.get("_imp")
    hash_source = getattr(own, "source_hash", None) if getattr(own, "check_hash_based_pycs", "") == "default" else None
    finder = Finder(_home(), magic, hash_source)
    sys.meta_path.insert(0, finder)
    if sys.argv[1:2] == ["--from-shell"]:
        finder.load_all(("preloaded", "base/__init__"))
        from . import base
        from .preloaded import PRELOADED

        base.is_program = True
        finder.load_all(PRELOADED)


def put_first_place_last(is_ours: bool) -> None:
    """Keep the first path entry (the package's home if it `is_ours`) from hiding the standard library.

    After python -m the current directory comes first, and a json.py of the user's may lie in it.
    """
    if is_ours or sys.path and sys.path[0] in ("", _current_directory()):
        sys.path.append(sys.path.pop(0))


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""
