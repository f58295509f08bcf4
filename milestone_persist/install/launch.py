"""How the files of clients start this program: in a project that has it by its place there, else by its path."""
from __future__ import annotations

import sys

from ..base.packaged import find_program

ADAPTER = ".claude/shared/milestone/storage-adapter.sh"

# What a hook calls the top of the project. Codex has no word for it, and runs hooks in the folder of the session.
_TOPS = {"claude_code": "$CLAUDE_PROJECT_DIR", "gemini": "$GEMINI_PROJECT_DIR",
         "codex": "$(git rev-parse --show-toplevel 2>/dev/null || pwd)"}


class Launch:
    """The words that run the program.

    beside: where the program lies as seen from the top of the project; "" if it is not in it
    is_home: whether the files are those in the home directory, for all projects
    """

    def __init__(self, beside: str = "", is_home: bool = False) -> None:
        self.beside, self.is_home = beside, is_home
        self.python = "python3" if beside else sys.executable or "python3"
        self.program = beside or find_program()

    def server_arguments(self, top: str = "") -> list[str]:
        """What follows the Python to run the MCP server; top: what a path in the project begins with."""
        return ["-I", "-S", (top if self.beside else "") + self.program, "mcp"]

    def hook_command(self, client: str, event: str) -> str:
        """The command for sh that handles an event: whatever goes wrong, it ends with 0, and only the first event says
        so, where the model reads it. A file that cannot be sourced would end the shell, so it is looked for first."""
        find = f'f="{"$HOME" if self.is_home else _TOPS[client]}/{ADAPTER}"'
        call = f"milestone_persist hook {event} -"
        if event != "SessionStart":
            return f'{find}; [ -r "$f" ] && . "$f" && {call} || :'
        return (f'{find}; if [ -r "$f" ]; then . "$f" && {call} 2>&1 || :; '
                'else echo "milestone_persist: there is no $f: ask the user to run milestone_persist install here"; fi')
