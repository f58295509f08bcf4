"""The event log: rows of the events table, and JSON lines under logs/."""
from __future__ import annotations

import os

from ..base.values import dump_json
from .files import append_line, cannot_write, make_folder, open_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .interface import Row, Storage


ADD_EVENT = ("INSERT INTO events (timestamp, event, session_id, agent_id, milestone_id, backend, detail) "
             "VALUES (:now, :event, :session_id, :agent_id, :milestone_id, :backend, :detail)")


def record_event(store: Storage, event: str, session_id: str | None = None, agent_id: str | None = None,
                 milestone_id: str | None = None, detail: str = "", backend: str | None = None) -> None:
    """Add a row to the events table, within the caller's transaction."""
    store.execute(ADD_EVENT, describe_event(store, event, session_id, agent_id, milestone_id, detail, backend))


def describe_event(store: Storage, event: str, session_id: str | None = None, agent_id: str | None = None,
                   milestone_id: str | None = None, detail: str = "", backend: str | None = None) -> Row:
    """The values of such a row."""
    return {"now": store.now(), "event": event, "session_id": session_id, "agent_id": agent_id,
            "milestone_id": milestone_id, "backend": backend, "detail": detail}


class Log:
    """Opens a file under logs/ for a block; `append` adds committed events to it.

    StorageError on entering where it cannot be written: before anything is done.
    """

    def __init__(self, store: Storage, name: str) -> None:
        self.store, self.path = store, os.path.join(store.directory, "logs", name)

    def __enter__(self) -> Log:
        self.store.require_made()
        try:
            make_folder(os.path.dirname(self.path))
            self._descriptor = open_private(self.path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise cannot_write(self.path, error) from None
        return self

    def append(self, entry: Mapping[str, object]) -> None:
        """Append one JSON line; only a warning if that fails, because the event itself is stored."""
        try:
            append_line(self._descriptor, (dump_json(entry) + "\n").encode())
        except OSError as error:
            self.store.warn(f"the event is stored, but not in the log: {cannot_write(self.path, error)}")

    def __exit__(self, *exc: object) -> None:
        os.close(self._descriptor)
