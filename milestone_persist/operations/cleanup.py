"""Cleaning up: stale agents, and rows that are no longer needed; never an active session or finished work."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.times import minutes_between, shift_time
from ..base.values import check_range
from ..base.vocabulary import ENDED, GIVEN_UP, OPEN_SESSION, any_of
from ..coordination.artifacts import artifact_keys, milestones_of
from ..coordination.deliverables import list_deliverables
from ..coordination.future import count_from_now
from ..coordination.liveness import mark_stale_agents, sum_up
from ..coordination.lives import set_agent_status
from ..coordination.membership import SILENT
from ..coordination.message_states import COUNTS_IN, PENDING, TAKEN
from ..coordination.sessions import count_agents
from ..coordination.settings import read_count
from ..coordination.snapshots import HAS_LATER, keep_until
from ..records.index import index_records
from ..records.swap import is_swapped_out
from ..registry import operation
from ..storage.events import record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import SessionCleanup, StaleCleanup
    from ..base.rows import Session
    from ..storage.interface import Storage

GROUP = "Recovery"
# Messages have their numbers in the order of their times: none behind the first that is not old needs to be looked at.
FIRST_LATER = ("(SELECT coalesce(min(id), 9223372036854775807) FROM agent_messages WHERE created_at > :old "
               "AND created_at <= :now)")
OPEN = f"(SELECT session_id FROM coordination_sessions WHERE status IN {any_of(OPEN_SESSION)})"


@operation(text="cleaned_stale", existing=True)
def cleanup_stale_coordination(store: Storage, minutes: float = 30) -> StaleCleanup:
    """Mark agents failed after MINUTES without a heartbeat, requeue their messages, delete what has expired.

    minutes: how long without a heartbeat; less than the setting heartbeat_interval is refused

    Deleted after cleanup_retention_days: ended sessions, acknowledged messages, old checkpoints (not an agent's last),
    health log and events.
    Example: cleanup_stale_coordination 30
    """
    check_range(minutes, 0, 1_000_000, "MINUTES")
    with store.transaction("cleanup"):
        _refuse_too_short(store, minutes)
        return {**sum_up(mark_stale_agents(store, minutes * 60)), "removed": apply_retention(store)}


def _refuse_too_short(store: Storage, minutes: float) -> None:
    """UsageError for so few minutes that working agents would be marked failed."""
    least = read_count(store, "heartbeat_interval")
    if minutes * 60 < least:
        raise UsageError(f"MINUTES must be at least {least / 60:g} (heartbeat_interval is {least} s), not {minutes:g}: "
                         "agents at work would be marked failed")


def apply_retention(store: Storage) -> dict[str, int]:
    """Delete what is past its retention time, within the caller's transaction; returns the rows of each kind."""
    if is_swapped_out(store):  # by an event it is known whether that was finished
        index_records(store)
    given = {"now": store.now(), "old": shift_time(store.now(), -86400 * read_count(store, "cleanup_retention_days"))}
    sessions = [row for row in _list_ended(store, ENDED, given["old"]) if not _holds_unmade_plan(store, row)]
    removed = {"sessions": len(sessions), "messages_lost": sum(_remove_session(store, row) for row in sessions)}
    for name, sql in (
        ("expired_state", "DELETE FROM agent_state WHERE expires_at <= :now RETURNING agent_id"),
        ("checkpoints", f"DELETE FROM agent_checkpoints WHERE retention_until <= :now AND {HAS_LATER} "
         "RETURNING checkpoint_id"),
        ("acknowledged_messages", f"DELETE FROM agent_messages WHERE acknowledged_at <= :old AND id < {FIRST_LATER} "
         "RETURNING id"),
        ("health_log", "DELETE FROM agent_health_log WHERE timestamp <= :old RETURNING id"),
        ("keys", "DELETE FROM idempotency_keys WHERE created_at <= :old RETURNING key"),
        ("events", "DELETE FROM events WHERE timestamp <= :old AND (session_id IS NULL OR session_id NOT IN "
         + OPEN + ") RETURNING id"),
    ):
        removed[name] = len(store.execute(sql, given))
    return removed


def _list_ended(store: Storage, statuses: tuple[str, ...], old: str) -> list[Session]:
    """The sessions that ended with one of these statuses, at that time or before."""
    return store.execute(f"SELECT * FROM coordination_sessions WHERE status IN {any_of(statuses)} AND coalesce("
                         "completed_at, last_activity) <= :old AND last_activity <= :old ORDER BY session_id",
                         {"old": old})


def _holds_unmade_plan(store: Storage, session: Session) -> bool:
    """Whether a completed planning session has artifacts from which no milestone has been created yet."""
    return bool(session["status"] == "completed" and session["operation_type"] == "planning"
                and not milestones_of(session) and artifact_keys(store, session["session_id"]))


@operation(text="cleaned_failed", existing=True)
def cleanup_failed_sessions(store: Storage, hours: float = 24) -> SessionCleanup:
    """Delete sessions that failed or were abandoned HOURS ago or earlier, with their agents, state and messages.

    hours: how long ago

    Active sessions whose agents have all ended or were silent for so long (at least session_timeout) are failed
    first. What holds artifacts or phase results is kept for cleanup_retention_days. Messages that wait for agents
    of other sessions stay.
    Example: cleanup_failed_sessions 24
    """
    check_range(hours, 0, 1_000_000, "HOURS")
    with store.transaction("cleanup"):
        count_from_now(store)
        died = _fail_dead_sessions(store, hours)
        ended = _list_ended(store, GIVEN_UP, shift_time(store.now(), -3600 * hours))
        ended = sorted({row["session_id"]: row for row in [*ended, *died]}.values(), key=lambda row: row["session_id"])
        kept = [row["session_id"] for row in ended if _holds_work(store, row)]
        gone = [row for row in ended if row["session_id"] not in kept]
        lost = sum(_remove_session(store, row) for row in gone)
        return {"failed": [row["session_id"] for row in died], "removed": [row["session_id"] for row in gone],
                "kept": kept, "messages_lost": lost}


def _fail_dead_sessions(store: Storage, hours: float) -> list[Session]:
    """Mark active sessions failed if all their agents have ended or been silent for so long; returns their rows."""
    old = shift_time(store.now(), -max(3600 * hours, read_count(store, "session_timeout")))
    rows = store.execute(
        "SELECT session_id FROM coordination_sessions s WHERE status = 'active' AND last_activity <= :old "
        "AND NOT EXISTS (SELECT 1 FROM agent_registry a WHERE a.session_id = s.session_id AND a.last_heartbeat > :old "
        "AND a.status IN ('spawning', 'active', 'paused')) ORDER BY session_id", {"old": old})
    return [_fail_session(store, row["session_id"]) for row in rows]


def _fail_session(store: Storage, session_id: str) -> Session:
    for agent in store.execute("SELECT agent_id, last_heartbeat FROM agent_registry WHERE session_id = :id "
                               "AND status IN ('spawning', 'active', 'paused') ORDER BY agent_id", {"id": session_id}):
        silent = minutes_between(agent["last_heartbeat"], store.now())
        set_agent_status(store, agent["agent_id"], "failed", f"{SILENT}{silent:.0f} min")
    record_event(store, "session_failed", session_id)
    failed: Session = store.execute(
        "UPDATE coordination_sessions SET status = 'failed', completed_at = :now WHERE session_id = :id RETURNING *",
        {"id": session_id, "now": store.now()})[0]
    return failed


def _holds_work(store: Storage, session: Session) -> bool:
    """Whether any deliverable of a session exists, even an incomplete one."""
    flaws = [row["flaw"] for item in list_deliverables(store, session) for row in item["empty"]]
    return ("cut off" in flaws or any(item["saved"] for item in list_deliverables(store, session))
            or session["operation_type"] == "planning" and bool(artifact_keys(store, session["session_id"])))


def _remove_session(store: Storage, session: Session) -> int:
    """Delete a session with everything that belongs to it; returns how many pending messages were deleted with it.

    Data of agents that have moved to another session moves with them: unread messages, checkpoints, and their state,
    unless they work on another milestone.
    """
    given = {"id": session["session_id"], "milestone": session["milestone_id"], "until": keep_until(store)}
    store.execute("DELETE FROM agent_state WHERE saved_in = :id AND EXISTS (SELECT 1 FROM agent_registry a JOIN "
                  "coordination_sessions k ON k.session_id = a.session_id WHERE a.agent_id = agent_state.agent_id "
                  "AND k.milestone_id <> :milestone)", given)
    store.execute("UPDATE agent_checkpoints SET retention_until = :until WHERE session_id = :id "
                  "AND retention_until IS NULL", given)
    _return_agents_to_previous_session(store, session["session_id"])
    elsewhere = "(SELECT a.session_id FROM agent_registry a WHERE a.agent_id = {} AND a.session_id <> :id)"
    for table, agent, which in (("agent_messages", "to_agent", "acknowledged_at IS NULL AND "),
                                ("agent_checkpoints", "agent_id", "")):
        home = elsewhere.format(f"{table}.{agent}")
        store.execute(f"UPDATE {table} SET session_id = {home} WHERE session_id = :id AND {which}{home} IS NOT NULL",
                      given)
    unread = " UNION ALL ".join(f"SELECT id FROM agent_messages WHERE {part} AND {COUNTS_IN} = :id"
                                for part in (PENDING, TAKEN))
    lost = len(store.execute(f"DELETE FROM agent_messages WHERE id IN ({unread}) RETURNING id", given))
    store.execute("DELETE FROM coordination_sessions WHERE session_id = :id", given)
    record_event(store, "session_removed", session["session_id"], milestone_id=session["milestone_id"],
                 detail=f"{session['status']}; {lost} unread messages")
    return lost


def _return_agents_to_previous_session(store: Storage, session_id: str) -> None:
    """Move the agents of a deleted session, as ended, to the session where they left results or checkpoints."""
    given = {"id": session_id}
    theirs = "agent_id IN (SELECT agent_id FROM agent_registry WHERE session_id = :id)"
    store.execute(f"DELETE FROM agent_state WHERE saved_in = :id AND {theirs}", given)
    left = store.execute(
        "SELECT agent_id, kept.session_id FROM ("
        f"SELECT agent_id, saved_in AS session_id, updated_at FROM agent_state WHERE saved_in <> :id AND {theirs} "
        "UNION ALL "
        f"SELECT agent_id, session_id, created_at FROM agent_checkpoints WHERE session_id <> :id AND {theirs}) kept "
        "JOIN coordination_sessions s ON s.session_id = kept.session_id ORDER BY updated_at, kept.session_id", given)
    for agent_id, home in {row["agent_id"]: row["session_id"] for row in left}.items():
        store.execute("UPDATE agent_registry SET session_id = :home, status = CASE WHEN status = 'completed' "
                      "THEN status ELSE 'terminated' END WHERE agent_id = :agent", {"home": home, "agent": agent_id})
        count_agents(store, home, 1)
