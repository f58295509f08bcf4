"""How this program was called, so that the commands it advises can be run as they are printed."""
from __future__ import annotations

import os
import sys

from .. import base
from .quoting import command, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FUNCTIONS = "milestone_persist"  # the helper of the shell functions, which are there where it is
DOCUMENTED = "python3 -m milestone_persist"


def way_called() -> str:
    """The words that run this program again, as it was run now; those of the documents where it was imported."""
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
    """An operation and its arguments as they can be run where this was run: as a shell function, or by the program."""
    way = way_called()
    return command(words) if way == FUNCTIONS else f"{way} {command(words)}"


def _name_on_path(program: str) -> str:
    """What a shell calls this program by: its name if that is what it finds first, else its path."""
    import shutil

    name = os.path.basename(program)
    found = shutil.which(name)
    return quote(name if found and os.path.samefile(found, program) else program)
