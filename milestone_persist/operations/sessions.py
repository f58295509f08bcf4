"""Sessions: their progress, agents and inboxes."""
from __future__ import annotations

from ..base.errors import Refused
from ..base.times import minutes_between
from ..base.values import check_range, check_word, read_stored
from ..base.vocabulary import ENDED, PHASES, SESSION_STATUSES
from ..coordination.counting import count_messages
from ..coordination.future import look_from_now
from ..coordination.inbox import list_dead_letters
from ..coordination.sessions import find_session
from ..registry import operation
from ..storage.events import record_event
from .agents import read_agents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import ListedSession, SessionProgress, SessionStatus
    from ..storage.interface import Storage

GROUP = "Sessions"


@operation(text="session_status", creates=False)
def get_session_status(store: Storage, session_id: str) -> SessionStatus:
    """Show a session: progress, agents, messages and dead letters.

    session_id: the session

    No more than 1,000 messages of a state are counted, and more are 1000+; in JSON at_least names such counts.
    Example: get_session_status planning-ms-123-1
    """
    look_from_now(store)
    with store.snapshot():
        session = find_session(store, session_id)
        agents = read_agents(store, session_id)
        messages = count_messages(store, session_id)
        letters = list_dead_letters(store, session_id) if messages["messages"]["dead"] else []
    minutes = round(minutes_between(session["last_activity"], store.now()), 1)
    return {**session, "configuration": read_stored(session["configuration"], "the configuration"),
            "minutes_inactive": minutes, "agents": agents, **messages, "dead_letters": letters}


@operation(existing=True)
def update_session_progress(store: Storage, session_id: str, percent: float,
                            phase: str | None = None) -> SessionProgress:
    """Set a session's progress.

    session_id: the session
    percent: 0 to 100
    phase: design, spec, task or execute

    Example: update_session_progress execution-ms-123-1 40 task
    """
    check_range(percent, 0, 100, "PERCENT")
    if phase is not None:
        check_word(phase, PHASES, "phase")
    with store.transaction("session:" + session_id):
        session = find_session(store, session_id)
        if session["status"] in ENDED:
            raise Refused(f"session {session_id!r} is {session['status']}: "
                          f"its progress stays {session['progress']:g} %")
        record_event(store, "session_progress", session_id, milestone_id=session["milestone_id"],
                     detail=f"{percent:g} % {phase or ''}".strip())
        set_to: SessionProgress = store.execute(
            "UPDATE coordination_sessions SET progress = :percent, phase = coalesce(:phase, phase), "
            "last_activity = :now "
            "WHERE session_id = :id RETURNING session_id, progress, phase",
            {"id": session_id, "percent": int(percent) if percent == int(percent) else percent, "phase": phase,
             "now": store.now()})[0]
        return set_to


@operation(text="sessions", creates=False)
def list_coordination_sessions(store: Storage, status: str | None = None) -> list[ListedSession]:
    """List sessions, the one with the latest activity first.

    status: only those that are active, paused, completed, failed or abandoned

    Example: list_coordination_sessions active
    """
    if status is not None:
        check_word(status, SESSION_STATUSES, "session status")
    which = "" if status is None else "WHERE status = :status "
    return store.execute(
        "SELECT session_id, milestone_id, operation_type, phase, status, progress, agent_count, coordinator_id, "
        f"created_at, last_activity, completed_at FROM coordination_sessions {which}"
        "ORDER BY last_activity DESC, session_id", {"status": status})
