"""The command line: parses the words, calls one operation, prints its text or JSON."""
from __future__ import annotations

from ..base import __version__
from ..base.errors import Incomplete, MilestoneError, StorageError, Unsound, UsageError
from ..base.values import show
from ..registry import all_operations, find_operation
from .arguments import bind, read_call, read_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, BinaryIO

    from ..registry import Operation
    from ..storage.call import Call, Clock
    from ..storage.interface import Storage
    from .words import CommandLine

PROGRAM = "milestone_persist"
ROOM = 20_000  # bytes of messages that an agent is shown: many tools cut what is longer than 30,000 characters
LONGEST_LINE, LONGEST_WORD = 600, 120  # of an error, in characters, before what it names is shown in part


def one_line(text: str) -> str:
    """An error or a warning as the line that this program prints."""
    return shorten_line(f"{PROGRAM}: {text}")


def shorten_line(text: str) -> str:
    """A text as one line; only the ends of a long one are shown, so that the advice after it stays visible."""
    line = show(text)
    if len(line) > LONGEST_LINE:
        line = " ".join(_shorten(word, LONGEST_WORD) for word in line.split(" "))
    return _shorten(line, LONGEST_LINE)


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most // 2]}…{text[-(most // 2 - 1):]}"


class Console:
    """The streams and environment of one command."""

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO, environ: Mapping[str, str],
                 clock: Clock | None = None) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.environ, self.clock = environ, clock
        self.warned: set[str] = set()

    def complain(self, text: str) -> None:
        """One line on standard error."""
        self.stderr.write((one_line(text) + "\n").encode("utf-8", "backslashreplace"))
        self.stderr.flush()

    def warn(self, text: str) -> None:
        """A warning, once."""
        if text not in self.warned:
            self.warned.add(text)
            self.complain("warning: " + text)

    def draw_progress(self, what: str, done: int, total: int) -> None:
        """A bar on the terminal's last line, gone when the work is done."""
        filled = 30 * done // max(total, 1)
        bar = f"\r{what:<26} [{'#' * filled}{' ' * (30 - filled)}] {done}/{total}"
        self.stderr.write((bar if done < total else "\r" + " " * len(bar) + "\r").encode())
        self.stderr.flush()

    def is_heard(self) -> bool:
        """Whether the reader of the output is still there."""
        import select

        try:
            number = self.stdout.fileno()
        except (OSError, ValueError):  # it is none of the system's
            return True
        poll = select.poll()
        poll.register(number, 0)  # what is wrong is told whatever is asked
        return not poll.poll(0)

    def listen(self, call: Call) -> None:
        """Print the warnings and reports of a call."""
        call.warn, call.tell, call.is_heard = self.warn, self.complain, self.is_heard
        if self.stderr.isatty():
            call.report = self.draw_progress


def main(argv: list[str], console: Console) -> int:
    """Run one command line (without the program's name); returns the exit status."""
    try:
        return _dispatch(read_call(argv, console.stdin), console)
    except MilestoneError as error:
        console.complain(str(error))
        return error.status


def _dispatch(call: CommandLine, console: Console) -> int:
    if call.version:
        _refuse_more([call.name, *call.words] if call.name else [], "--version")
        return _print(console, f"{PROGRAM} {__version__}\n")
    if not call.name or call.help or call.name == "help":
        return _print_help(call, console)
    found = find_operation(call.name)
    if found is None:
        raise _unknown(call.name)
    try:
        return _call(found, call, console)
    except Exception as error:
        if not found.fails_open:
            raise
        return _fail_open(found, error, console)


def _call(found: Operation, call: CommandLine, console: Console) -> int:
    args, options = bind(found, call, console.environ)
    if call.help:
        return _print_help(call, console)
    if found.stdin:
        args = read_value(found, args, console.stdin)
    return _run(found, args, options, call, console)


def _fail_open(op: Operation, error: Exception, console: Console) -> int:
    """Print one line about an error that must not fail the caller; returns 0."""
    try:
        console.complain(f"{op.name} did nothing: {error or type(error).__name__}")
    except OSError:  # nobody listens
        pass
    return 0


def _refuse_more(words: list[str], form: str) -> None:
    if words:
        raise UsageError(f"too many arguments, from {words[0]!r} on: {form}")


def _unknown(name: str) -> UsageError:
    from ..base.invocation import way_called
    from ..base.suggestions import offer, suggest_names

    near = suggest_names(name, tuple(op.name for op in all_operations()))
    return UsageError(f"unknown operation {name!r}: {offer(near, f'see {way_called()} --help')}")


class _Opened:
    """The storage of one call: opened when first used, and again after it was released."""

    def __init__(self, op: Operation, creates: bool, call: CommandLine, console: Console) -> None:
        self.op, self.creates, self.call, self.console = op, creates, call, console
        self.storage: Storage | None = None
        self.in_use = op.in_use

    def get(self) -> Storage:
        if self.storage is None:
            self.storage = _open(self)
        return self.storage

    def release(self) -> None:
        storage, self.storage, self.in_use = self.storage, None, True
        if storage is not None:
            storage.close()


def _run(op: Operation, args: list[Any], options: dict[str, Any], call: CommandLine, console: Console) -> int:
    from ..running import blame, run_operation

    op.check(args, options)  # before anything is made
    opened = _Opened(op, op.makes_store(args, options), call, console)
    data: Any
    failure: MilestoneError | None = None
    try:
        if options.get("follow") and op.follow:
            from .repeating import follow

            follow(op, args, options, call.json, opened, lambda text: _print(console, text))
        if options.get("watch") and console.stdout.isatty() and not call.json:
            from .watching import watch

            return watch(op, args, options, opened, console)
        try:
            data = (run_operation(op, args, options, opened.get, opened.release) if op.opens else
                    op.run(_begin(call, console), args, options))
        except (Incomplete, Unsound) as error:
            data, failure = error.data, error
        try:
            text = _draw(op, data, console) if op.screen and console.stdout.isatty() and not call.json else (
                _text_of(op, data, call, op.long if options.get("long") else ""))
        except Exception as error:
            why = blame(opened.get(), error) if op.opens else error
            if _only_looked(op, args, options, data):
                raise why from None
            became = _tell_undelivered(op, data, args, _text_in_need(data), opened)
            raise StorageError(f"the answer could not be made ({_reason(why)}); {became}") from None
        try:
            _print(console, text)
        except OSError as error:
            only_looked = _only_looked(op, args, options, data)
            if only_looked and isinstance(error, BrokenPipeError):
                raise
            became = "" if only_looked else "; " + _tell_undelivered(op, data, args, text, opened)
            raise StorageError(f"the answer could not be printed ({error.strerror or error}){became}") from None
    finally:
        opened.release()
    if failure:
        raise failure
    return 0


def _only_looked(op: Operation, args: list[Any], options: dict[str, Any], data: Any) -> bool:
    return not op.changes(args, options) or bool(op.stdout) and data["file"] == "-"


def _tell_undelivered(op: Operation, data: Any, args: list[Any], text: str, opened: _Opened) -> str:
    """What was done by a call whose answer could not be printed."""
    from ..running import follow_moves

    on_undelivered = op.on_undelivered
    if on_undelivered is None:
        return f"{op.name} is done, do not repeat it: " + text.strip().partition("\n")[0]
    told: str = follow_moves(lambda store: on_undelivered(store, data, *args), opened.get, opened.release)
    return told


def _text_in_need(data: Any) -> str:
    """What an answer is, where its text cannot be made."""
    try:
        return repr(data)
    except MemoryError:
        return ""


def _reason(error: Exception) -> str:
    if isinstance(error, MilestoneError):
        return str(error)
    return "there is not enough memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}"


def _text_of(op: Operation, data: Any, call: CommandLine, form: str = "") -> str:
    if op.text == "nothing" and (data is None or not call.json):
        return ""
    from .text import find_renderer, single

    text = single.as_json(data) + "\n" if call.json else find_renderer(form or op.text)(data)
    is_json = call.json or op.text == "json" or op.text == "state" and not isinstance(data, str)
    return single.echo_safe(text) if call.echo_safe and is_json else text


def _draw(op: Operation, data: Any, console: Console) -> str:
    from .terminal import Terminal

    return Terminal(console).draw(op.screen, data)


def _begin(call: CommandLine, console: Console) -> Call:
    from ..opening.place import begin_call

    begun = begin_call(call.directory, console.environ, console.clock)
    console.listen(begun)
    begun.emit = lambda data, text: _emit(data, text, call.json, console)
    return begun


def _open(opened: _Opened) -> Storage:
    from ..opening.place import open_for

    console = opened.console
    store = open_for(opened.call.directory, console.environ, console.clock, opened.creates, opened.in_use)
    console.listen(store)
    store.room = ROOM if opened.call.from_shell else None
    return store


def _emit(data: Mapping[str, object], text: str, is_json: bool, console: Console) -> None:
    from .text import single

    _print(console, (single.as_json(data) if is_json else text) + "\n")


def _print(console: Console, text: str) -> int:
    if text:
        console.stdout.write(text.encode("utf-8", "backslashreplace"))
        console.stdout.flush()
    return 0


def _print_help(call: CommandLine, console: Console) -> int:
    from ..base.invocation import DOCUMENTED, way_called
    from ..base.packaged import require_docstrings
    from . import help as manual

    if call.name == "help":
        _refuse_more(call.words[1:], "help [OPERATION or TOPIC]")
    name = call.words[0] if call.name == "help" and call.words else call.name
    if name in ("", "help"):
        return _print(console, manual.overview().replace(DOCUMENTED, way_called()))
    require_docstrings("this help is")
    found = find_operation(name)
    text = manual.page(found) if found else manual.topic(name)
    if not text:
        raise _unknown(name)
    return _print(console, text.replace(DOCUMENTED, way_called()))
