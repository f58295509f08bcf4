"""One tool call: runs the operation on the store found now, and returns a tool result.

Nothing is kept from one call to the next: each opens the store, as a shell call does.
"""
from __future__ import annotations

import threading

from ..base.errors import Incomplete, MilestoneError, Unsound
from ..base.invocation import way_called
from ..cli.main import ROOM, shorten_line
from ..cli.process import explain_failure
from ..coordination.lives import CLIENT_SESSION
from ..opening.place import begin_call, open_for
from ..registry import all_operations
from ..running import follow_moves, run_operation
from ..storage.call import Clock
from .arguments import bind_arguments, bound_wait
from .tools import CODEX_WAIT, LONGEST_WAIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from ..registry import Operation
    from ..storage.interface import Storage

LONGEST_RESULT = 100_000  # bytes of text that a client is handed at once
# Where what is printed is no more than the data: there the data is the answer. Elsewhere the text says what to do, and
# models are shown only one of the two: Claude Code hands on structuredContent where there is some, and no text.
DATA_FORMS = ("json", "nothing", "message_id", "checkpoint_id", "ids", "lock", "settings")
SAVED_FORMS = ("state",)  # what agents have written themselves


class Cancelled(BaseException):
    """The client has cancelled a request, or has gone: no `except Exception` on the way catches this."""


class RequestClock(Clock):
    """The clock of one request; cancelling the request ends any sleep."""

    def __init__(self, clock: Clock, is_over: Callable[[], bool]) -> None:
        self.clock, self.is_over = clock, is_over

    def time(self) -> float:
        return self.clock.time()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def sleep(self, seconds: float) -> None:
        if self.is_over():
            raise Cancelled
        self.clock.sleep(seconds)
        if self.is_over():
            raise Cancelled


class Surroundings:
    """What all calls of a server share: the location of the data, the environment, the clock.

    directory: the data directory; "" finds it for each call, as the shell functions do
    structured: whether every result has the data as structuredContent, for clients that are programs
    longest_wait: for how many seconds a call may wait for something
    """

    def __init__(self, directory: str, environ: Mapping[str, str], clock: Clock, structured: bool = False,
                 longest_wait: float = LONGEST_WAIT) -> None:
        self.directory, self.environ, self.clock, self.structured = directory, environ, clock, structured
        self.longest_wait = longest_wait

    def in_thread(self, meta: Any) -> Surroundings:
        """The same for a call in a conversation named in the request's `_meta`, as Codex does."""
        thread = meta.get("threadId") if isinstance(meta, dict) else None
        if not isinstance(thread, str) or not thread or not thread.isprintable():
            return self
        return Surroundings(self.directory, {**self.environ, CLIENT_SESSION: thread}, self.clock, self.structured,
                            CODEX_WAIT)


class ToolCall:
    """A call of an operation: run it, and `take_back` if its result was not delivered. Nothing stays open after each.

    offered: the names of the tools that the caller can use
    """

    def __init__(self, op: Operation, surroundings: Surroundings, clock: RequestClock, offered: Iterable[str]) -> None:
        self.op, self.surroundings, self.clock, self.offered = op, surroundings, clock, {*offered}
        self.args: list[Any] = []
        self.options: dict[str, Any] = {}
        self.notes: list[str] = []
        self.data: Any = None
        self.is_done = False
        self._storage: Storage | None = None
        self._in_use = op.in_use

    def run(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The result of the tool: what the function prints, the data, and its notes."""
        error = ""
        try:
            self.args, self.options = bind_arguments(self.op, arguments, self.surroundings.environ)
            self.op.check(self.args, self.options)
            limited = bound_wait(self.op, self.options, self.surroundings.longest_wait)
            self.data = self._run()
            self.is_done = True
            if limited and not self.data:
                self._note(limited)
        except (Incomplete, Unsound) as incomplete:
            self.data, self.is_done, error = incomplete.data, True, str(incomplete)
        except MilestoneError as refused:
            error = str(refused)
        except Exception as failure:
            error = explain_failure(failure)
        finally:
            self._release()
        try:
            return self._result(error)
        except Exception as failure:
            if not self.is_done or not self.op.changes(self.args, self.options):
                raise
            return self._result(self._tell_unmade(failure))

    def _tell_unmade(self, failure: Exception) -> str:
        """What has become of what was done, where its result cannot be made; from then on there is none."""
        became = f"{self.op.name} is done, do not repeat it"
        if self.op.on_undelivered:
            self.take_back()
            became = "what was taken is in the inbox again"
        self.is_done = False
        return f"the answer could not be made ({type(failure).__name__}: {failure}); {became}"

    def take_back(self) -> None:
        """Undo what would be lost with an undelivered result: messages are requeued."""
        undo = self.op.on_undelivered
        if not self.is_done or undo is None or not self.op.changes(self.args, self.options):
            return
        self.clock.is_over = lambda: False
        try:
            follow_moves(lambda store: undo(store, self.data, *self.args), self._open, self._release)
        except MilestoneError:  # the next take names them
            pass
        finally:
            self._release()

    def _run(self) -> Any:
        if self.op.opens:
            return run_operation(self.op, self.args, self.options, self._open, self._release)
        call = begin_call(self.surroundings.directory, self.surroundings.environ, self.clock)
        call.warn, call.tell = self._warn, self._note
        return self.op.run(call, self.args, self.options)

    def _open(self) -> Storage:
        if self._storage is None:
            creates = self.op.makes_store(self.args, self.options)
            self._storage = store = open_for(self.surroundings.directory, self.surroundings.environ, self.clock,
                                             creates, self._in_use)
            store.warn, store.tell, store.room = self._warn, self._note, ROOM
        return self._storage

    def _release(self) -> None:
        storage, self._storage, self._in_use = self._storage, None, True
        if storage is not None:
            storage.close()

    def _warn(self, text: str) -> None:
        self._note("warning: " + text)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _result(self, error: str) -> dict[str, Any]:
        notes = [shorten_line(text) for text in [*self.notes, *([error] if error else [])]]
        text, is_whole = self._text() if self.is_done else ("", False)
        notes += self._name_missing("" if self.op.text in (*DATA_FORMS, *SAVED_FORMS) else text, notes)
        if self.is_done and not is_whole:
            notes.append("cut: this is the beginning; the shell function of this name prints all of it")
        blocks = [text or ("" if error else "done"), "\n".join(notes)]
        result: dict[str, Any] = {"content": [{"type": "text", "text": block} for block in blocks if block],
                                  "isError": bool(error)}
        if is_whole and (self.surroundings.structured or self.op.text in DATA_FORMS):
            result["structuredContent"] = {"result": self.data, **({"notes": notes} if notes else {})}
        return result

    def _name_missing(self, text: str, notes: list[str]) -> list[str]:
        """A note about functions that a text or a note suggests but that are not tools here."""
        import re

        named = dict.fromkeys(re.findall(r"^ +([a-z]+(?:_[a-z]+)+)\b", text, re.MULTILINE)
                              + re.findall(r"(?<!\S)([a-z]+(?:_[a-z]+)+)(?=\s)", "\n".join(notes)))
        missing = [name for name in named if name not in self.offered]
        if missing:
            missing = [op.name for op in all_operations() if op.name in missing]
        return [f"no tools here, but commands ({way_called()} NAME …): {', '.join(missing)}"] if missing else []

    def _text(self) -> tuple[str, bool]:
        """What the function prints, and whether it is complete."""
        from ..cli.text import find_renderer

        text = find_renderer(self.op.long if self.options.get("long") and self.op.long else self.op.text)(self.data)
        return cut(text), len(text.encode("utf-8", "backslashreplace")) <= LONGEST_RESULT


def cut(text: str, most: int = LONGEST_RESULT) -> str:
    """A text, or its beginning of so many bytes at most."""
    data = text.encode("utf-8", "backslashreplace")
    return text if len(data) <= most else data[:most].decode("utf-8", "ignore")


def start_thread(action: Callable[[], None]) -> threading.Thread:
    """Run something in a thread that does not delay the end of the process."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread
