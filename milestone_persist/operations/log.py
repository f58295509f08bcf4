"""Log: events, as rows of the events table and as JSON lines under logs/."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.quoting import command
from ..base.values import check_range, check_word, json_object, parse_json
from ..base.vocabulary import BACKENDS
from ..coordination.argument_order import require_event_in_order
from ..coordination.waiting import Changes
from ..registry import operation
from ..storage.events import Log, record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..base.answers import MilestoneEvent, StorageEvent
    from ..base.rows import Event
    from ..storage.interface import Storage

GROUP = "Log"
FOLLOW_SECONDS = 1.0  # after which one that follows looks again whether there is a store


@operation(stdin="detail")
def log_milestone_event(store: Storage, event: str, milestone_id: str = "", detail: str = "") -> MilestoneEvent:
    """Log an event of a milestone in logs/milestone-events.jsonl and in the events table.

    event: its name
    milestone_id: the milestone; without it, $MILESTONE_ID
    detail: any text; - reads standard input

    Example: log_milestone_event phase_completed ms-123 'design: 3 documents'
    """
    _require_name(event)
    require_event_in_order(store, event, milestone_id, detail)
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
    if backend not in BACKENDS and milestone in BACKENDS:
        raise UsageError(f"MILESTONE and BACKEND are swapped: log_storage_event {command([event, backend, milestone])}")
    check_word(backend, BACKENDS, "backend")
    text = json_object(details, "DETAILS", store.warn)
    entry: StorageEvent = {"timestamp": store.now(), "event": event, "milestone_id": milestone, "backend": backend,
             "details": parse_json(text)}
    with Log(store, "storage-events.jsonl") as log:
        with store.transaction("events"):
            record_event(store, event, _session(store), _agent(store), milestone or None, text, backend)
        log.append(entry)
    return entry


def follow_events(events: list[Event], options: dict[str, Any]) -> dict[str, Any]:
    """The options that list the events after these, waiting for one."""
    return {**options, "after": events[-1]["id"] if events else options.get("after", 0), "wait": FOLLOW_SECONDS}


@operation(text="events", creates=False, follow=follow_events)
def list_coordination_events(store: Storage, *, session: str = "", agent: str = "", milestone: str = "",
                             event: str = "", after: int = 0, limit: int = 20, wait: float = 0,
                             follow: bool = False) -> list[Event]:
    """List the latest events, one per line, the newest last.

    session: only those of this session
    agent: only those of this agent
    milestone: only those of this milestone
    event: only those of this name
    after: those after the event with this id instead of the latest
    limit: at most N
    wait: seconds to wait for an event where there is none
    follow: print each event as it happens, until interrupted; on the command line only

    Example: list_coordination_events --session execution-ms-123-1 --limit 50
    """
    if follow:
        raise UsageError("follow is for the command line: call again with wait, after the id of the last event")
    check_range(limit, 1, 1_000_000_000, "--limit")
    check_range(after, 0, 2 ** 62, "--after")
    check_range(wait, 0, 86400, "--wait")
    given = {"session_id": session, "agent_id": agent, "milestone_id": milestone, "event": event}
    until, changes = store.clock.monotonic() + wait, Changes(store)
    rows = _find_events(store, given, after, limit)
    if not rows and not after:
        _tell_who_is_unknown(store, session, agent, milestone)
    while not rows and store.clock.monotonic() < until:
        changes.wait(until)
        rows = _find_events(store, given, after, limit)
    return rows


def _tell_who_is_unknown(store: Storage, session: str, agent: str, milestone: str) -> None:
    """Warn of who is asked for and not there: of them there may never be an event."""
    from ..coordination.membership import tell_no_agent
    from ..coordination.sessions import tell_no_session

    for name, column, table, tell in ((session, "session_id", "coordination_sessions", tell_no_session),
                                      (agent, "agent_id", "agent_registry", tell_no_agent),
                                      (milestone, "id", "milestones", _tell_no_milestone)):
        if name and not store.execute(f"SELECT 1 AS there FROM {table} WHERE {column} = :id", {"id": name}):
            store.warn(tell(store, name))


def _tell_no_milestone(store: Storage, milestone_id: str) -> str:
    from ..storage.suggestions import suggest

    known = [row["id"] for row in store.execute("SELECT id FROM milestones ORDER BY updated_at DESC LIMIT 1000")]
    return f"no milestone {milestone_id!r} {suggest(store, milestone_id, known, 'list_milestones')}"


def _find_events(store: Storage, given: Mapping[str, str], after: int, limit: int) -> list[Event]:
    chosen = "".join(f" AND {name} = :{name}" for name, word in given.items() if word)
    rows: list[Event] = store.execute(
        f"SELECT * FROM events WHERE id > :after{chosen} ORDER BY id {'' if after else 'DESC'} LIMIT :limit",
        {**given, "after": after, "limit": limit})
    return rows if after else rows[::-1]


def _require_name(event: str) -> None:
    if not event:
        raise UsageError("EVENT is empty: give it a name")


def _session(store: Storage) -> str | None:
    return store.environ.get("SESSION_ID") or None


def _agent(store: Storage) -> str | None:
    return store.environ.get("AGENT_ID") or None
