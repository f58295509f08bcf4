"""The terminal that a command line prints to: its size, its colours, and what it shows."""
from __future__ import annotations

import os

from .text.cells import compose_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .main import Console

USUAL = (80, 24)  # columns and lines where a terminal does not tell


class Terminal:
    """What is drawn on the standard output of a console, in a width and a height."""

    def __init__(self, console: Console) -> None:
        self.console, self.environ = console, console.environ
        self.is_coloured = not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"

    def size(self) -> tuple[int, int]:
        """The current columns and lines; $COLUMNS is used if the terminal does not say."""
        try:
            found = os.get_terminal_size(self.console.stdout.fileno())
        except (OSError, ValueError):
            found = os.terminal_size((0, 0))
        columns = self.environ.get("COLUMNS", "")
        return (found.columns or (int(columns) if columns.isascii() and columns.isdigit() else 0) or USUAL[0],
                found.lines or USUAL[1])

    def draw(self, name: str, data: Any, height: int | None = None) -> str:
        """Lines of text for the whole width; without a height those of one screen and the prompt below it."""
        from .text import screen

        width, lines = self.size()
        drawn = vars(screen)[name](data, width, lines - 1 if height is None else height)
        return compose_all(drawn, width, self.is_coloured)
