"""The record of what happened: rows of the events table, and JSON lines under logs/."""
from __future__ import annotations

import os

from ..storage.directory import cannot_write, make_folder, open_private
from ..values import dump_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Storage


def record_event(store: Storage, event: str, session_id: str | None = None, agent_id: str | None = None,
                 milestone_id: str | None = None, detail: str = "", backend: str | None = None) -> None:
    """Add a row to the events table, within the caller's transaction."""
    store.execute(
        "INSERT INTO events (timestamp, event, session_id, agent_id, milestone_id, backend, detail) "
        "VALUES (:now, :event, :session_id, :agent_id, :milestone_id, :backend, :detail)",
        {"now": store.now(), "event": event, "session_id": session_id, "agent_id": agent_id,
         "milestone_id": milestone_id, "backend": backend, "detail": detail})


def append_line(store: Storage, name: str, entry: dict[str, object]) -> str:
    """Append one JSON line to a file under logs/ in a single write; returns the path."""
    folder = os.path.join(store.directory, "logs")
    path = os.path.join(folder, name)
    try:
        make_folder(folder)
        _append(path, (dump_json(entry) + "\n").encode())
    except OSError as error:
        raise cannot_write(path, error) from None
    return path


def _append(path: str, data: bytes) -> None:
    """Append a whole line or, on a full disk, none of it."""
    descriptor, written = open_private(path, os.O_WRONLY | os.O_APPEND), 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        raise
    finally:
        os.close(descriptor)
