"""Signals that ask a process to end: noted, so that it can do so in good order."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def note_signals(note: Callable[[str], None]) -> list[tuple[int, Any]]:
    """Have SIGTERM, SIGINT and SIGHUP noted by their names; what was done on them before, for restore_signals.

    Only the main thread of a process can do that: in another nothing is changed.
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return []

    def handle(number: int, frame: object) -> None:
        note(signal.Signals(number).name)

    return [(number, signal.signal(number, handle)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]


def restore_signals(before: list[tuple[int, Any]]) -> None:
    """Do on signals what was done on them before."""
    import signal

    for number, handler in before:
        signal.signal(number, handler)
