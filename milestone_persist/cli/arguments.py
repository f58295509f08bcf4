"""The typed arguments and options of a call; errors show the right form."""
from __future__ import annotations

from ..base.errors import UsageError
from .words import ANY_TEXT, PATHS, is_known, is_number, named_place, parameter_at, scan_call, scan_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, BinaryIO

    from ..registry import Operation, Parameter
    from .words import CommandLine, Sorted


def read_call(argv: list[str], stdin: BinaryIO) -> CommandLine:
    """The words of a command line, of which the shell functions hand over long ones on standard input.

    UsageError for those that belong to no form of one.
    """
    words = argv
    if argv[:1] == ["--words-on-stdin"]:
        words = [_decode(word) for word in stdin.read().split(b"\0")[:-1]]
        if argv[1:] != [str(len(words))]:
            raise UsageError("the shell could not hand over its arguments: nothing was done")
    call = scan_call(words)
    if call.unknown == "--dir":
        raise UsageError("--dir needs a directory")
    if call.unknown:
        raise UsageError(f"unknown option {call.unknown}: see --help; an operation's own options stand behind its name")
    return call


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def bind(op: Operation, call: CommandLine, environ: Mapping[str, str]) -> tuple[list[Any], dict[str, Any]]:
    """The typed arguments and options of a call; UsageError shows the right form. Records --json and --help.

    An id that is all an operation still requires may come from the environment.
    """
    found = scan_words(op, call.words, call.from_shell, environ)
    call.json, call.help = call.json or found.json, found.help
    if call.help:
        return [], {}
    _check_options(op, found)
    _check_too_many(op, found.args)
    if not found.literal:
        _check_who_is_meant(op, found.args, environ)
    args = found.args + _missing_id(op, len(found.args), environ)
    _check_too_few(op, args)
    _check_number(op, args)
    _check_paths(op, args)
    return ([_convert(op, parameter, word, args) for parameter, word in zip(_parameters(op, len(args)), args)],
            {parameter.name: _convert(op, parameter, word, args) for parameter, word in found.options})


def _convert(op: Operation, parameter: Parameter, word: str, args: list[str]) -> Any:
    """A word as its parameter's type; UsageError shows the form."""
    try:
        return parameter.convert(word)
    except UsageError as error:
        raise UsageError(f"{error}{_tell_split(args)}: {form_of(op)}") from None


def _tell_split(args: list[str]) -> str:
    """The hint for unquoted JSON that a shell has split."""
    is_split = any(word[:1] in ("{", "[") and word[-1:] not in ("}", "]") for word in args)
    return "; JSON belongs in single quotes, '{\"phase\": \"design\"}'" if is_split else ""


def _missing_id(op: Operation, count: int, environ: Mapping[str, str]) -> list[str]:
    """The id that is the only missing argument after `count` arguments, if the environment has it."""
    variable = op.positionals[count].variable if count == op.required - 1 else ""
    return [environ[variable]] if environ.get(variable) else []


def _parameters(op: Operation, count: int) -> list[Parameter]:
    """The parameters of so many arguments."""
    return [found for position in range(count) for found in [parameter_at(op, position)] if found]


def form_of(op: Operation) -> str:
    """How an operation is called and, if it is not a shell function, its purpose."""
    usage = f" {op.usage}" if op.parameters else " takes none"
    if op.shell:
        return op.name + usage
    from ..base.invocation import way_called

    return f"{way_called()} {op.command}{usage} ({op.summary.rstrip('.')})"


def _check_options(op: Operation, found: Sorted) -> None:
    if found.awaited:
        raise UsageError(f"{found.awaited.flag} needs a value: {form_of(op)}")
    if found.unknown == "--dir":
        from ..base.invocation import way_called

        raise UsageError(f"--dir stands before the operation, as in {way_called()} --dir DIR {op.name} …; "
                         "or set MILESTONE_DIR")
    if found.unknown:
        raise _no_option(op, found.unknown)


def _no_option(op: Operation, flag: str) -> UsageError:
    """The error for an unknown option: a positional parameter is not suggested as another option."""
    from ..base.suggestions import suggest_typed

    placed = named_place(op, flag)
    if placed:
        return UsageError(f"unknown option {flag}: {placed} is given without a name, in its place: {form_of(op)}")
    meant = suggest_typed(flag[2:], tuple(p.flag[2:] for p in op.options))
    if meant:
        return UsageError(f"unknown option {flag}: did you mean --{meant}? {form_of(op)}")
    is_text = any(p.name in ANY_TEXT for p in op.positionals)
    dashes = "; put -- before a value that begins with a dash" if is_text else ""
    return UsageError(f"unknown option {flag}: {form_of(op)}{dashes}")


def _check_who_is_meant(op: Operation, args: list[str], environ: Mapping[str, str]) -> None:
    """UsageError if the id that the environment may have was omitted, and the next argument is in its position.

    An agent may have the name of an option or of a status: then what belongs behind it is there, too.
    """
    if not args or not op.positionals or not op.positionals[0].variable:
        return
    from ..base.vocabulary import words_for

    following = op.positionals[1].name if len(op.positionals) > 1 else ""
    belongs = [word in words_for(op.name, following) for word in args[:2]]
    if (belongs[0] or is_known(op, args[0])) and not any(belongs[1:]):
        from ..base.quoting import command, quote

        name = op.positionals[0].name.upper()
        if belongs[0] and len(args) == len(op.positionals) == 2:
            raise _swapped(op, args)
        meant = environ.get(op.positionals[0].variable, "")
        raise UsageError(f"{name} is missing: {op.name} {quote(meant) if meant else name} {command(args)}")


def _swapped(op: Operation, args: list[str]) -> UsageError:
    from ..base.quoting import command

    first, second = (parameter.name.upper() for parameter in op.positionals[:2])
    return UsageError(f"{first} and {second} are swapped: {command([op.name, args[1], args[0], *args[2:]])}")


def _check_number(op: Operation, args: list[str]) -> None:
    """UsageError if a number and the id before it are swapped."""
    if len(args) > 1 and op.required > 1 and op.positionals[1].type in ("int", "float") and (
            is_number(args[0]) and not is_number(args[1])):
        raise _swapped(op, args)


def _check_too_few(op: Operation, args: list[str]) -> None:
    if len(args) < op.required:
        missing = op.positionals[len(args)]
        unset = f", and ${missing.variable} is not set" if missing.variable else ""
        on_stdin = " (- reads it from standard input)" if missing.name == op.stdin else ""
        raise UsageError(f"{missing.name.upper()} is missing{unset}{on_stdin}: {form_of(op)}")


def _check_paths(op: Operation, args: list[str]) -> None:
    for parameter, word in zip(_parameters(op, len(args)), args):
        if not word and parameter.name in PATHS:
            raise UsageError(f"{parameter.name.upper()} is empty: {form_of(op)}")
        if word == "-" and parameter.name in PATHS and parameter.name != op.stdout:
            raise UsageError(f"{parameter.name.upper()} cannot be - here, ./- is that name: {form_of(op)}")


def _check_too_many(op: Operation, args: list[str]) -> None:
    names = op.positionals
    if len(args) > len(names) and not (names and names[-1].repeated):
        flag = next((word for word in args if word[:2] == "--" and word[2:].replace("-", "").isalpha()), "")
        if flag and not is_known(op, flag):  # the functions took it for a value
            raise _no_option(op, flag)
        raise UsageError(f"too many arguments, from {args[len(names)]!r} on{_tell_split(args)}: {form_of(op)}")


def read_value(op: Operation, args: list[Any], stdin: BinaryIO) -> list[Any]:
    """Replace `-` as the operation's long value with standard input."""
    position = [p.name for p in op.positionals].index(op.stdin)
    if len(args) == position and op.positionals[position].default == "-":
        args = [*args, "-"]
    if len(args) > position and args[position] == "-":
        args = [*args]
        args[position] = _decode(stdin.read())
    return args
