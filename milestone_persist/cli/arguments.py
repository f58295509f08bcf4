"""The grammar of a command line: which operation its words call, and with which arguments and options.

Scanning sorts the words and refuses none, for a line that is still being typed; binding checks them and gives values.
"""
from __future__ import annotations

from ..base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, BinaryIO

    from ..registry import Operation, Parameter


STANDARD = ("--json", "--help", "--version", "--from-shell", "--echo-safe")  # before the operation, without a value
HELP = ("--help", "-h")
PATHS = ("file", "files", "directory", "dir")
# What else never begins with a dash, and what may hold any text though it may be left out: where values come as they
# are, from the shell functions.
CHOSEN = ("backend", "agent_type", "message_type")
FREE = ("default", "detail")


class CommandLine:
    """What the words of a command line ask for."""

    def __init__(self) -> None:
        self.name = ""
        self.words: list[str] = []  # behind the operation's name
        self.directory = ""
        self.json = self.help = self.version = False
        self.from_shell = self.echo_safe = False
        self.unknown = ""  # the first option that there is not
        self.awaits_directory = False  # --dir is the last word


class Sorted:
    """The words behind an operation's name: its arguments, and its options with their values."""

    def __init__(self) -> None:
        self.args: list[str] = []
        self.options: list[tuple[Parameter, str]] = []
        self.json = self.help = False
        self.literal = False  # behind --
        self.awaited: Parameter | None = None  # the option whose value comes next
        self.unknown = ""  # the first option that there is not


def scan_call(words: Sequence[str]) -> CommandLine:
    """What stands before the operation, its name, and the words behind it; nothing is refused here."""
    call, rest = CommandLine(), list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if flag == "--dir":
            call.awaits_directory = not equals and not rest
            call.directory = value if equals else rest.pop(0) if rest and not rest[0].startswith("-") else ""
            call.unknown = call.unknown or ("" if call.directory else flag)
        elif word in STANDARD:
            setattr(call, word[2:].replace("-", "_"), True)
        elif word in HELP:
            call.help = True
        else:
            call.unknown = call.unknown or word
    call.name, call.words = (rest[0] if rest else ""), rest[1:]
    return call


def scan_words(op: Operation, words: Sequence[str], from_shell: bool, environ: Mapping[str, str] = {}) -> Sorted:
    """Sort the words behind an operation's name; nothing is refused here.

    from_shell: the shell functions hand over values that may look like options: there, required arguments but for
        paths and chosen words are taken as they come, and free text that may be left out unless it is a known option;
        but no name is that of a parameter, as in --agent=a or --key k
    environ: where an id may be that then need not be among the arguments: an option in its place is one
    """
    found = Sorted()
    if from_shell and len(words) == 1 and words[0] in HELP:
        found.help = True
        return found
    for word in words:
        if found.awaited:
            found.options.append((found.awaited, word))
            found.awaited = None
        elif found.literal or not _reads_as_option(op, word, len(found.args), from_shell, environ):
            found.args.append(word)
        elif word == "--":
            found.literal = True
        else:
            _take_option(found, op, word)
    return found


def _reads_as_option(op: Operation, word: str, count: int, from_shell: bool, environ: Mapping[str, str]) -> bool:
    """Whether a word that comes after `count` arguments is an option, or `--`; else it is an argument."""
    if not word.startswith("-") or word == "-":
        return False
    known, parameter = _is_known(op, word), parameter_at(op, count)
    if from_shell and count < op.required and parameter and parameter.name not in (*PATHS, *CHOSEN):
        return (known and bool(environ.get(parameter.variable)) or
                parameter.name != op.stdin and bool(_named_place(op, word)))
    if from_shell and parameter and parameter.name in FREE:
        return known or word == "--" or "=" in word and bool(_named_place(op, word))
    return known or word in ("--", *HELP) or not _is_number(word)


def _is_known(op: Operation, word: str) -> bool:
    return word == "--json" or find_option(op, word) is not None


def find_option(op: Operation, word: str) -> Parameter | None:
    """The operation's option that a word names, perhaps with `=` and a value."""
    flag = word.partition("=")[0]
    return next((p for p in op.options if p.flag == flag), None)


def _named_place(op: Operation, word: str) -> str:
    """The parameter that is given by its place, but that an option names, perhaps in part; "" if none is."""
    name = word.partition("=")[0][2:].replace("-", "_")
    return next((p.name.upper() for p in op.positionals if name and name in (p.name, *p.name.split("_"))), "")


def parameter_at(op: Operation, count: int) -> Parameter | None:
    """The parameter that takes the argument after `count` others; a repeated one takes the rest."""
    names = op.positionals
    if names and names[-1].repeated:
        count = min(count, len(names) - 1)
    return names[count] if count < len(names) else None


def _take_option(found: Sorted, op: Operation, word: str) -> None:
    parameter, (flag, equals, value) = find_option(op, word), word.partition("=")
    if word == "--json":
        found.json = True
    elif word in HELP:
        found.help = True
    elif parameter is None:
        found.unknown = found.unknown or flag
    elif equals:
        found.options.append((parameter, value))
    elif parameter.type == "bool":
        found.options.append((parameter, "true"))
    else:
        found.awaited = parameter


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read_call(argv: list[str], stdin: BinaryIO) -> CommandLine:
    """The words of a command line, of which the shell functions hand over long ones on standard input."""
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
    """The arguments and options of a call, each of its type; UsageError shows the right form. Notes --json and --help.

    An id that is all an operation still requires may come from the environment.
    """
    found = scan_words(op, call.words, call.from_shell, environ)
    call.json, call.help = call.json or found.json, found.help
    if call.help:
        return [], {}
    _check_options(op, found)
    _check_too_many(op, found.args)
    if not found.literal:
        _check_who_is_meant(op, found.args)
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
    """What to say where a shell has split JSON that stood in no quotes."""
    is_split = any(word[:1] in ("{", "[") and word[-1:] not in ("}", "]") for word in args)
    return "; JSON belongs in single quotes, '{\"phase\": \"design\"}'" if is_split else ""


def _missing_id(op: Operation, count: int, environ: Mapping[str, str]) -> list[str]:
    """The id that is all an operation still requires after `count` arguments, if the environment has it."""
    variable = op.positionals[count].variable if count == op.required - 1 else ""
    return [environ[variable]] if environ.get(variable) else []


def _parameters(op: Operation, count: int) -> list[Parameter]:
    """The parameters of so many arguments."""
    return [found for position in range(count) for found in [parameter_at(op, position)] if found]


def form_of(op: Operation) -> str:
    """How an operation is called; of what is not a shell function also what it is for."""
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
    """The error for an option that there is not: what is given by its place is not suggested as another option."""
    from ..base.suggestions import suggest_typed

    placed = _named_place(op, flag)
    if placed:
        return UsageError(f"unknown option {flag}: {placed} is given without a name, in its place: {form_of(op)}")
    meant = suggest_typed(flag[2:], tuple(p.flag[2:] for p in op.options))
    if meant:
        return UsageError(f"unknown option {flag}: did you mean --{meant}? {form_of(op)}")
    dashes = "; put -- before a value that begins with a dash" if op.positionals else ""
    return UsageError(f"unknown option {flag}: {form_of(op)}{dashes}")


def _check_who_is_meant(op: Operation, args: list[str]) -> None:
    """UsageError if the id that the environment may have was left out, and what belongs behind it stands in its place.

    An agent may have the name of an option or of a status: then what belongs behind it is there, too.
    """
    if not args or not op.positionals or not op.positionals[0].variable:
        return
    from ..base.vocabulary import words_for

    following = op.positionals[1].name if len(op.positionals) > 1 else ""
    belongs = [word in words_for(op.name, following) for word in args[:2]]
    if (belongs[0] or _is_known(op, args[0])) and not any(belongs[1:]):
        from ..base.quoting import command

        name = op.positionals[0].name.upper()
        if belongs[0] and len(args) == len(op.positionals) == 2:
            raise _swapped(op, args)
        raise UsageError(f"{name} is missing: {op.name} {name} {command(args)}")


def _swapped(op: Operation, args: list[str]) -> UsageError:
    from ..base.quoting import command

    first, second = (parameter.name.upper() for parameter in op.positionals[:2])
    return UsageError(f"{first} and {second} are swapped: {command([op.name, args[1], args[0], *args[2:]])}")


def _check_number(op: Operation, args: list[str]) -> None:
    """UsageError if a number stands before the id behind which it belongs, and the id in its place."""
    if len(args) > 1 and op.required > 1 and op.positionals[1].type in ("int", "float") and (
            _is_number(args[0]) and not _is_number(args[1])):
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
        if flag and not _is_known(op, flag):  # the functions took it for a value
            raise _no_option(op, flag)
        raise UsageError(f"too many arguments, from {args[len(names)]!r} on{_tell_split(args)}: {form_of(op)}")


def read_value(op: Operation, args: list[Any], stdin: BinaryIO) -> list[Any]:
    """Replace `-` in the place of the operation's long value by what standard input holds."""
    position = [p.name for p in op.positionals].index(op.stdin)
    if len(args) == position and op.positionals[position].default == "-":
        args = [*args, "-"]
    if len(args) > position and args[position] == "-":
        args = [*args]
        args[position] = _decode(stdin.read())
    return args
