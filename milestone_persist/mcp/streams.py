"""The standard streams of an MCP server process, reserved for its messages."""
from __future__ import annotations

import io
import os
import signal
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")


@contextmanager
def own_streams() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The streams from and to the client. Meanwhile other readers get nothing, and other output goes to stderr.

    OSError if one of them is closed.
    """
    kept = [os.dup(0), os.dup(1)]
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        for descriptor in kept:
            os.set_blocking(descriptor, True)
        # Not closed as files: whoever still reads from one would hold that up.
        yield io.BufferedReader(io.FileIO(kept[0], closefd=False)), io.FileIO(kept[1], "w", closefd=False)
    finally:
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


@contextmanager
def on_signals(action: Callable[[], None]) -> Iterator[None]:
    """Within it, a signal that ends a process calls `action` instead."""
    before = {}
    try:
        for name in SIGNALS:
            number = getattr(signal, name)
            before[number] = signal.signal(number, lambda *_: action())
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
