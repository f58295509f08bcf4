"""Agents in sessions: finding them, renewing heartbeats, taking in those nobody registered."""
from __future__ import annotations

from ..errors import Refused
from ..times import format_time
from ..vocabulary import OPERATION_TYPES, nearest
from .events import record_event
from .settings import is_strict, read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

ENDED = ("completed", "failed", "abandoned")


def suggest(store: Storage, word: str, known: list[str]) -> str:
    """The end of a "no such …" line: the nearest known ids, or where there is none like it."""
    near = nearest(word, known, 3)
    return "did you mean " + " or ".join(near) + "?" if near else f"no id is like it in {store.directory}"


def find_agent(store: Storage, agent_id: str) -> Row:
    """The registry row of an agent; Refused names the nearest known ids."""
    rows = store.execute("SELECT * FROM agent_registry WHERE agent_id = :id", {"id": agent_id})
    if not rows:
        raise Refused(f"no agent {agent_id!r}: {suggest(store, agent_id, known_agents(store))}")
    return rows[0]


def known_agents(store: Storage) -> list[str]:
    """The ids of the agents heard of last, for suggestions."""
    rows = store.execute("SELECT agent_id FROM agent_registry ORDER BY last_heartbeat DESC LIMIT 1000")
    return [row["agent_id"] for row in rows]


def find_session(store: Storage, session_id: str) -> Row:
    """The row of a session; Refused names the nearest known ids."""
    rows = store.execute("SELECT * FROM coordination_sessions WHERE session_id = :id", {"id": session_id})
    if not rows:
        known = store.execute("SELECT session_id FROM coordination_sessions ORDER BY last_activity DESC LIMIT 1000")
        raise Refused(f"no session {session_id!r}: {suggest(store, session_id, [row['session_id'] for row in known])}")
    return rows[0]


def ensure_milestone(store: Storage, milestone_id: str | None) -> None:
    """Make the milestone's row if it is new."""
    if milestone_id:
        added = store.execute(
            "INSERT INTO milestones (id, title, created_at, updated_at) VALUES (:id, :id, :now, :now) "
            "ON CONFLICT (id) DO NOTHING RETURNING id", {"id": milestone_id, "now": store.now()})
        store.milestones_added = store.milestones_added or bool(added)


def ensure_session(store: Storage, session_id: str, milestone_id: str | None) -> Row:
    """The session, made if it is new and opened again (with a warning) if it had ended; counts as activity."""
    ensure_milestone(store, milestone_id)
    now = store.now()
    rows = store.execute("SELECT status FROM coordination_sessions WHERE session_id = :id", {"id": session_id})
    if not rows:
        store.execute(
            "INSERT INTO coordination_sessions "
            "(session_id, milestone_id, operation_type, status, created_at, last_activity) "
            "VALUES (:id, :milestone, :type, 'active', :now, :now)",
            {"id": session_id, "milestone": milestone_id, "type": operation_type_of(session_id), "now": now})
        record_event(store, "session_created", session_id, milestone_id=milestone_id)
    elif rows[0]["status"] in ENDED:
        store.warn(f"session {session_id!r} was {rows[0]['status']}; it is active again")
        record_event(store, "session_reopened", session_id, detail=rows[0]["status"])
    return store.execute(
        "UPDATE coordination_sessions SET last_activity = CASE WHEN last_activity > :now THEN last_activity "
        "ELSE :now END, milestone_id = coalesce(milestone_id, :milestone), "
        "completed_at = CASE WHEN status IN ('active', 'paused') THEN completed_at END, "
        "status = CASE WHEN status = 'paused' THEN 'paused' ELSE 'active' END "
        "WHERE session_id = :id RETURNING *", {"id": session_id, "milestone": milestone_id, "now": now})[0]


def operation_type_of(session_id: str) -> str:
    """What a session does, from its id's first word."""
    word = session_id.partition("-")[0]
    return word if word in OPERATION_TYPES else "execution"


def count_agents(store: Storage, session_id: str) -> None:
    """Set the session's agent_count to what the registry holds."""
    store.execute(
        "UPDATE coordination_sessions SET agent_count = "
        "(SELECT count(*) FROM agent_registry WHERE session_id = :id) WHERE session_id = :id", {"id": session_id})


def renew_heartbeat(store: Storage, agent_id: str) -> Row | None:
    """Note that an agent is alive; its row, or None for one nobody registered."""
    rows = store.execute(
        "UPDATE agent_registry SET last_heartbeat = CASE WHEN last_heartbeat > :now THEN last_heartbeat "
        "ELSE :now END WHERE agent_id = :id RETURNING *", {"id": agent_id, "now": store.now()})
    return rows[0] if rows else None


def note_caller(store: Storage) -> None:
    """Renew the heartbeat of the agent that $AGENT_ID names, if it is registered and its interval is over.

    So a call that only looks writes at most once in an interval; where it cannot, it looks all the same.
    """
    given = {"id": store.environ["AGENT_ID"]}
    for row in store.execute("SELECT last_heartbeat FROM agent_registry WHERE agent_id = :id", given):
        if row["last_heartbeat"] <= format_time(store.clock.time() - read_count(store, "heartbeat_interval")):
            with store.transaction("agent:" + given["id"]):
                renew_heartbeat(store, given["id"])


def admit_agent(store: Storage, agent_id: str) -> Row:
    """The row of the agent that acts, its heartbeat renewed; an unregistered one is taken in, or refused if strict."""
    row = renew_heartbeat(store, agent_id)
    if not row:
        store.widen()
        row = renew_heartbeat(store, agent_id)
    if row:
        return row
    if is_strict(store):
        raise Refused(f"no agent {agent_id!r} is registered and strict_agents is on: register_agent it first, or "
                      f"{suggest(store, agent_id, known_agents(store))}")
    session_id = session_for_newcomers(store)
    session = ensure_session(store, session_id, store.environ.get("MILESTONE_ID") or None)
    enter_agent(store, agent_id, "unregistered", session, None)
    return find_agent(store, agent_id)


def session_for_newcomers(store: Storage) -> str:
    """$SESSION_ID, else the active session with the latest activity, else a new one."""
    if store.environ.get("SESSION_ID"):
        return store.environ["SESSION_ID"]
    rows = store.execute("SELECT session_id FROM coordination_sessions WHERE status = 'active' "
                         "ORDER BY last_activity DESC, session_id LIMIT 1")
    return rows[0]["session_id"] if rows else f"execution-unregistered-{int(store.clock.time())}"


def enter_agent(store: Storage, agent_id: str, agent_type: str, session: Row, capabilities: str | None) -> None:
    """Enter an agent into a session, new or once more; what it saved and when it was first spawned stay."""
    before = store.execute("SELECT session_id FROM agent_registry WHERE agent_id = :id", {"id": agent_id})
    store.execute(
        "INSERT INTO agent_registry (agent_id, agent_type, milestone_id, session_id, status, capabilities, "
        "spawn_time, last_heartbeat) VALUES (:id, :type, :milestone, :session, 'active', :given, :now, :now) "
        "ON CONFLICT (agent_id) DO UPDATE SET agent_type = excluded.agent_type, "
        "milestone_id = excluded.milestone_id, session_id = excluded.session_id, status = 'active', "
        "capabilities = coalesce(:capabilities, agent_registry.capabilities), "
        "last_heartbeat = CASE WHEN agent_registry.last_heartbeat > excluded.last_heartbeat "
        "THEN agent_registry.last_heartbeat ELSE excluded.last_heartbeat END, "
        "completion_time = NULL, error_info = NULL",
        {"id": agent_id, "type": agent_type, "milestone": session["milestone_id"], "session": session["session_id"],
         "capabilities": capabilities, "given": capabilities or "[]", "now": store.now()})
    for session_id in {row["session_id"] for row in before} | {session["session_id"]}:
        count_agents(store, session_id)
    record_event(store, "agent_revived" if before else "agent_registered", session["session_id"], agent_id,
                 session["milestone_id"], agent_type)


def settle_messages(store: Storage, agent_id: str) -> int:
    """Acknowledge what an agent has taken; how many that were."""
    return len(store.execute(
        "UPDATE agent_messages SET acknowledged_at = :now, processed_at = :now WHERE to_agent = :id "
        "AND delivered_at IS NOT NULL AND acknowledged_at IS NULL AND dead_lettered_at IS NULL RETURNING id",
        {"id": agent_id, "now": store.now()}))


def return_messages(store: Storage, agent_id: str) -> tuple[int, int]:
    """Put back what an agent took and did not acknowledge: (back in the inbox, dead letters: tried too often)."""
    given = {"id": agent_id, "now": store.now(), "limit": read_count(store, "message_retry_limit")}
    taken = ("WHERE to_agent = :id AND delivered_at IS NOT NULL AND acknowledged_at IS NULL "
             "AND dead_lettered_at IS NULL ")
    dead = store.execute("UPDATE agent_messages SET dead_lettered_at = :now " + taken +
                         "AND retry_count >= :limit RETURNING id, session_id", given)
    back = store.execute("UPDATE agent_messages SET delivered_at = NULL, retry_count = retry_count + 1 " + taken +
                         "RETURNING id", given)
    for row in dead:
        record_event(store, "message_dead_lettered", row["session_id"], agent_id, detail=str(row["id"]))
    return len(back), len(dead)


def set_agent_status(store: Storage, agent_id: str, status: str, error: str | None = None) -> tuple[int, int]:
    """Set a status, and what follows for the messages taken: (put back, dead letters), both 0 unless it failed."""
    row = store.execute(
        "UPDATE agent_registry SET status = :status, error_info = :error, "
        "completion_time = CASE WHEN :ended = 1 THEN coalesce(completion_time, :now) END "
        "WHERE agent_id = :id RETURNING session_id, milestone_id",
        {"id": agent_id, "status": status, "error": error, "now": store.now(),
         "ended": int(status in ("completed", "failed", "terminated"))})[0]
    record_event(store, f"agent_{status}", row["session_id"], agent_id, row["milestone_id"], error or "")
    if status == "completed":
        settle_messages(store, agent_id)
    if status in ("failed", "terminated"):
        return return_messages(store, agent_id)
    return 0, 0


def complete_session(store: Storage, session_id: str) -> Row:
    """Mark a session completed with all its agents that had not ended; completing it again changes nothing."""
    session = find_session(store, session_id)
    if session["status"] == "completed":
        return session
    for row in store.execute("SELECT agent_id FROM agent_registry WHERE session_id = :id "
                             "AND status IN ('spawning', 'active', 'paused')", {"id": session_id}):
        set_agent_status(store, row["agent_id"], "completed")
    record_event(store, "session_completed", session_id, milestone_id=session["milestone_id"])
    return store.execute("UPDATE coordination_sessions SET status = 'completed', progress = 100, completed_at = :now "
                         "WHERE session_id = :id RETURNING *", {"id": session_id, "now": store.now()})[0]


def reopen_session(store: Storage, session_id: str) -> None:
    """Make a session active, whatever it was; counts as activity."""
    before = find_session(store, session_id)["status"]
    if before != "active":
        record_event(store, "session_resumed", session_id, detail=before)
    store.execute("UPDATE coordination_sessions SET status = 'active', completed_at = NULL, last_activity = "
                  "CASE WHEN last_activity > :now THEN last_activity ELSE :now END WHERE session_id = :id",
                  {"id": session_id, "now": store.now()})
