"""Signals that ask a process to end: recorded, so that it can shut down cleanly."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def note_signals(note: Callable[[str], None]) -> list[tuple[int, Any]]:
    """Record SIGTERM, SIGINT and SIGHUP by name; returns the previous handlers, for restore_signals.

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
    """Restore the previous signal handlers."""
    import signal

    for number, handler in before:
        signal.signal(number, handler)
