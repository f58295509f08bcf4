"""The lines of a batch: each a call of an operation, checked before the first one runs."""
from __future__ import annotations

from ..base.errors import MilestoneError, UsageError
from ..base.values import dump_json, parse_json
from ..registry import all_operations, find_operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from ..registry import Operation, Parameter
    from ..storage.interface import Storage

# Whose operations are for batches: they work on an open store, in one transaction or several.
GROUPS = ("Agents", "State", "Messages", "Checkpoints", "Sessions", "Milestones", "Log")
ENDLESS = ("wait", "follow", "watch")  # options that go on for a time
SHAPE = '["save_agent_state", "a", "k", "v"] or {"name": "save_agent_state", "arguments": {"agent_id": "a", …}}'


class Line:
    """One call of a batch. `number`: of its line, from 1."""

    def __init__(self, number: int, op: Operation, args: list[Any], options: dict[str, Any]) -> None:
        self.number, self.op, self.args, self.options = number, op, args, options

    def run(self, store: Storage) -> Any:
        """Run the call; its warnings and reports name the line."""
        warn, tell = store.warn, store.tell
        store.warn, store.tell = self._named(warn), self._named(tell)
        try:
            return self.op.run(store, self.args, self.options)
        finally:
            store.warn, store.tell = warn, tell

    def _named(self, say: Callable[[str], None]) -> Callable[[str], None]:
        return lambda text: say(f"line {self.number}: {text}")


def read_lines(given: str | Sequence[Any]) -> list[Line]:
    """The calls of a batch; UsageError names the first invalid line."""
    lines = []
    for number, call in _parse(given):
        try:
            lines.append(_read_call(number, call))
        except MilestoneError as error:
            raise UsageError(f"line {number}: {error}; nothing was done") from None
    if not lines:
        raise UsageError(f"OPERATIONS has no line: give {SHAPE}")
    return lines


def _parse(given: str | Sequence[Any]) -> Iterator[tuple[int, Any]]:
    if not isinstance(given, str):
        if not isinstance(given, (list, tuple)):
            raise UsageError(f"OPERATIONS must be text or a list, not {type(given).__name__}")
        yield from enumerate(_calls_in(given), 1)
        return
    lines = [(number, line) for number, line in enumerate(given.split("\n"), 1) if line.strip()]
    for number, line in lines:
        try:
            call = parse_json(line)
        except ValueError as error:
            is_name = len(lines) == 1 and line.strip()[0] not in "[{"
            file = "; a file is given as: batch - < FILE" if is_name else ""
            raise UsageError(f"line {number} is not JSON ({error}): give {SHAPE}{file}; nothing was done") from None
        if len(lines) == 1 and isinstance(call, list):
            yield from enumerate(_calls_in(call), 1) if _calls_in(call) is call else [(number, call)]
        else:
            yield number, call


def _calls_in(given: Sequence[Any]) -> Sequence[Any]:
    """The calls of a list: the words of one call are one."""
    return [given] if given and isinstance(given[0], str) else given


def _read_call(number: int, call: Any) -> Line:
    if isinstance(call, dict):
        name, given = call.get("name"), call.get("arguments", {})
        unknown = [key for key in call if key not in ("name", "arguments")]
        if unknown:
            raise UsageError(f"{unknown[0]!r} is neither name nor arguments: give {SHAPE}")
    elif isinstance(call, (list, tuple)) and call:
        name, given = call[0], list(call[1:])
    else:
        raise UsageError(f"it is no call: give {SHAPE}")
    op = find_operation(name) if isinstance(name, str) else None
    if op is None:
        raise UsageError(f"unknown operation {name!r}: {_what_instead(name)}")
    if not op.opens or op.group not in GROUPS:
        raise UsageError(f"{op.name} is not for batches: call it by itself")
    args, options = _read_arguments(op, given)
    op.check(args, options)
    if any(options.get(name) for name in ENDLESS):
        raise UsageError(f"{op.name} cannot wait in a batch: call it by itself")
    return Line(number, op, args, options)


def _what_instead(name: Any) -> str:
    from ..base.suggestions import offer, suggest_names

    ours = tuple(op.name for op in all_operations() if op.group in GROUPS)
    return offer(suggest_names(name, ours) if isinstance(name, str) else [], "see --help")


def _read_arguments(op: Operation, given: Any) -> tuple[list[Any], dict[str, Any]]:
    named = {p.name: p for p in op.parameters}
    if isinstance(given, dict):
        unknown = [name for name in given if name not in named]
        if unknown:
            raise UsageError(f"{op.name} has no {unknown[0]!r}; it is {op.name} {op.usage}")
        missing = [p.name for p in op.positionals if p.required and p.name not in given]
        if missing:
            raise UsageError(f"{op.name} needs {missing[0]}; it is {op.name} {op.usage}")
        return [], {name: _as_value(named[name], value) for name, value in given.items()}
    if not isinstance(given, list):
        raise UsageError(f"the arguments of {op.name} must be an object or an array")
    names = op.positionals
    if names and names[-1].repeated:
        names += names[-1:] * (len(given) - len(names))
    if not op.required <= len(given) <= len(names):
        raise UsageError(f"{len(given)} arguments do not fit: it is {op.name} {op.usage}")
    return [_as_value(p, value) for p, value in zip(names, given)], {}


def _as_value(parameter: Parameter, value: Any) -> Any:
    """A JSON value for a parameter: a string as on the command line; for text, any other value as JSON."""
    if isinstance(value, str):
        return parameter.convert(value)
    if parameter.types == ["str"] and value is not None and not parameter.repeated:
        return dump_json(value)
    return value
