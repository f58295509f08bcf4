"""Agents that fell silent and sessions that came to a halt: finding them, and putting back what they held."""
from __future__ import annotations

from ..times import minutes_between, shift_time
from .membership import set_agent_status
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage


def mark_stale_agents(store: Storage, silent_seconds: float | None = None) -> list[Row]:
    """Mark as failed every active agent without heartbeat for `silent_seconds` (None: the setting session_timeout).

    What they had taken goes back. Gives, for each: agent_id, session_id, minutes_silent, returned, dead_lettered.
    """
    with store.transaction("stale-agents"):
        now = store.now()
        seconds = read_count(store, "session_timeout") if silent_seconds is None else silent_seconds
        stale = store.execute(
            "SELECT agent_id, session_id, last_heartbeat FROM agent_registry WHERE status IN ('spawning', 'active') "
            "AND last_heartbeat < :limit ORDER BY last_heartbeat, agent_id", {"limit": shift_time(now, -seconds)})
        return [_mark(store, row, now) for row in stale]


def _mark(store: Storage, row: Row, now: str) -> Row:
    minutes = round(minutes_between(row["last_heartbeat"], now), 1)
    returned, dead = set_agent_status(store, row["agent_id"], "failed", f"no heartbeat for {minutes:g} min")
    return {"agent_id": row["agent_id"], "session_id": row["session_id"], "minutes_silent": minutes,
            "returned": returned, "dead_lettered": dead}


def interrupted_sessions(store: Storage) -> list[str]:
    """The ids of the active sessions that have been idle for `interrupted_after` seconds or have a failed agent."""
    rows = store.execute(
        "SELECT session_id FROM coordination_sessions s WHERE status = 'active' AND (last_activity < :limit OR EXISTS "
        "(SELECT 1 FROM agent_registry a WHERE a.session_id = s.session_id AND a.status = 'failed')) "
        "ORDER BY last_activity, session_id",
        {"limit": shift_time(store.now(), -read_count(store, "interrupted_after"))})
    return [row["session_id"] for row in rows]
