"""What an operation may ask of a storage: a place where portable SQL runs, and what surrounds one call."""
from __future__ import annotations

import time

from ..times import format_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Row = dict[str, Any]
    Params = Mapping[str, Any]


class Clock:
    """The time and the passing of it; tests put their own in its place."""

    def time(self) -> float:
        """Epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        time.sleep(seconds)


class Transaction:
    """Scope of one transaction; nested scopes join the outermost, an exception undoes it whole."""

    __slots__ = ("storage", "begin")

    def __init__(self, storage: Storage, begin: Callable[[], None]) -> None:
        self.storage, self.begin = storage, begin

    def __enter__(self) -> None:
        if self.storage.depth == 0:
            self.begin()
        self.storage.depth += 1

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.storage.depth -= 1
        if self.storage.depth == 0:
            if kind is None:
                self.storage.commit()
            else:
                self.storage.rollback()


class Storage:
    """Base of the backends. An operation uses `transaction`, `snapshot`, `execute`, `now`, `warn` and the attributes.

    directory: the data directory, absolute
    environ: the environment variables that give defaults (SESSION_ID, AGENT_ID, MILESTONE_ID)
    backend: `file`, `hybrid` or `database`
    """

    backend = "hybrid"

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str]) -> None:
        self.directory, self.clock, self.environ = directory, clock, environ
        self.warn: Callable[[str], None] = lambda text: None
        self.depth = 0

    def now(self) -> str:
        """The present, as stored times are written."""
        return format_time(self.clock.time())

    def transaction(self, lock: str = "") -> Transaction:
        """A write transaction under the narrowest lock the backend has for the key `lock`."""
        raise NotImplementedError

    def snapshot(self) -> Transaction:
        """A read transaction: all its queries see one instant."""
        raise NotImplementedError

    def execute(self, sql: str, params: Params = {}) -> list[Row]:
        """Run one portable statement with named parameters; the rows it gives, as dicts."""
        raise NotImplementedError

    def commit(self) -> None:
        raise NotImplementedError

    def rollback(self) -> None:
        raise NotImplementedError

    def describe(self) -> Row:
        """Where the rows live and how, for `where` and `doctor`."""
        raise NotImplementedError

    def check(self) -> list[str]:
        """Everything that is wrong with the stored rows, a line each; empty when all is well."""
        raise NotImplementedError

    def close(self) -> None:
        """Release everything; closing again does nothing."""
        raise NotImplementedError
