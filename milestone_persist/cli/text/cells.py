"""Text in the cells of a terminal: how wide it is there, cut and filled to a width, and coloured."""
from __future__ import annotations

from ...base.values import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Line = list[tuple[str, str]]  # style and text of each part

STYLES = {"": "", "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36",
          "head": "1;2", "alarm": "1;31"}


def width_of(text: str) -> int:
    """How many cells a terminal gives a text: two for wide characters, none for those that join others."""
    if text.isascii():
        return len(text)
    return sum(_width(c) for c in text)


def _width(character: str) -> int:
    import unicodedata

    if unicodedata.category(character) in ("Mn", "Me", "Cf") or 0x1160 <= ord(character) <= 0x11ff:
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, width: int) -> str:
    """A text in at most so many cells; an ellipsis stands for what is left out."""
    if width_of(text) <= width:
        return text
    kept, room = "", max(0, width - 1)
    for character in text:
        if width_of(kept + character) > room:
            break
        kept += character
    return (kept + "…")[:max(0, width)]


def fill(text: str, width: int, right: bool = False) -> str:
    """A text in exactly so many cells."""
    text = cut(text, width)
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def compose(line: Line, width: int, is_coloured: bool) -> str:
    """A line in at most so many cells, without trailing blanks."""
    shown, left = [], width
    while line and not line[-1][1].strip():
        line = line[:-1]
    for place, (style, text) in enumerate(line):
        text = show(text)
        text = cut(text.rstrip() if place == len(line) - 1 else text, left)
        left -= width_of(text)
        shown.append(f"\x1b[{STYLES[style]}m{text}\x1b[0m" if is_coloured and style and text else text)
    return "".join(shown)


def compose_all(lines: Iterable[Line], width: int, is_coloured: bool) -> str:
    """Lines as a terminal of that many columns shows them, each with its end."""
    return "".join(compose(line, width, is_coloured) + "\n" for line in lines)
