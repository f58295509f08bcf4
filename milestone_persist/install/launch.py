"""How the files of clients start this program: in a project that has it by its place there, else by its path."""
from __future__ import annotations

import sys

from ..base.packaged import find_program


class Launch:
    """The words that run the program.

    beside: where the program lies as seen from the top of the project; "" if it is not in it
    top: how a hook of Claude Code names the folder in which the settings are: a variable of its shell
    """

    def __init__(self, beside: str = "", top: str = "$CLAUDE_PROJECT_DIR") -> None:
        self.beside, self.top = beside, top
        self.python = "python3" if beside else sys.executable or "python3"
        self.program = beside or find_program()

    def server_arguments(self, top: str = "") -> list[str]:
        """What follows the Python to run the MCP server; top: what a path in the project begins with."""
        return ["-I", "-S", (top if self.beside else "") + self.program, "mcp"]
