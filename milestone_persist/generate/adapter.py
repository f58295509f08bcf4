"""Generator of the shell functions, from a template: one helper that runs the program, and a function per operation."""
from __future__ import annotations

from ..base.packaged import read_packaged
from ..base.values import HOLDS_NUL
from ..registry import GENERATE, all_operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = "adapter.template.sh"  # beside this file


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
    """The parts of the template by their names: what stands behind each line `#: name`."""
    import re

    _, *found = re.split("^#: (.+)\n", read_packaged("generate", TEMPLATE), flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2]))


def _fill(text: str, program: str, python: str, beside: str, command: str, source: str) -> str:
    import re

    parts = {name: part.rstrip("\n") for name, part in read_parts().items()}
    places = [_quote(beside)] if beside else ["../milestone_persist/__main__.py", "../__main__.py"]
    found = {"@PROGRAM@": _quote(program) if program else "", "@PYTHON@": _quote(python) if python else "",
             "@BESIDE@": " ".join(f'"${{1%/*}}"/{place}' for place in places), "@NAMES@": _names(),
             "@CHECK@": f"{parts['export']}\n{parts['check']}",
             "@CHECK_NULS@": parts["check nuls"].replace("@NUL@", HOLDS_NUL),
             "@RUN@": parts["run"].replace("@WRITE@", """'"$milestone_write"'"""),
             "@COMMAND@": command, "@SOURCE@": source}
    return "#!/bin/sh\n" + "".join(found.get(part, part) for part in re.split("(@[A-Z_]+@)", text))


def _names() -> str:
    """The names of all functions, in lines; in quotes, where no global alias of zsh gets at them."""
    import textwrap

    names = ["milestone_persist", *(op.name for op in all_operations() if op.shell)]
    return " \\\n    ".join(textwrap.wrap(" ".join(f"'{name}'" for name in names), 112))


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _functions() -> Iterator[str]:
    group = ""
    for op in all_operations():
        if op.shell and op.group != group:
            group = op.group
            yield f"\n# {group}\n"
        if op.shell:
            yield f"\n# Usage: {op.name} {op.usage}".rstrip() + f"\n{_function(op.name)}"


def _function(name: str) -> str:
    return f'{name}() {{ \\milestone_persist {name} "$@"; }}\n'  # the backslash: not an alias of that name
