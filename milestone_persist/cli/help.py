"""Help generated from the table of operations: the overview, and a page for each topic and each operation."""
from __future__ import annotations

from ..base import __version__
from ..base.invocation import DOCUMENTED as PROGRAM
from ..registry.manual import STATUSES, default_of, example_of, operations_by_group, parameter_help, remarks_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..registry import Operation

def overview() -> str:
    """What `--help` prints: how every operation is called, by group; topics describe what they do."""
    lines = [f"milestone_persist {__version__}: coordination of coding agents that work on one milestone.", "",
             f"Usage: {PROGRAM} [--dir DIR] [--json] OPERATION [ARGUMENT…]",
             f"       {PROGRAM} help OPERATION   all about one",
             f"       {PROGRAM} help TOPIC       what those under a heading below do, e.g. help messages", "",
             "Names with _ are also shell functions."]
    for group, operations in operations_by_group().items():
        lines += ["", group, *(f"  {_called(op)} {' '.join(p.label for p in op.positionals)}".rstrip()
                               for op in operations)]
    lines += ["", "--dir DIR   the data directory; else MILESTONE_DIR, else the nearest .milestones/ upward",
              "--json      print an operation's data as JSON", "--version   print the version", "", STATUSES]
    return "\n".join(lines) + "\n"


def topics() -> list[str]:
    """The words that `help` accepts besides names of operations: the groups."""
    return [group.lower() for group in operations_by_group()]


def topic(word: str) -> str:
    """What `help TOPIC` prints: the operations of a group and what they do; "" if there is no such group."""
    for group, operations in operations_by_group().items():
        if group.lower() == word.lower():
            lines = [group, *(f"  {_called(op)} {op.usage}".rstrip() + f"\n      {op.summary}" for op in operations)]
            return "\n".join([*lines, "", STATUSES]) + "\n"
    return ""


def _called(op: Operation) -> str:
    """An operation's name: that of the shell function if there is one."""
    return op.name if op.shell else op.command


def page(op: Operation) -> str:
    """What `OPERATION --help` prints: its call as a shell function if it is one, else as a command."""
    call = op.name if op.shell else f"{PROGRAM} {op.command}"
    lines = [f"Usage: {call} {op.usage}".rstrip(), "", op.summary, *remarks_of(op)]
    helps = parameter_help(op)
    if op.parameters:
        lines.append("")
        width = max(len(p.spelling) for p in op.parameters)
        for p in op.parameters:
            name = p.spelling
            lines.append(f"  {name.ljust(width)}  {helps.get(p.name, '')}{default_of(p)}")
    lines += ["", f"Example: {example_of(op).replace(op.name, call, 1)}", STATUSES]
    lines.append(f"As a command: {PROGRAM} {op.command} …; --json prints its data" if op.shell
                 else "--json prints its data")
    return "\n".join([*lines, f"See also: {PROGRAM} help {op.group.lower()}"]) + "\n"
