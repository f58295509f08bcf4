"""Finishing sessions: completing, creating the milestone, finalizing, abandoning."""
from __future__ import annotations

from ..base.errors import Incomplete, Refused
from ..base.quoting import quote
from ..base.values import dump_json
from ..base.vocabulary import GOING_ON, any_of
from ..coordination.artifacts import PLAN, artifact_value, expected_artifacts, find_artifacts
from ..coordination.deliverables import list_deliverables, made_by, tell_flaw, tell_near
from ..coordination.inbox import warn_of_unread
from ..coordination.liveness import mark_dead_agents
from ..coordination.lives import complete_session, set_agent_status
from ..coordination.session_view import milestone_id_for, survey_session
from ..coordination.sessions import ensure_milestone, find_session, require_session_type
from ..coordination.snapshots import store_checkpoint
from ..coordination.state import write_state
from ..records.index import index_records
from ..records.record import archive_record, find_record
from ..registry import operation
from ..storage.events import record_event
from .planning import create_milestone_from_planning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Deliverable, FinishedPlanning, FinishedSession, RecoveredMilestone, Survey, Validation
    from ..base.rows import Session
    from ..storage.interface import Row, Storage

GROUP = "Recovery"


@operation(text="validated", creates=False)
def validate_planning_artifacts(store: Storage, session_id: str) -> Validation:
    """Check that every expected planning artifact is there and not empty; status 1 if not.

    session_id: the planning session

    Example: validate_planning_artifacts planning-ms-123-1
    """
    with store.snapshot():
        require_session_type(store, session_id, "planning")
        view = survey_session(store, session_id)
    items = [item for item in view["deliverables"] if not item["saved"]]
    found: Validation = {"session_id": session_id, "present": view["artifacts"],
             "missing": [item["name"] for item in items if not item["empty"]],
             "empty": [item["name"] for item in items if item["empty"]], "deliverables": view["deliverables"],
             "valid": not items, "can_be_completed": bool(view["artifacts"])}
    if items:
        raise Incomplete(f"session {session_id!r} lacks {', '.join(_who_makes(view, item) for item in items)}: "
                         f"{_goes_on(view)}", found)
    return found


def _who_makes(view: Survey, item: Deliverable) -> str:
    """What is missing, and the live agent responsible for it, else the type of agent for it."""
    at_work = [agent["agent_id"] for agent in view["agents"] if agent["condition"] == "alive"
               and made_by(agent, view["deliverables"]) == item["name"]]
    who = f"{at_work[-1]!r} is at work" if at_work else f"agents of type {item['agent_type']} make it"
    return f"{item['name']} ({who})"


def _goes_on(view: Survey) -> str:
    """The next command: agents have to be started only if some are dead, or none is working."""
    session_id = quote(view["session_id"])
    if view["status"] == "completed":
        return f"recover_milestone_session {session_id} goes on there"
    if view["counts"]["recoverable"]:
        return f"resume_planning_agents {session_id} prints which agents to start"
    if view["counts"]["alive"]:
        return f"its agents are alive; get_session_status {session_id} shows them"
    return f"recover_milestone_session {session_id} shows what can be done"


@operation(text="finished", existing=True)
def complete_planning_session(store: Storage, session_id: str) -> FinishedPlanning:
    """Complete a planning session; a missing milestone-plan is assembled from the existing planning artifacts.

    session_id: the planning session

    Status 1 if there is no artifact at all. Example: complete_planning_session planning-ms-123-1
    """
    with store.transaction("session:" + session_id):
        session = require_session_type(store, session_id, "planning")
        if session["status"] == "completed":
            return {**_tell(session, False), "assembled_from": []}
        assembled = _assemble_plan(store, session)
        return {**_complete(store, session), "assembled_from": assembled}


@operation(text="milestone_recovered", existing=True)
def create_milestone_from_recovered_planning(store: Storage, session_id: str,
                                             milestone_id: str | None = None) -> RecoveredMilestone:
    """Write the milestone record from the artifacts a planning session has, and complete the session.

    session_id: the planning session
    milestone_id: the milestone's id; without it, the session's

    A missing milestone-plan is assembled first. Example: create_milestone_from_recovered_planning planning-ms-123-1
    """
    with store.transaction("session:" + session_id):
        session = require_session_type(store, session_id, "planning")
        assembled = _assemble_plan(store, session)
        made = create_milestone_from_planning(store, session_id, milestone_id or milestone_id_for(session))
        return {**made, "assembled_from": assembled}


def _assemble_plan(store: Storage, session: Session) -> list[str]:
    """If there is no milestone-plan, assemble one from the artifacts and mark it so; returns the keys used."""
    rows = find_artifacts(store, session["session_id"])
    if not rows:
        flaws = [tell_flaw(row) for row in find_artifacts(store, session["session_id"], flawed=True)]
        none = f"session {session['session_id']!r} has no planning artifact: nothing can be completed"
        raise Refused("; ".join([none, *flaws, f"resume_planning_agents {quote(session['session_id'])} goes on"]))
    if any(row["state_key"] == PLAN for row in rows):
        return []
    plan = {"assembled": True, "from": [{"state_key": row["state_key"], "agent_id": row["agent_id"]} for row in rows],
            "missing": [key for key in expected_artifacts(store) if key not in [row["state_key"] for row in rows]
                        and key != PLAN],
            **_values_by_key(rows)}
    owner = _owner_of_plan(store, session, rows)
    for row in find_artifacts(store, session["session_id"], flawed=True):
        if row["state_key"] == PLAN:
            store.warn(f"{tell_flaw(row)}: the plan is assembled from the other artifacts")
            if row["agent_id"] == owner:  # what is left of it is kept
                store_checkpoint(store, owner, "automatic", [])
    # Not save_agent_state: that would renew the heartbeat of an agent that may be dead.
    write_state(store, {"agent": owner, "session": session["session_id"], "key": PLAN, "value": dump_json(plan),
                        "type": "user_data", "json": 1, "now": store.now(), "expires": None})
    record_event(store, "plan_assembled", session["session_id"], owner, session["milestone_id"],
                 " ".join(row["state_key"] for row in rows))
    return sorted({row["state_key"] for row in rows})


def _values_by_key(rows: list[Row]) -> Row:
    """The artifacts' values; if several agents saved a key, the latest has it, the others' keys name the agent."""
    latest = {row["state_key"]: row["agent_id"] for row in rows}
    return {key if latest[key] == row["agent_id"] else f"{key} of {row['agent_id']}": artifact_value(row)
            for row in rows for key in [row["state_key"]]}


def _owner_of_plan(store: Storage, session: Session, artifacts: list[Row]) -> str:
    """The session's coordinator if it is registered there, else the agent that saved the last artifact."""
    known = store.execute("SELECT agent_id FROM agent_registry WHERE agent_id = :id AND session_id = :session",
                          {"id": session["coordinator_id"], "session": session["session_id"]})
    return str(known[0]["agent_id"] if known else artifacts[-1]["agent_id"])


@operation(text="finished", existing=True)
def finalize_milestone_execution(store: Storage, session_id: str) -> FinishedSession:
    """Complete an execution session and its milestone; status 1 if phases are missing, which it names.

    session_id: the execution session

    The record of the milestone moves to completed/. Example: finalize_milestone_execution execution-ms-123-1
    """
    with store.transaction("session:" + session_id):
        session = require_session_type(store, session_id, "execution")
        missing = [item for item in list_deliverables(store, session) if not item["saved"]]
        if session["status"] == "completed":
            return _tell(session, False)
        if missing:
            names = [item["name"] for item in missing]
            flaws = [tell_flaw(row) for item in missing for row in item["empty"]]
            near = [tell_near(row) for item in missing for row in item["near"]]
            raise Refused("; ".join([f"session {session_id!r} has no results of: {', '.join(names)}", *flaws, *near,
                                     f"resume_execution_from_phase {quote(session_id)} {names[0]} goes on there"]))
        done = _complete(store, session)
        _complete_milestone(store, session)
        return done


def _complete_milestone(store: Storage, session: Session) -> None:
    milestone_id = session["milestone_id"]
    if not milestone_id:
        return
    ensure_milestone(store, milestone_id)
    index_records(store)
    row = store.execute("SELECT archived_at FROM milestones WHERE id = :id", {"id": milestone_id})[0]
    if not row["archived_at"] and find_record(store, milestone_id) is not None:
        archive_record(store, milestone_id)
    store.execute("UPDATE milestones SET status = 'completed', updated_at = :now WHERE id = :id",
                  {"id": milestone_id, "now": store.now()})
    record_event(store, "milestone_completed", session["session_id"], milestone_id=milestone_id)


@operation(text="finished", existing=True)
def complete_coordination_session(store: Storage, session_id: str) -> FinishedSession:
    """Complete a session that has no expected artifacts or phases: validation, recovery or cleanup.

    session_id: the session; an execution session only as long as no phase has results

    Example: complete_coordination_session validation-ms-123-1
    """
    with store.transaction("session:" + session_id):
        session = find_session(store, session_id)
        if session["status"] == "completed":
            return _tell(session, False)
        if session["operation_type"] == "planning":
            raise Refused(f"session {session_id!r} is one of planning: complete_planning_session completes it")
        if any(item["saved"] for item in list_deliverables(store, session)):
            raise Refused(f"session {session_id!r} is one of execution: finalize_milestone_execution completes it")
        return _complete(store, session)


@operation(text="finished", existing=True)
def abandon_session(store: Storage, session_id: str) -> FinishedSession:
    """Abandon a session: end its agents and requeue their messages; their state is kept.

    session_id: the session; a completed one is refused

    Example: abandon_session planning-ms-123-1
    """
    with store.transaction("session:" + session_id):
        session = find_session(store, session_id)
        if session["status"] == "completed":
            raise Refused(f"session {session_id!r} is completed: its work stays")
        if session["status"] == "abandoned":
            return _tell(session, False)
        rows = store.execute("SELECT agent_id FROM agent_registry WHERE session_id = :id AND status IN "
                             f"{any_of((*GOING_ON, 'failed'))} ORDER BY agent_id", {"id": session_id})
        for row in rows:
            set_agent_status(store, row["agent_id"], "terminated", "abandoned")
        warn_of_unread(store, f"session {session_id!r} is abandoned", session_id=session_id)
        record_event(store, "session_abandoned", session_id, milestone_id=session["milestone_id"])
        ended = store.execute("UPDATE coordination_sessions SET status = 'abandoned', completed_at = :now "
                              "WHERE session_id = :id RETURNING *", {"id": session_id, "now": store.now()})[0]
        return _tell(ended, True)


def _complete(store: Storage, session: Session) -> FinishedSession:
    mark_dead_agents(store, session)
    return _tell(complete_session(store, session["session_id"]), True)


def _tell(session: Session, changed: bool) -> FinishedSession:
    return {"session_id": session["session_id"], "operation_type": session["operation_type"],
            "milestone_id": session["milestone_id"], "status": session["status"], "progress": session["progress"],
            "completed_at": session["completed_at"], "changed": changed}
