"""Agents in sessions: finding them, renewing heartbeats, adding those that are not registered."""
from __future__ import annotations

from ..base.errors import MilestoneError, Refused
from ..base.quoting import command
from ..base.times import format_time
from ..base.vocabulary import AT_WORK, DIED, ENDED, OPEN_SESSION, any_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base.answers import ActingAgent
    from ..base.rows import Agent
    from ..storage.interface import Statement, Storage

SILENT = "no heartbeat for "  # how the error of an agent begins that was marked failed for its silence
CLIENT_ENDED = "its client ended"  # how that of one begins whose client ended before it said that it was done
SECOND = len("2026-01-31 09:30:00")  # of a time: what an agent does writes a heartbeat once in it
WHOLE = "SELECT * FROM agent_registry WHERE agent_id = :id"
WAITS = "waits for its turn"  # how the error of a dead agent ends that is to be started later


def find_agent(store: Storage, agent_id: str) -> Agent:
    """The registry row of an agent; Refused names the nearest known ids."""
    rows: list[Agent] = store.execute("SELECT * FROM agent_registry WHERE agent_id = :id", {"id": agent_id})
    if not rows:
        raise Refused(tell_no_agent(store, agent_id))
    return rows[0]


def tell_no_agent(store: Storage, agent_id: str) -> str:
    """What is said of an agent that is not there: what that id is, or the nearest ids of agents."""
    from ..storage.suggestions import suggest

    other = tell_other_kind(store, agent_id)
    return f"no agent {agent_id!r} " + (f"in {store.directory}: {other}" if other else
                                        suggest(store, agent_id, known_agents(store)))


def tell_other_kind(store: Storage, agent_id: str) -> str:
    """What an id without an agent is, if known: a session or a milestone, and the command that lists agents."""
    given = {"id": agent_id}
    if store.execute("SELECT 1 AS there FROM coordination_sessions WHERE session_id = :id", given):
        return f"that is a session, whose agents {command(['list_session_agents', agent_id])} shows"
    if not store.execute("SELECT 1 AS there FROM milestones WHERE id = :id", given):
        return ""
    for row in store.execute("SELECT session_id FROM coordination_sessions WHERE milestone_id = :id "
                             "ORDER BY last_activity DESC, session_id LIMIT 1", given):
        return f"that is a milestone, and {command(['list_session_agents', row['session_id']])} shows agents of it"
    return ""


def known_agents(store: Storage) -> list[str]:
    """The ids of the working agents heard from last, and of others, for suggestions: at most 1,000."""
    rows = store.execute(f"SELECT agent_id FROM agent_registry WHERE status IN {any_of(AT_WORK)} "
                         "ORDER BY last_heartbeat DESC LIMIT 1000")
    if len(rows) < 1000:
        rows += store.execute(f"SELECT agent_id FROM agent_registry WHERE status NOT IN {any_of(AT_WORK)} LIMIT :more",
                              {"more": 1000 - len(rows)})
    return [row["agent_id"] for row in rows]


def suggest_agent(store: Storage, agent_id: str) -> str:
    """The end of a line about something that an agent does not have: who else may be meant, if no agent has that id."""
    if store.execute("SELECT 1 AS known FROM agent_registry WHERE agent_id = :id", {"id": agent_id}):
        return ""
    from ..storage.suggestions import NO_STORE, offer_near

    if store.is_unmade:
        return f": {NO_STORE}"
    other = tell_other_kind(store, agent_id) or offer_near(agent_id, known_agents(store))
    return f"; no agent {agent_id!r} is registered" + (f": {other}" if other else "")


def warn_of_slip(store: Storage, agent_id: str, done: str) -> None:
    """Warn if no agent has an id, but a working one has an id that differs by a typing error.

    Ids with other numbers in them are other agents. done: what is done all the same
    """
    from ..storage.suggestions import find_slip

    if store.execute("SELECT 1 AS known FROM agent_registry WHERE agent_id = :id", {"id": agent_id}):
        return
    near = find_slip(agent_id, store.execute(
        f"SELECT agent_id AS id FROM agent_registry WHERE status IN {any_of(AT_WORK)} "
        "ORDER BY last_heartbeat DESC LIMIT 100"))
    if near:
        store.warn(f"no agent {agent_id!r} is registered: {done}; did you mean {near}?")


def renew_heartbeat(store: Storage, agent_id: str) -> Agent | None:
    """Renew an agent's heartbeat; returns its row, or None for one that is not registered.

    One that was ended for its silence or with its client, and perhaps put off, is active again, if its session is.
    """
    rows = store.execute(
        "UPDATE agent_registry SET last_heartbeat = :now WHERE agent_id = :id RETURNING *",
        {"id": agent_id, "now": store.now()})
    if rows and may_be_heard_again(rows[0]):
        return _revive(store, rows[0])
    return rows[0] if rows else None


def may_be_heard_again(agent: Agent) -> bool:
    """Whether others ended an agent because it was silent or its client ended: it may be alive."""
    return agent["status"] in DIED and (agent["error_info"] or "").startswith((SILENT, CLIENT_ENDED))


def acting(columns: str = "", beside: str = "") -> str:
    """The SQL that asks what is needed of each agent that acts, `a`, and at once for what else its call needs.

    columns: which, each behind a comma
    beside: what is joined for them
    """
    return (f"SELECT a.agent_type, a.session_id, a.status, a.last_heartbeat{columns} FROM agent_registry a{beside} "
            "WHERE a.agent_id = :id")


ACTING = acting()


def ask_acting(agent_id: str, sql: str = ACTING, **given: Any) -> Statement:
    """The question for an agent that acts, made by `acting`, or for its WHOLE row."""
    return sql, {"id": agent_id, **given}


def _ask_again(store: Storage, agent_id: str, asked: Statement) -> ActingAgent:
    row: ActingAgent = store.execute(*asked)[0]
    row["agent_id"] = agent_id
    return row


def note_heartbeat(store: Storage, agent_id: str, asked: Statement | None = None) -> ActingAgent | None:
    """Like renew_heartbeat, for operations by an agent: writes nothing if the agent was heard from in this second.

    asked: what is asked of it, as `ask_acting` gives it
    """
    asked = asked or ask_acting(agent_id)
    rows: list[ActingAgent] = store.execute(*asked)
    for row in rows:
        if row["status"] in DIED:
            renew_heartbeat(store, agent_id)
            return _ask_again(store, agent_id, asked)
        row["agent_id"], now = agent_id, store.now()
        if row["last_heartbeat"][:SECOND] != now[:SECOND]:
            store.post("UPDATE agent_registry SET last_heartbeat = :now WHERE agent_id = :id",
                       {"id": agent_id, "now": now})
            row["last_heartbeat"] = now
        return row
    return None


def _revive(store: Storage, agent: Agent) -> Agent:
    from ..storage.events import record_event

    rows: list[Agent] = store.execute(
        "UPDATE agent_registry SET status = 'active', error_info = NULL, completion_time = NULL "
        "WHERE agent_id = :id AND EXISTS (SELECT 1 FROM coordination_sessions s "
        "WHERE s.session_id = agent_registry.session_id AND s.status = 'active') RETURNING *",
        {"id": agent["agent_id"]})
    for row in rows:
        record_event(store, "agent_revived", row["session_id"], row["agent_id"], row["milestone_id"],
                     "heard from again")
    return rows[0] if rows else agent


def renew_if_own(store: Storage, agent_id: str) -> None:
    """Renew the heartbeat of an agent whose rows are changed, unless $AGENT_ID says that another agent does it."""
    if is_own(store, agent_id):
        note_heartbeat(store, agent_id)


def is_own(store: Storage, agent_id: str) -> bool:
    """Whether the agent itself acts, and not another one named by $AGENT_ID."""
    return (store.environ.get("AGENT_ID") or agent_id) == agent_id


def note_alive(store: Storage, agent_id: str) -> None:
    """Renew the heartbeat of an agent that only reads, if that is possible without waiting for others."""
    try:
        with store.hurry(), store.transaction("agent:" + agent_id, [ask_acting(agent_id)]):
            note_heartbeat(store, agent_id)
    except MilestoneError:
        pass


def note_caller(store: Storage) -> None:
    """Renew the heartbeat of the agent named by $AGENT_ID, if it is registered and its interval is over.

    So a call that only looks writes at most once in an interval; where it cannot, it looks all the same.
    """
    from .settings import read_count

    given = {"id": store.environ["AGENT_ID"]}
    for row in store.execute("SELECT last_heartbeat FROM agent_registry WHERE agent_id = :id", given):
        if row["last_heartbeat"] <= format_time(store.clock.time() - read_count(store, "heartbeat_interval")):
            note_alive(store, given["id"])


def admit_agent(store: Storage, agent_id: str, asked: Statement | None = None) -> ActingAgent:
    """The row of the agent that acts, its heartbeat renewed; an unregistered one is taken in, or refused if strict.

    asked: what is asked of it, as `ask_acting` gives it
    """
    asked = asked or ask_acting(agent_id)
    row = note_heartbeat(store, agent_id, asked)
    if row and row["agent_type"] != "unregistered":
        return row
    left = _session_left(store, row) if row else ""
    if row and not left:
        return row
    store.lock_membership()
    row = renew_heartbeat(store, agent_id)
    if not row or left:
        from .lives import take_in
        from .sessions import session_for_newcomers

        if not row:
            _refuse_if_strict(store, agent_id)
        take_in(store, agent_id, left if row else session_for_newcomers(store))
    return _ask_again(store, agent_id, asked)


def _refuse_if_strict(store: Storage, agent_id: str) -> None:
    """Refused for an unregistered agent, if none may be added; else a warning if another may be meant.

    One that only has the name of a session is not taken in either.
    """
    from .settings import is_strict

    if store.execute("SELECT 1 AS there FROM coordination_sessions WHERE session_id = :id", {"id": agent_id}):
        raise Refused(tell_no_agent(store, agent_id))
    if is_strict(store):
        raise Refused(f"{tell_no_agent(store, agent_id)}; strict_agents is on: register_agent it first")
    warn_of_slip(store, agent_id, "it is taken in as a new one")


def acting_session(store: Storage, agent: ActingAgent) -> str:
    """The session in which a registered agent acts; warns if $SESSION_ID names another.

    That other one wins where the agent was registered in it too and it goes on: another agent has since registered
    under the same id elsewhere. One that has ended is only left over: nothing counts for it.
    """
    counts = contradicting_session(store, agent)
    if not counts:
        return agent["session_id"]
    store.warn(f"agent {agent['agent_id']!r} is registered in session {agent['session_id']!r}, but SESSION_ID is "
               f"{store.environ['SESSION_ID']!r}: this counts for {counts!r}; each agent needs an id of its own, and "
               "SESSION_ID names its session")
    return counts


def contradicting_session(store: Storage, agent: ActingAgent) -> str:
    """The session to use if $SESSION_ID contradicts an agent's registration; "" if it does not."""
    wanted = store.environ.get("SESSION_ID", "")
    if not wanted or wanted == agent["session_id"] or not is_own(store, agent["agent_id"]):
        return ""
    if store.execute("SELECT 1 AS over FROM coordination_sessions WHERE session_id = :session "
                     f"AND status NOT IN {any_of(OPEN_SESSION)}", {"session": wanted}):
        return ""
    been = store.execute(
        "SELECT 1 AS been FROM events WHERE session_id = :session AND agent_id = :agent "
        "AND event IN ('agent_registered', 'agent_revived') LIMIT 1", {"session": wanted, "agent": agent["agent_id"]})
    return wanted if been else str(agent["session_id"])


def _session_left(store: Storage, row: ActingAgent) -> str:
    """Where an unregistered agent acts now, if not in its session: $SESSION_ID, or another if that has ended."""
    from .sessions import find_session, latest_session

    wanted = store.environ.get("SESSION_ID", "")
    if not wanted and find_session(store, row["session_id"])["status"] in ENDED:
        wanted = latest_session(store)
    return "" if wanted == row["session_id"] else wanted
