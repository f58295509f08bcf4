"""Agents in sessions: finding them, renewing heartbeats, adding those that are not registered."""
from __future__ import annotations

from ..base.errors import MilestoneError, Refused
from ..base.times import format_time, shift_time
from ..base.values import nearest
from ..base.vocabulary import AT_WORK, DIED, ENDED, ENDED_AGENT, GOING_ON, OPEN_SESSION, OPERATION_TYPES, any_of
from ..storage.events import record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import ActingAgent
    from ..base.rows import Agent, Session
    from ..storage.interface import Row, Statement, Storage

SILENT = "no heartbeat for "  # how the error of an agent begins that was marked failed for its silence
CLIENT_ENDED = "its client ended"  # how that of one begins whose client ended before it said that it was done
CLIENT_SESSION = "MILESTONE_CLIENT_SESSION"  # how a program that acts for a client says which session of it is meant
CLIENT_SESSIONS = (CLIENT_SESSION, "CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID")  # the first that is set
COUNTED_EACH_TIME = 1000  # agents of a session, up to which each registering counts them
SECOND = len("2026-01-31 09:30:00")  # of a time: what an agent does writes a heartbeat once in it
ACTING = "agent_id, agent_type, milestone_id, session_id, status, last_heartbeat, error_info, life"  # of who acts
WAITS = "waits for its turn"  # how the error of a dead agent ends that is to be started later


def find_agent(store: Storage, agent_id: str) -> Agent:
    """The registry row of an agent; Refused names the nearest known ids."""
    rows: list[Agent] = store.execute("SELECT * FROM agent_registry WHERE agent_id = :id", {"id": agent_id})
    if not rows:
        from ..storage.suggestions import suggest

        raise Refused(f"no agent {agent_id!r} {suggest(store, agent_id, known_agents(store))}")
    return rows[0]


def known_agents(store: Storage) -> list[str]:
    """The ids of the agents at work that were heard from last, and of others, for suggestions: no more than 1,000."""
    rows = store.execute(f"SELECT agent_id FROM agent_registry WHERE status IN {any_of(AT_WORK)} "
                         "ORDER BY last_heartbeat DESC LIMIT 1000")
    if len(rows) < 1000:
        rows += store.execute(f"SELECT agent_id FROM agent_registry WHERE status NOT IN {any_of(AT_WORK)} LIMIT :more",
                              {"more": 1000 - len(rows)})
    return [row["agent_id"] for row in rows]


def suggest_agent(store: Storage, agent_id: str) -> str:
    """The end of a line about what an agent does not have: who else may be meant, where no agent has that id."""
    if store.execute("SELECT 1 AS known FROM agent_registry WHERE agent_id = :id", {"id": agent_id}):
        return ""
    near = nearest(agent_id, known_agents(store), 3)
    return f"; no agent {agent_id!r} is registered: did you mean {' or '.join(near)}?" if near else ""


def warn_of_slip(store: Storage, agent_id: str, done: str) -> None:
    """Warn where no agent has an id, but one at work has an id that differs by a typing mistake.

    Ids with other numbers in them are other agents. done: what is done all the same
    """
    if store.execute("SELECT 1 AS known FROM agent_registry WHERE agent_id = :id", {"id": agent_id}):
        return
    near = _find_slip(agent_id, store.execute(
        f"SELECT agent_id AS id FROM agent_registry WHERE status IN {any_of(AT_WORK)} "
        "ORDER BY last_heartbeat DESC LIMIT 100"))
    if near:
        store.warn(f"no agent {agent_id!r} is registered: {done}; did you mean {near}?")


def warn_of_session_slip(store: Storage, session_id: str) -> None:
    """Warn where a session that is not known yet differs in a slip of the fingers from one that goes on."""
    near = _find_slip(session_id, store.execute(
        f"SELECT session_id AS id FROM coordination_sessions WHERE status IN {any_of(OPEN_SESSION)} "
        "ORDER BY last_activity DESC LIMIT 100"))
    if near:
        store.warn(f"no session {session_id!r} is known: it is taken in as a new one; did you mean {near}?")


def _find_slip(given: str, rows: list[Row]) -> str:
    others = [row["id"] for row in rows if _digits(row["id"]) == _digits(given)]
    if not others:
        return ""
    import difflib

    return next(iter(difflib.get_close_matches(given, others, 1, 0.75)), "")


def _digits(given: str) -> str:
    return "".join(character for character in given if character.isdigit())


def find_session(store: Storage, session_id: str) -> Session:
    """The row of a session; Refused names the nearest known ids."""
    rows: list[Session] = store.execute("SELECT * FROM coordination_sessions WHERE session_id = :id",
                                        {"id": session_id})
    if not rows:
        raise Refused(f"no session {session_id!r} {_suggest_session(store, session_id)}")
    return rows[0]


def _suggest_session(store: Storage, word: str) -> str:
    """The end of a line on a session that is not there: an agent's id may stand in its place, or a similar one."""
    from ..storage.suggestions import suggest

    meant = store.execute("SELECT session_id FROM agent_registry WHERE agent_id = :word", {"word": word})
    if meant:
        return f"in {store.directory}: that is an agent of {meant[0]['session_id']}"
    known = store.execute("SELECT session_id FROM coordination_sessions ORDER BY last_activity DESC LIMIT 1000")
    return suggest(store, word, [row["session_id"] for row in known], "list_coordination_sessions")


def ensure_milestone(store: Storage, milestone_id: str | None) -> None:
    """Make the milestone's row if it is new."""
    if milestone_id:
        added = store.execute(
            "INSERT INTO milestones (id, title, created_at, updated_at) VALUES (:id, :id, :now, :now) "
            "ON CONFLICT (id) DO NOTHING RETURNING id", {"id": milestone_id, "now": store.now()})
        store.milestones_added = store.milestones_added or bool(added)


def ensure_session(store: Storage, session_id: str, milestone_id: str | None, kind: str = "") -> Session:
    """The session, made if it is new and opened again (with a warning) if it had ended; counts as activity.

    kind: the operation type of a new one; without it, what its id says
    """
    ensure_milestone(store, milestone_id)
    now = store.now()
    rows = store.execute("SELECT status FROM coordination_sessions WHERE session_id = :id", {"id": session_id})
    if not rows:
        store.execute(
            "INSERT INTO coordination_sessions "
            "(session_id, milestone_id, operation_type, status, created_at, last_activity) "
            "VALUES (:id, :milestone, :type, 'active', :now, :now)",
            {"id": session_id, "milestone": milestone_id, "type": kind or operation_type_of(session_id),
             "now": now})
        record_event(store, "session_created", session_id, milestone_id=milestone_id)
    elif rows[0]["status"] in ENDED:
        store.warn(f"session {session_id!r} was {rows[0]['status']}; it is active again")
        record_event(store, "session_reopened", session_id, detail=rows[0]["status"])
    opened: Session = store.execute(
        "UPDATE coordination_sessions SET last_activity = :now, milestone_id = coalesce(milestone_id, :milestone), "
        f"completed_at = CASE WHEN status IN {any_of(OPEN_SESSION)} THEN completed_at END, "
        "status = CASE WHEN status = 'paused' THEN 'paused' ELSE 'active' END "
        "WHERE session_id = :id RETURNING *", {"id": session_id, "milestone": milestone_id, "now": now})[0]
    return opened


def operation_type_of(session_id: str) -> str:
    """What a session does, from its id's first word."""
    word = session_id.partition("-")[0]
    return word if word in OPERATION_TYPES else "execution"


def count_agents(store: Storage, session_id: str, more: int) -> None:
    """Bring a session's agent_count up to date, after so many `more` have come (-1: one has gone).

    Few are counted in the registry, where others may have written too; many are not counted each time.
    """
    store.execute(
        "UPDATE coordination_sessions SET agent_count = CASE WHEN agent_count >= :few THEN agent_count + :more ELSE "
        "(SELECT count(*) FROM agent_registry WHERE session_id = :id) END WHERE session_id = :id",
        {"id": session_id, "more": more, "few": COUNTED_EACH_TIME})


def renew_heartbeat(store: Storage, agent_id: str) -> Agent | None:
    """Note that an agent is alive; its row, or None for one that is not registered.

    One that was ended for its silence or with its client, and perhaps put off, is active again, if its session is.
    """
    rows = store.execute(
        "UPDATE agent_registry SET last_heartbeat = :now WHERE agent_id = :id RETURNING *",
        {"id": agent_id, "now": store.now()})
    if rows and may_be_heard_again(rows[0]):
        return _revive(store, rows[0])
    return rows[0] if rows else None


def may_be_heard_again(agent: Agent) -> bool:
    """Whether an agent was ended by others, who had not heard from it or saw its client end: it may be alive."""
    return agent["status"] in DIED and (agent["error_info"] or "").startswith((SILENT, CLIENT_ENDED))


def ask_acting(agent_id: str, columns: str = ACTING) -> Statement:
    """The question for the row of an agent that acts."""
    return f"SELECT {columns} FROM agent_registry WHERE agent_id = :id", {"id": agent_id}


def note_heartbeat(store: Storage, agent_id: str, columns: str = ACTING) -> ActingAgent | None:
    """As renew_heartbeat, for what an agent does: where it was heard from in this second nothing is written.

    columns: what is wanted of its row, those of ACTING at least
    """
    rows: list[ActingAgent] = store.execute(*ask_acting(agent_id, columns))
    for row in rows:
        if row["status"] in DIED:
            return renew_heartbeat(store, agent_id)
        now = store.now()
        if row["last_heartbeat"][:SECOND] != now[:SECOND]:
            store.post("UPDATE agent_registry SET last_heartbeat = :now WHERE agent_id = :id",
                       {"id": agent_id, "now": now})
            row["last_heartbeat"] = now
        return row
    return None


def _revive(store: Storage, agent: Agent) -> Agent:
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
    """Renew the heartbeat of an agent whose rows are changed, unless $AGENT_ID says that another does that."""
    if is_own(store, agent_id):
        note_heartbeat(store, agent_id)


def is_own(store: Storage, agent_id: str) -> bool:
    """Whether it is the agent itself that acts, and no other that $AGENT_ID names."""
    return (store.environ.get("AGENT_ID") or agent_id) == agent_id


def note_alive(store: Storage, agent_id: str) -> None:
    """Renew the heartbeat of an agent that only looks, where that can be done without waiting for others."""
    try:
        with store.hurry(), store.transaction("agent:" + agent_id, [ask_acting(agent_id)]):
            note_heartbeat(store, agent_id)
    except MilestoneError:
        pass


def note_caller(store: Storage) -> None:
    """Renew the heartbeat of the agent that $AGENT_ID names, if it is registered and its interval is over.

    So a call that only looks writes at most once in an interval; where it cannot, it looks all the same.
    """
    from .settings import read_count

    given = {"id": store.environ["AGENT_ID"]}
    for row in store.execute("SELECT last_heartbeat FROM agent_registry WHERE agent_id = :id", given):
        if row["last_heartbeat"] <= format_time(store.clock.time() - read_count(store, "heartbeat_interval")):
            note_alive(store, given["id"])


def admit_agent(store: Storage, agent_id: str, columns: str = ACTING) -> ActingAgent:
    """The row of the agent that acts, its heartbeat renewed; an unregistered one is taken in, or refused if strict."""
    row = note_heartbeat(store, agent_id, columns)
    if row and row["agent_type"] != "unregistered":
        return row
    left = _session_left(store, row) if row else ""
    if row and not left:
        return row
    store.lock_membership()
    row = renew_heartbeat(store, agent_id)
    if row:
        return _take_in(store, agent_id, left) if left else row
    from .settings import is_strict

    if is_strict(store):
        from ..storage.suggestions import suggest

        raise Refused(f"no agent {agent_id!r} {suggest(store, agent_id, known_agents(store))}; strict_agents is on: "
                      "register_agent it first")
    warn_of_slip(store, agent_id, "it is taken in as a new one")
    return _take_in(store, agent_id, session_for_newcomers(store))


def acting_session(store: Storage, agent: ActingAgent) -> str:
    """The session for which counts what a registered agent does; $SESSION_ID that names another is warned of.

    That other one wins where the agent was registered in it too and it goes on: another agent has since registered
    under the same id elsewhere. One that has ended is only left over: nothing counts for it.
    """
    counts, agent_id = contradicting_session(store, agent), agent["agent_id"]
    if not counts:
        return str(agent["session_id"])
    store.warn(f"agent {agent_id!r} is registered in session {agent['session_id']!r}, but SESSION_ID is "
               f"{store.environ['SESSION_ID']!r}: this counts for {counts!r}; each agent needs an id of its own, and "
               "SESSION_ID names its session")
    return counts


def contradicting_session(store: Storage, agent: ActingAgent) -> str:
    """The session that counts where $SESSION_ID contradicts an agent's registration; "" where it does not."""
    wanted, agent_id = store.environ.get("SESSION_ID", ""), agent["agent_id"]
    if not wanted or wanted == agent["session_id"] or not is_own(store, agent_id):
        return ""
    if store.execute("SELECT 1 AS over FROM coordination_sessions WHERE session_id = :session "
                     f"AND status NOT IN {any_of(OPEN_SESSION)}", {"session": wanted}):
        return ""
    been = store.execute(
        "SELECT 1 AS been FROM events WHERE session_id = :session AND agent_id = :agent "
        "AND event IN ('agent_registered', 'agent_revived') LIMIT 1", {"session": wanted, "agent": agent_id})
    return wanted if been else str(agent["session_id"])


def _take_in(store: Storage, agent_id: str, session_id: str) -> Agent:
    session = ensure_session(store, session_id, store.environ.get("MILESTONE_ID") or None)
    enter_agent(store, agent_id, "unregistered", session, begins_life=False)
    return find_agent(store, agent_id)


def _session_left(store: Storage, row: ActingAgent) -> str:
    """Where an unregistered agent acts now, if not in its session: $SESSION_ID, or elsewhere if that has ended."""
    wanted = store.environ.get("SESSION_ID", "")
    if not wanted and find_session(store, row["session_id"])["status"] in ENDED:
        wanted = _latest_session(store)
    return "" if wanted == row["session_id"] else wanted


def session_for_newcomers(store: Storage) -> str:
    """$SESSION_ID, else the active session with the latest activity, else a new one."""
    return (store.environ.get("SESSION_ID") or _latest_session(store)
            or f"execution-unregistered-{int(store.clock.time())}")


def _latest_session(store: Storage) -> str:
    rows = store.execute("SELECT session_id FROM coordination_sessions WHERE status = 'active' "
                         "ORDER BY last_activity DESC, session_id LIMIT 1")
    return str(rows[0]["session_id"]) if rows else ""


def enter_agent(store: Storage, agent_id: str, agent_type: str, session: Session, capabilities: str | None = None,
                milestone_id: str | None = None, begins_life: bool = True) -> int:
    """Enter an agent into a session, new or once more; what it saved and when it was first spawned stay.

    milestone_id: what it works on; None: what the session does
    begins_life: whether it is another process, for which what was taken before is requeued
    Returns how many messages went back into its inbox.
    """
    before: list[Agent] = store.execute("SELECT * FROM agent_registry WHERE agent_id = :id", {"id": agent_id})
    returned = sum(_begin_again(store, row, session["session_id"]) for row in before)
    if begins_life:
        from .inbox import requeue_former_life

        returned += requeue_former_life(store, agent_id)
    store.execute(
        "INSERT INTO agent_registry (agent_id, agent_type, milestone_id, session_id, status, capabilities, "
        "spawn_time, last_heartbeat, client_session) "
        "VALUES (:id, :type, :milestone, :session, 'active', :given, :now, :now, :client) "
        "ON CONFLICT (agent_id) DO UPDATE SET agent_type = excluded.agent_type, "
        "milestone_id = excluded.milestone_id, session_id = excluded.session_id, status = 'active', "
        "capabilities = coalesce(:capabilities, agent_registry.capabilities), "
        "last_heartbeat = excluded.last_heartbeat, "
        "completion_time = NULL, error_info = NULL, life = agent_registry.life + :next, "
        "client_session = CASE WHEN :next = 1 THEN excluded.client_session ELSE agent_registry.client_session END, "
        "briefed_at = CASE WHEN :next = 0 THEN agent_registry.briefed_at END, "
        "rung_message = CASE WHEN :next = 0 THEN agent_registry.rung_message ELSE 0 END",
        {"id": agent_id, "type": agent_type, "milestone": milestone_id or session["milestone_id"],
         "session": session["session_id"], "capabilities": capabilities, "given": capabilities or "[]",
         "now": store.now(), "next": int(begins_life), "client": _client_session(store)})
    left = [row["session_id"] for row in before if row["session_id"] != session["session_id"]]
    for session_id in left:
        count_agents(store, session_id, -1)
    count_agents(store, session["session_id"], int(bool(left) or not before))
    ended = any(row["status"] in ENDED_AGENT for row in before)
    record_event(store, "agent_revived" if ended else "agent_registered", session["session_id"], agent_id,
                 milestone_id or session["milestone_id"], agent_type)
    return returned


def _client_session(store: Storage) -> str | None:
    """The session or thread of the client in which the caller runs, if that tells it."""
    return next((store.environ[name] for name in CLIENT_SESSIONS if store.environ.get(name)), None)


def _begin_again(store: Storage, agent: Agent, session_id: str) -> int:
    """Before an agent is entered again: what it took when it died is requeued (how many), what it saved is kept."""
    from .inbox import requeue_taken
    from .settings import read_count
    from .snapshots import store_checkpoint

    died = agent["status"] in ENDED_AGENT or (
        agent["status"] != "paused" and
        agent["last_heartbeat"] <= shift_time(store.now(), -read_count(store, "session_timeout")))
    returned = requeue_taken(store, agent["agent_id"])[0] if died else 0
    if agent["session_id"] != session_id and _has_unkept_state(store, agent):
        store_checkpoint(store, agent["agent_id"], "automatic", [], agent["session_id"])
    return returned


def _has_unkept_state(store: Storage, agent: Agent) -> bool:
    """Whether an agent has saved something in its session since its last checkpoint there."""
    theirs = "agent_id = :agent AND {} = :session"
    return bool(store.execute(
        f"SELECT 1 AS saved FROM agent_state WHERE {theirs.format('saved_in')} AND updated_at > coalesce("
        f"(SELECT max(created_at) FROM agent_checkpoints WHERE {theirs.format('session_id')}), '') LIMIT 1",
        {"agent": agent["agent_id"], "session": agent["session_id"]}))


def set_agent_status(store: Storage, agent_id: str, status: str, error: str | None = None) -> tuple[int, int]:
    """Set a status, and what follows for the messages taken: (requeued, dead letters), both 0 unless it failed."""
    from .inbox import acknowledge_taken, requeue_taken

    row = store.execute(
        "UPDATE agent_registry SET status = :status, error_info = :error, "
        "completion_time = CASE WHEN :ended = 1 THEN coalesce(completion_time, :now) END "
        "WHERE agent_id = :id RETURNING session_id, milestone_id",
        {"id": agent_id, "status": status, "error": error, "now": store.now(),
         "ended": int(status in ENDED_AGENT)})[0]
    record_event(store, f"agent_{status}", row["session_id"], agent_id, row["milestone_id"], error or "")
    if status == "completed":
        acknowledge_taken(store, agent_id)
    if status in DIED:
        return requeue_taken(store, agent_id)
    return 0, 0


def complete_session(store: Storage, session_id: str) -> Session:
    """Mark a session completed with all its agents that had not ended; completing it again changes nothing."""
    from .inbox import warn_of_unread

    session = find_session(store, session_id)
    if session["status"] == "completed":
        return session
    for row in store.execute("SELECT agent_id FROM agent_registry WHERE session_id = :id "
                             f"AND status IN {any_of(GOING_ON)}", {"id": session_id}):
        set_agent_status(store, row["agent_id"], "completed")
    warn_of_unread(store, f"session {session_id!r} is completed", session_id=session_id)
    record_event(store, "session_completed", session_id, milestone_id=session["milestone_id"])
    completed: Session = store.execute(
        "UPDATE coordination_sessions SET status = 'completed', progress = 100, completed_at = :now "
        "WHERE session_id = :id RETURNING *", {"id": session_id, "now": store.now()})[0]
    return completed


def reopen_session(store: Storage, session_id: str) -> None:
    """Make a session active, whatever it was; counts as activity."""
    before = find_session(store, session_id)["status"]
    if before != "active":
        record_event(store, "session_resumed", session_id, detail=before)
    store.execute("UPDATE coordination_sessions SET status = 'active', completed_at = NULL, last_activity = :now "
                  "WHERE session_id = :id", {"id": session_id, "now": store.now()})
