"""Calls one operation repeatedly, and prints new rows as they come."""
from __future__ import annotations

from ..running import run_operation
from .text import find_renderer, single

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, Protocol

    from ..registry import Operation
    from ..storage.interface import Storage

    class Opened(Protocol):
        """The storage of a call, opened when it is used and again after it was released."""

        def get(self) -> Storage: ...

        def release(self) -> None: ...


def follow(op: Operation, args: list[Any], options: dict[str, Any], as_json: bool, opened: Opened,
           write: Callable[[str], object]) -> NoReturn:
    """Print each row of an operation on a line, until a signal, or the end of the reader, ends the process."""
    options = {**options, "follow": False}
    is_repeated = False
    while True:
        rows = call_again(op, args, options, opened, is_repeated)
        text = "".join(single.as_json(row) + "\n" for row in rows) if as_json else find_renderer(op.text)(rows)
        if rows:
            write(text)
        assert op.follow
        options, is_repeated = op.follow(rows, options), True


def call_again(op: Operation, args: list[Any], options: dict[str, Any], opened: Opened, is_repeated: bool) -> Any:
    """The operation's present result; a store that does not exist yet is looked for again next time."""
    data = run_operation(op, args, options, opened.get, opened.release, is_repeated)
    if not opened.get().describe()["exists"]:
        opened.release()
    return data
