"""The context of one call: the data directory, the environment, the clock, and where warnings and reports go."""
from __future__ import annotations

import time

from ..base.times import format_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Clock:
    """The time, and sleeping; tests replace it."""

    def time(self) -> float:
        """Epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never decrease."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep for that many seconds."""
        time.sleep(seconds)


def tell_nobody(text: str) -> None:
    """Where nobody is there to be told."""


class Call:
    """What an operation that needs no open store may use.

    directory: the data directory, absolute; it need not be there
    environ: the environment variables that give defaults (SESSION_ID, AGENT_ID, MILESTONE_ID)
    warn, report: called with a warning, and with how far a long piece of work is (what, done, total)
    tell: called with a line on what was done that the answer does not say
    emit: called with each part of an answer that comes bit by bit: its data, and its text
    is_heard: whether there still is somebody who reads that
    """

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str]) -> None:
        self.directory, self.clock, self.environ = directory, clock, environ
        self.warn: Callable[[str], None] = lambda text: None
        self.tell: Callable[[str], None] = tell_nobody
        self.emit: Callable[[Mapping[str, object], str], None] = lambda data, text: None
        self.is_heard: Callable[[], bool] = lambda: True
        self.report: Callable[[str, int, int], None] = lambda what, done, total: None

    def now(self) -> str:
        """The current time in the stored form."""
        return format_time(self.clock.time())
