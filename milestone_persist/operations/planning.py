"""Planning: the artifacts of a planning session, and the milestone that is made from them."""
from __future__ import annotations

from ..base.errors import Refused
from ..base.quoting import quote
from ..base.values import dump_json, read_stored, whole_characters
from ..base.vocabulary import OPERATION_TYPES
from ..base.yaml_text import dump_yaml
from ..coordination.artifacts import (
    PLAN,
    artifact_keys,
    artifact_value,
    expected_artifacts,
    find_artifacts,
    free_milestone_id,
    has_other_record,
    milestones_of,
)
from ..coordination.deliverables import list_deliverables, tell_flaw
from ..coordination.liveness import mark_dead_agents
from ..coordination.lives import complete_session
from ..coordination.sessions import (
    ensure_milestone,
    ensure_session,
    find_session,
    reopen_session,
    require_session_type,
    warn_of_session_slip,
)
from ..coordination.snapshots import store_checkpoint
from ..records.index import index_records
from ..records.record import find_record, write_record
from ..registry import operation
from ..storage.events import record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base.answers import Artifacts, MadeMilestone, PlanningSessions, SecuredArtifacts
    from ..base.rows import Session
    from ..storage.interface import Row, Storage

GROUP = "Planning"
def _tell_artifacts(store: Storage, session_id: str) -> Artifacts:
    rows = find_artifacts(store, session_id)
    present = sorted({row["state_key"] for row in rows})
    return {"session_id": session_id, "present": present,
            "missing": [key for key in expected_artifacts(store) if key not in present],
            "artifacts": [{"state_key": row["state_key"], "agent_id": row["agent_id"], "version": row["version"],
                           "updated_at": row["updated_at"]} for row in rows]}


@operation(text="artifacts")
def save_planning_artifacts(store: Storage, session_id: str) -> SecuredArtifacts:
    """Make a checkpoint of every agent that saved an artifact of a planning session; names what is missing.

    session_id: the session; an unregistered one is added; so are files in /tmp whose names hold its id

    Status 1 if a session that was known has none yet. Example: save_planning_artifacts planning-ms-123-1
    """
    with store.transaction("session:" + session_id):
        is_new = _ensure_planning(store, session_id)
        _take_in_files(store, session_id)
        told = _tell_artifacts(store, session_id)
        if told["artifacts"]:
            _count_as_planning(store, session_id)
        elif not is_new:
            raise Refused(f"session {session_id!r} has no planning artifact yet: save_agent_state AGENT "
                          f"{told['missing'][0]} VALUE")
        owners = sorted({item["agent_id"] for item in told["artifacts"]})
        return {**told, "checkpoints": [store_checkpoint(store, agent, "phase_completion", [])["checkpoint_id"]
                                        for agent in owners]}


def _ensure_planning(store: Storage, session_id: str) -> bool:
    """Add an unregistered session as one of planning; whether it was."""
    if store.execute("SELECT 1 AS known FROM coordination_sessions WHERE session_id = :id", {"id": session_id}):
        return False
    warn_of_session_slip(store, session_id)
    ensure_session(store, session_id, store.environ.get("MILESTONE_ID") or None, "planning")
    return True


def _count_as_planning(store: Storage, session_id: str) -> None:
    """Make a session a planning session if its id names no operation type and it has no execution results."""
    session = find_session(store, session_id)
    if session["operation_type"] == "execution" and session_id.partition("-")[0] not in OPERATION_TYPES and not any(
            item["saved"] for item in list_deliverables(store, session)):
        store.execute("UPDATE coordination_sessions SET operation_type = 'planning' WHERE session_id = :id",
                      {"id": session_id})


def _take_in_files(store: Storage, session_id: str) -> None:
    from ..coordination.tmp_files import keep_session_files

    keep_session_files(store, session_id)


@operation(text="json", creates=False)
def list_planning_sessions(store: Storage) -> PlanningSessions:
    """Print the planning sessions as a JSON object: .sessions[] with id, description, status and more.

    Example: list_planning_sessions | jq -r '.sessions[].id'
    """
    with store.snapshot():
        rows = store.execute(
            "SELECT s.session_id AS id, s.status, s.milestone_id, m.title, s.progress, s.agent_count, s.created_at, "
            "s.last_activity FROM coordination_sessions s LEFT JOIN milestones m ON m.id = s.milestone_id "
            "WHERE s.operation_type = 'planning' ORDER BY s.last_activity DESC, s.session_id")
        for row in rows:
            title = row.pop("title")
            row["description"] = f"planning of {title or row['milestone_id'] or 'no milestone yet'}"
            row["artifacts"] = artifact_keys(store, row["id"])
    return {"sessions": rows}


@operation(text="artifacts", existing=True)
def resume_planning_session(store: Storage, session_id: str) -> Artifacts:
    """Make a planning session active again and tell which artifacts it has and lacks.

    session_id: the session

    Example: resume_planning_session planning-ms-123-1
    """
    with store.transaction("session:" + session_id):
        session = require_session_type(store, session_id, "planning")
        if session["status"] == "completed":
            raise Refused(f"session {session_id!r} is completed: create_milestone_from_planning {quote(session_id)} "
                          "MILESTONE")
        reopen_session(store, session_id)
        return _tell_artifacts(store, session_id)


@operation(text="milestone", existing=True)
def create_milestone_from_planning(store: Storage, session_id: str, milestone_id: str) -> MadeMilestone:
    """Write the milestone record from a session's milestone-plan and complete the session.

    session_id: the planning session
    milestone_id: the milestone's id; making it again from the same session changes nothing

    Example: create_milestone_from_planning planning-ms-123-1 ms-123
    """
    with store.transaction("session:" + session_id):
        session = find_session(store, session_id)
        configuration = read_stored(session["configuration"], "the configuration")
        made = milestones_of(session)
        mark_dead_agents(store, session)
        if milestone_id in made and _has_record(store, milestone_id):
            complete_session(store, session_id)
            return {"milestone_id": milestone_id, "session_id": session_id, "created": False}
        rows = find_artifacts(store, session_id)
        plans = [row for row in rows if row["state_key"] == PLAN]
        if not plans:
            flawed = [row for row in find_artifacts(store, session_id, flawed=True) if row["state_key"] == PLAN]
            raise Refused("; ".join([f"session {session_id!r} has no {PLAN}", *map(tell_flaw, flawed)])
                          + f": save_agent_state AGENT {PLAN} VALUE")
        ensure_milestone(store, milestone_id)
        index_records(store)
        if has_other_record(store, milestone_id, session_id):
            free = free_milestone_id(store, milestone_id, session_id)
            raise Refused(f"milestone {milestone_id!r} has a record already: "
                          f"create_milestone_from_planning {quote(session_id)} {quote(free)}")
        plan = artifact_value(plans[-1])
        title = _title_of(plan) or milestone_id
        write_record(store, milestone_id, dump_yaml(_record(store, milestone_id, title, session, plan, rows)))
        told = {**configuration, "milestones": list(dict.fromkeys([*made, milestone_id]))}
        store.execute("UPDATE coordination_sessions SET milestone_id = :milestone, configuration = :configuration "
                      "WHERE session_id = :id", {"milestone": milestone_id, "id": session_id,
                                                 "configuration": dump_json(told)})
        complete_session(store, session_id)
        record_event(store, "milestone_created", session_id, milestone_id=milestone_id, detail=title)
    return {"milestone_id": milestone_id, "session_id": session_id, "created": True}


def _has_record(store: Storage, milestone_id: str) -> bool:
    """Whether the record of a milestone is there, and not removed by hand."""
    index_records(store, milestone_id=milestone_id)
    return find_record(store, milestone_id) is not None


def _title_of(plan: Any) -> str:
    """The plan's own title, if it has one."""
    if isinstance(plan, dict):
        for key in ("title", "name", "description", "goal"):
            if isinstance(plan.get(key), str) and plan[key].strip():
                return whole_characters(plan[key].strip().splitlines()[0])
    return ""


def _is_same(value: Any, other: Any) -> bool:
    return dump_json(value) == dump_json(other)


def _record(store: Storage, milestone_id: str, title: str, session: Session, plan: Any, rows: list[Row]) -> Row:
    """The milestone record: its plan, and every other artifact with who saved it and when; each value once."""
    inside = plan if isinstance(plan, dict) else {}
    artifacts = []
    for row in rows:
        artifact = {"key": row["state_key"], "saved_by": row["agent_id"], "agent_type": row["agent_type"],
                    "saved_at": row["updated_at"]}
        value = artifact_value(row)
        names = (row["state_key"], f"{row['state_key']} of {row['agent_id']}")
        if not any(_is_same(value, other) for other in [plan, *(inside[name] for name in names if name in inside)]):
            artifact["value"] = value
        artifacts.append(artifact)
    return {
        "id": milestone_id, "title": title, "status": "planned", "priority": "medium", "created_at": store.now(),
        "planning_session": session["session_id"], "coordinator": session["coordinator_id"], "plan": plan,
        "artifacts": artifacts,
    }
