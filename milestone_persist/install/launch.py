"""How clients' files start this program: by its relative path if the project contains it, else by its path."""
from __future__ import annotations

import sys

from ..base.packaged import find_program

ADAPTER = ".claude/shared/milestone/storage-adapter.sh"

# How a hook finds the file. Codex has no word for the top of the project, and runs hooks in the folder of the session.
# Gemini CLI puts the path there itself, in quotes where it needs them, which within quotes would be part of it.
_FIND = {"claude_code": f'f="$CLAUDE_PROJECT_DIR/{ADAPTER}"', "gemini": f"f=$GEMINI_PROJECT_DIR/{ADAPTER}",
         "codex": f'd=$PWD; until [ -r "$d/{ADAPTER}" ] || [ -z "$d" ]; do d=${{d%/*}}; done; f="$d/{ADAPTER}"'}
# How a server in the project is found where a session begins in a folder below the top; $0 is its place there.
# No braces: Claude Code reads what is in them as the name of a variable.
_SERVE = ('d=$PWD; until [ -r "$d/$0" ] || [ "$d" = / ]; do d=$(dirname "$d"); done; '
          'exec python3 -I -S "$d/$0" mcp')


class Launch:
    """The command that runs the program.

    beside: where the program lies as seen from the top of the project; "" if it is not in it
    is_home: whether the files are those in the home directory, for all projects
    """

    def __init__(self, beside: str = "", is_home: bool = False) -> None:
        self.beside, self.is_home = beside, is_home
        self.python = "python3" if beside else sys.executable or "python3"
        self.program = beside or find_program()

    def server(self, is_found: bool = False) -> list[str]:
        """The command that runs the MCP server; is_found: whether the client finds the program by its given path."""
        if self.beside and not is_found:
            return ["sh", "-c", _SERVE, self.beside]
        return [self.python, "-I", "-S", self.program, "mcp"]

    def hook_command(self, client: str, event: str) -> str:
        """The command for sh that handles an event: whatever goes wrong, it ends with 0, and only the first event says
        so, where the model reads it, instead of an answer. A file that is not there or damaged ends the shell that
        sources it, with a status by which clients send a model back again and again: that is a shell of its own."""
        find = f'f="$HOME/{ADAPTER}"' if self.is_home else _FIND[client]
        call = f"milestone_persist hook {event} -"
        if event != "SessionStart":
            return f'{find}; ([ -r "$f" ] && . "$f" && {call}) || :'
        said = '$f: ask the user to run milestone_persist install here"'
        return (f'{find}; if [ -r "$f" ]; then (. "$f" && {{ e=$({call} 2>&1 1>&3) || printf "%s\\n" "$e"; }} 3>&1) || '
                f'echo "milestone_persist: cannot run {said}; else echo "milestone_persist: there is no {said}; fi')
