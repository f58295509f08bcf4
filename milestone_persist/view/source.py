"""The data of the live page, and whether it has changed."""
from __future__ import annotations

import threading
import time

from ..base.values import dump_json
from .page import make_page, make_tables
from .parts import make_parts
from .plain import nothing_yet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..storage.interface import Row

KEPT_SECONDS = 5  # how long an update is good for other readers, though nothing has changed: it tells how long ago


class Source:
    """The data of the pages: `read` returns a session and the list of sessions, `version` grows with each change.

    read: gives the data of a session, of the latest one for "", and all sessions; None where there is none
    """

    def __init__(self, read: Callable[[str], tuple[Row | None, list[Row]]]) -> None:
        self._read, self._lock = read, threading.Lock()
        self._changed = threading.Condition()
        self._kept: tuple[str, int, float, bytes] = ("", -1, 0.0, b"")  # the last update, for its other readers
        self.version, self.cost, self.is_over = 0, 0.0, False

    def note_change(self) -> None:
        """Wake the waiters: the store has changed."""
        with self._changed:
            self.version += 1
            self._changed.notify_all()

    def end(self) -> None:
        """End all streams."""
        with self._changed:
            self.is_over = True
            self._changed.notify_all()

    def wait(self, version: int, seconds: float) -> int:
        """The version as soon as it differs from this one, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_over or self.version != version, seconds)
            return self.version

    def page(self, session_id: str) -> str:
        """The page of a session; one that says so where there is none yet."""
        data, sessions = self._read(session_id)
        return make_page(data, sessions) if data else nothing_yet()

    def update(self, session_id: str) -> bytes:
        """The JSON that an open page needs to update itself."""
        with self._lock:
            (kept, known, made, body), version, begin = self._kept, self.version, time.monotonic()
            if (kept, known) != (session_id, version) or begin > made + KEPT_SECONDS:
                data, _ = self._read(session_id)
                fresh = {"parts": make_parts(data), "tables": make_tables(data)} if data else {"error": "no session"}
                body = dump_json(fresh).encode()
                self._kept, self.cost = (session_id, version, begin, body), time.monotonic() - begin
            return body
