"""A section of ours in a Markdown file of others, AGENTS.md or GEMINI.md, between two comments that mark it."""
from __future__ import annotations

from ..base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row

_BEGIN = "<!-- milestone_persist: written by `install`, taken out by `uninstall`; do not edit -->"
_END = "<!-- milestone_persist: end -->"


def put_in(text: str | None, recorded: Row, file: str, wanted: str) -> tuple[str, Row]:
    """The text (None: there is no file) with the section, and how it was added; UsageError if half of it is there."""
    if text is None:
        return _section(wanted, "\n") + "\n", {"made": True}
    span = _find(text, file)
    newline = "\r\n" if "\r\n" in (text[span[0]:span[1]] if span else text) else "\n"
    if span:
        return text[:span[0]] + _section(wanted, newline) + text[span[1]:], recorded or {"before": ""}
    before = newline if not text or text.endswith("\n") else newline * 2
    before = "" if not text else before
    return text + before + _section(wanted, newline) + newline, {"before": before}


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


def _find(text: str, file: str) -> tuple[int, int] | None:
    begin, end = text.find(_BEGIN), text.find(_END)
    if begin < 0 and end < 0:
        return None
    if begin < 0 or end < begin:
        raise UsageError(f"{file} has lost one of the lines {_BEGIN!r} and {_END!r}: remove what is left between them")
    if text.count(_BEGIN) > 1 or text.count(_END) > 1:
        raise UsageError(f"{file} has more than one of the lines {_BEGIN!r} and {_END!r}: remove all but those of one "
                         "section; nothing was changed")
    return begin, end + len(_END)


def _section(wanted: str, newline: str) -> str:
    return "\n".join([_BEGIN, wanted, _END]).replace("\n", newline)
