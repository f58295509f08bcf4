"""Documents generated from the table of operations: docs/functions.md, the manual page and llms.txt."""
from __future__ import annotations

from ..base import vocabulary
from ..base.packaged import read_packaged
from ..registry import GENERATE
from ..registry.manual import STATUSES, default_of, example_of, operations_by_group, parameter_help, remarks_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..registry import Operation

_BEGIN = f"<!-- made by `{GENERATE}`: do not edit -->\n"

_VOCABULARIES = {
    "agent type (or `x-…` of your own)": vocabulary.AGENT_TYPES,
    "message type (or `x-…` of your own)": vocabulary.MESSAGE_TYPES,
    "agent status": vocabulary.AGENT_STATUSES,
    "state type": vocabulary.STATE_TYPES,
    "operation type": vocabulary.OPERATION_TYPES,
    "session status": vocabulary.SESSION_STATUSES,
    "phase": vocabulary.PHASES,
    "checkpoint type": vocabulary.CHECKPOINT_TYPES,
    "health status": vocabulary.HEALTH_STATUSES,
    "backend": vocabulary.BACKENDS,
}


def _summaries() -> Iterator[Sequence[str]]:
    for group, operations in operations_by_group().items():
        yield f"**{group}**", ""
        for op in operations:
            yield f"`{' '.join([_name(op), *(p.label for p in op.positionals)])}`", op.summary


def _name(op: Operation) -> str:
    return op.name if op.shell else f"python3 -m milestone_persist {op.command}"


def make_reference() -> str:
    """docs/functions.md: every operation with its parameters, the vocabularies, the settings."""
    lines = [f"# Functions\n\n{_BEGIN}",
             "Each is a subcommand of `python3 -m milestone_persist` (with `-` for `_`), a method of the Python",
             "`Store`, and, if it is listed without that program, a shell function. The subcommands also take",
             "`--json`, which prints the data instead of the text.",
             STATUSES + "\n", _table(("function", "what it does"), _summaries())]
    for group, operations in operations_by_group().items():
        lines += [f"## {group}\n", *map(_entry, operations)]
    return "\n".join(lines) + "\n" + _words() + "\n" + _settings()


def _entry(op: Operation) -> str:
    helps = parameter_help(op)
    parts = [f"### {op.name}\n", f"`{_name(op)} {op.usage}".rstrip() + "`\n", "\n".join([op.summary, *remarks_of(op)])]
    if op.parameters:
        parts.append("")
    parts += [f"- `{p.spelling}`: {helps[p.name]}{default_of(p)}" for p in op.parameters]
    return "\n".join(parts) + f"\n\nExample: `{example_of(op).replace(op.name, _name(op), 1)}`\n"


def _words() -> str:
    rows = [(what, " ".join(f"`{word}`" for word in words)) for what, words in _VOCABULARIES.items()]
    return "## Words\n\n" + _table(("what", "values"), rows)


def _settings() -> str:
    """The settings with their defaults and the schema's descriptions."""
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.executescript(read_packaged("sql", "milestone-coordination.sql"))
    found = list(connection.execute("SELECT key, value, description FROM agent_coordination_config ORDER BY rowid"))
    connection.close()
    rows = [(f"`{key}`", f"`{value}`" if value else "", description) for key, value, description in found]
    return "## Settings\n\n" + _table(("key", "default", "meaning"), rows)


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
