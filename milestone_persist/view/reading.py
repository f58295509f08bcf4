"""Everything of one session that a page shows, read at one instant."""
from __future__ import annotations

from ..base.errors import StorageError
from ..base.times import minutes_between, shift_time
from ..base.values import CONTROLS
from ..base.vocabulary import AGENT_STATUSES, any_of
from ..coordination.liveness import heard_before
from ..coordination.message_states import STATE
from ..coordination.overview import list_agents, list_attention, list_inboxes, list_sessions
from ..coordination.sessions import find_session
from ..coordination.settings import read_count
from ..coordination.snapshots import read_snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base.answers import Snapshot
    from ..storage.interface import Row, Storage

LONGEST = 4000  # characters of a value that a page holds
# Newlines and tabs stay: the page keeps them within their cell.
_SHOWN = {code: f"\\u{code:04x}" for code in CONTROLS if code not in (9, 10)}
# Events that a timeline cannot do without, however long ago.
REVIVALS = ("agent_registered", "agent_revived")
RECOVERIES = ("agent_revived", "checkpoint_restored", "session_resumed", "session_reopened", "session_restarted")
REQUEUES = ("messages_returned", "message_dead_lettered", "message_requeued")
STORY = (*REVIVALS, *RECOVERIES[1:], *REQUEUES, "session_progress", "session_created",
         *(f"agent_{status}" for status in AGENT_STATUSES))
# Of what there may be any number, how many of the latest a page holds; of events beside them those of STORY.
MOST = {"events": 20_000, "messages": 5_000, "checkpoints": 5_000, "heartbeats": 50_000}
MOST_SNAPSHOTS, LONGEST_SNAPSHOT = 200, 1_000_000  # of checkpoints that can be compared; in characters
OWN = "agent_id IN (SELECT agent_id FROM agent_registry WHERE session_id = :id)"
ROWS = {  # columns, table and condition, and what is the order
    "events": ("id, timestamp, event, agent_id, detail", "events WHERE session_id = :id", "id"),
    "messages": (f"id, created_at, from_agent, to_agent, message_type, priority, {STATE} AS state, delivered_at, "
                 f"acknowledged_at, retry_count, substr(payload, 1, {LONGEST}) AS payload, "
                 "length(payload) AS characters",
                 "agent_messages WHERE session_id = :id", "id"),
    "checkpoints": ("checkpoint_id, agent_id, checkpoint_type, created_at",
                    "agent_checkpoints WHERE session_id = :id", "created_at, checkpoint_id"),
    "heartbeats": ("agent_id, health_status, timestamp", f"agent_health_log WHERE {OWN}", "id"),
}
STORY_EVENTS = (f"SELECT {ROWS['events'][0]} FROM {ROWS['events'][1]} AND id < :first AND event IN {any_of(STORY)} "
                "ORDER BY id")
SNAPSHOTS = ("SELECT checkpoint_id, state_snapshot FROM agent_checkpoints WHERE session_id = :id "
             f"AND length(state_snapshot) <= {LONGEST_SNAPSHOT} ORDER BY created_at DESC LIMIT {MOST_SNAPSHOTS}")
KEYS = ("SELECT agent_id, state_key, state_type, version, updated_at, expires_at, "
        f"substr(state_value, 1, {LONGEST}) AS state_value, length(state_value) AS characters FROM agent_state "
        f"WHERE (saved_in = :id OR {OWN}) AND (expires_at IS NULL OR expires_at > :now) ORDER BY agent_id, state_key")
AGENTS = ("SELECT agent_id, agent_type, status, spawn_time, last_heartbeat, completion_time, error_info, current_task, "
          "current_phase FROM agent_registry WHERE session_id = :id ORDER BY spawn_time, agent_id")


def list_session_ids(store: Storage) -> list[Row]:
    """The sessions a page can show, the one with the latest activity first: session_id and status."""
    return store.execute("SELECT session_id, status FROM coordination_sessions "
                         "ORDER BY CASE WHEN status = 'active' THEN 0 ELSE 1 END, last_activity DESC, session_id")


def read_session(store: Storage, session_id: str) -> Row:
    """The session with its agents, messages, keys, checkpoints, events and heartbeats; Refused if there is none.

    totals: how many rows there are of what MOST limits
    """
    with store.snapshot():
        retries, now = read_count(store, "message_retry_limit"), store.now()
        given: dict[str, Any] = {"id": session_id, "now": now, "limit": retries}
        session: Row = dict(find_session(store, session_id))
        rows = {name: _read_latest(store, name, given) for name in ROWS}
        totals = {name: _count(store, name, len(found), given) for name, found in rows.items()}
        if totals["events"] > len(rows["events"]):
            rows["events"][:0] = store.execute(STORY_EVENTS, {**given, "first": rows["events"][0]["id"]})
        rows["agents"], rows["keys"] = store.execute(AGENTS, given), store.execute(KEYS, given)
        _add_snapshots(rows["checkpoints"], store.execute(SNAPSHOTS, given))
        agents, inboxes = list_agents(store, session_id), list_inboxes(store, session_id)
        attention = list_attention(store, list_sessions(store, session_id), agents, inboxes)
        title = store.execute("SELECT title FROM milestones WHERE id = :id", {"id": session["milestone_id"]})
        silent_after = heard_before(store, read_count(store, "interrupted_after"))
    begin = min([session["created_at"], *(row["timestamp"] for row in rows["events"][:1])])
    return {"session": session, "title": title[0]["title"] if title else "", "now": now, "totals": totals,
            "attention": attention, "inboxes": {row["agent_id"]: row for row in inboxes}, "silent_after": silent_after,
            "begin": begin, "end": _end(session, rows, begin, now), **rows}


def _read_latest(store: Storage, name: str, given: dict[str, Any]) -> list[Row]:
    columns, which, order = ROWS[name]
    backwards = ", ".join(f"{column} DESC" for column in order.split(", "))
    return store.execute(f"SELECT {columns} FROM {which} ORDER BY {backwards} LIMIT {MOST[name]}", given)[::-1]


def _count(store: Storage, name: str, found: int, given: dict[str, Any]) -> int:
    """How many rows there are, where not all of them were read."""
    if found < MOST[name]:
        return found
    return int(store.execute(f"SELECT count(*) AS n FROM {ROWS[name][1]}", given)[0]["n"])


def _add_snapshots(checkpoints: list[Row], snapshots: list[Snapshot]) -> None:
    """Add its `state` to each checkpoint; None if it is not read, or is corrupt."""
    held = {row["checkpoint_id"]: row for row in snapshots}
    for row in checkpoints:
        try:
            row["state"] = read_snapshot(held[row["checkpoint_id"]])["state"]
        except (KeyError, StorageError):  # what is wrong with it is for doctor
            row["state"] = None


def _end(session: Row, rows: dict[str, list[Row]], begin: str, now: str) -> str:
    """The end of the time axis: now, while any agent is heard from; else shortly after the last heartbeat."""
    last: str = max([session["last_activity"], session["completed_at"] or "",
                *(row["timestamp"] for row in rows["events"][-1:])])
    if session["completed_at"]:
        return max(last, shift_time(begin, 1))
    return max(min(now, shift_time(last, 6 * minutes_between(begin, last) + 900)), last, shift_time(begin, 1))


def shown(text: object, characters: int = 0) -> str:
    """A text from the database as a page may hold it: not too long, and nothing in it turns the writing around.

    characters: how long it is, where it was not read to its end
    """
    text = "" if text is None else str(text)
    length = max(characters, len(text))
    more = f"… ({length - LONGEST} more characters)" if length > LONGEST else ""
    return text[:LONGEST].translate(_SHOWN) + more
