"""A section of ours in a text file of others (AGENTS.md, config.toml), between two lines that mark it."""
from __future__ import annotations

from ..base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row

_BEGIN = "milestone_persist: written by `install`, taken out by `uninstall`; do not edit"
_END = "milestone_persist: end"


def put_in(text: str | None, recorded: Row, file: str, wanted: str) -> tuple[str, Row]:
    """The text (None: there is no file) with the section, and how it was added; UsageError if half of it is there."""
    if text is None:
        return _section(wanted, "\n", file) + "\n", {"made": True}
    newline = "\r\n" if "\r\n" in text else "\n"
    span = _find(text, file)
    if span:
        return text[:span[0]] + _section(wanted, newline, file) + text[span[1]:], recorded or {"before": ""}
    before = newline if not text or text.endswith("\n") else newline * 2
    before = "" if not text else before
    return text + before + _section(wanted, newline, file) + newline, {"before": before}


def take_out(text: str, recorded: Row, file: str) -> str | None:
    """The text without the section; None if nothing is left of a file that `put_in` made."""
    span = _find(text, file)
    if not span:
        return text
    before, after = text[:span[0]], text[span[1]:]
    after = after[2:] if after.startswith("\r\n") else after[1:] if after.startswith("\n") else after
    gap = recorded.get("before", "")
    if gap and before.endswith(gap):
        before = before[:-len(gap)]
    return None if recorded.get("made") and not before + after else before + after


def without(text: str, file: str) -> str:
    """What others have written in a text."""
    span = _find(text, file)
    return text[:span[0]] + text[span[1]:] if span else text


def _marks(file: str) -> tuple[str, str]:
    form = "<!-- {} -->" if file.endswith(".md") else "# {}"
    return form.format(_BEGIN), form.format(_END)


def _find(text: str, file: str) -> tuple[int, int] | None:
    first, last = _marks(file)
    begin, end = text.find(first), text.find(last)
    if begin < 0 and end < 0:
        return None
    if begin < 0 or end < begin:
        raise UsageError(f"{file} has lost one of the lines {first!r} and {last!r}: remove what is left between them")
    return begin, end + len(last)


def _section(wanted: str, newline: str, file: str) -> str:
    first, last = _marks(file)
    return "\n".join([first, wanted, last]).replace("\n", newline)
