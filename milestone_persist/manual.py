"""Help made from the table of operations: the overview and a page for each operation."""
from __future__ import annotations

from . import __version__
from .registry import all_operations, example_of, parameter_help

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .registry import Operation, Parameter

STATUSES = "Exit status: 0 done; 1 no (not found, nothing to do); 2 bad usage or value; 3 the storage cannot be used."


def overview() -> str:
    """What `--help` prints: every operation under its group."""
    lines = [f"milestone_persist {__version__}: coordination of coding agents that work on one milestone.", "",
             "Usage: python -m milestone_persist [--dir DIR] [--json] OPERATION [ARGUMENT…]",
             "       python -m milestone_persist help OPERATION"]
    group = ""
    for op in all_operations():
        if op.group != group:
            group = op.group
            lines += ["", group]
        lines.append(f"  {op.command} {op.usage}".rstrip())
        lines.append(f"      {op.summary}")
    lines += ["", "--dir DIR   the data directory; else MILESTONE_DIR, else the nearest .milestones/ upward",
              "--json      print an operation's data as JSON", "--version   print the version", "", STATUSES]
    return "\n".join(lines) + "\n"


def page(op: Operation) -> str:
    """What `OPERATION --help` prints."""
    lines = [f"Usage: python -m milestone_persist {op.command} {op.usage}".rstrip()]
    if op.shell:
        lines.append(f"Shell: {op.name} {op.usage}".rstrip())
    lines += ["", op.summary]
    helps = parameter_help(op)
    if op.parameters:
        lines.append("")
        width = max(len(p.flag if p.option else p.name.upper()) for p in op.parameters)
        for p in op.parameters:
            name = p.flag if p.option else p.name.upper()
            lines.append(f"  {name.ljust(width)}  {helps.get(p.name, '')}{default_of(p)}")
    remarks = remarks_of(op)
    lines += ["", *remarks] if remarks else []
    lines += ["", f"Example: python -m milestone_persist {example_of(op).replace(op.name, op.command, 1)}", STATUSES]
    return "\n".join(lines) + "\n"


def default_of(parameter: Parameter) -> str:
    """A parameter's default, as it stands behind its help; "" if it says nothing."""
    default = parameter.default
    return "" if default in (None, False, "", 0) else f" (default {default})"


def remarks_of(op: Operation) -> list[str]:
    """The sentences of the documentation that are neither summary, parameters nor example."""
    helps = parameter_help(op)
    lines = [line.strip().partition("Example: ")[0].strip() for line in (op.function.__doc__ or "").splitlines()[1:]]
    return [line for line in lines if line and line.partition(": ")[0] not in helps]
