"""Briefing: what an agent must know to start or continue, in a few rows; never the content of its messages."""
from __future__ import annotations

from ..base.errors import MilestoneError
from ..base.quoting import command_on
from ..base.tables import LIVE
from ..base.vocabulary import DIED, ENDED_AGENT, OPEN_SESSION
from .inbox import list_unread, sum_unread
from .liveness import find_interrupted_sessions
from .membership import may_be_heard_again
from .message_states import TAKEN
from .snapshots import find_last_checkpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..base.answers import Briefing, Heading, Notice, OpenSession, StateHead
    from ..base.rows import Agent
    from ..storage.interface import Storage

MOST_LISTED = 6  # of each kind; the rest is counted
_HELD = f"to_agent = :agent AND {TAKEN} AND (lease_until IS NULL OR lease_until > :now)"


def brief_agents(store: Storage, agents: Sequence[Agent], continues: bool = False) -> Briefing:
    """The briefing of one client's agents, the first of them in detail; only of the project if there are none.

    continues: whether their client goes on with a conversation of which part was cut
    """
    with store.snapshot():
        briefing: Briefing = {
            "continues": continues, "agent": None, "others": [], "session": None, "taken": [], "unread": [],
            "unread_count": 0, "changed": [], "changed_count": 0, "own_keys": 0, "last_checkpoint": None,
            "open_sessions": _list_open(store),
            "interrupted": [row["session_id"] for row in find_interrupted_sessions(store)], "next": ""}
        if agents:
            _tell_agent(store, briefing, agents[0])
            briefing["others"] = [_head(store, other) for other in agents[1:]]
        briefing["next"] = _next_for(briefing, agents[0]) if agents else _next_in_project(briefing)
    return briefing


def note_briefed(store: Storage, agents: Sequence[Agent]) -> None:
    """Record when agents were briefed, if that is possible without waiting for others."""
    try:
        for agent in agents:
            with store.hurry(), store.transaction("agent:" + agent["agent_id"]):
                store.execute("UPDATE agent_registry SET briefed_at = :now WHERE agent_id = :id",
                              {"id": agent["agent_id"], "now": store.now()})
    except MilestoneError:  # then it is told the same again
        pass


def find_agents(store: Storage, agent_ids: Sequence[str]) -> list[Agent]:
    """The rows of those of the agents that are registered."""
    return [row for agent_id in agent_ids for row in
            store.execute("SELECT * FROM agent_registry WHERE agent_id = :id", {"id": agent_id})]


def _tell_agent(store: Storage, briefing: Briefing, agent: Agent) -> None:
    agent_id, session_id = agent["agent_id"], agent["session_id"]
    briefing["agent"] = _head(store, agent)
    briefing["session"] = store.execute(
        "SELECT session_id, operation_type, status, phase, progress, milestone_id FROM coordination_sessions "
        "WHERE session_id = :id", {"id": session_id})[0]
    briefing["taken"] = _list_taken(store, agent_id)
    briefing["unread"] = list_unread(store, agent_id, MOST_LISTED)
    briefing["unread_count"] = sum_unread(store, agent_id)["number"]
    changed = _list_changed(store, agent)
    briefing["changed"], briefing["changed_count"] = changed[:MOST_LISTED], len(changed)
    briefing["own_keys"] = store.execute(
        f"SELECT count(*) AS n FROM agent_state WHERE agent_id = :id AND {LIVE}",
        {"id": agent_id, "now": store.now()})[0]["n"]
    briefing["last_checkpoint"] = find_last_checkpoint(store, "agent_id", agent_id)


def _head(store: Storage, agent: Agent) -> Heading:
    given = {"agent": agent["agent_id"], "now": store.now()}
    return {"agent_id": agent["agent_id"], "agent_type": agent["agent_type"], "status": agent["status"],
            "milestone_id": agent["milestone_id"], "session_id": agent["session_id"],
            "unread": sum_unread(store, agent["agent_id"])["number"],
            "taken": store.execute(f"SELECT count(*) AS n FROM agent_messages WHERE {_HELD}", given)[0]["n"]}


def _list_taken(store: Storage, agent_id: str) -> list[Notice]:
    return store.execute(
        "SELECT id, from_agent, message_type, priority, is_broadcast, created_at FROM agent_messages "
        f"WHERE {_HELD} ORDER BY id LIMIT :most", {"agent": agent_id, "now": store.now(), "most": MOST_LISTED})


def _list_changed(store: Storage, agent: Agent) -> list[StateHead]:
    """The keys saved by others in an agent's session since its last briefing, the latest first."""
    return store.execute(
        f"SELECT agent_id, state_key, updated_at FROM agent_state WHERE saved_in = :session AND agent_id <> :id "
        f"AND updated_at >= :since AND {LIVE} ORDER BY updated_at DESC, agent_id, state_key",
        {"session": agent["session_id"], "id": agent["agent_id"], "since": agent["briefed_at"] or "",
         "now": store.now()})


def _list_open(store: Storage) -> list[OpenSession]:
    """The open sessions with the latest activity: one more than are listed, if there are more."""
    rows: list[OpenSession] = []
    for status in OPEN_SESSION:  # each in the order of an index
        rows += store.execute(
            "SELECT session_id, status, progress, last_activity, agent_count FROM coordination_sessions "
            "WHERE status = :status ORDER BY last_activity DESC, session_id LIMIT :most",
            {"status": status, "most": MOST_LISTED + 1})
    rows.sort(key=lambda row: row["last_activity"], reverse=True)
    return rows[:MOST_LISTED + 1]


def _next_in_project(briefing: Briefing) -> str:
    """The command that shows more of a project; "" if there is nothing to show."""
    if briefing["interrupted"]:
        return command_on("recover_milestone_session", [briefing["interrupted"][0]])
    return "list_coordination_sessions active" if briefing["open_sessions"] else ""


def _next_for(briefing: Briefing, agent: Agent) -> str:
    """The command that an agent should run next."""
    agent_id, session_id = agent["agent_id"], agent["session_id"]
    has_ended = agent["status"] in ENDED_AGENT and not may_be_heard_again(agent)
    if has_ended and agent["status"] in DIED and agent["milestone_id"] and agent["agent_type"] != "unregistered":
        return command_on("register_agent", [agent_id, agent["agent_type"], agent["milestone_id"], session_id])
    for one in filter(None, (briefing["agent"], *briefing["others"])):  # of the same conversation
        if one["taken"]:
            return command_on("get_agent_messages", [one["agent_id"]], ["--taken"])
        if one["unread"]:
            return command_on("get_agent_messages", [one["agent_id"], "true"])
    if has_ended or not briefing["own_keys"]:
        return command_on("get_session_status", [session_id])
    return command_on("list_agent_state", [agent_id])
