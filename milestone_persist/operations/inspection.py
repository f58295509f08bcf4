"""Inspection: where the data is, and who the caller is."""
from __future__ import annotations

import os

from ..base.location import find_data_directory
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Caller, Location, Where
    from ..storage.interface import Storage

GROUP = "Looking"


@operation(text="where", shell=False, creates=False)
def where(store: Storage) -> Where:
    """Print which data directory is used, and why.

    Example: where
    """
    return {**_locate(store), **store.describe()}


def _locate(store: Storage) -> Location:
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it is gone, and was not needed: the directory has an absolute name
        here = os.sep
    found, reason = find_data_directory(here, store.environ)
    if found != store.directory:
        reason = "it was named by the caller"
    return {"directory": store.directory, "reason": reason}


@operation(text="whoami", shell=False, creates=False)
def whoami(store: Storage) -> Caller:
    """Print what is known about the caller: agent, session, milestone and data directory, and the source of each.

    Example: whoami
    """
    named = {name: store.environ.get(name) for name in ("AGENT_ID", "SESSION_ID", "MILESTONE_ID")}
    with store.snapshot():
        agents = store.execute("SELECT agent_id, agent_type, status, session_id, milestone_id FROM agent_registry "
                               "WHERE agent_id = :id", {"id": named["AGENT_ID"]})
        agent = agents[0] if agents else None
        session_id = named["SESSION_ID"] or (agent and agent["session_id"])
        sessions = store.execute("SELECT session_id, operation_type, status, milestone_id FROM coordination_sessions "
                                 "WHERE session_id = :id", {"id": session_id})
    session = sessions[0] if sessions else None
    milestones = [("MILESTONE_ID", named["MILESTONE_ID"]), ("the agent", agent and agent["milestone_id"]),
                  ("the session", session and session["milestone_id"])]
    source, milestone_id = next(((source, word) for source, word in milestones if word), (None, None))
    return {"agent_id": named["AGENT_ID"] or None, "agent": agent, "session_id": session_id or None,
            "session_from": "SESSION_ID" if named["SESSION_ID"] else "the agent" if agent else None,
            "session": session, "milestone_id": milestone_id, "milestone_from": source, **_locate(store)}
