"""How this program was started, so that the commands that it prints can be run as they are."""
from __future__ import annotations

import os
import sys

from .. import base
from .quoting import command, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FUNCTIONS = "milestone_persist"  # the helper of the shell functions; where it exists, they exist
DOCUMENTED = "python3 -m milestone_persist"


def way_called() -> str:
    """The command that runs this program again in the same way; the documented one if the package was imported."""
    if not base.is_program:
        return DOCUMENTED
    if sys.argv[1:2] in (["--from-shell"], ["--words-on-stdin"]):
        return FUNCTIONS  # and the program in a folder of install --bin
    main, path = sys.modules["__main__"], sys.argv[0]
    if main.__package__:
        return f"{_name_on_path(sys.executable)} -m milestone_persist"
    if main.__spec__ or os.path.basename(path) == "__main__.py":  # a folder, a zipapp or a file run by its path
        return f"{_name_on_path(sys.executable)} {quote(path)}"
    return _name_on_path(path)  # what pip made of the entry point


def call_of(words: Sequence[str]) -> str:
    """An operation with its arguments as a command for the caller: a shell function, or a call of the program."""
    way = way_called()
    return command(words) if way == FUNCTIONS else f"{way} {command(words)}"


def _name_on_path(program: str) -> str:
    """How a shell finds this program: by its name if that comes first on PATH, else by its path."""
    import shutil

    name = os.path.basename(program)
    found = shutil.which(name)
    return quote(name if found and os.path.samefile(found, program) else program)
