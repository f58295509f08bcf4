"""Overview: what is going on in a store at one instant, and what needs attention."""
from __future__ import annotations

from ..base.quoting import command_on
from ..base.times import minutes_between, since
from ..base.values import tell_count
from ..base.vocabulary import AT_WORK, ENDED, ENDED_AGENT, GOING_ON, OPEN_SESSION, any_of
from .bounded import Counts
from .liveness import find_interrupted_sessions, heard_before, is_stale
from .open_mail import group_open, list_readers, states_beyond
from .sessions import find_session
from .settings import read_count
from .watchers import list_watchers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Attention, Inbox, InterruptedSession, OverviewAgent, OverviewSession
    from ..storage.interface import Row, Storage

MOST_ENDED = 3  # sessions that have ended, beside those that are open
# A query for each status, so that each has an index.
LATEST_ENDED = " UNION ALL ".join(
    f"SELECT session_id FROM (SELECT session_id FROM coordination_sessions WHERE status = '{status}' "
    f"ORDER BY last_activity DESC, session_id LIMIT :most) AS latest_{status}" for status in ENDED)
MOST_NAMES = 4  # agents that one line of attention names
URGENT = 8  # the priority from which a message should not lie long
WORDS = {"pending": "waiting", "taken": "taken", "dead": "dead"}


def list_sessions(store: Storage, session_id: str | None) -> list[OverviewSession]:
    """One session, or the open ones and the latest ended ones; the latest activity first."""
    if session_id:
        find_session(store, session_id)
    columns = ("SELECT s.session_id, s.milestone_id, s.operation_type, s.phase, s.status, s.progress, s.last_activity, "
               "s.coordinator_id, s.agent_count AS agents, (SELECT count(*) FROM agent_registry a WHERE "
               f"a.session_id = s.session_id AND a.status IN {any_of(AT_WORK)} AND a.last_heartbeat > :stale) AS alive "
               "FROM coordination_sessions s ")
    latest = "ORDER BY s.last_activity DESC, s.session_id"
    given = {"id": session_id, "stale": heard_before(store, read_count(store, "interrupted_after")),
             "most": MOST_ENDED}
    if session_id:
        return store.execute(f"{columns} WHERE s.session_id = :id", given)
    return (store.execute(f"{columns} WHERE s.status IN {any_of(OPEN_SESSION)} {latest}", given)
            + store.execute(f"{columns} WHERE s.session_id IN ({LATEST_ENDED}) {latest} LIMIT :most", given))


def list_agents(store: Storage, session_id: str | None) -> list[OverviewAgent]:
    """The agents of one session, or of all open ones, ordered by session and start.

    watched: whether a watcher calls each to its mail; false: it has died; None: there is none
    """
    which = "a.session_id = :id" if session_id else f"s.status IN {any_of(OPEN_SESSION)}"
    rows: list[OverviewAgent] = store.execute(
        "SELECT a.agent_id, a.agent_type, a.session_id, a.status, a.current_task, a.current_phase, a.last_heartbeat, "
        "a.error_info FROM agent_registry a JOIN coordination_sessions s ON s.session_id = a.session_id "
        f"WHERE {which} ORDER BY s.last_activity DESC, a.session_id, a.spawn_time, a.agent_id", {"id": session_id})
    silent = heard_before(store, read_count(store, "interrupted_after"))
    watched = {watcher["agent_id"]: watcher["alive"] for watcher in list_watchers(store.directory)}
    for row in rows:
        row["watched"] = watched.get(row["agent_id"])
        row["minutes_since_heartbeat"] = round(minutes_between(row["last_heartbeat"], store.now()), 2)
        row["silent"] = is_stale(row, silent)
    return rows


def list_inboxes(store: Storage, session_id: str | None) -> list[Inbox]:
    """How many messages are waiting, taken and dead in each non-empty inbox, and the age of the oldest urgent one.

    session_id: only inboxes of agents of that session, and of those who read mail of it

    No more than MOST_COUNTED that wait, and that are taken, of each inbox are looked at, nor of all dead letters.
    """
    own = {row["agent_id"] for row in store.execute(
        "SELECT agent_id FROM agent_registry WHERE session_id = :id", {"id": session_id})} if session_id else set()
    rows, cut = _read_inboxes(store)
    inboxes: dict[str, list[Row]] = {}
    for row in rows:
        if not session_id or row["session_id"] == session_id or row["to_agent"] in own:
            inboxes.setdefault(row["to_agent"], []).append(row)
    return [_sum_up(agent_id, inboxes[agent_id], cut[agent_id]) for agent_id in sorted(inboxes)]


def _read_inboxes(store: Storage) -> tuple[list[Row], dict[str, set[str]]]:
    """The open mail in groups, and the incomplete parts of each inbox."""
    columns = "to_agent, session_id, state"
    urgent = f"min(CASE WHEN priority >= {URGENT} THEN created_at END) AS urgent"
    rows, cut = group_open(store, columns, totals=urgent)
    beyond: dict[str, set[str]] = {}
    for part in sorted(cut - {"dead"}):  # in all inboxes there is too much: one after the other
        rows = [row for row in rows if row["part"] != part]
        for agent_id in list_readers(store, part):
            found, more = group_open(store, columns, agent_id=agent_id, parts=(part,), totals=urgent)
            rows += found
            beyond.setdefault(agent_id, set()).update(more)
    return rows, {row["to_agent"]: beyond.get(row["to_agent"], set()) | cut & {"dead"} for row in rows}


def _sum_up(agent_id: str, rows: list[Row], cut: set[str]) -> Inbox:
    counts, beyond = Counts(), states_beyond(cut)
    for state, word in WORDS.items():
        counts.add(word, sum(row["n"] for row in rows if row["state"] == state), state not in beyond)
    return {"agent_id": agent_id, "waiting": counts["waiting"], "taken": counts["taken"], "dead": counts["dead"],
            "urgent_since": min((row["urgent"] for row in rows if row["state"] == "pending" and row["urgent"]),
                                default=None),
            "at_least": counts.at_least}


def list_attention(store: Storage, sessions: list[OverviewSession], agents: list[OverviewAgent],
                   inboxes: list[Inbox]) -> list[Attention]:
    """What needs attention, the most urgent first: what it is, and the command that shows or handles it."""
    shown = {row["session_id"] for row in sessions}
    interrupted = [row for row in find_interrupted_sessions(store) if row["session_id"] in shown]
    told = {row["session_id"] for row in interrupted}
    late = heard_before(store, read_count(store, "interrupted_after"))
    return [*(_tell_session(row, agents) for row in interrupted),
            *(found for row in sessions if row["session_id"] not in told for found in _tell_silent(row, agents)),
            *(found for inbox in inboxes for found in _tell_inbox(store, inbox, late, told)),
            *(_tell_watcher(agent) for agent in agents if agent["watched"] is False and agent["status"] in GOING_ON)]


def _tell_watcher(agent: OverviewAgent) -> Attention:
    again = command_on("milestone_persist", ["watch"], ["--agent", agent["agent_id"]])
    return {"what": f"the watcher of {agent['agent_id']} has died, {again} starts it again",
            "command": ["list_agent_messages", agent["agent_id"], "--state", "pending"]}


def _tell_session(session: InterruptedSession, agents: list[OverviewAgent]) -> Attention:
    own = [agent for agent in agents if agent["session_id"] == session["session_id"]]
    parts = [_name("failed", [agent["agent_id"] for agent in own if agent["status"] == "failed"]), _name_silent(own)]
    what = "; ".join(part for part in parts if part) or f"nothing heard for {_minutes(session['minutes_inactive'])}"
    return {"what": f"{session['session_id']}: {what}", "command": ["recover_milestone_session", session["session_id"]]}


def _tell_silent(session: OverviewSession, agents: list[OverviewAgent]) -> list[Attention]:
    """The agents of an open session that are silent, but not long enough to count as dead."""
    names = _name_silent([agent for agent in agents if agent["session_id"] == session["session_id"]])
    return [{"what": f"{session['session_id']}: {names}",
             "command": ["recover_milestone_session", session["session_id"]]}] if names else []


def _name_silent(agents: list[OverviewAgent]) -> str:
    return _name("silent", [f"{agent['agent_id']} ({_minutes(agent['minutes_since_heartbeat'])})"
                            for agent in agents if agent["silent"]])


def _minutes(number: float) -> str:
    return f"{number:.0f} min"


def _name(what: str, names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{what}: {', '.join(names[:MOST_NAMES])}{more}" if names else ""


def _tell_inbox(store: Storage, inbox: Inbox, late: str, told: set[str]) -> list[Attention]:
    """What is wrong with an inbox; recovery reports failed agents, if their session is already `told`."""
    agent_id, found = inbox["agent_id"], []
    if inbox["dead"]:
        found.append((f"{tell_count(inbox, 'dead')} dead letters for {agent_id}", "dead"))
    rows = store.execute("SELECT status, session_id FROM agent_registry WHERE agent_id = :id", {"id": agent_id})
    reader = rows[0] if rows else {"status": "not registered", "session_id": None}
    if inbox["waiting"] and (not rows or reader["status"] in ENDED_AGENT):
        if reader["status"] != "failed" or reader["session_id"] not in told:
            found.append((f"{tell_count(inbox, 'waiting')} unread for {agent_id} ({reader['status']})", "pending"))
    elif inbox["waiting"] and inbox["urgent_since"] and inbox["urgent_since"] <= late:
        found.append((f"an urgent message for {agent_id} waits {since(inbox['urgent_since'], store.now())}", "pending"))
    return [{"what": what, "command": ["list_agent_messages", agent_id, "--state", state]} for what, state in found]
