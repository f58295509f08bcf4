"""What people and models are told about an operation, from its docstring: the same in every help and document."""
from __future__ import annotations

from . import all_operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import Operation, Parameter

STATUSES = "Exit status: 0 done; 1 no (not found, nothing to do); 2 bad usage or value; 3 the storage cannot be used."


def operations_by_group() -> dict[str, list[Operation]]:
    """Every operation, in the order of the documents, under its group."""
    found: dict[str, list[Operation]] = {}
    for op in all_operations():
        found.setdefault(op.group, []).append(op)
    return found


def parameter_help(op: Operation) -> dict[str, str]:
    """The help line of each parameter, from the lines `name: text` of the function's docstring."""
    found = {}
    for line in (op.function.__doc__ or "").splitlines()[1:]:
        name, colon, text = line.strip().partition(": ")
        if colon and name.isidentifier() and name.islower():
            found[name] = text
    return found


def example_of(op: Operation) -> str:
    """The example call in the function's docstring."""
    return (op.function.__doc__ or "").partition("Example: ")[2].partition("\n")[0].strip()


def default_of(parameter: Parameter) -> str:
    """A parameter's default as shown after its help; "" if it is not worth showing."""
    if parameter.variable:
        return f" (if it is left out: ${parameter.variable})"
    default = parameter.default
    return "" if default in (None, False, "", 0) else f" (default {default})"


def remarks_of(op: Operation) -> list[str]:
    """The sentences of the docstring that are neither summary, parameters nor example."""
    helps = parameter_help(op)
    lines = [line.strip().partition("Example: ")[0].strip() for line in (op.function.__doc__ or "").splitlines()[1:]]
    return [line for line in lines if line and line.partition(": ")[0] not in helps]
