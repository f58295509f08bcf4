"""A section of AGENTS.md or GEMINI.md that tells an agent how to have the functions, between two markers."""
from __future__ import annotations

from ..base.errors import UsageError
from ..registry import all_operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row

_BEGIN = "<!-- milestone_persist: written by `install`, taken out by `uninstall`; do not edit -->"
_END = "<!-- milestone_persist: end -->"
_SHOWN = ("register_agent", "save_agent_state", "load_agent_state", "send_agent_message", "get_agent_messages",
          "create_agent_checkpoint", "get_session_status", "detect_interrupted_sessions", "update_agent_status")
_EXAMPLES = ("register_agent executor-ms-123-1 milestone-executor ms-123 execution-ms-123-1",
             "get_agent_messages executor-ms-123-1 true 1 --wait 8")
_TEXT = """## Coordination with other agents

Agents that work on one milestone share what the shell functions below keep. Where a command has them by itself, as in
Claude Code, just call them. Elsewhere begin each command that uses them with the file they are in and `&&` (in a folder
of the project, put `../` before that path, once for each level):

```sh
@EXAMPLES@
```

Write ids out, with the milestone in them, and JSON in single quotes, without variables, `export` or loops: commands are
approved by their form. Wait at most 8 seconds a call (`--wait 8`): a shell that returns earlier loses the message.

@FUNCTIONS@

Exit status: 0 done, 1 no, 2 bad usage, 3 storage; errors say what to do. `FUNCTION --help` tells more.
"""


def put_in(text: str | None, recorded: Row, file: str) -> tuple[str, Row]:
    """The document (None: there is none) with the section, and how it was added; UsageError if half of it is there."""
    if text is None:
        return _section("\n") + "\n", {"made": True}
    newline = "\r\n" if "\r\n" in text else "\n"
    span = _find(text, file)
    if span:
        return text[:span[0]] + _section(newline) + text[span[1]:], recorded or {"before": ""}
    before = newline if not text or text.endswith("\n") else newline * 2
    before = "" if not text else before
    return text + before + _section(newline) + newline, {"before": before}


def take_out(text: str, recorded: Row, file: str) -> str | None:
    """The document without the section; None if nothing is left of a file that `put_in` made."""
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
    return begin, end + len(_END)


def _section(newline: str) -> str:
    table = {op.name: op for op in all_operations()}
    functions = "\n".join(f"- `{' '.join([name, *(p.label for p in table[name].positionals)])}`: {table[name].summary}"
                          for name in _SHOWN)
    examples = "\n".join(f". .claude/shared/milestone/storage-adapter.sh && {call}" for call in _EXAMPLES)
    text = _TEXT.replace("@EXAMPLES@", examples).replace("@FUNCTIONS@", functions)
    return "\n".join([_BEGIN, text, _END]).replace("\n", newline)
