"""Liveness, judged only by heartbeats: which agents are silent, and which sessions need recovery."""
from __future__ import annotations

from ..base.times import minutes_between, shift_time
from ..base.vocabulary import AT_WORK, ENDED_AGENT, any_of
from .future import count_from_now
from .inbox import requeue_taken
from .lives import set_agent_status
from .membership import SILENT, renew_heartbeat
from .message_states import TAKEN
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..base.answers import AgentLife, EndedAgents, InterruptedSession, Returned, SessionLife, SilentAgent
    from ..base.rows import Session
    from ..storage.interface import Row, Storage


def heard_before(store: Storage, seconds: float) -> str:
    """The time `seconds` ago: an agent last heard from then or earlier has been silent for so long."""
    return shift_time(store.now(), -seconds)


def is_stale(agent: AgentLife, limit: str) -> bool:
    """Whether an agent should be working and was last heard from at `limit` or earlier."""
    return agent["status"] in AT_WORK and agent["last_heartbeat"] <= limit


def is_quiet(store: Storage, session: SessionLife) -> bool:
    """Whether nothing was heard from a whole session for `interrupted_after`."""
    return bool(session["last_activity"] <= heard_before(store, read_count(store, "interrupted_after")))


def silence_limit(store: Storage, session: SessionLife) -> int:
    """Seconds of silence after which recovery considers an agent dead: fewer if the whole session is silent."""
    limit = read_count(store, "session_timeout")
    return min(limit, read_count(store, "interrupted_after")) if is_quiet(store, session) else limit


def mark_dead_agents(store: Storage, session: Session) -> list[SilentAgent]:
    """Before a session is resumed or ended: mark its silent agents failed, so that their taken messages are not lost.

    session: as it was before the call; the caller ($AGENT_ID) is alive
    """
    seconds = silence_limit(store, session)
    renew_heartbeat(store, store.environ.get("AGENT_ID", ""))
    return mark_stale_agents(store, seconds, session["session_id"])


def mark_stale_agents(store: Storage, silent_seconds: float | None = None, session_id: str | None = None,
                      only: Sequence[str] | None = None) -> list[SilentAgent]:
    """Mark agents without heartbeat for `silent_seconds` failed; their messages are requeued. In one transaction.

    What was taken in the name of an agent that had ended already is requeued too.

    silent_seconds: None is the setting session_timeout
    session_id: only those of this session
    only: only those with one of these ids
    Returns a row for each: agent_id, session_id, marked, minutes_silent, returned, dead_lettered.
    """
    with store.transaction("agents"):
        count_from_now(store)
        seconds = read_count(store, "session_timeout") if silent_seconds is None else silent_seconds
        silent = ("SELECT agent_id, session_id, status, last_heartbeat FROM agent_registry WHERE "
                  "last_heartbeat <= :limit AND (:session IS NULL OR session_id = :session) AND ")
        rows = store.execute(
            f"{silent} status IN {any_of(AT_WORK)} UNION ALL {silent} status IN {any_of(ENDED_AGENT)} "
            f"AND agent_id IN (SELECT to_agent FROM agent_messages WHERE {TAKEN}) "
            "ORDER BY last_heartbeat, agent_id", {"limit": heard_before(store, seconds), "session": session_id})
        return [_end_silent(store, row) for row in rows if only is None or row["agent_id"] in only]


def _end_silent(store: Storage, agent: Row) -> SilentAgent:
    minutes, marked = minutes_between(agent["last_heartbeat"], store.now()), agent["status"] in AT_WORK
    returned, dead = (set_agent_status(store, agent["agent_id"], "failed", f"{SILENT}{minutes:.0f} min") if marked
                      else requeue_taken(store, agent["agent_id"]))
    return {"agent_id": agent["agent_id"], "session_id": agent["session_id"], "marked": marked,
            "minutes_silent": round(minutes, 1), "returned": returned, "dead_lettered": dead}


def sum_up(ended: Sequence[Returned]) -> EndedAgents:
    """The outcome for the agents returned by mark_stale_agents: marked_failed (ids), returned, dead_lettered."""
    return {"marked_failed": [row["agent_id"] for row in ended if row.get("marked")],
            "returned": sum(row["returned"] for row in ended),
            "dead_lettered": sum(row["dead_lettered"] for row in ended)}


def find_interrupted_sessions(store: Storage) -> list[InterruptedSession]:
    """Active sessions silent for `interrupted_after`, or with failed or stale agents; latest activity first.

    Each with minutes_inactive and its counts of agents, active (heard from within session_timeout), failed, stale.
    """
    now = store.now()
    rows = store.execute(
        "SELECT s.session_id, s.milestone_id, s.operation_type, s.phase, s.progress, s.last_activity, "
        "count(a.agent_id) AS agents, "
        f"count(CASE WHEN a.status IN {any_of(AT_WORK)} AND a.last_heartbeat > :stale THEN 1 END) AS active, "
        "count(CASE WHEN a.status = 'failed' THEN 1 END) AS failed, "
        f"count(CASE WHEN a.status IN {any_of(AT_WORK)} AND a.last_heartbeat <= :stale THEN 1 END) AS stale "
        "FROM coordination_sessions s LEFT JOIN agent_registry a ON a.session_id = s.session_id "
        "WHERE s.status = 'active' AND s.session_id IN ("  # those to be counted, each found by an index
        "SELECT session_id FROM coordination_sessions WHERE status = 'active' AND last_activity <= :quiet "
        f"UNION SELECT session_id FROM agent_registry WHERE status IN {any_of(AT_WORK)} AND last_heartbeat <= :stale "
        "UNION SELECT k.session_id FROM coordination_sessions k WHERE k.status = 'active' AND EXISTS "
        "(SELECT 1 FROM agent_registry f WHERE f.session_id = k.session_id AND f.status = 'failed')) "
        "GROUP BY s.session_id ORDER BY s.last_activity DESC, s.session_id",
        {"stale": heard_before(store, read_count(store, "session_timeout")),
         "quiet": heard_before(store, read_count(store, "interrupted_after"))})
    for row in rows:
        row["minutes_inactive"] = round(minutes_between(row["last_activity"], now), 1)
    return rows


def interrupted_sessions(store: Storage) -> list[str]:
    """The ids of the interrupted sessions."""
    return [row["session_id"] for row in find_interrupted_sessions(store)]


def log_health(store: Storage, agent_id: str, health: str, cpu: float | None = None, memory: float | None = None,
               response_ms: float | None = None, errors: float | None = None, warnings: float | None = None) -> None:
    """Add a row to the health log, within the caller's transaction."""
    store.execute(
        "INSERT INTO agent_health_log (agent_id, health_status, cpu_usage, memory_usage, response_time, error_count, "
        "warning_count, timestamp) VALUES (:id, :health, :cpu, :memory, :response, :errors, :warnings, :now)",
        {"id": agent_id, "health": health, "cpu": cpu, "memory": memory, "response": response_ms,
         "errors": errors or 0, "warnings": warnings or 0, "now": store.now()})
