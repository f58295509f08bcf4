"""The section for AGENTS.md and GEMINI.md: how to load the functions, and the main ones."""
from __future__ import annotations

from ..registry import all_operations
from .launch import ADAPTER

_SHOWN = ("register_agent", "save_agent_state", "load_agent_state", "send_agent_message", "get_agent_messages",
          "create_agent_checkpoint", "get_session_status", "detect_interrupted_sessions", "update_agent_status")
_EXAMPLES = ("register_agent executor-ms-123-1 milestone-executor ms-123 execution-ms-123-1",
             "get_agent_messages executor-ms-123-1 true 1 --wait 8")
_TEXT = """## Coordination with other agents

Agents that work on one milestone share what the shell functions below keep. Where you have the tools of the MCP server
`milestone`, which do the same, use those. Where a command has the functions by itself, as in Claude Code, just call
them. Elsewhere begin each command that uses them with the file they are in and `&&`@FOLDERS@:

```sh
@EXAMPLES@
```

Write ids out, with the milestone in them, and JSON in single quotes, without variables, `export` or loops: commands are
approved by their form. Wait at most 8 seconds a call (`--wait 8`): a shell that returns earlier loses the message.

@FUNCTIONS@

Exit status: 0 done, 1 no, 2 bad usage, 3 storage; errors say what to do. `FUNCTION --help` tells more.
"""


def make_section(is_home: bool = False) -> str:
    """The section as Markdown; in the home directory the functions are found from any folder."""
    table = {op.name: op for op in all_operations()}
    functions = "\n".join(f"- `{' '.join([name, *(p.label for p in table[name].positionals)])}`: {table[name].summary}"
                          for name in _SHOWN)
    examples = "\n".join(f". {'~/' if is_home else ''}{ADAPTER} && {call}" for call in _EXAMPLES)
    folders = "" if is_home else " (in a folder\nof the project, put `../` before that path, once for each level)"
    return (_TEXT.replace("@EXAMPLES@", examples).replace("@FUNCTIONS@", functions).replace("@FOLDERS@", folders))
