"""The lives of an agent: how each begins, in which session, and how it ends."""
from __future__ import annotations

from ..base.times import shift_time
from ..base.vocabulary import DIED, ENDED_AGENT, GOING_ON, any_of
from ..storage.events import record_event
from .sessions import count_agents, ensure_session, find_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.rows import Agent, Session
    from ..storage.interface import Storage

CLIENT_SESSION = "MILESTONE_CLIENT_SESSION"  # how a program that acts for a client says which session of it is meant
CLIENT_SESSIONS = (CLIENT_SESSION, "CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID")  # the first that is set


def take_in(store: Storage, agent_id: str, session_id: str) -> None:
    """Add an unregistered agent to a session, which is created if it is new."""
    session = ensure_session(store, session_id, store.environ.get("MILESTONE_ID") or None)
    enter_agent(store, agent_id, "unregistered", session, begins_life=False)


def enter_agent(store: Storage, agent_id: str, agent_type: str, session: Session, capabilities: str | None = None,
                milestone_id: str | None = None, begins_life: bool = True) -> int:
    """Add an agent to a session, for the first time or again; its state and first spawn time are kept.

    milestone_id: what it works on; None: what the session does
    begins_life: whether it is another process, for which what was taken before is requeued
    Returns how many messages went back into its inbox.
    """
    before: list[Agent] = store.execute("SELECT * FROM agent_registry WHERE agent_id = :id", {"id": agent_id})
    returned = sum(_begin_again(store, row, session["session_id"]) for row in before)
    if begins_life:
        from .inbox import requeue_former_life

        returned += requeue_former_life(store, agent_id)
    store.execute(
        "INSERT INTO agent_registry (agent_id, agent_type, milestone_id, session_id, status, capabilities, "
        "spawn_time, last_heartbeat, client_session) "
        "VALUES (:id, :type, :milestone, :session, 'active', :given, :now, :now, :client) "
        "ON CONFLICT (agent_id) DO UPDATE SET agent_type = excluded.agent_type, "
        "milestone_id = excluded.milestone_id, session_id = excluded.session_id, status = 'active', "
        "capabilities = coalesce(:capabilities, agent_registry.capabilities), "
        "last_heartbeat = excluded.last_heartbeat, "
        "completion_time = NULL, error_info = NULL, life = agent_registry.life + :next, "
        "client_session = CASE WHEN :next = 1 THEN excluded.client_session ELSE agent_registry.client_session END, "
        "briefed_at = CASE WHEN :next = 0 THEN agent_registry.briefed_at END, "
        "rung_message = CASE WHEN :next = 0 THEN agent_registry.rung_message ELSE 0 END",
        {"id": agent_id, "type": agent_type, "milestone": milestone_id or session["milestone_id"],
         "session": session["session_id"], "capabilities": capabilities, "given": capabilities or "[]",
         "now": store.now(), "next": int(begins_life), "client": _client_session(store)})
    left = [row["session_id"] for row in before if row["session_id"] != session["session_id"]]
    for session_id in left:
        count_agents(store, session_id, -1)
    count_agents(store, session["session_id"], int(bool(left) or not before))
    ended = any(row["status"] in ENDED_AGENT for row in before)
    record_event(store, "agent_revived" if ended else "agent_registered", session["session_id"], agent_id,
                 milestone_id or session["milestone_id"], agent_type)
    return returned


def _client_session(store: Storage) -> str | None:
    """The session or thread of the caller's client, if the client provides it."""
    return next((store.environ[name] for name in CLIENT_SESSIONS if store.environ.get(name)), None)


def _begin_again(store: Storage, agent: Agent, session_id: str) -> int:
    """Before an agent is registered again: requeue its taken messages (returns how many), keep its state."""
    from .inbox import requeue_taken
    from .settings import read_count
    from .snapshots import store_checkpoint

    died = agent["status"] in ENDED_AGENT or (
        agent["status"] != "paused" and
        agent["last_heartbeat"] <= shift_time(store.now(), -read_count(store, "session_timeout")))
    returned = requeue_taken(store, agent["agent_id"])[0] if died else 0
    if agent["session_id"] != session_id and _has_unkept_state(store, agent):
        store_checkpoint(store, agent["agent_id"], "automatic", [], agent["session_id"])
    return returned


def _has_unkept_state(store: Storage, agent: Agent) -> bool:
    """Whether an agent has saved something in its session since its last checkpoint there."""
    theirs = "agent_id = :agent AND {} = :session"
    return bool(store.execute(
        f"SELECT 1 AS saved FROM agent_state WHERE {theirs.format('saved_in')} AND updated_at > coalesce("
        f"(SELECT max(created_at) FROM agent_checkpoints WHERE {theirs.format('session_id')}), '') LIMIT 1",
        {"agent": agent["agent_id"], "session": agent["session_id"]}))


def set_agent_status(store: Storage, agent_id: str, status: str, error: str | None = None) -> tuple[int, int]:
    """Set a status and requeue taken messages accordingly: (requeued, dead letters), both 0 unless it failed."""
    from .inbox import acknowledge_taken, requeue_taken

    row = store.execute(
        "UPDATE agent_registry SET status = :status, error_info = :error, "
        "completion_time = CASE WHEN :ended = 1 THEN coalesce(completion_time, :now) END "
        "WHERE agent_id = :id RETURNING session_id, milestone_id",
        {"id": agent_id, "status": status, "error": error, "now": store.now(),
         "ended": int(status in ENDED_AGENT)})[0]
    record_event(store, f"agent_{status}", row["session_id"], agent_id, row["milestone_id"], error or "")
    if status == "completed":
        acknowledge_taken(store, agent_id)
    if status in DIED:
        return requeue_taken(store, agent_id)
    return 0, 0


def complete_session(store: Storage, session_id: str) -> Session:
    """Mark a session and all its agents that have not ended completed; doing so again changes nothing."""
    from .inbox import warn_of_unread

    session = find_session(store, session_id)
    if session["status"] == "completed":
        return session
    for row in store.execute("SELECT agent_id FROM agent_registry WHERE session_id = :id "
                             f"AND status IN {any_of(GOING_ON)} ORDER BY agent_id", {"id": session_id}):
        set_agent_status(store, row["agent_id"], "completed")
    warn_of_unread(store, f"session {session_id!r} is completed", session_id=session_id)
    record_event(store, "session_completed", session_id, milestone_id=session["milestone_id"])
    completed: Session = store.execute(
        "UPDATE coordination_sessions SET status = 'completed', progress = 100, completed_at = :now "
        "WHERE session_id = :id RETURNING *", {"id": session_id, "now": store.now()})[0]
    return completed
