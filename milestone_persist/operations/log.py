"""Log: what happened, as rows of the events table and as JSON lines under logs/."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.values import check_word, json_object, parse_json
from ..base.vocabulary import BACKENDS
from ..registry import operation
from ..storage.events import Log, record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..base.answers import MilestoneEvent, StorageEvent
    from ..storage.interface import Storage

GROUP = "Log"


@operation(stdin="detail")
def log_milestone_event(store: Storage, event: str, milestone_id: str = "", detail: str = "") -> MilestoneEvent:
    """Log an event of a milestone in logs/milestone-events.jsonl and in the events table.

    event: its name
    milestone_id: the milestone; without it, $MILESTONE_ID
    detail: any text; - reads standard input

    Example: log_milestone_event phase_completed ms-123 'design: 3 documents'
    """
    _require_name(event)
    milestone = milestone_id or store.environ.get("MILESTONE_ID", "")
    entry: MilestoneEvent = {"timestamp": store.now(), "event": event, "milestone_id": milestone, "detail": detail}
    with Log(store, "milestone-events.jsonl") as log:
        with store.transaction("events"):
            record_event(store, event, _session(store), _agent(store), milestone or None, detail)
        log.append(entry)
    return entry


@operation(stdin="details")
def log_storage_event(store: Storage, event: str, milestone: str, backend: str,
                      details: str | Mapping[str, Any] = "{}") -> StorageEvent:
    """Log an event of the storage in logs/storage-events.jsonl and in the events table.

    event: its name
    milestone: the milestone it is about; may be empty
    backend: file, hybrid or database
    details: a JSON object; - reads standard input

    Example: log_storage_event record_created ms-123 hybrid '{"bytes": 512}'
    """
    _require_name(event)
    check_word(backend, BACKENDS, "backend")
    text = json_object(details, "DETAILS", store.warn)
    entry: StorageEvent = {"timestamp": store.now(), "event": event, "milestone_id": milestone, "backend": backend,
             "details": parse_json(text)}
    with Log(store, "storage-events.jsonl") as log:
        with store.transaction("events"):
            record_event(store, event, _session(store), _agent(store), milestone or None, text, backend)
        log.append(entry)
    return entry


def _require_name(event: str) -> None:
    if not event:
        raise UsageError("EVENT is empty: give it a name")


def _session(store: Storage) -> str | None:
    return store.environ.get("SESSION_ID") or None


def _agent(store: Storage) -> str | None:
    return store.environ.get("AGENT_ID") or None
