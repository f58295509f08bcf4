"""Agents: registering, status, heartbeat, and who is in a session."""
from __future__ import annotations

from ..base.errors import Refused, UsageError
from ..base.quoting import command
from ..base.times import minutes_between, shift_time, since
from ..base.values import check_word, is_own, json_strings
from ..base.vocabulary import AGENT_STATUSES, AGENT_TYPES, DIED, ENDED, GOING_ON, HEALTH_STATUSES, PHASES
from ..coordination.membership import (
    WHOLE,
    acting_session,
    admit_agent,
    ask_acting,
    contradicting_session,
    find_agent,
    renew_heartbeat,
)
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..base.answers import AgentStatus, KeyCounts, MailForOthers, Registration, SessionAgent
    from ..base.rows import Agent
    from ..storage.interface import Storage

GROUP = "Agents"


@operation(text="registered")
def register_agent(store: Storage, agent_id: str, agent_type: str, milestone_id: str, session_id: str,
                   capabilities: str | Sequence[str] | None = None, *, new: bool = False) -> Registration:
    """Register an agent, or revive it; its session and milestone are created if they are new.

    agent_id: the agent's own id; registering it again keeps its state and spawn time, and begins a new life
    agent_type: a known type or x-YOURS; any other is stored as x-TYPE with a warning
    milestone_id: the milestone it works on
    session_id: the session it works in; its first word (planning-, execution-, …) says what is done there
    capabilities: JSON array of strings
    new: refuse (status 1) an id that was heard from within session_timeout: it may be another agent's

    Messages that its former life had taken and not acknowledged are requeued.
    Example: register_agent coord-ms-123 milestone-coordinator ms-123 planning-ms-123-1 '["planning"]'
    """
    from ..coordination.argument_order import require_registration_in_order
    from ..coordination.inbox import count_unread
    from ..coordination.lives import enter_agent
    from ..coordination.sessions import ensure_session, warn_of_namesake
    from ..coordination.silence import end_silent_agents

    given = None if capabilities is None else json_strings(capabilities, "CAPABILITIES", store.warn)
    end_silent_agents(store, agent_id)
    with store.transaction("session:" + session_id):
        require_registration_in_order(store, agent_id, agent_type, milestone_id, session_id)
        kind = _admissible_type(store, agent_type)
        before = store.execute("SELECT * FROM agent_registry WHERE agent_id = :id", {"id": agent_id})
        _tell_if_in_use(store, before, new)
        if session_id == milestone_id:
            warn_of_namesake(store, agent_id, agent_type, session_id)
        session = ensure_session(store, session_id, milestone_id)
        requeued = enter_agent(store, agent_id, kind, session, given, milestone_id)
        if kind.endswith("coordinator"):
            store.execute("UPDATE coordination_sessions SET coordinator_id = coalesce(coordinator_id, :agent) "
                          "WHERE session_id = :id", {"id": session_id, "agent": agent_id})
        unread = count_unread(store, agent_id)
        return {**find_agent(store, agent_id), "again": bool(before) and before[0]["agent_type"] != "unregistered",
                "messages_requeued": requeued, "messages_unread": unread["messages_unread"],
                "at_least": unread.at_least,
                "messages_for_others": _tell_of_mail_for_others(store, agent_id),
                **_count_keys(store, agent_id, session["milestone_id"])}


def _tell_of_mail_for_others(store: Storage, agent_id: str) -> list[MailForOthers]:
    """Report messages under this id for other milestones, kept for agents that register there: sent_for, number."""
    from ..coordination.inbox import count_for_others

    found = count_for_others(store, agent_id)
    for row in found:
        show = command(["list_agent_messages", agent_id, "--state", "pending", "--milestone", row["sent_for"]])
        store.tell_done(f"unread, but sent to {agent_id} for milestone {row['sent_for']!r} and not delivered in "
                        f"another: {row['number']}; {show} shows it")
    return found


def _tell_if_in_use(store: Storage, before: list[Agent], new: bool) -> None:
    """Warn that an id that was heard from a moment ago may be another agent's; Refused if `new`."""
    from ..coordination.settings import read_count

    limit = shift_time(store.now(), -read_count(store, "session_timeout"))
    for row in before:
        if row["agent_type"] == "unregistered" or row["status"] not in ("active", "paused") or \
                row["last_heartbeat"] <= limit:
            continue
        heard = (f"agent {row['agent_id']!r} was heard from {since(row['last_heartbeat'], store.now())} ago in session "
                 f"{row['session_id']!r} (milestone {row['milestone_id']})")
        if new:
            raise Refused(f"{heard}: nothing was registered; take another id")
        store.warn(f"{heard}: if that is another agent, register this one under another id; --new refuses an id in use")


def _count_keys(store: Storage, agent_id: str, milestone_id: str | None) -> KeyCounts:
    """How many keys an agent can load, and how many it saved for other milestones."""
    from ..coordination.state import list_keys

    own = [row["own"] for row in list_keys(store, agent_id, milestone_id)]
    return {"keys_kept": own.count(True), "keys_elsewhere": own.count(False)}


def _admissible_type(store: Storage, agent_type: str) -> str:
    if agent_type in AGENT_TYPES or is_own(agent_type):
        return agent_type
    from ..coordination.settings import is_strict

    if not agent_type.strip() or is_strict(store):
        check_word(agent_type, AGENT_TYPES, "agent type", extensible=True)
    from ..base.suggestions import suggest_word

    meant = suggest_word(agent_type, AGENT_TYPES)
    store.warn(f"unknown agent type {agent_type!r}: stored as x-{agent_type}" +
               (f"; did you mean {meant}?" if meant else ""))
    return "x-" + agent_type


@operation(text="status", existing="status")
def update_agent_status(store: Storage, agent_id: str, status: str | None = None, *, error: str | None = None,
                        task: str | None = None, phase: str | None = None) -> AgentStatus:
    """Set an agent's status; without STATUS, print it.

    agent_id: a registered agent
    status: spawning, active, paused, completed, failed or terminated
    error: what went wrong, kept as error_info
    task: what it is working on, kept as current_task
    phase: design, spec, task or execute, kept as current_phase

    Completing acknowledges the messages it has taken; failing requeues them.
    Example: update_agent_status exec-ms-123 completed
    """
    if status is None and (error, task, phase) == (None, None, None):
        return {**find_agent(store, agent_id)}  # type: ignore[typeddict-item]  # nothing was `changed`
    if status is not None:
        check_word(status, AGENT_STATUSES, "agent status")
    if phase is not None:
        check_word(phase, PHASES, "phase")
    with store.transaction("agent:" + agent_id):
        before = find_agent(store, agent_id)
        if status == "completed":  # what an agent says of itself
            _refuse_anothers(store, before)
        if status in GOING_ON:
            _require_open(store, before)
        if status not in DIED:  # these are said about an agent, not by it
            renew_heartbeat(store, agent_id)
        if status is not None:
            from ..coordination.lives import set_agent_status

            set_agent_status(store, agent_id, status, error)
        if status in ("completed", "terminated"):  # who failed may begin again
            from ..coordination.inbox import warn_of_unread

            warn_of_unread(store, f"agent {agent_id!r} is {status}", agent_id)
        store.execute("UPDATE agent_registry SET current_task = :task, current_phase = :phase, error_info = :error "
                      "WHERE agent_id = :id",
                      {"id": agent_id, "task": before["current_task"] if task is None else task,
                       "phase": phase or before["current_phase"],
                       "error": error if error is not None or status is not None else before["error_info"]})
        return {**find_agent(store, agent_id), "changed": True}


def _refuse_anothers(store: Storage, agent: Agent) -> None:
    """Refused if the caller's id now belongs to another agent: that one has not completed."""
    if contradicting_session(store, agent) not in ("", agent["session_id"]):
        raise Refused(f"{agent['agent_id']!r} is now the agent in session {agent['session_id']!r}, registered there "
                      "under the same id; nothing was changed: register_agent under an id of your own")


def _require_open(store: Storage, agent: Agent) -> None:
    from ..coordination.sessions import find_session

    status = find_session(store, agent["session_id"])["status"]
    if status in ENDED:
        raise Refused(f"session {agent['session_id']!r} of agent {agent['agent_id']!r} is {status}: register_agent "
                      "opens it again")


@operation()
def agent_heartbeat(store: Storage, agent_id: str, health: str | None = None, *, cpu: float | None = None,
                    memory: float | None = None, response_ms: float | None = None, errors: int | None = None,
                    warnings: int | None = None) -> Agent:
    """Renew an agent's heartbeat; so does every other call by it.

    agent_id: the agent
    health: healthy, degraded or failing; writes a row of the health log, as do measures alone (healthy)
    cpu: processor use, percent
    memory: memory use, megabytes
    response_ms: response time, milliseconds
    errors: errors since the last heartbeat
    warnings: warnings since the last heartbeat

    unresponsive is set for an agent by others, as by the session monitor: it is logged and renews no heartbeat.
    Example: agent_heartbeat exec-ms-123 degraded --cpu 97
    """
    if health is not None:
        check_word(health, HEALTH_STATUSES, "health status")
    measured = {"cpu": cpu, "memory": memory, "response_ms": response_ms, "errors": errors, "warnings": warnings}
    is_measured = {*measured.values()} != {None}
    if is_measured:
        _require_measures(measured)
    asked = ask_acting(agent_id, WHOLE)
    with store.transaction("agent:" + agent_id, [asked]):
        row: Any = find_agent(store, agent_id) if health == "unresponsive" else admit_agent(store, agent_id, asked)
        acting_session(store, row)
        if health is not None or is_measured:
            from ..coordination.liveness import log_health

            log_health(store, agent_id, health or "healthy", **measured)
        return row  # type: ignore[no-any-return]


def _require_measures(measured: Mapping[str, float | None]) -> None:
    for name, number in measured.items():
        if number is not None and number < 0:
            raise UsageError(f"--{name.replace('_', '-')} cannot be below 0")


@operation(text="agents", creates=False)
def list_session_agents(store: Storage, session_id: str) -> list[SessionAgent]:
    """List the agents of a session with their status and the minutes since their heartbeat.

    session_id: the session

    Example: list_session_agents planning-ms-123-1
    """
    from ..coordination.future import look_from_now
    from ..coordination.sessions import find_session

    look_from_now(store)
    with store.snapshot():
        find_session(store, session_id)
        return read_agents(store, session_id)


def read_agents(store: Storage, session_id: str) -> list[SessionAgent]:
    """The agents of a session, ordered by spawn time."""
    rows: list[SessionAgent] = store.execute(
        "SELECT agent_id, agent_type, status, current_task, current_phase, capabilities, spawn_time, "
        "last_heartbeat, completion_time, error_info FROM agent_registry WHERE session_id = :id "
        "ORDER BY spawn_time, agent_id", {"id": session_id})
    now = store.now()
    for row in rows:
        row["minutes_since_heartbeat"] = round(minutes_between(row["last_heartbeat"], now), 1)
    return rows
