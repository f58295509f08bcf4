"""Resuming and restarting sessions: marks dead agents, requeues their messages, and makes work orders."""
from __future__ import annotations

from ..base.errors import Incomplete, Refused
from ..base.values import check_word
from ..base.vocabulary import GOING_ON, PHASES, any_of
from ..coordination.deliverables import estimate_progress, list_deliverables, made_by, missing_names
from ..coordination.liveness import mark_dead_agents, sum_up
from ..coordination.lives import set_agent_status
from ..coordination.membership import CLIENT_ENDED, SILENT
from ..coordination.sessions import find_session, reopen_session, require_session_type
from ..coordination.work_orders import make_orders, run_orders, spawn_command
from ..registry import operation
from ..storage.events import record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import DeadAgents, Deliverable, Resumption, Returned
    from ..base.rows import Session
    from ..storage.interface import Storage

GROUP = "Recovery"


@operation(text="work_orders", existing=True)
def resume_planning_agents(store: Storage, session_id: str) -> Resumption:
    """Make a planning session active, requeue the messages of dead agents, and print which agents to start.

    session_id: the planning session

    Agents silent for session_timeout (in a session silent as a whole: interrupted_after) are marked failed.
    With agent_spawn_command set, and MILESTONE_SPAWN_DIRS naming the data directory, that command is run for each;
    status 1 if one fails.
    Example: resume_planning_agents planning-ms-123-1
    """
    return _resume(store, session_id, "planning")


@operation(text="work_orders", existing=True)
def resume_execution_from_phase(store: Storage, session_id: str, phase: str | None = None) -> Resumption:
    """Make an execution session active at a phase, requeue messages of dead agents, and print which agents to start.

    session_id: the execution session
    phase: design, spec, task or execute; without it, the first that has no results

    Agents are marked and started as by resume_planning_agents; existing results are kept.
    Example: resume_execution_from_phase execution-ms-123-1 task
    """
    if phase is not None:
        check_word(phase, PHASES, "phase")
    return _resume(store, session_id, "execution", phase)


@operation(text="work_orders", existing=True)
def resume_session_agents(store: Storage, session_id: str) -> Resumption:
    """Make a session of any type active, requeue the messages of dead agents, and print which agents to start.

    session_id: the session

    Agents are marked and started as by resume_planning_agents.
    Example: resume_session_agents validation-ms-123-1
    """
    return _resume(store, session_id)


@operation(text="work_orders", existing=True)
def restart_planning_with_artifacts(store: Storage, session_id: str) -> Resumption:
    """End the agents of a planning session and print which to start again for missing artifacts; artifacts are kept.

    session_id: the planning session

    Live agents are ended too. Example: restart_planning_with_artifacts planning-ms-123-1
    """
    return _resume(store, session_id, "planning", ends="all")


@operation(text="work_orders", existing=True)
def restart_incomplete_phases(store: Storage, session_id: str) -> Resumption:
    """End the agents of phases without results and print which to start again; other agents and results are kept.

    session_id: the execution session

    Status 1 if every phase has results. Example: restart_incomplete_phases execution-ms-123-1
    """
    return _resume(store, session_id, "execution", ends="incomplete")


@operation(text="work_orders", existing=True)
def restart_milestone_execution(store: Storage, session_id: str) -> Resumption:
    """End all agents of an execution session and print which to start again; phases with results are kept.

    session_id: the execution session

    Status 1 if every phase has results. Example: restart_milestone_execution execution-ms-123-1
    """
    return _resume(store, session_id, "execution", ends="all")


def _resume(store: Storage, session_id: str, kind: str = "", phase: str | None = None, ends: str = "") -> Resumption:
    """Reopen a session and make work orders for the next steps.

    kind: the operation type it must have
    ends: which agents are ended first: "all", those of "incomplete" deliverables, or (as "") only the dead
    """
    with store.transaction("session:" + session_id):
        session = require_session_type(store, session_id, kind) if kind else find_session(store, session_id)
        if session["status"] == "completed":
            raise Refused(f"session {session_id!r} is completed: there is nothing to resume")
        deliverables = list_deliverables(store, session)
        if ends and not missing_names(deliverables):
            raise Refused(f"nothing is missing in session {session_id!r}: there is nothing to restart")
        ended = _end_dead_agents(store, session, deliverables, ends)
        reopen_session(store, session_id)
        orders = make_orders(store, session_id, [phase] if phase else None)
        _set_stage(store, session, deliverables, phase, bool(ends))
        command = spawn_command(store) if orders else ""
    if command:
        run_orders(store, orders, command)
    return _report_failures({**ended, "orders": orders, "session_id": session_id, "status": "active",
                             "spawn_command": command})


def _end_dead_agents(store: Storage, session: Session, deliverables: list[Deliverable], ends: str) -> DeadAgents:
    """End the session's agents that are dead or selected."""
    dead = mark_dead_agents(store, session)
    ended = _end_agents(store, session["session_id"], deliverables, ends) if ends else []
    return {**sum_up([*dead, *ended]), "ended": [row["agent_id"] for row in ended]}


def _end_agents(store: Storage, session_id: str, deliverables: list[Deliverable], which: str) -> list[Returned]:
    rows = store.execute(
        "SELECT agent_id, agent_type, session_id FROM agent_registry WHERE session_id = :id "
        f"AND (status IN {any_of((*GOING_ON, 'failed'))} "
        "OR status = 'terminated' AND (error_info LIKE :silent OR error_info LIKE :left)) "
        "ORDER BY spawn_time, agent_id",
        {"id": session_id, "silent": SILENT + "%", "left": CLIENT_ENDED + "%"})  # those might be alive after all
    missing = missing_names(deliverables)
    ended: list[Returned] = []
    for row in rows:
        if which == "all" or made_by(row, deliverables) in missing:
            returned, dead = set_agent_status(store, row["agent_id"], "terminated", "restarted")
            ended.append({"agent_id": row["agent_id"], "returned": returned, "dead_lettered": dead})
    return ended


def _set_stage(store: Storage, session: Session, deliverables: list[Deliverable], phase: str | None,
               restarted: bool) -> None:
    """Set phase and progress from the existing results; a higher reported progress is kept except in a restart."""
    if session["operation_type"] not in ("planning", "execution"):
        return
    estimate = estimate_progress(deliverables)
    missing = missing_names(deliverables)
    at = phase or (missing[0] if session["operation_type"] == "execution" and missing else None)
    store.execute(
        "UPDATE coordination_sessions SET phase = coalesce(:phase, phase), progress = :progress WHERE session_id = :id",
        {"id": session["session_id"], "phase": at,
         "progress": estimate if restarted else max(estimate, session["progress"])})
    if restarted:
        record_event(store, "session_restarted", session["session_id"], milestone_id=session["milestone_id"],
                     detail=at or "")


def _report_failures(told: Resumption) -> Resumption:
    failed = [order["agent_id"] for order in told["orders"] if order.get("failed")]
    if failed:
        raise Incomplete(f"agent_spawn_command failed for {', '.join(failed)}: fix it with set_storage_config "
                         "agent_spawn_command COMMAND, or start them yourself", told)
    return told
