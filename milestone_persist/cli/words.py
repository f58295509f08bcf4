"""Sorts the words of a command line: what precedes the operation, its name, its arguments and its options.

None is refused here: the line may still be being typed.
"""
from __future__ import annotations

from ..registry import PATHS as WRITTEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..registry import Operation, Parameter

STANDARD = ("--json", "--help", "--version", "--from-shell", "--echo-safe")  # before the operation, without a value
HELP = ("--help", "-h")
PATHS = (*WRITTEN, "files")
# What else never begins with a dash, and what may hold any text though it may be left out: where values come as they
# are, from the shell functions.
CHOSEN = ("backend", "agent_type", "message_type")
FREE = ("default", "detail")
ANY_TEXT = (*FREE, "value", "text", "term", "event")  # what may well begin with a dash


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
    """The words before the operation, its name, and the words after it; nothing is refused here."""
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
    """Sort the words after an operation's name; nothing is refused here.

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
    known, parameter = is_known(op, word), parameter_at(op, count)
    if from_shell and count < op.required and parameter and parameter.name not in (*PATHS, *CHOSEN):
        return (known and bool(environ.get(parameter.variable)) or
                parameter.name != op.stdin and bool(named_place(op, word)))
    if from_shell and parameter and parameter.name in FREE:
        return known or word == "--" or "=" in word and bool(named_place(op, word))
    return known or word in ("--", *HELP) or not is_number(word)


def is_known(op: Operation, word: str) -> bool:
    """Whether a word is an option that the operation has."""
    return word == "--json" or find_option(op, word) is not None


def find_option(op: Operation, word: str) -> Parameter | None:
    """The operation's option that a word names, perhaps with `=` and a value."""
    flag = word.partition("=")[0]
    return next((p for p in op.options if p.flag == flag), None)


def named_place(op: Operation, word: str) -> str:
    """The positional parameter that an option names, perhaps in part; "" if there is none."""
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


def is_number(word: str) -> bool:
    """Whether a word reads as a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True
