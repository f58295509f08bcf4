"""Our table in a TOML file of others: at its end, below a comment.

Programs that keep the form of the file put their own tables behind it, so it ends where the next one begins.
"""
from __future__ import annotations

import re
import sys

from ..base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row

_MARK = "# milestone_persist: written by `install`, taken out by `uninstall`; do not edit"


def put_in(text: str | None, recorded: Row, file: str, wanted: str) -> tuple[str, Row]:
    """The text (None: there is no file) with our table, and how it was added; UsageError if the text cannot be read, or
    has such a table of others."""
    _refuse_invalid(text or "", file, "is not valid TOML")
    name, section = _name_of(wanted), f"{_MARK}\n{wanted}\n"
    if text is None:
        return section, {"made": True, "table": name}
    newline = "\r\n" if "\r\n" in text else "\n"
    section = section.replace("\n", newline)
    span = _find(text, name, recorded)
    _refuse_same_table(text[:span[0]] + text[span[1]:] if span else text, name, bool(recorded), file)
    if span:
        new, added = _replace(text, span, section), recorded or {"before": "", "table": name}
    else:
        before = "" if not text else newline if text.endswith("\n") else newline * 2
        new, added = text + before + section, {**recorded, "before": before, "table": name}
    _refuse_invalid(new, file, "cannot take our table")
    return new, added


def take_out(text: str, recorded: Row, file: str) -> str | None:
    """The text without our table and those below it; None if nothing is left of a file that `put_in` made."""
    name, gap = recorded.get("table", ""), recorded.get("before", "")
    span = _find(text, name, recorded)
    if span:
        before, after = text[:span[0]], text[span[1]:]
        before = before[:-len(gap)] if gap and before.endswith(gap) else before
        is_one_line = before and after and not before.endswith("\n") and after[0] not in "\r\n"
        text = before + ("\n" if is_one_line else "") + after
    text = _without_below(text, name)
    return None if recorded.get("made") and not text.strip() else text


def _name_of(wanted: str) -> str:
    return wanted[1:wanted.index("]")]


def _find(text: str, name: str, recorded: Row) -> tuple[int, int] | None:
    """The position of our table: from the comment above it to its last value; without the comment if known as ours."""
    lines = re.findall("[^\n]*\n|[^\n]+", text)
    for place, line in enumerate(lines):
        is_marked = place > 0 and lines[place - 1].strip() == _MARK
        if line.strip() == f"[{name}]" and (is_marked or recorded):
            end = _find_next(lines, place)
            while lines[end - 1].lstrip()[:1] in ("", "#"):  # what stands above the next table
                end -= 1
            return len("".join(lines[:place - is_marked])), len("".join(lines[:end]))
    return None


def _find_next(lines: list[str], place: int) -> int:
    """The line in which the next table begins, or the end."""
    end = place + 1
    while end < len(lines) and not lines[end].lstrip().startswith("["):
        end += 1
    return end


def _without_below(text: str, name: str) -> str:
    """The text without the tables below ours, added by clients; blank lines above the next table are kept."""
    lines = re.findall("[^\n]*\n|[^\n]+", text)
    kept, place = [], 0
    while place < len(lines):
        if not lines[place].startswith(f"[{name}."):
            kept.append(lines[place])
            place += 1
            continue
        end = place = _find_next(lines, place)
        while end < len(lines) and not lines[end - 1].strip():
            end -= 1
        kept += lines[end:place]
    return "".join(kept)


def _replace(text: str, span: tuple[int, int], section: str) -> str:
    """The text with our table as it should be; a table with only additions by others is kept."""
    if {*section.splitlines()} <= {*text[span[0]:span[1]].splitlines()}:
        return text
    return text[:span[0]] + section + text[span[1]:]


def _refuse_same_table(text: str, name: str, is_ours: bool, file: str) -> None:
    """UsageError for a foreign table with our name; tables below ours belong to it."""
    outer, _, inner = name.partition(".")
    below = "]=" if is_ours else "].="
    text = re.sub("[ \t\r]+", "", text)
    table = re.search(rf'^\["?{outer}"?\].*\n((?:(?!\[).*\n?)*)', text, re.M)
    if re.search(rf'^"?{outer}"?=', text, re.M):
        raise UsageError(f"{file}: {outer} is written as a value, which cannot be added to: write it as [{outer}.NAME] "
                         "tables first; nothing was changed")
    if (re.search(rf'^\[?"?{outer}"?(\."?{inner}"?[{below}])', text, re.M)
            or table and re.search(rf'^"?{inner}"?[.=]', table[1], re.M)):
        raise UsageError(f"{file}: {name} is there and not ours: remove or rename it first; nothing was changed")


def _refuse_invalid(text: str, file: str, what: str) -> None:
    """Python can parse TOML from 3.11 on; before that, a file is assumed to be valid."""
    if sys.version_info >= (3, 11):
        import tomllib

        try:
            tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{file} {what} ({error}): fix it first; nothing was changed") from None
