"""Sessions: finding, creating and reopening them; and which one a new agent joins."""
from __future__ import annotations

from ..base.errors import Refused
from ..base.quoting import command, command_on
from ..base.vocabulary import ENDED, OPEN_SESSION, OPERATION_TYPES, any_of
from ..storage.events import record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.rows import Session
    from ..storage.interface import Storage

COUNTED_EACH_TIME = 1000  # agents of a session, up to which each registering counts them


def warn_of_session_slip(store: Storage, session_id: str) -> None:
    """Warn if a new session's id differs by a typing error from that of an open one."""
    from ..storage.suggestions import find_slip

    near = find_slip(session_id, store.execute(
        f"SELECT session_id AS id FROM coordination_sessions WHERE status IN {any_of(OPEN_SESSION)} "
        "ORDER BY last_activity DESC LIMIT 100"))
    if near:
        store.warn(f"no session {session_id!r} is known: it is taken in as a new one; did you mean {near}?")


def warn_of_namesake(store: Storage, agent_id: str, agent_type: str, milestone_id: str) -> None:
    """Warn of a new session that is named like its milestone, where that has a session which goes on."""
    rows = store.execute("SELECT session_id, status FROM coordination_sessions WHERE session_id = :id OR milestone_id "
                         "= :id ORDER BY last_activity DESC, session_id", {"id": milestone_id})
    others = [row["session_id"] for row in rows if row["status"] in OPEN_SESSION]
    if others and milestone_id not in [row["session_id"] for row in rows]:
        join = command(["register_agent", agent_id, agent_type, milestone_id, others[0]])
        store.warn(f"{milestone_id!r} is a milestone, and taken for the name of a new session beside {others[0]!r}, "
                   f"which goes on: {join} joins that")


def find_session(store: Storage, session_id: str) -> Session:
    """The row of a session; Refused names the nearest known ids."""
    rows: list[Session] = store.execute("SELECT * FROM coordination_sessions WHERE session_id = :id",
                                        {"id": session_id})
    if not rows:
        raise Refused(tell_no_session(store, session_id))
    return rows[0]


def require_session_type(store: Storage, session_id: str, kind: str) -> Session:
    """The row of a session of that operation type; Refused if it has another, or is unknown."""
    session = find_session(store, session_id)
    if session["operation_type"] != kind:
        raise Refused(f"session {session_id!r} is of type {session['operation_type']}, not {kind}: "
                      f"{command_on('recover_milestone_session', [session_id])} shows what can be done")
    return session


def tell_no_session(store: Storage, session_id: str) -> str:
    """What is said of a session that is not there."""
    return f"no session {session_id!r} {_suggest_session(store, session_id)}"


def _suggest_session(store: Storage, word: str) -> str:
    """The end of a "no session …" line: whether the id is an agent's or a milestone's, or is similar to another."""
    from ..storage.suggestions import suggest

    meant = store.execute("SELECT session_id FROM agent_registry WHERE agent_id = :word", {"word": word})
    if meant:
        return f"in {store.directory}: that is an agent of {meant[0]['session_id']}"
    meant = store.execute("SELECT session_id FROM coordination_sessions WHERE milestone_id = :word "
                          "ORDER BY last_activity DESC, session_id LIMIT 1", {"word": word})
    if meant:
        return f"in {store.directory}: that is a milestone, whose latest session is {meant[0]['session_id']}"
    known = store.execute("SELECT session_id FROM coordination_sessions ORDER BY last_activity DESC LIMIT 1000")
    return suggest(store, word, [row["session_id"] for row in known], "list_coordination_sessions")


def ensure_milestone(store: Storage, milestone_id: str | None) -> None:
    """Create the milestone's row if it is new."""
    if milestone_id:
        added = store.execute(
            "INSERT INTO milestones (id, title, created_at, updated_at) VALUES (:id, :id, :now, :now) "
            "ON CONFLICT (id) DO NOTHING RETURNING id", {"id": milestone_id, "now": store.now()})
        store.milestones_added = store.milestones_added or bool(added)


def ensure_session(store: Storage, session_id: str, milestone_id: str | None, kind: str = "") -> Session:
    """The session, created if it is new and reopened (with a warning) if it had ended; counts as activity.

    kind: the operation type of a new one; without it, what its id says
    """
    ensure_milestone(store, milestone_id)
    now = store.now()
    rows = store.execute("SELECT status FROM coordination_sessions WHERE session_id = :id", {"id": session_id})
    if not rows:
        store.execute(
            "INSERT INTO coordination_sessions "
            "(session_id, milestone_id, operation_type, status, created_at, last_activity) "
            "VALUES (:id, :milestone, :type, 'active', :now, :now)",
            {"id": session_id, "milestone": milestone_id, "type": kind or operation_type_of(session_id),
             "now": now})
        record_event(store, "session_created", session_id, milestone_id=milestone_id)
    elif rows[0]["status"] in ENDED:
        store.warn(f"session {session_id!r} was {rows[0]['status']}; it is active again")
        record_event(store, "session_reopened", session_id, detail=rows[0]["status"])
    opened: Session = store.execute(
        "UPDATE coordination_sessions SET last_activity = :now, milestone_id = coalesce(milestone_id, :milestone), "
        f"completed_at = CASE WHEN status IN {any_of(OPEN_SESSION)} THEN completed_at END, "
        "status = CASE WHEN status = 'paused' THEN 'paused' ELSE 'active' END "
        "WHERE session_id = :id RETURNING *", {"id": session_id, "milestone": milestone_id, "now": now})[0]
    return opened


def operation_type_of(session_id: str) -> str:
    """The operation type of a session, from its id's first word."""
    word = session_id.partition("-")[0]
    return word if word in OPERATION_TYPES else "execution"


def count_agents(store: Storage, session_id: str, more: int) -> None:
    """Update a session's agent_count, after so many `more` agents have joined (-1: one has left).

    Few are counted in the registry, where others may have written too; many are not counted each time, nor are those
    that would have to be read for it.
    """
    is_counted = store.is_at_hand("agent_registry")
    number = "(SELECT count(*) FROM agent_registry WHERE session_id = :id)" if is_counted else "0"
    store.execute(
        "UPDATE coordination_sessions SET agent_count = CASE WHEN agent_count >= :few THEN agent_count + :more "
        f"ELSE {number} END WHERE session_id = :id",
        {"id": session_id, "more": more, "few": COUNTED_EACH_TIME if is_counted else -more})


def session_for_newcomers(store: Storage) -> str:
    """$SESSION_ID, else the active session with the latest activity, else a new one."""
    return (store.environ.get("SESSION_ID") or latest_session(store)
            or f"execution-unregistered-{int(store.clock.time())}")


def latest_session(store: Storage) -> str:
    """The active session with the latest activity; "" if none is active."""
    rows = store.execute("SELECT session_id FROM coordination_sessions WHERE status = 'active' "
                         "ORDER BY last_activity DESC, session_id LIMIT 1")
    return str(rows[0]["session_id"]) if rows else ""


def reopen_session(store: Storage, session_id: str) -> None:
    """Make a session active, whatever its status; counts as activity."""
    before = find_session(store, session_id)["status"]
    if before != "active":
        record_event(store, "session_resumed", session_id, detail=before)
    store.execute("UPDATE coordination_sessions SET status = 'active', completed_at = NULL, last_activity = :now "
                  "WHERE session_id = :id", {"id": session_id, "now": store.now()})
