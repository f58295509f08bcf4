"""The files of the project generated from the operations and the schema; each says so."""
from __future__ import annotations

import os

from ..base.errors import UsageError
from ..base.found import read_found
from ..base.packaged import PACKAGE, require_docstrings
from ..vendor.replace import replace_file
from .adapter import make_adapter
from .documents import make_reference
from .manual import make_llms, make_manual
from .postgresql_tables import make_postgresql_schema
from .preloaded import make_preloaded
from .sqlite_schema import make_sqlite_schema
from .stub import make_rows, make_stub, make_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..base.answers import GeneratedFile


FILES: dict[str, Callable[[], str]] = {
    "shell/storage-adapter.sh": make_adapter,
    "milestone_persist/methods.pyi": make_stub,
    "milestone_persist/base/rows.pyi": make_rows,
    "milestone_persist/registry/table.py": make_table,
    "milestone_persist/preloaded.py": make_preloaded,
    "milestone_persist/storage/sqlite/canonical.py": make_sqlite_schema,
    "docs/functions.md": make_reference,
    "docs/milestone-persist.1": make_manual,
    "docs/llms.txt": make_llms,
    "sql/milestone-coordination.postgresql.sql": make_postgresql_schema,
}


def write_generated(names: Sequence[str], files: Mapping[str, Callable[[], str]], executables: Sequence[str],
                    links: Mapping[str, str]) -> list[GeneratedFile]:
    """Regenerate files of a checkout: all, or those named; returns each file's name and whether it was stale.

    files: what makes the text of each
    executables: those of them that are programs
    links: symbolic links, by their paths, and where they lead; a row for those that were stale
    UsageError for a name that is none of them, and outside of a checkout.
    """
    unknown = [name for name in names if name not in files]
    if unknown:
        raise UsageError(f"{unknown[0]} is not a generated file; these are: {', '.join(files)}")
    require_docstrings("the files are")
    root = os.path.dirname(PACKAGE)
    if not os.path.exists(os.path.join(root, "pyproject.toml")):
        raise UsageError("generated files are made in a checkout of the project only")
    made: list[GeneratedFile] = [
        {"file": name, "stale": _write(os.path.join(root, name), files[name](), name in executables)}
        for name in names or files]
    return made if names else [*made, *_write_links(root, links)]


def _write(path: str, text: str, is_program: bool) -> bool:
    data = text.encode()
    is_stale = read_found(path) != data
    if is_stale:
        replace_file(path, data, 0o777 if is_program else 0o666)
    return is_stale


def _write_links(root: str, links: Mapping[str, str]) -> Iterator[GeneratedFile]:
    """Create the links, and remove others in their folders."""
    for folder in sorted({os.path.dirname(name) for name in links}):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
        there = {os.path.join(folder, name) for name in os.listdir(os.path.join(root, folder))}
        for name in sorted(there | {name for name in links if os.path.dirname(name) == folder}):
            path, wanted = os.path.join(root, name), links.get(name)
            found = os.readlink(path) if os.path.islink(path) else None
            if found != wanted:
                if found is not None:
                    os.unlink(path)
                if wanted is not None:
                    os.symlink(wanted, path)
                yield {"file": name, "stale": True}
