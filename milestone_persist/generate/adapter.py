"""Generator of the shell functions, from a template: one helper that runs the program, and a function per operation.

Also as Markdown that every shell can source: headings are comments, and all else is indented code.
"""
from __future__ import annotations

from ..base.packaged import read_packaged
from ..base.values import HOLDS_NUL
from ..registry import GENERATE, all_operations
from ..registry.manual import operations_by_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TEMPLATE = "adapter.template.sh"  # beside this file
_RECOVERY_GUIDE: dict[str, tuple[str, ...]] = {
    "At the start of work, and when an agent is silent": ("detect_interrupted_sessions", "recover_milestone_session"),
    "A planning session": ("resume_planning_agents", "restart_planning_with_artifacts", "complete_planning_session",
                           "create_milestone_from_recovered_planning"),
    "An execution session": ("resume_execution_from_phase", "restart_incomplete_phases",
                             "finalize_milestone_execution"),
    "Giving up and cleaning up": ("abandon_session", "cleanup_stale_coordination", "cleanup_failed_sessions"),
    "Watching": ("start_session_monitor", "stop_session_monitor", "get_session_recovery_status"),
}


def make_adapter(program: str = "", python: str = "", beside: str = "", command: str = GENERATE,
                 source: str = ". shell/storage-adapter.sh") -> str:
    """The text of the shell file, for every shell.

    program: the path of the program, written into it; without it, the file looks beside itself
    python: the path of the Python to use, for eval; without it, the file looks on PATH
    beside: where the program lies as seen from the folder of the file
    command, source: what made it, and how it is sourced, for its head
    """
    parts, functions = read_parts(), "".join(_functions())
    if python:  # for eval: zsh has read all of its text, with the caller's aliases, before it runs the first command
        functions = f"\neval {_quote(functions)}\n"
    return _fill(parts["head"] + parts["locate"], program, python, beside, command, source) + functions + parts["end"]


def make_executable(command: str, program: str = "", beside: str = "") -> str:
    """The text of a program for /bin/sh that does what the function of its own name does."""
    parts = read_parts()
    locate = parts["locate"].replace("then milestone_find_program;", 'then milestone_look_beside "$0";')
    return _fill(parts["executable head"] + locate, program, "", beside, command, "") + parts["executable call"]


def read_parts() -> dict[str, str]:
    """The parts of the template by name: the text after each line `#: name`."""
    import re

    _, *found = re.split("^#: (.+)\n", read_packaged("generate", TEMPLATE), flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2]))


def _fill(text: str, program: str, python: str, beside: str, command: str, source: str) -> str:
    import re

    parts = {name: part.rstrip("\n") for name, part in read_parts().items()}
    paths = [_quote(beside)] if beside else ["../milestone_persist/__main__.py", "../__main__.py"]
    found = {"@BUILTINS@": parts["builtins"], "@PROGRAM@": _quote(program) if program else "",
             "@PYTHON@": _quote(python) if python else "",
             "@BESIDE@": " ".join(f'"${{1%/*}}"/{path}' for path in paths), "@NAMES@": _names(),
             "@CHECK@": f"{parts['export']}\n{parts['check']}",
             "@CHECK_NULS@": parts["check nuls"].replace("@NUL@", HOLDS_NUL),
             "@RUN@": parts["run"].replace("@WRITE@", """'"$milestone_write"'"""),
             "@COMMAND@": command, "@SOURCE@": source}
    return "#!/bin/sh\n" + "".join(found.get(part, part) for part in re.split("(@[A-Z_]+@)", text))


def _names() -> str:
    """The names of all functions, in lines; in quotes, so that zsh's global aliases do not apply."""
    import textwrap

    names = ["milestone_persist", *(op.name for op in all_operations() if op.shell)]
    return " \\\n    ".join(textwrap.wrap(" ".join(f"'{name}'" for name in names), 112))


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _functions() -> Iterator[str]:
    for group, operations in operations_by_group().items():
        functions = [op for op in operations if op.shell]
        if functions:
            yield f"\n# {group}\n"
        for op in functions:
            usage = op.usage.replace("…", "...")  # a shell in the locale C may read ASCII only
            yield f"\n# Usage: {op.name} {usage}".rstrip() + f"\n{_function(op.name)}"


def _function(name: str) -> str:
    return f'{name}() {{ \\milestone_persist {name} "$@"; }}\n'  # the backslash: not an alias of that name


def make_markdown_adapter(adapter: str) -> str:
    """storage-adapter.md: the shell file `adapter` under the headings of its groups."""
    return "# Storage adapter: shell functions for agents\n\n" + _as_markdown(adapter)


def make_recovery_document(adapter: str) -> str:
    """milestone-recovery.md: how to recover, then the same functions as in `adapter`."""
    table = {op.name: op for op in all_operations()}
    lines = ["# Milestone recovery\n", *_comment(["Run what detect_interrupted_sessions and recover_milestone_session "
                                                  "print: every option is a command that works."])]
    for heading, names in _RECOVERY_GUIDE.items():
        lines.append(f"\n## {heading}\n")
        for name in names:
            lines += _comment([f"{name} {table[name].usage}".rstrip(), f"  {table[name].summary}"])
    return "\n".join(lines) + "\n\n" + _as_markdown(adapter)


def _comment(lines: Iterable[str]) -> list[str]:
    return [f"    # {line}" for line in lines]


def _as_markdown(adapter: str) -> str:
    headings = {f"# {op.group}" for op in all_operations()}
    lines = adapter.splitlines()[1:]  # without its #!
    return "".join(f"#{line}\n" if line in headings else f"    {line}".rstrip() + "\n" for line in lines)
