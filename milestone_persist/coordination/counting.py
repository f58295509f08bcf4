"""Counts of sessions, agents and messages, each up to MOST_COUNTED."""
from __future__ import annotations

from ..base.vocabulary import AT_WORK, MESSAGE_STATES, SESSION_STATUSES, any_of
from . import bounded
from .bounded import Counts, count_some
from .liveness import heard_before
from .open_mail import group_open, states_beyond
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import CountedMessages, CountedStore
    from ..storage.interface import Storage


def count_everything(store: Storage) -> CountedStore:
    """How many sessions and agents there are of each status, messages of each state, and checkpoints."""
    groups = {"sessions": _count_sessions(store), "agents": _count_agents(store), "messages": count_mail(store)}
    for counts in groups.values():
        counts.sum_up()
    groups["agents"].add("stale", count_some(
        store, f"agent_registry WHERE status IN {any_of(AT_WORK)} AND last_heartbeat <= :limit",
        {"limit": heard_before(store, read_count(store, "session_timeout"))}))
    beside = Counts()
    beside.add("checkpoints", count_some(store, "agent_checkpoints"))
    return {"sessions": groups["sessions"], "agents": groups["agents"], "messages": groups["messages"],
            "checkpoints": beside["checkpoints"],
            "at_least": [f"{group}.{name}" for group, counts in groups.items() for name in counts.at_least]
            + beside.at_least}


def count_messages(store: Storage, session_id: str) -> CountedMessages:
    """The messages of a session, counted as described in count_mail; at_least names incomplete numbers."""
    counts = count_mail(store, session_id)
    return {"messages": counts, "at_least": [f"messages.{name}" for name in counts.at_least]}


def count_mail(store: Storage, session_id: str | None = None, every_one: bool = False) -> Counts:
    """How many messages are pending, taken, acknowledged and dead letters, in a session or in all.

    In a session count the unread ones of its agents, and of those sent in it what has no other reader.
    every_one: count all of them
    """
    rows, cut = group_open(store, "state, mine, sent", session_id, every_one=every_one)
    found = dict.fromkeys(MESSAGE_STATES, 0)
    for row in rows:
        found[row["state"]] += row["n"] if row["mine"] else 0
    found["acknowledged"], is_all = _count_acknowledged(
        store, session_id, None if cut else sum(row["n"] for row in rows if row["sent"]), every_one)
    if every_one:
        return Counts(found)
    counts, beyond = Counts(), states_beyond(cut) | ({"acknowledged"} if not is_all else set())
    for state, number in found.items():
        counts.add(state, number, state not in beyond)
    return counts


def _count_acknowledged(store: Storage, session_id: str | None, rest: int | None, every_one: bool) -> tuple[int, bool]:
    """How many messages sent in a session were acknowledged, and whether the number is complete.

    rest: how many others were sent in it, if that is known: then they are what is left, and only an index is read
    """
    sent, given = "agent_messages" + " WHERE session_id = :id" * (session_id is not None), {"id": session_id}
    if rest is not None:
        return count_some(store, sent, given, None if every_one else rest) - rest, True
    row = store.execute("SELECT count(*) AS seen, count(acknowledged_at) AS n FROM (SELECT acknowledged_at "
                        f"FROM {sent} LIMIT {bounded.MOST_COUNTED + 1}) AS first", given)[0]
    return row["n"], row["seen"] <= bounded.MOST_COUNTED


def _count_sessions(store: Storage) -> Counts:
    counts = Counts()
    for status in sorted(SESSION_STATUSES):
        number = count_some(store, "coordination_sessions WHERE status = :status", {"status": status})
        if number:
            counts.add(status, number)
    return counts


def _count_agents(store: Storage) -> Counts:
    """Of many agents, working and failed ones are found by an index, others only among the first ones."""
    found = _count_statuses(store)
    is_all = all_work = sum(found.values()) <= bounded.MOST_COUNTED
    if not is_all:
        at_work = _count_statuses(store, f"WHERE status IN {any_of(AT_WORK)}")
        all_work = sum(at_work.values()) <= bounded.MOST_COUNTED
        failed = count_some(store, "agent_registry WHERE status = 'failed'")
        found = {**{status: n for status, n in found.items() if status not in AT_WORK}, **at_work, "failed": failed}
    counts = Counts()
    for status, number in sorted(found.items()):
        if number:
            counts.add(status, number, status == "failed" or (all_work if status in AT_WORK else is_all))
    return counts


def _count_statuses(store: Storage, where: str = "") -> dict[str, int]:
    """How many agents have each status, among the first MOST_COUNTED + 1."""
    rows = store.execute(f"SELECT status, count(*) AS n FROM (SELECT status FROM agent_registry {where} "
                         f"LIMIT {bounded.MOST_COUNTED + 1}) AS first GROUP BY status")
    return {row["status"]: row["n"] for row in rows}
