"""Texts generated from the table of operations and the documents: the manual page, and llms.txt for models."""
from __future__ import annotations

import os
import re

from ..base import __version__
from ..base.packaged import PACKAGE
from ..registry import GENERATE, all_operations
from ..registry.manual import STATUSES, default_of, example_of, operations_by_group, parameter_help, remarks_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..registry import Operation

ABOUT = "coordination of coding agents that work on one milestone"
FIRST = ("quickstart", "agents", "functions", "watching", "recovery")  # of the documents, for llms.txt


def make_manual() -> str:
    """docs/milestone-persist.1: the manual page, in the markup of man."""
    lines = [f'.\\" made by `{GENERATE}`: do not edit', f'.TH MILESTONE-PERSIST 1 "" "milestone_persist {__version__}"',
             ".SH NAME", f"milestone\\-persist \\- {_roff(ABOUT)}", ".SH SYNOPSIS",
             ".B milestone\\-persist", "[\\fB\\-\\-dir\\fR \\fIDIR\\fR] [\\fB\\-\\-json\\fR] "
             "\\fIOPERATION\\fR [\\fIARGUMENT\\fR...]", ".SH DESCRIPTION",
             _roff("Agents register, send each other messages, save state and make checkpoints; what they write are "
                   "rows of one database in .milestones/. Each operation below is also a method of the Python store "
                   f"and, but for {_commands_only()}, a shell function (with _ for -) once "
                   "shell/storage-adapter.sh is sourced.")]
    for group, operations in operations_by_group().items():
        lines.append(f".SH {group.upper()}")
        for op in operations:
            lines += _entry(op)
    lines += [".SH EXIT STATUS", _roff(STATUSES.partition(": ")[2]), ".SH ENVIRONMENT", ".TP", ".B MILESTONE_DIR",
              "the data directory; else the nearest .milestones/ upward",
              ".TP", ".B AGENT_ID, SESSION_ID, MILESTONE_ID", "who calls, in which session, for which milestone",
              ".TP", ".B NO_COLOR", "no colours on a terminal"]
    return "\n".join(lines) + "\n"


def _commands_only() -> str:
    """The operations that are not shell functions."""
    *names, last = [op.command for op in all_operations() if not op.shell]
    return f"{', '.join(names)} and {last}"


def _entry(op: Operation) -> Iterator[str]:
    yield ".TP"
    yield f".B {_roff(f'{op.command} {op.usage}'.rstrip())}"
    yield _roff(" ".join([op.summary, *remarks_of(op)]))
    helps = parameter_help(op)
    for p in op.parameters:
        yield f".br\n\\fI{_roff(p.spelling)}\\fR: {_roff(helps[p.name] + default_of(p))}"
    yield f".br\nExample: {_roff(example_of(op).replace(op.name, op.command, 1))}"


def _roff(text: str) -> str:
    """Text escaped for man, in which no line begins with a request."""
    text = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace("\u2026", "...")
    return "\\&" + text if text[:1] in (".", "'") else text


def make_llms() -> str:
    """docs/llms.txt: what a model that uses this program should read, and every function in a line."""
    lines = ["# milestone_persist", "", f"> {ABOUT[0].upper()}{ABOUT[1:]}: registry, messages, state, checkpoints, "
             "sessions, recovery. Shell functions, MCP tools and a Python API over one SQLite database; no dependency.",
             "", f"Made by `{GENERATE}`: do not edit.", "", "## Documents", ""]
    lines += [f"- [{title}]({name}.md): {sentence}" for name, title, sentence in _documents()]
    lines += ["", "## Functions", "", "Call as shell functions after `. shell/storage-adapter.sh`, or as `python3 -m "
              f"milestone_persist NAME`; only in that way {_commands_only()}. {STATUSES}", ""]
    lines += [f"- `{f'{op.name} {op.usage}'.rstrip()}`: {op.summary}" for op in all_operations()]
    return "\n".join(lines) + "\n"


def _documents() -> list[tuple[str, str, str]]:
    """Name, title and first sentence of each document in docs/, those that a model needs first at the top."""
    folder = os.path.join(os.path.dirname(PACKAGE), "docs")
    names = sorted(name[:-3] for name in os.listdir(folder) if name.endswith(".md"))
    found = []
    for name in sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)):
        with open(os.path.join(folder, f"{name}.md"), encoding="utf-8") as file:
            title, *parts = re.sub(r"<!--.*?-->\n*", "", file.read()).strip().split("\n\n")
        first = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", next(part for part in parts if not part.startswith("#")))
        sentence = re.split(r"(?<=[.:])\s", " ".join(first.split()))[0]
        found.append((name, title.strip("# \n"), sentence.rstrip(":.") + "."))
    return found
