"""Session view: everything known about one session that may be recovered, read at one instant."""
from __future__ import annotations

from ..base.times import minutes_between
from ..base.values import read_stored
from ..base.vocabulary import AT_WORK
from . import bounded
from .artifacts import expected_artifacts, find_artifacts, free_milestone_id, milestones_of
from .bounded import Counts, count_first
from .counting import count_messages
from .deliverables import estimate_progress, list_deliverables, missing_names, next_names
from .inbox import list_dead_letters
from .liveness import heard_before, is_quiet, is_stale, silence_limit
from .membership import CLIENT_ENDED, WAITS
from .message_states import FOR_READER, PENDING, TAKEN
from .open_mail import group_open
from .sessions import find_session
from .settings import read_count
from .snapshots import find_last_checkpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import (
        PlanSurvey,
        QuietAgents,
        Result,
        SessionHead,
        SilentFor,
        Survey,
        SurveyedAgent,
        TakenMessage,
    )
    from ..base.rows import Session
    from ..storage.interface import Storage

STOPPED = ("restarted", "abandoned")  # the error of an agent that recovery ended, so that it may be started again
CONDITIONS = ("alive", "silent", "stale", "failed", "stopped", "paused", "completed", "terminated")
MOST_SILENT = 3  # of the living whose death can be said
TAKEN_COLUMNS = ("id", "from_agent", "to_agent", "message_type", "delivered_at", "retry_count")
RECOVERABLE = ("silent", "stale", "failed", "stopped")


def put_off(error: str | None) -> str:
    """The error text of a dead agent whose turn comes later; it keeps the reason, which decides whether it revives."""
    return str(error) if is_put_off(error) else f"{error}; {WAITS}" if error else WAITS


def is_put_off(error: str | None) -> bool:
    """Whether the error of an agent says that its turn comes later."""
    return (error or "").endswith(WAITS)


def survey_session(store: Storage, session_id: str) -> Survey:
    """The session with its agents, deliverables, messages and last checkpoint, within the caller's transaction."""
    session = find_session(store, session_id)
    agents = _survey_agents(store, session)
    deliverables = list_deliverables(store, session)
    return {
        **session, "configuration": read_stored(session["configuration"], "the configuration"),
        "minutes_inactive": round(minutes_between(session["last_activity"], store.now()), 1),
        "interrupted": session["status"] == "active" and (
            is_quiet(store, session) or any(agent["condition"] in ("failed", "stale") for agent in agents)),
        "agents": agents, "counts": _count_conditions(agents), "quiet": _list_quiet(store, agents),
        "deliverables": deliverables,
        "missing": missing_names(deliverables), "next": next_names(deliverables),
        "estimated_progress": estimate_progress(deliverables) if deliverables else session["progress"],
        **count_messages(store, session_id), "taken": _list_taken(store, session_id),
        "dead_letters": list_dead_letters(store, session_id),
        "last_checkpoint": find_last_checkpoint(store, "session_id", session_id),
        **_survey_plan(store, session),
    }


def _survey_plan(store: Storage, session: Session) -> PlanSurvey:
    """Every planning artifact, those `more` than expected, and the id under which they can still become a milestone."""
    if session["operation_type"] != "planning":
        return {"artifacts": [], "more": [], "can_become": None}
    rows, made = find_artifacts(store, session["session_id"], "s.updated_at"), milestones_of(session)
    expected, artifacts = expected_artifacts(store), sorted({row["state_key"] for row in rows})
    can = artifacts and not made
    more: list[Result] = [{"state_key": row["state_key"], "agent_id": row["agent_id"], "updated_at": row["updated_at"]}
                          for row in rows if row["state_key"] not in expected]
    return {"artifacts": artifacts, "more": more, "can_become": free_milestone_id(
        store, milestone_id_for(session), session["session_id"]) if can else None}


def milestone_id_for(session: SessionHead) -> str:
    """The milestone of a session; if it has none, its id without operation type and time."""
    words = session["session_id"].split("-")
    middle = words[1 if words[0] == session["operation_type"] else 0:]
    if len(middle) > 1 and middle[-1].isdigit() and len(middle[-1]) > 8:
        middle = middle[:-1]
    return session["milestone_id"] or "-".join(middle) or session["session_id"]


def _survey_agents(store: Storage, session: Session) -> list[SurveyedAgent]:
    inbox = "agent_messages WHERE to_agent = a.agent_id AND "
    rows: list[SurveyedAgent] = store.execute(
        "SELECT agent_id, agent_type, milestone_id, session_id, status, current_task, current_phase, spawn_time, "
        f"last_heartbeat, completion_time, error_info, {count_first(f'{inbox}{PENDING} AND {FOR_READER}')} + "
        f"{count_first(inbox + TAKEN)} AS unread_messages "
        "FROM agent_registry a WHERE session_id = :id ORDER BY spawn_time, agent_id", {"id": session["session_id"]})
    stale = heard_before(store, read_count(store, "session_timeout"))
    silent = heard_before(store, silence_limit(store, session))
    for row in rows:
        unread = Counts()
        unread.add("unread_messages", row["unread_messages"])
        row["unread_messages"], row["at_least"] = unread["unread_messages"], unread.at_least
        row["minutes_since_heartbeat"] = round(minutes_between(row["last_heartbeat"], store.now()), 1)
        row["condition"] = _condition(row, stale, silent)
    return rows


def _condition(agent: SurveyedAgent, stale: str, silent: str) -> str:
    """One of CONDITIONS: silent is with its whole session, stopped before it was done; else the status of one not at
    work."""
    if is_stale(agent, stale):
        return "stale"
    if is_stale(agent, silent):
        return "silent"
    if agent["status"] in AT_WORK:
        return "alive"
    if agent["status"] == "terminated" and _may_go_on(agent["error_info"]):
        return "stopped"
    return str(agent["status"])


def _may_go_on(error: str | None) -> bool:
    """Whether an agent was terminated before its work was done, by recovery or by its client's end."""
    return error in STOPPED or is_put_off(error) or (error or "").startswith(CLIENT_ENDED)


def _list_quiet(store: Storage, agents: list[SurveyedAgent]) -> QuietAgents:
    """Agents that count as alive, although silent for as long as makes a session interrupted.

    longest: those that were silent longest, if only for more than heartbeat_interval
    """
    limit = read_count(store, "interrupted_after")
    since, late = heard_before(store, limit), heard_before(store, read_count(store, "heartbeat_interval"))
    alive = sorted((agent for agent in agents if agent["condition"] == "alive"), key=lambda row: row["last_heartbeat"])
    longest: list[SilentFor] = [{"agent_id": agent["agent_id"], "minutes": agent["minutes_since_heartbeat"]}
                                for agent in alive if is_stale(agent, late)]
    return {"minutes": -(-limit // 60), "agents": [agent["agent_id"] for agent in alive if is_stale(agent, since)],
            "longest": longest[:MOST_SILENT]}


def _count_conditions(agents: list[SurveyedAgent]) -> dict[str, int]:
    found = [agent["condition"] for agent in agents]
    return {"agents": len(agents), **{word: found.count(word) for word in CONDITIONS},
            "recoverable": sum(word in RECOVERABLE for word in found)}


def _list_taken(store: Storage, session_id: str) -> list[TakenMessage]:
    rows = group_open(store, ", ".join(TAKEN_COLUMNS) + ", mine", session_id, parts=("taken",))[0]
    taken: list[TakenMessage] = [{name: row[name] for name in TAKEN_COLUMNS}  # type: ignore[misc]
                                 for row in sorted(rows, key=lambda row: int(row["id"])) if row["mine"]]
    return taken[:bounded.MOST_COUNTED]
