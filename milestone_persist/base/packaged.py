"""The files that come with the package, wherever it runs from: checkout, installation, wheel as a zip, zipapp."""
from __future__ import annotations

import os

from .errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__loader__: Any
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_HERE = os.path.dirname(os.path.dirname(__file__)) if hasattr(__loader__, "archive") else PACKAGE


def read_packaged(folder: str, name: str) -> str:
    """The text of a file in the package's `sql`, `agents` or a room; FileNotFoundError if there is none."""
    for home in (_HERE, os.path.dirname(_HERE)):  # installed or zipped; then a checkout
        try:
            data: bytes = __loader__.get_data(os.path.join(home, folder, name))
            return data.decode()
        except OSError as error:
            if error.errno not in (0, 2, 20):  # 0: a zip has no such name; ENOENT, ENOTDIR
                raise
    raise FileNotFoundError(f"{folder}/{name} is missing beside the package {PACKAGE}")


def require_docstrings(what: str) -> None:
    """UsageError if Python (-OO) has dropped the docstrings from which something is made."""
    if __doc__ is None:
        raise UsageError(f"{what} made from docstrings: run Python without -OO and PYTHONOPTIMIZE")


def find_program() -> str:
    """The absolute path by which Python runs this program: its __main__.py, or a zipapp; UsageError if neither."""
    path, archive = os.path.join(PACKAGE, "__main__.py"), os.path.dirname(PACKAGE)
    if os.path.isfile(path):
        return path
    try:
        __loader__.get_data(os.path.join(os.path.dirname(_HERE), "__main__.py"))
    except OSError:
        raise UsageError(f"{archive} cannot be run by its path: install or unpack it, or make a zipapp of it") from None
    return archive
