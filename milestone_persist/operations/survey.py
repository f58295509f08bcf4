"""Survey: everything that is known of one session when it is to be recovered, read at one instant."""
from __future__ import annotations

from ..times import minutes_between
from ..values import read_stored
from .deliverables import estimate_progress, list_deliverables, missing_names, next_names
from .interruption import has_returned, heard_before, is_stale
from .membership import find_session
from .planning import find_artifacts, has_other_record
from .sessions import count_messages, list_dead_letters
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

STOPPED = ("restarted", "abandoned")  # the error of an agent that recovery ended, so that it may be started again
RECOVERABLE = ("silent", "stale", "failed", "stopped")


def survey_session(store: Storage, session_id: str) -> Row:
    """The session with its agents, deliverables, messages and last checkpoint, within the caller's transaction."""
    session = find_session(store, session_id)
    agents = _survey_agents(store, session)
    deliverables = list_deliverables(store, session)
    return {
        **session, "configuration": read_stored(session["configuration"], "the configuration"),
        "minutes_inactive": round(minutes_between(session["last_activity"], store.now()), 1),
        "interrupted": session["status"] == "active" and (
            is_quiet(store, session) or any(agent["condition"] in ("failed", "stale") for agent in agents)),
        "agents": agents, "counts": _count_conditions(agents), "deliverables": deliverables,
        "missing": missing_names(deliverables), "next": next_names(deliverables),
        "estimated_progress": estimate_progress(deliverables) if deliverables else session["progress"],
        "messages": count_messages(store, session_id), "taken": _list_taken(store, session_id),
        "dead_letters": list_dead_letters(store, session_id), "last_checkpoint": _last_checkpoint(store, session_id),
        "artifacts": _list_artifacts(store, session), "milestone_hindered": _is_hindered(store, session),
    }


def _list_artifacts(store: Storage, session: Row) -> list[str]:
    """The keys of every planning artifact there is, expected or not."""
    if session["operation_type"] != "planning":
        return []
    return sorted({row["state_key"] for row in find_artifacts(store, session["session_id"])})


def _is_hindered(store: Storage, session: Row) -> bool:
    """Whether no milestone can be made of a planning session: it was, or its id has a record of other origin."""
    if session["operation_type"] != "planning":
        return False
    return bool(read_stored(session["configuration"], "the configuration").get("milestone")
                or has_other_record(store, milestone_id_for(session), session["session_id"]))


def milestone_id_for(session: Row) -> str:
    """The milestone of a session; where it has none, what is left of its id without operation type and time."""
    words = session["session_id"].split("-")
    middle = words[1 if words[0] == session["operation_type"] else 0:]
    if len(middle) > 1 and middle[-1].isdigit() and len(middle[-1]) > 8:
        middle = middle[:-1]
    return session["milestone_id"] or "-".join(middle) or session["session_id"]


def is_quiet(store: Storage, session: Row) -> bool:
    """Whether nothing was heard of a whole session for `interrupted_after`."""
    return bool(session["last_activity"] <= heard_before(store, read_count(store, "interrupted_after")))


def patience(store: Storage, session: Row) -> int:
    """Seconds of silence after which recovery takes an agent for dead: fewer where the whole session is silent."""
    limit = read_count(store, "session_timeout")
    return min(limit, read_count(store, "interrupted_after")) if is_quiet(store, session) else limit


def _survey_agents(store: Storage, session: Row) -> list[Row]:
    rows = store.execute(
        "SELECT agent_id, agent_type, milestone_id, session_id, status, current_task, current_phase, spawn_time, "
        "last_heartbeat, completion_time, error_info, (SELECT count(*) FROM agent_messages m WHERE m.to_agent = "
        "a.agent_id AND m.acknowledged_at IS NULL AND m.dead_lettered_at IS NULL) AS unread_messages "
        "FROM agent_registry a WHERE session_id = :id ORDER BY spawn_time, agent_id", {"id": session["session_id"]})
    stale = heard_before(store, read_count(store, "session_timeout"))
    silent = heard_before(store, patience(store, session))
    for row in rows:
        row["minutes_since_heartbeat"] = round(minutes_between(row["last_heartbeat"], store.now()), 1)
        row["condition"] = _condition(row, stale, silent)
    return rows


def _condition(agent: Row, stale: str, silent: str) -> str:
    """alive, silent (with its whole session), stale, failed, stopped, or the status of one that is not at work."""
    if is_stale(agent, stale):
        return "stale"
    if is_stale(agent, silent):
        return "silent"
    if agent["status"] in ("spawning", "active") or has_returned(agent):
        return "alive"
    if agent["status"] == "terminated" and agent["error_info"] in STOPPED:
        return "stopped"
    return str(agent["status"])


def _count_conditions(agents: list[Row]) -> Row:
    found = [agent["condition"] for agent in agents]
    return {"agents": len(agents), "alive": found.count("alive"), "silent": found.count("silent"),
            "stale": found.count("stale"), "failed": found.count("failed"), "completed": found.count("completed"),
            "recoverable": sum(word in RECOVERABLE for word in found)}


def _list_taken(store: Storage, session_id: str) -> list[Row]:
    return store.execute(
        "SELECT id, from_agent, to_agent, message_type, delivered_at, retry_count FROM agent_messages "
        "WHERE session_id = :id AND delivered_at IS NOT NULL AND acknowledged_at IS NULL AND dead_lettered_at IS NULL "
        "ORDER BY id", {"id": session_id})


def _last_checkpoint(store: Storage, session_id: str) -> Row | None:
    rows = store.execute(
        "SELECT checkpoint_id, agent_id, checkpoint_type, created_at FROM agent_checkpoints WHERE session_id = :id "
        "ORDER BY created_at DESC, checkpoint_id DESC LIMIT 1", {"id": session_id})
    return {**rows[0], "minutes_ago": round(minutes_between(rows[0]["created_at"], store.now()), 1)} if rows else None
