"""Everything of one session that a page shows, read at one instant."""
from __future__ import annotations

from ..base.times import minutes_between, shift_time
from ..base.values import CONTROLS
from ..coordination.liveness import heard_before
from ..coordination.membership import find_session
from ..coordination.message_states import STATE
from ..coordination.overview import list_agents, list_attention, list_inboxes, list_sessions
from ..coordination.settings import read_count
from ..coordination.snapshots import read_snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..storage.interface import Row, Storage

LONGEST = 4000  # characters of a value that a page holds
# Newlines and tabs stay: the page keeps them within their cell.
_SHOWN = {code: f"\\u{code:04x}" for code in CONTROLS if code not in (9, 10)}
EVENTS = "SELECT id, timestamp, event, agent_id, milestone_id, detail FROM events WHERE session_id = :id ORDER BY id"
MESSAGES = (f"SELECT id, created_at, from_agent, to_agent, message_type, priority, {STATE} AS state, delivered_at, "
            "acknowledged_at, retry_count, payload FROM agent_messages WHERE session_id = :id ORDER BY id")
OWN = "agent_id IN (SELECT agent_id FROM agent_registry WHERE session_id = :id)"
KEYS = ("SELECT agent_id, state_key, state_type, version, updated_at, expires_at, state_value FROM agent_state "
        f"WHERE (saved_in = :id OR {OWN}) AND (expires_at IS NULL OR expires_at > :now) ORDER BY agent_id, state_key")
CHECKPOINTS = ("SELECT checkpoint_id, agent_id, checkpoint_type, created_at, state_snapshot FROM agent_checkpoints "
               "WHERE session_id = :id ORDER BY created_at, checkpoint_id")
HEARTBEATS = f"SELECT agent_id, health_status, timestamp FROM agent_health_log WHERE {OWN} ORDER BY id"
AGENTS = ("SELECT agent_id, agent_type, status, spawn_time, last_heartbeat, completion_time, error_info, current_task, "
          "current_phase FROM agent_registry WHERE session_id = :id ORDER BY spawn_time, agent_id")


def list_session_ids(store: Storage) -> list[Row]:
    """The sessions a page can show, the one with the latest activity first: session_id and status."""
    return store.execute("SELECT session_id, status FROM coordination_sessions "
                         "ORDER BY CASE WHEN status = 'active' THEN 0 ELSE 1 END, last_activity DESC, session_id")


def read_session(store: Storage, session_id: str) -> Row:
    """The session with its agents, messages, keys, checkpoints, events and heartbeats; Refused if there is none."""
    with store.snapshot():
        retries, now = read_count(store, "message_retry_limit"), store.now()
        given: dict[str, Any] = {"id": session_id, "now": now, "limit": retries}
        session: Row = dict(find_session(store, session_id))
        found = {"agents": AGENTS, "messages": MESSAGES, "keys": KEYS, "checkpoints": CHECKPOINTS, "events": EVENTS,
                 "heartbeats": HEARTBEATS}
        rows = {name: store.execute(sql, given) for name, sql in found.items()}
        agents, inboxes = list_agents(store, session_id), list_inboxes(store, session_id)
        attention = list_attention(store, list_sessions(store, session_id), agents, inboxes)
        title = store.execute("SELECT title FROM milestones WHERE id = :id", {"id": session["milestone_id"]})
        silent_after = heard_before(store, read_count(store, "interrupted_after"))
    _read_checkpoints(rows["checkpoints"])
    begin = min([session["created_at"], *(row["timestamp"] for row in rows["events"][:1])])
    return {"session": session, "title": title[0]["title"] if title else "", "now": now,
            "attention": attention, "inboxes": {row["agent_id"]: row for row in inboxes}, "silent_after": silent_after,
            "begin": begin, "end": _end(session, rows, begin, now), **rows}


def _read_checkpoints(checkpoints: list[Row]) -> None:
    """Put what each holds into the place of its text; one that is corrupt holds nothing."""
    for row in checkpoints:
        try:
            row["state"] = read_snapshot({"checkpoint_id": row["checkpoint_id"],
                                          "state_snapshot": row.pop("state_snapshot")})["state"]
        except Exception:  # what is wrong with it is for doctor
            row["state"] = []


def _end(session: Row, rows: dict[str, list[Row]], begin: str, now: str) -> str:
    """Where the time axis ends: now, while somebody is heard from; else not long after the last sign of life."""
    last: str = max([session["last_activity"], session["completed_at"] or "",
                *(row["timestamp"] for row in rows["events"][-1:])])
    if session["completed_at"]:
        return max(last, shift_time(begin, 1))
    return max(min(now, shift_time(last, 6 * minutes_between(begin, last) + 900)), last, shift_time(begin, 1))


def shown(text: object) -> str:
    """A text from the database as a page may hold it: not too long, and nothing in it turns the writing around."""
    text = "" if text is None else str(text)
    more = f"… ({len(text) - LONGEST} more characters)" if len(text) > LONGEST else ""
    return text[:LONGEST].translate(_SHOWN) + more
