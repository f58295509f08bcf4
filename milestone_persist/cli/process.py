"""The process around one command line: its streams, its signals and its end."""
from __future__ import annotations

import io
import os
import sys

from .. import base
from ..base.location import GONE
from .main import Console, main, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Literal


def run() -> None:
    """Run the command line of this process and end it; a failure is always a single line."""
    base.is_program, status = True, 3
    os.environ.pop("MILESTONE_HANDED_OVER", None)
    try:
        # Arguments are UTF-8 whatever the locale says; what is not comes through as surrogates and is refused later.
        words = [os.fsencode(word).decode("utf-8", "surrogateescape") for word in sys.argv[1:]]
        # Held by a name to the end: a stream that is let go tries once more to write what could not be written.
        console = Console(_binary(0, "rb"), _binary(1, "wb"), _binary(2, "wb"), os.environ)
        status = main(words, console)
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # the reader of our output has gone
        status = 141
    except Exception as error:
        _say(explain_failure(error))
    finally:
        os._exit(status)  # everything is closed and flushed; the interpreter's own end costs a fifth of a call


def explain_failure(error: Exception) -> str:
    """The line for an unforeseen error; with MILESTONE_DEBUG its traceback is printed too."""
    if isinstance(error, OSError):
        return _reason(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this: nothing was done; give it more (ulimit -v), or ask for less"
    if os.environ.get("MILESTONE_DEBUG"):
        import traceback

        traceback.print_exc()
    return f"internal error: {type(error).__name__}: {error}; MILESTONE_DEBUG=1 shows where"


class _Closed(io.FileIO):
    """Replaces a stream that the caller has closed: using it is an error. Keeps its descriptor from other files."""

    def __init__(self, what: str, number: int | None) -> None:
        super().__init__(os.devnull, "r+")
        self.error = OSError(number, f"standard {what} is closed")

    def read(self, size: int | None = -1) -> bytes:
        raise self.error

    def write(self, data: object) -> int:
        raise self.error


def _binary(descriptor: int, mode: Literal["rb", "wb"]) -> BinaryIO:
    """One of the standard streams as bytes."""
    try:
        return open(descriptor, mode, closefd=False)
    except OSError as error:
        if descriptor == 2:
            return open(os.devnull, mode)
        return _Closed("output" if descriptor else "input", error.errno)


def _reason(error: OSError) -> str:
    if error.filename:
        return f"{error.strerror}: {error.filename}"
    try:
        os.getcwd()
    except FileNotFoundError:  # what was asked for lies below it
        return GONE
    return error.strerror or str(error)


def _say(text: str) -> None:
    try:
        os.write(2, (one_line(text.strip()) + "\n").encode("utf-8", "backslashreplace"))
    except OSError:
        pass
