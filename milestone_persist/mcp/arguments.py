"""Converts the arguments of a tool call, JSON values by name, to those of its operation."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.values import dump_json
from ..cli.words import PATHS
from .tools import parameters_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..registry import Operation, Parameter


def bind_arguments(op: Operation, given: Mapping[str, Any],
                   environ: Mapping[str, str]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments in the order of the operation's parameters, and options by name; UsageError says what is wrong.

    null is as if the argument were left out. An id that is required may come from the environment.
    """
    _refuse_unknown(op, given)
    values = {p.name: _fit(op, p, given[p.name]) for p in parameters_of(op) if given.get(p.name) is not None}
    for parameter in op.positionals:
        if parameter.required and parameter.name not in values:
            values[parameter.name] = _find_in_environment(op, parameter, environ)
    options = {p.name: values[p.name] for p in op.options if p.name in values}
    return _in_order(op, values), options


def bound_wait(op: Operation, options: dict[str, Any], longest: float) -> str:
    """Limit a call's wait to the clients' time limit; returns the note about that, "" if it asked for less."""
    asked = waits(op, options)
    if asked <= longest:
        return ""
    options["wait"] = longest
    return f"a call waits {longest:g} seconds at most here, not {asked:g}: call it again to wait on"


def waits(op: Operation, options: Mapping[str, Any]) -> float:
    """How many seconds a call may wait; 0 if it never waits."""
    defaults = [p.default for p in op.options if p.name == "wait"]
    return float(options.get("wait", *defaults)) if defaults else 0


def _refuse_unknown(op: Operation, given: Mapping[str, Any]) -> None:
    names = [p.name for p in parameters_of(op)]
    for name in given:
        if name not in names:
            from ..base.suggestions import suggest_typed

            meant = suggest_typed(name, tuple(names))
            hint = f"did you mean {meant}? " if meant else ""
            takes = "it takes " + (", ".join(names) or "none")
            raise UsageError(f"{op.name} has no argument {name!r}: {hint}{takes}")


def _find_in_environment(op: Operation, parameter: Parameter, environ: Mapping[str, str]) -> str:
    found = environ.get(parameter.variable, "") if parameter.variable else ""
    if not found:
        needs = ", ".join(p.name for p in op.positionals if p.required)
        raise UsageError(f"{parameter.name} is missing: {op.name} needs {needs}")
    return found


def _in_order(op: Operation, values: Mapping[str, Any]) -> list[Any]:
    """The arguments up to the last given one; omitted ones have their defaults."""
    args: list[Any] = []
    last = max((at for at, p in enumerate(op.positionals) if p.name in values), default=-1)
    for parameter in op.positionals[:last + 1]:
        value = values.get(parameter.name, parameter.default)
        args += value if parameter.repeated else [value]
    return args


def _fit(op: Operation, parameter: Parameter, value: Any) -> Any:
    """A JSON value for its parameter; an unsuitable one is left to the operation's own check."""
    if parameter.repeated:
        return _fit_list(parameter, value)
    if isinstance(value, str):
        if parameter.name in PATHS and value == "-":
            raise UsageError(f"{parameter.name} cannot be - here: give the path of a file")
        return parameter.convert(value) if parameter.type != "str" else value
    if parameter.type == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if parameter.type == "str" and not _takes_value(parameter, value):
        return _as_text(op, parameter, value)
    return value


def _fit_list(parameter: Parameter, value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise UsageError(f"{parameter.name} must be an array of strings")
    return found


def _takes_value(parameter: Parameter, value: Any) -> bool:
    """Whether a parameter accepts an object or an array, besides JSON text."""
    kind = "Mapping[" if isinstance(value, dict) else "Sequence[" if isinstance(value, list) else None
    return kind is not None and any(name.startswith(kind) for name in parameter.types)


def _as_text(op: Operation, parameter: Parameter, value: Any) -> str:
    """A value for a text parameter: a model may pass JSON directly; an id may be a number."""
    if parameter.name in (op.stdin, "default") or isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return dump_json(value)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{parameter.name} is no JSON that can be kept ({error})") from None
    raise UsageError(f"{parameter.name} must be text, not {_KINDS.get(type(value), 'null')}")


_KINDS = {bool: "true or false", dict: "an object", list: "an array"}
