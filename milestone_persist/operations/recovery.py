"""Recovery: which sessions were interrupted, and what can be done about each; inspecting changes nothing."""
from __future__ import annotations

from ..base.errors import Refused
from ..coordination.advice import list_options, verdict
from ..coordination.counting import count_everything
from ..coordination.future import look_from_now
from ..coordination.liveness import find_interrupted_sessions, interrupted_sessions
from ..coordination.session_view import survey_session
from ..coordination.sessions import require_session_type
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import InterruptedSession, Recovery, RecoveryStatus, TypedRecovery
    from ..storage.interface import Storage

GROUP = "Recovery"


@operation(text="interrupted", creates=False)
def detect_interrupted_sessions(store: Storage) -> list[InterruptedSession]:
    """List the active sessions that were silent for 5 minutes or have failed or stale agents, and what to run next.

    Active counts the agents heard from within session_timeout. The 5 minutes are the setting interrupted_after.
    Example: detect_interrupted_sessions
    """
    look_from_now(store)
    with store.snapshot():
        return find_interrupted_sessions(store)


@operation(text="recovery", creates=False)
def recover_milestone_session(store: Storage, session_id: str) -> Recovery:
    """Show the state of a session and the commands that make sense for it; changes nothing.

    session_id: the session

    Example: recover_milestone_session planning-ms-123-1
    """
    look_from_now(store)
    with store.snapshot():
        view = survey_session(store, session_id)
    return {**view, "verdict": verdict(view), "options": list_options(view)}


@operation(text="recovery", creates=False)
def recover_planning_session(store: Storage, session_id: str | None = None) -> TypedRecovery:
    """Do recover_milestone_session for a planning session.

    session_id: the session; without it, the interrupted planning session with the latest activity

    Status 1 if none is interrupted. Example: recover_planning_session
    """
    return _recover_type(store, session_id, "planning")


@operation(text="recovery", creates=False)
def recover_execution_session(store: Storage, session_id: str | None = None) -> TypedRecovery:
    """Do recover_milestone_session for an execution session.

    session_id: the session; without it, the interrupted execution session with the latest activity

    Status 1 if none is interrupted. Example: recover_execution_session
    """
    return _recover_type(store, session_id, "execution")


def _recover_type(store: Storage, session_id: str | None, kind: str) -> TypedRecovery:
    look_from_now(store)
    with store.snapshot():
        if session_id:
            others = []
            require_session_type(store, session_id, kind)
        else:
            ids = [row["session_id"] for row in find_interrupted_sessions(store) if row["operation_type"] == kind]
            if not ids:
                raise Refused(f"no {kind} session is interrupted: list_coordination_sessions shows every session")
            session_id, others = ids[0], ids[1:]
        return {**recover_milestone_session(store, session_id), "other_interrupted": others}


@operation(text="recovery_status", creates=False)
def get_session_recovery_status(store: Storage) -> RecoveryStatus:
    """Count sessions, agents and messages as recovery sees them.

    No more than 1,000 of each are counted, and more are 1000+; in JSON at_least names such counts.
    Example: get_session_recovery_status
    """
    look_from_now(store)
    with store.snapshot():
        return {**count_everything(store), "interrupted": interrupted_sessions(store)}
