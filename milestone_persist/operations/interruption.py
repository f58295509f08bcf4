"""Interruption: which agents have fallen silent and which sessions need recovery; liveness is by heartbeat alone."""
from __future__ import annotations

from ..times import minutes_between, shift_time
from .events import record_event
from .membership import set_agent_status
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

SILENT = "no heartbeat for "  # how the error of an agent begins that was marked failed for its silence


def heard_before(store: Storage, seconds: float) -> str:
    """The time `seconds` ago: who was last heard of then or earlier has been silent for so long."""
    return shift_time(store.now(), -seconds)


def is_stale(agent: Row, limit: str) -> bool:
    """Whether an agent should be at work and was last heard of at `limit` or earlier."""
    return agent["status"] in ("spawning", "active") and agent["last_heartbeat"] <= limit


def has_returned(agent: Row) -> bool:
    """Whether an agent marked failed for its silence has been heard of since."""
    return bool(agent["status"] == "failed" and (agent["error_info"] or "").startswith(SILENT)
                and agent["last_heartbeat"] > (agent["completion_time"] or agent["last_heartbeat"]))


def mark_stale_agents(store: Storage, silent_seconds: float | None = None, session_id: str | None = None) -> list[Row]:
    """Mark agents without heartbeat for `silent_seconds` failed; what they had taken goes back. In one transaction.

    silent_seconds: None is the setting session_timeout
    session_id: only those of this session
    Returns a row for each: agent_id, session_id, minutes_silent, returned, dead_lettered.
    """
    with store.transaction("agents"):
        seconds = read_count(store, "session_timeout") if silent_seconds is None else silent_seconds
        rows = store.execute(
            "SELECT agent_id, session_id, last_heartbeat FROM agent_registry WHERE status IN ('spawning', 'active') "
            "AND last_heartbeat <= :limit AND (:session IS NULL OR session_id = :session) "
            "ORDER BY last_heartbeat, agent_id", {"limit": heard_before(store, seconds), "session": session_id})
        return [_mark_failed(store, row) for row in rows]


def _mark_failed(store: Storage, agent: Row) -> Row:
    minutes = minutes_between(agent["last_heartbeat"], store.now())
    returned, dead = set_agent_status(store, agent["agent_id"], "failed", f"{SILENT}{minutes:.0f} min")
    return {"agent_id": agent["agent_id"], "session_id": agent["session_id"], "minutes_silent": round(minutes, 1),
            "returned": returned, "dead_lettered": dead}


def revive_returned_agents(store: Storage, session_id: str | None = None) -> list[str]:
    """Make agents active again that were marked failed for their silence and have been heard of since; their ids."""
    with store.transaction("agents"):
        rows = store.execute(
            "UPDATE agent_registry SET status = 'active', error_info = NULL, completion_time = NULL "
            "WHERE status = 'failed' AND error_info LIKE :silent AND last_heartbeat > completion_time "
            "AND (:session IS NULL OR session_id = :session) AND session_id IN "
            "(SELECT session_id FROM coordination_sessions WHERE status = 'active') "
            "RETURNING agent_id, session_id, milestone_id", {"silent": SILENT + "%", "session": session_id})
        rows.sort(key=lambda row: str(row["agent_id"]))
        for row in rows:
            record_event(store, "agent_revived", row["session_id"], row["agent_id"], row["milestone_id"],
                         "heard of again")
        return [row["agent_id"] for row in rows]


def find_interrupted_sessions(store: Storage) -> list[Row]:
    """Active sessions silent for `interrupted_after`, or with failed or stale agents; latest activity first.

    Each with minutes_inactive and its counts of agents, active (heard of within session_timeout), failed, stale.
    """
    now = store.now()
    rows = store.execute(
        "SELECT * FROM (SELECT s.session_id, s.milestone_id, s.operation_type, s.phase, s.progress, s.last_activity, "
        "count(a.agent_id) AS agents, "
        "count(CASE WHEN a.status IN ('spawning', 'active') AND a.last_heartbeat > :stale THEN 1 END) AS active, "
        "count(CASE WHEN a.status = 'failed' THEN 1 END) AS failed, "
        "count(CASE WHEN a.status IN ('spawning', 'active') AND a.last_heartbeat <= :stale THEN 1 END) AS stale "
        "FROM coordination_sessions s LEFT JOIN agent_registry a ON a.session_id = s.session_id "
        "WHERE s.status = 'active' GROUP BY s.session_id) AS counted "
        "WHERE last_activity <= :quiet OR failed > 0 OR stale > 0 ORDER BY last_activity DESC, session_id",
        {"stale": heard_before(store, read_count(store, "session_timeout")),
         "quiet": heard_before(store, read_count(store, "interrupted_after"))})
    for row in rows:
        row["minutes_inactive"] = round(minutes_between(row["last_activity"], now), 1)
    return rows


def interrupted_sessions(store: Storage) -> list[str]:
    """The ids of the interrupted sessions."""
    return [row["session_id"] for row in find_interrupted_sessions(store)]
