"""The table of operations: what each function declares, for every surface (CLI, shell, API, docs)."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.location import check_path
from ..base.values import check_id, check_text
from . import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeVar

    from ..storage.call import Call
    from ..storage.interface import Row

    Function = TypeVar("Function", bound=Callable[..., Any])

# The modules that declare operations, in the order help and documents show them.
MODULES = ("operations.setup", "operations.agents", "operations.state", "operations.sending", "operations.taking",
           "operations.messages", "operations.checkpoints", "operations.sessions", "operations.planning",
           "operations.recovery", "commands.recovery_help", "operations.resuming", "operations.completing",
           "operations.reports", "operations.cleanup", "commands.monitoring", "operations.milestones",
           "operations.leases", "operations.backups", "operations.tmpfiles", "operations.log", "operations.batch",
           "commands.installing", "commands.serving", "commands.vendoring",
           "operations.briefing", "commands.hooking",
           "operations.overview", "operations.inspection", "operations.doctoring", "commands.dashboard",
           "commands.generating", "commands.shell_completion")

GENERATE = "python3 -m milestone_persist generate"  # writes the files generated from the table

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
# Where an id comes from if it is the only missing required argument.
_VARIABLES = {"agent_id": "AGENT_ID", "session_id": "SESSION_ID", "milestone_id": "MILESTONE_ID"}
PATHS = ("file", "directory", "dir", "html", "zipapp", "bin", "env_file")  # need not be UTF-8
_NAMES = ("from_agent", "to_agent", "milestone", "session", "owner")  # also ids, but they may be empty
_PLAIN = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "None": (type(None),)}
_CALLED = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
_LARGEST = 2 ** 63  # what the databases' integers hold


class Parameter:
    """One parameter of an operation, as its function declares it."""

    __slots__ = ("name", "annotation", "default", "required", "option", "repeated", "variable", "types", "spelling",
                 "is_text", "is_id", "check_text", "may_be_empty", "fitting")

    def __init__(self, name: str, annotation: str, default: Any, required: bool, option: bool, repeated: bool) -> None:
        self.name, self.annotation, self.default = name, annotation, default
        self.required, self.option, self.repeated = required, option, repeated
        self.variable = ""  # environment variable that may hold its value
        self.types = annotation.split(" | ")  # the possible types, that of a command-line word first
        self.spelling = self.flag if option else name.upper()
        self.is_text = "str" in self.types
        self.is_id = name in _NAMES or name.endswith(("_id", "_key"))
        self.check_text = check_id if self.is_id else check_path if name in PATHS else check_text
        self.may_be_empty = name in _NAMES or not required
        plain = [_PLAIN.get(name, ()) for name in self.types]  # the operation checks anything else
        self.fitting = tuple(kind for kinds in plain for kind in kinds) if all(plain) else ()

    @property
    def type(self) -> str:
        """The type to which a command-line word is converted."""
        return self.types[0]

    @property
    def flag(self) -> str:
        """The option's spelling on a command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def label(self) -> str:
        """The parameter as a usage line shows it."""
        word = self.name.upper()
        if self.option:
            return f"[{self.flag}]" if self.type == "bool" else f"[{self.flag} {_unit(self)}]"
        if self.repeated:
            return f"[{word.rstrip('S')}…]"
        return word if self.required else f"[{word}]"

    def convert(self, word: str) -> Any:
        """A command-line word as this parameter's type; UsageError says what was expected.

        An empty word for an argument that may be left out is none: what "${5:-}" gives.
        """
        if not word and self.type in ("int", "float", "bool") and not (self.required or self.option):
            return self.default
        if self.type == "bool":
            if word.lower() not in _TRUE + _FALSE:
                raise self._expected(repr(word))
            return word.lower() in _TRUE
        if self.type not in ("int", "float"):
            return word
        try:
            if not word.isascii() or "_" in word or word != word.strip():  # only Python accepts such numbers
                raise ValueError
            return int(word) if self.type == "int" else float(word)
        except ValueError:
            raise self._expected(repr(word)) from None

    def check(self, value: Any) -> None:
        """UsageError unless a value has this parameter's type and a database can store it."""
        if self.is_text and isinstance(value, str):
            if value or not self.may_be_empty:
                self.check_text(value, self.spelling)
        elif self.fitting:
            if not isinstance(value, self.fitting) or isinstance(value, bool) and bool not in self.fitting:
                is_number = isinstance(value, (int, float)) and self.type in ("int", "float")
                raise self._expected(repr(value) if is_number or value is None else type(value).__name__)
            if isinstance(value, (int, float)) and not -_LARGEST <= value < _LARGEST:
                raise self._expected(f"{value}"[:40])

    def _expected(self, found: str) -> UsageError:
        return UsageError(f"{self.spelling} must be {_CALLED[self.type]}, not {found}")


def _unit(parameter: Parameter) -> str:
    return {"int": "N", "float": "NUMBER"}.get(parameter.type, "TEXT")


class Operation:
    """One operation: a function and what its declaration says.

    opens: whether the function is given an open Storage, as its first parameter says; otherwise only a Call
    """

    __slots__ = ("function", "name", "group", "text", "stdin", "stdout", "shell", "creates", "existing", "opens",
                 "in_use", "on_undelivered", "repair", "long", "fails_open", "follow", "screen", "parameters",
                 "positionals", "names")

    def __init__(self, function: Callable[..., Any], group: str, text: str, stdin: str, stdout: str, shell: bool,
                 creates: bool | str, existing: bool | str, in_use: bool,
                 on_undelivered: Callable[..., str] | None, repair: Callable[..., Row] | None, long: str,
                 fails_open: bool, follow: Callable[..., dict[str, Any]] | None, screen: str) -> None:
        self.function, self.name, self.group = function, function.__name__, group
        self.text, self.stdin, self.stdout, self.shell = text, stdin, stdout, shell
        self.opens = _read_opens(function)
        self.creates, self.existing = self.opens and not existing and creates, existing
        self.in_use, self.on_undelivered, self.repair, self.long = in_use, on_undelivered, repair, long
        self.fails_open, self.follow, self.screen = fails_open, follow, screen
        self.parameters = tuple(_read_parameters(function))
        self.positionals = tuple(p for p in self.parameters if not p.option)
        self.names = [p.name for p in self.positionals]
        self._let_environment_name()

    def _let_environment_name(self) -> None:
        """Agent and session may come from the environment; anything else that a call changes has to be named."""
        if self.required == 1:
            first = self.parameters[0]
            if first.name == "agent_id" or not self.creates and not self.existing:
                first.variable = _VARIABLES.get(first.name, "")
        elif self.required and self.parameters[0].name == "agent_id":
            last = self.parameters[self.required - 1]
            last.variable = _VARIABLES["session_id"] if last.name == "session_id" else ""

    @property
    def command(self) -> str:
        """The name of the subcommand."""
        return self.name.replace("_", "-")

    @property
    def options(self) -> list[Parameter]:
        return [p for p in self.parameters if p.option]

    @property
    def required(self) -> int:
        """How many positional arguments are required."""
        return sum(p.required for p in self.parameters)

    @property
    def usage(self) -> str:
        """The parameters as a usage line shows them."""
        return " ".join(p.label for p in self.parameters)

    @property
    def summary(self) -> str:
        """The first line of the documentation."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    def makes_store(self, args: Sequence[Any], options: dict[str, Any]) -> bool:
        """Whether a call with these arguments creates a missing data directory."""
        creates = self.creates
        return (creates if creates is True else self._is_so(creates, args, options)) and not options.get("dry_run")

    def writes(self, args: Sequence[Any], options: dict[str, Any]) -> bool:
        """Whether a call with these arguments is meant to change something."""
        return self.makes_store(args, options) or self.changes_existing(args, options)

    def changes_existing(self, args: Sequence[Any], options: dict[str, Any]) -> bool:
        """Whether it is meant to change what is in a store that exists."""
        return self._is_so(self.existing, args, options)

    def changes(self, args: Sequence[Any], options: dict[str, Any]) -> bool:
        """Whether it may have changed something; a call that only checks, or a dry run, has not."""
        return not (options.get("check") or options.get("dry_run")) and self.writes(args, options)

    def _is_so(self, when: bool | str, args: Sequence[Any], options: dict[str, Any]) -> bool:
        if not isinstance(when, str):
            return when
        return bool(dict(zip(self.names, args), **options).get(when))

    def run(self, call: Call, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Call the function after checking every argument; raises what the operation raises.

        options: by name; may name positional parameters too, a repeated one with a list
        TypeError if arguments and parameters do not fit together.
        """
        args, options = self.check(args, options)
        return self.function(call, *args, **options)

    def check(self, args: Sequence[Any], options: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The arguments for the function; UsageError for a value that does not have its parameter's type."""
        names = self.positionals
        if names and names[-1].repeated:
            args, options = self._spread(args, options)
            names += names[-1:] * (len(args) - len(names))
        for parameter, value in zip(names, args):
            parameter.check(value)
        if options:
            for parameter in self.parameters:
                if parameter.name in options:
                    parameter.check(options[parameter.name])
        return args, options

    def _spread(self, args: Sequence[Any], options: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The arguments, with the list given by name for the repeated parameter in its position."""
        *names, last = self.positionals
        if last.name not in options:
            return args, options
        options = {**options}
        rest = options.pop(last.name)
        if not isinstance(rest, (list, tuple)):
            raise UsageError(f"{last.name.upper()} must be a list, not {type(rest).__name__}")
        return [*args, *(options.pop(p.name, p.default) for p in names[len(args):]), *rest], options


def _read_opens(function: Callable[..., Any]) -> bool:
    name = function.__code__.co_varnames[0]
    return {"Storage": True, "Call": False}[function.__annotations__[name]]


def _read_parameters(function: Callable[..., Any]) -> Iterator[Parameter]:
    code, types = function.__code__, function.__annotations__
    defaults = function.__defaults__ or ()
    names = code.co_varnames[1:code.co_argcount]
    for position, name in enumerate(names):
        missing = len(names) - len(defaults)
        default = defaults[position - missing] if position >= missing else None
        yield Parameter(name, types.get(name, "str"), default, position < missing, False, False)
    keywords = code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount]
    if code.co_flags & 0x04:  # *names
        name = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
        yield Parameter(name, types.get(name, "str"), None, False, False, True)
    for name in keywords:
        yield Parameter(name, types.get(name, "str"), (function.__kwdefaults__ or {}).get(name),
                        False, True, False)


def operation(text: str = "nothing", stdin: str = "", stdout: str = "", shell: bool = True,
              creates: bool | str = True, existing: bool | str = False, in_use: bool = False,
              on_undelivered: Callable[..., str] | None = None,
              repair: Callable[..., Row] | None = None, long: str = "",
              fails_open: bool = False, follow: Callable[..., dict[str, Any]] | None = None,
              screen: str = "") -> Callable[[Function], Function]:
    """Declare a function on an open `store: Storage` or on a `call: Call` as an operation; returns it unchanged.

    text: name of the renderer (in render.py) that makes what is printed
    stdin: name of the parameter that may be `-` and is then read from standard input; by default, if `-` is that
    stdout: name of the parameter that may be `-`, which then means standard output
    shell: whether the generated shell file defines a function for it
    creates: whether the data directory is made if it is not there; otherwise an empty store is read. Or the name of
        the parameter that must be given for that
    existing: whether it changes only what is there: it makes none, but what it changes must be named in the call.
        Or the name of the parameter without which it prints, and changes nothing that it would print
    in_use: whether it opens what is there, whatever is set
    on_undelivered: called with the storage, the data and the arguments where the answer could not be printed; says
        what has become of it
    repair: called with the error and the arguments where the store is damaged, before the function is called again;
        gives what is to be told beside its data
    long: name of the renderer that makes what is printed where the option --long is given
    fails_open: whether its caller is not to be held up: whatever goes wrong on the command line is one line, status 0
    follow: for an operation with the option --follow, whose command line then calls it again and again: gives the
        options of the next call, from the data and the options of this one
    screen: name of the function in cli/text/screen.py that draws it on a terminal; with --watch again and again
    """
    def declare(function: Function) -> Function:
        module = function.__globals__
        module.setdefault("OPERATIONS", {})[function.__name__] = (  # to be read when it is asked for
            function, module["GROUP"], text, stdin, stdout, shell, creates, existing, in_use, on_undelivered, repair,
            long, fails_open, follow, screen)
        return function
    return declare


def _import(name: str) -> Any:
    __import__(name)
    import sys

    return sys.modules[name]


def operations_of(module: str) -> dict[str, Operation]:
    """The operations that one of MODULES declares, by name."""
    declared = _declared_in(module)
    return {name: _read(declared, name) for name in declared}


def _declared_in(module: str) -> dict[str, Any]:
    found: dict[str, Any] = _import(f"{__name__.rpartition('.')[0]}.{module}").OPERATIONS
    return found


def _read(declared: dict[str, Any], name: str) -> Operation:
    """One operation of a module; its declaration is parsed once."""
    if isinstance(declared[name], tuple):
        declared[name] = Operation(*declared[name])
    found: Operation = declared[name]
    return found


def find_operation(name: str) -> Operation | None:
    """The operation of that name (`-` or `_` between the words), loading only the module that declares it."""
    name = name.replace("-", "_")
    module_of = getattr(table, "TABLE", "").partition(f"\n{name} ")[2].partition("\n")[0]
    for module in (module_of,) if module_of else MODULES:  # a new operation is not in the table yet
        declared = _declared_in(module)
        if name in declared:
            return _read(declared, name)
    return None


def all_operations() -> list[Operation]:
    """Every operation, in the order of the documents."""
    return [op for module in MODULES for op in operations_of(module).values()]
