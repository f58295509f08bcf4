"""The words of a command line: which operation they call, and with which arguments and options."""
from __future__ import annotations

from .errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, BinaryIO

    from .registry import Operation


class Call:
    """What the words of a command line ask for."""

    def __init__(self) -> None:
        self.name = ""
        self.words: list[str] = []
        self.directory = ""
        self.json = self.help = self.version = False
        self.from_shell = self.echo_safe = False


def read_call(argv: list[str], stdin: BinaryIO) -> Call:
    call, words = Call(), list(argv)
    if words[:1] == ["--words-on-stdin"]:  # what the shell functions do with long arguments
        words = [_decode(word) for word in stdin.read().split(b"\0")[:-1]]
        if argv[1:] != [str(len(words))]:
            raise UsageError("the shell could not hand over its arguments: nothing was done")
    while words and words[0].startswith("-"):
        word = words.pop(0)
        option, equals, value = word.partition("=")
        if option == "--dir":
            call.directory = value if equals else words.pop(0) if words else ""
            if not call.directory:
                raise UsageError("--dir needs a directory")
        elif word in ("--json", "--help", "--version", "--from-shell", "--echo-safe"):
            setattr(call, word[2:].replace("-", "_"), True)
        elif word == "-h":
            call.help = True
        else:
            raise UsageError(f"unknown option {word}: see --help")
    call.name, call.words = (words[0] if words else ""), words[1:]
    return call


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def bind(op: Operation, call: Call, environ: Mapping[str, str]) -> tuple[list[Any], dict[str, Any]]:
    """Sort the words into positional arguments and options, each of its type.

    Without any positional argument, an id that is all an operation requires may come from the environment.

    The shell functions hand over values that may look like options: there, the required arguments are taken
    as they come, and of what follows only this operation's own options are read as such. What the environment has
    need not be there: before it, too, an option is one.
    """
    positionals, options, given = op.positionals, {p.flag: p for p in op.options}, list(call.words)
    args: list[str] = []
    chosen: dict[str, Any] = {}
    literal = False
    caller = environ.get(positionals[0].variable, "") if positionals else ""
    while given:
        word = given.pop(0)
        flag, equals, value = word.partition("=")
        awaited = call.from_shell and len(args) < op.required and not (caller and _is_option(op, word))
        plain = literal or word == "-" or not word.startswith("-") or awaited
        if not plain and word == "--":
            literal = True
        elif not plain and flag == "--json" and not equals:
            call.json = True
        elif not plain and flag in options:
            parameter = options[flag]
            if parameter.type == "bool" and not equals:
                value = "true"
            elif not equals:
                if not given:
                    raise UsageError(f"{flag} needs a value")
                value = given.pop(0)
            chosen[parameter.name] = parameter.convert(value)
        elif not plain and not call.from_shell and not _is_number(word):
            raise UsageError(f"unknown option {flag} of {op.command}: see {op.command} --help; "
                             "put -- before a value that begins with a dash")
        else:
            args.append(word)
    if not literal:
        _check_who_is_meant(op, args)
    if not args and caller:
        args.append(caller)
    _check_count(op, args)
    # A repeated parameter takes the rest.
    return [positionals[min(i, len(positionals) - 1)].convert(word) for i, word in enumerate(args)], chosen


def _is_option(op: Operation, word: str) -> bool:
    flag = word.partition("=")[0]
    return word == "--json" or any(p.flag == flag for p in op.options)


def _check_who_is_meant(op: Operation, args: list[str]) -> None:
    """UsageError if the id that the environment may have was left out, and what belongs behind it stands in its place.

    An agent may have the name of an option or of a status: then what belongs behind it is there, too.
    """
    if not args or not (op.positionals and op.positionals[0].variable):
        return
    from .vocabulary import words_for

    following = op.positionals[1].name if len(op.positionals) > 1 else ""
    belongs = [word in words_for(op.name, following) for word in args[:2]]
    if (belongs[0] or _is_option(op, args[0])) and not any(belongs[1:]):
        from .shellwords import command

        name = op.positionals[0].name.upper()
        raise UsageError(f"{name} is missing: {op.name} {name} {command(args)}")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _check_count(op: Operation, args: list[str]) -> None:
    names = op.positionals
    if len(args) < op.required:
        missing = names[len(args)]
        unset = f", and ${missing.variable} is not set" if missing.variable else ""
        raise UsageError(f"{missing.name.upper()} is missing{unset}: {_call_of(op)}")
    if len(args) > len(names) and not (names and names[-1].repeated):
        raise UsageError(f"too many arguments: {_call_of(op)}")


def _call_of(op: Operation) -> str:
    """How an operation is called; of what is no shell function also what it is for."""
    if op.shell:
        return f"{op.name} {op.usage}".rstrip()
    from .invocation import way_called

    return f"{way_called()} {op.command} {op.usage}".rstrip() + f" ({op.summary.rstrip('.')})"


def read_value(op: Operation, args: list[Any], stdin: BinaryIO) -> list[Any]:
    """Replace `-` in the place of the operation's long value by what standard input holds."""
    place = [p.name for p in op.positionals].index(op.stdin)
    if len(args) > place and args[place] == "-":
        args = [*args]
        args[place] = _decode(stdin.read())
    return args
