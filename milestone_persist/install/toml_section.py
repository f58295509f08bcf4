"""Our tables in a TOML file of others: a section at its end, which says the same wherever it stands."""
from __future__ import annotations

import sys

from ..base.errors import UsageError
from . import sections
from .sections import take_out as take_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row


def put_in(text: str | None, recorded: Row, file: str, wanted: str) -> tuple[str, Row]:
    """The text with our tables; UsageError if it cannot be read, or has tables of these names."""
    _refuse_invalid(text or "", file, "is not valid TOML")
    _refuse_same_tables(sections.without(text or "", file), wanted, file)
    new, added = sections.put_in(text, recorded, file, wanted)
    _refuse_invalid(new, file, "cannot take our tables")
    return new, added


def _refuse_same_tables(text: str, wanted: str, file: str) -> None:
    import re

    for name in re.findall(r"^\[+([^]\n]+)\]", wanted, re.M):
        outer, _, inner = name.partition(".")
        table = re.search(rf'^\s*\[\s*"?{outer}"?\s*\].*\n((?:(?!\s*\[).*\n?)*)', text, re.M)
        if (re.search(rf'^\s*\[?\s*"?{outer}"?\s*(=|\.\s*"?{inner}"?\s*[].=])', text, re.M)
                or table and re.search(rf'^\s*"?{inner}"?\s*[.=]', table[1], re.M)):
            raise UsageError(f"{file}: {name} is there and not ours: remove or rename it first; nothing was changed")


def _refuse_invalid(text: str, file: str, what: str) -> None:
    """Python reads TOML from 3.11 on; before, a file is taken for valid."""
    if sys.version_info >= (3, 11):
        import tomllib

        try:
            tomllib.loads(text)
        except ValueError as error:
            raise UsageError(f"{file} {what} ({error}): fix it first; nothing was changed") from None
