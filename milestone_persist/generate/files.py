"""The files of the project that are made from the operations and the schema; each says so."""
from __future__ import annotations

import os

from ..base.errors import UsageError
from ..base.found import read_found
from ..base.packaged import PACKAGE
from ..vendor.replace import replace_file
from .adapter import make_adapter
from .documents import make_readme, make_reference
from .postgresql_tables import make_postgresql_schema
from .stub import make_rows, make_stub, make_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..base.answers import GeneratedFile


FILES: dict[str, Callable[[], str]] = {
    "shell/storage-adapter.sh": make_adapter,
    "milestone_persist/methods.pyi": make_stub,
    "milestone_persist/base/rows.pyi": make_rows,
    "milestone_persist/registry/table.py": make_table,
    "README.md": make_readme,
    "docs/functions.md": make_reference,
    "sql/milestone-coordination.postgresql.sql": make_postgresql_schema,
}


def write_generated(names: Sequence[str] = ()) -> list[GeneratedFile]:
    """Make the generated files of a checkout again; each file's name and whether it had been stale."""
    unknown = [name for name in names if name not in FILES]
    if unknown:
        raise UsageError(f"{unknown[0]} is not a generated file; these are: {', '.join(FILES)}")
    if __doc__ is None:
        raise UsageError("the files are made from docstrings: run Python without -OO")
    root = os.path.dirname(PACKAGE)
    if not os.path.exists(os.path.join(root, "pyproject.toml")):
        raise UsageError("generated files are made in a checkout of the project only")
    return [{"file": name, "stale": _write(os.path.join(root, name), FILES[name]())} for name in names or FILES]


def _write(path: str, text: str) -> bool:
    data = text.encode()
    is_stale = read_found(path) != data
    if is_stale:
        replace_file(path, data)
    return is_stale
