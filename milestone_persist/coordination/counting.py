"""Counts of sessions, agents and messages: exact for what is open, bounded for what is over."""
from __future__ import annotations

from ..base.vocabulary import AT_WORK, MESSAGE_STATES, SESSION_STATUSES, any_of
from . import bounded
from .bounded import Counts, count_some
from .liveness import heard_before
from .message_states import COUNTS_IN, DEAD, PENDING, STATE, TAKEN
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
    """The messages of a session, counted as count_mail says; at_least names those of which there are more."""
    counts = count_mail(store, session_id)
    return {"messages": counts, "at_least": [f"messages.{name}" for name in counts.at_least]}


def count_mail(store: Storage, session_id: str | None = None, every_one: bool = False) -> Counts:
    """How many messages are pending, taken, acknowledged and dead letters, in a session or in all.

    In a session count the unread ones of its agents, and of those sent in it what has no other reader.
    every_one: count all that were acknowledged, too
    """
    unread, sent, others = ("", "", "") if session_id is None else (
        f" AND {COUNTS_IN} = :id", "session_id = :id AND ", " AND session_id || '' = :id")  # '': not by that index
    given = {"id": session_id, "now": store.now(), "limit": read_count(store, "message_retry_limit")}

    def number(which: str) -> str:
        return f"(SELECT count(*) FROM agent_messages WHERE {which})"

    rows = store.execute(
        "SELECT state, count(*) AS n FROM (" + " UNION ALL ".join(
            f"SELECT {STATE} AS state FROM agent_messages WHERE {part}{unread}" for part in (TAKEN, PENDING)) +
        f") AS told GROUP BY state UNION ALL SELECT 'dead', {number(sent + DEAD)} UNION ALL SELECT 'not over', "
        f"{number(PENDING + others)} + {number(TAKEN + others)} + {number(sent + DEAD)}", given)
    found = dict.fromkeys((*MESSAGE_STATES, "not over"), 0)
    for row in rows:
        found[row["state"]] += row["n"]
    # What is acknowledged is what is left: those of a session are counted in an index, their times stand in the table.
    rest = found.pop("not over")
    acknowledged = count_some(store, f"agent_messages WHERE {sent}1 = 1", given, None if every_one else rest) - rest
    counts = Counts(found)
    if every_one:
        counts["acknowledged"] = acknowledged
    else:
        counts.add("acknowledged", acknowledged)
    return counts


def _count_sessions(store: Storage) -> Counts:
    counts = Counts()
    for status in sorted(SESSION_STATUSES):
        number = count_some(store, "coordination_sessions WHERE status = :status", {"status": status})
        if number:
            counts.add(status, number)
    return counts


def _count_agents(store: Storage) -> Counts:
    """Of many, those at work and those that failed are found by an index, the others only seen among the first."""
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
    """How many agents are of each status among the first that are found, one more than MOST_COUNTED."""
    rows = store.execute(f"SELECT status, count(*) AS n FROM (SELECT status FROM agent_registry {where} "
                         f"LIMIT {bounded.MOST_COUNTED + 1}) AS first GROUP BY status")
    return {row["status"]: row["n"] for row in rows}
