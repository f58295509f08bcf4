"""An inbox: what happens to the messages that an agent has taken, or has not read yet."""
from __future__ import annotations

from ..base.quoting import command_on
from ..base.values import dump_json, read_stored
from ..base.vocabulary import MOST_NAMED
from ..storage.events import record_event
from . import bounded
from .bounded import Counts, count_some
from .message_states import (
    BACK,
    DEAD,
    FOR_OTHERS,
    FOR_READER,
    LAPSED,
    PENDING,
    TAKEN,
    UNLEASED,
)
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..base.answers import DeadLetter, InboxMessage, ListedMessage, MailForOthers, Notice, Unread
    from ..storage.interface import Row, Statement, Storage

COLUMNS = ("id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, "
           "retry_count")
THIS_LIFE = ("(taken_in_life IS NULL OR taken_in_life = "
             "(SELECT life FROM agent_registry WHERE agent_registry.agent_id = to_agent))")
_ASK_HELD = ("SELECT id, message_type, delivered_at, lease_until FROM agent_messages WHERE to_agent = :id "
             f"AND {TAKEN} AND (lease_until <= :now OR lease_until IS NULL AND {THIS_LIFE}) ORDER BY id")
_DONE = "CASE WHEN delivered_at IS NULL THEN NULL ELSE :now END"
_MOVE_ON = ("UPDATE agent_messages SET delivered_at = coalesce(delivered_at, :now), "
            f"taken_in_life = coalesce(taken_in_life, :life), lease_until = :until, acknowledged_at = {_DONE}, "
            f"processed_at = {_DONE}")
_MOVE_ONE_ON = f"{_MOVE_ON} WHERE id = :id"


def acknowledge_taken(store: Storage, agent_id: str) -> None:
    """Acknowledge the messages that this life of an agent has taken without a lease."""
    store.post("UPDATE agent_messages SET acknowledged_at = :now, processed_at = :now "
               f"WHERE to_agent = :id AND {UNLEASED} AND {THIS_LIFE}", {"id": agent_id, "now": store.now()})


def ask_held(agent_id: str, now: str) -> Statement:
    """The query for `settle_held`."""
    return _ASK_HELD, {"id": agent_id, "now": now}


def settle_held(store: Storage, agent_id: str, now: str) -> list[Row]:
    """Requeue messages whose lease has expired; those that this life of an agent has taken without one."""
    rows = store.execute(*ask_held(agent_id, now))
    held = [row for row in rows if row["lease_until"] is None]
    if len(held) < len(rows):
        requeue_taken(store, agent_id, LAPSED)
    return held


def move_on(store: Storage, rows: list[Any], given: Row) -> None:
    """Mark messages that this transaction has read: pending ones as taken, taken ones as acknowledged.

    SQLite changes a row by its id, read before, for half of what RETURNING costs.
    given: now, and for those that were pending: life, until
    """
    if not store.is_far:
        store.execute_each(_MOVE_ONE_ON, [{**given, "id": row["id"]} for row in rows])
    elif rows:
        store.post(f"{_MOVE_ON} WHERE id IN ({', '.join(str(int(row['id'])) for row in rows)})", given)


def requeue_taken(store: Storage, agent_id: str, which: str = TAKEN) -> tuple[int, int]:
    """Requeue an agent's taken, unacknowledged messages: (requeued, dead letters after too many retries)."""
    given = {"id": agent_id, "now": store.now(), "limit": read_count(store, "message_retry_limit")}
    taken = f"WHERE to_agent = :id AND {which} "
    dead = store.execute("UPDATE agent_messages SET dead_lettered_at = :now " + taken +
                         "AND retry_count >= :limit RETURNING id, session_id", given)
    back = store.execute(f"UPDATE agent_messages SET {BACK}, retry_count = retry_count + 1 {taken}"
                         "RETURNING id, session_id", given)
    for row in sorted(dead, key=_number):
        record_event(store, "message_dead_lettered", row["session_id"], agent_id, detail=str(row["id"]))
    if dead:
        numbers = ", ".join(str(number) for number in sorted(map(_number, dead))[:MOST_NAMED])
        store.tell_done(f"requeued too often, and dead letters now: {numbers}{' …' * (len(dead) > MOST_NAMED)}; "
                        f"{command_on('list_agent_messages', [agent_id], ['--state', 'dead'])} shows them")
    if back:
        _record_requeue(store, agent_id, back)
    return len(back), len(dead)


def requeue_lapsed(store: Storage, agent_id: str) -> None:
    """Requeue messages whose lease has expired; done before any work on an inbox."""
    if store.execute(f"SELECT 1 AS over FROM agent_messages WHERE to_agent = :id AND {LAPSED} LIMIT 1",
                     {"id": agent_id, "now": store.now()}):
        requeue_taken(store, agent_id, LAPSED)


def requeue_former_life(store: Storage, agent_id: str) -> int:
    """Requeue the former life's taken, unacknowledged messages, without counting a retry; returns how many."""
    requeue_lapsed(store, agent_id)
    rows = store.execute(f"UPDATE agent_messages SET {BACK} WHERE to_agent = :id AND {TAKEN} "
                         "RETURNING id, session_id", {"id": agent_id})
    if rows:
        _record_requeue(store, agent_id, rows)
    return len(rows)


def count_unread(store: Storage, agent_id: str) -> Counts:
    """How many messages are in an agent's inbox (`messages_unread`), after requeuing expired leases."""
    counts = Counts()
    counts.add("messages_unread", count_some(
        store, f"agent_messages WHERE to_agent = :id AND {PENDING} AND {FOR_READER}", {"id": agent_id}))
    return counts


def list_unread(store: Storage, agent_id: str, most: int, which: str = "1 = 1",
                newest_first: bool = False) -> list[Notice]:
    """The messages that an agent would get, in that order, without payloads; includes those with expired leases.

    which: a condition
    """
    return _ask_unread(store, agent_id, which, "id, from_agent, message_type, priority, is_broadcast, created_at",
                       f"ORDER BY {'id DESC' if newest_first else 'priority DESC, id'} LIMIT {most}")


def sum_unread(store: Storage, agent_id: str, which: str = "1 = 1") -> Unread:
    """The number of those messages, and the age of the oldest."""
    rows = _ask_unread(store, agent_id, which, "id, created_at", "",
                       "SELECT count(*) AS number, min(created_at) AS since FROM (")
    found: Unread = rows[0]
    return found


def _ask_unread(store: Storage, agent_id: str, which: str, columns: str, order: str, outer: str = "") -> list[Any]:
    parts = (PENDING, f"{LAPSED} AND retry_count < :limit")
    halves = " UNION ALL ".join(f"SELECT {columns} FROM agent_messages WHERE to_agent = :id AND {part} "
                                f"AND {FOR_READER} AND {which}" for part in parts)
    return store.execute(f"{outer}{halves}{') AS unread' if outer else ''} {order}",
                         {"id": agent_id, "now": store.now(), "limit": read_count(store, "message_retry_limit")})


def count_for_others(store: Storage, agent_id: str) -> list[MailForOthers]:
    """The messages under an agent's id that are for milestones other than its own: sent_for and number of each.

    It is looked for among the first messages of the inbox, MOST_COUNTED of them.
    """
    return store.execute(
        "SELECT sent_for, count(*) AS number FROM (SELECT sent_for, to_agent FROM agent_messages WHERE to_agent = :id "
        f"AND {PENDING} ORDER BY priority DESC, id LIMIT {bounded.MOST_COUNTED}) AS first WHERE {FOR_OTHERS} "
        "GROUP BY sent_for ORDER BY sent_for", {"id": agent_id})


def warn_of_unread(store: Storage, what: str, agent_id: str | None = None, session_id: str | None = None) -> None:
    """Warn of unread messages of an ending agent or session, and of leased, unacknowledged ones.

    what: who ends how, as the line begins
    """
    from .open_mail import group_open  # few calls end somebody

    found, cut = group_open(store, "to_agent, mine", session_id, agent_id, ("pending", "taken"),
                            "max(priority) AS highest")
    rows = sorted((row for row in found if row["mine"]),
                  key=lambda row: (-row["highest"], row["to_agent"], row["part"] == "taken"))
    if not rows:
        return
    counts = Counts()
    counts.add("unread", sum(row["n"] for row in rows), not cut)
    names = list(dict.fromkeys(row["to_agent"] for row in rows))
    of_whom = "" if agent_id else " for " + ", ".join(names[:5]) + " …" * (len(names) > 5)
    shows = [command_on("get_agent_messages", [row["to_agent"]], ["--taken"] * (row["part"] == "taken"))
             for row in rows[:3]]
    which = ("shows them" if len(rows) == 1 else "show them") if len(rows) <= len(shows) else "show the first of them"
    store.warn(f"{what} with {counts.tell('unread')} unread message{'s' * (counts['unread'] > 1)}{of_whom} "
               f"(highest priority {rows[0]['highest']}): {', '.join(shows)} {which}")


def ring_again(store: Storage, agent_id: str) -> None:
    """Let hooks send an agent back again for requeued messages."""
    store.execute("UPDATE agent_registry SET rung_message = 0 WHERE agent_id = :id AND rung_message > 0",
                  {"id": agent_id})


def _record_requeue(store: Storage, agent_id: str, back: list[Row]) -> None:
    ring_again(store, agent_id)
    numbers: dict[str, list[str]] = {}
    for row in sorted(back, key=_number):
        numbers.setdefault(row["session_id"], []).append(str(row["id"]))
    for session_id, found in numbers.items():
        record_event(store, "messages_returned", session_id, agent_id, detail=" ".join(found))


def _number(message: Row) -> int:
    return int(message["id"])


def list_dead_letters(store: Storage, session_id: str) -> list[DeadLetter]:
    """The dead letters of a session, at most MOST_COUNTED."""
    rows = store.execute(
        "SELECT id, from_agent, to_agent, message_type, payload, retry_count, created_at, dead_lettered_at "
        f"FROM agent_messages WHERE session_id = :id AND {DEAD} ORDER BY dead_lettered_at "
        f"LIMIT {bounded.MOST_COUNTED}", {"id": session_id})
    # ORDER BY id would have SQLite go through all messages.
    return sorted(read_payloads(rows), key=lambda row: int(row["id"]))


def read_payloads(rows: list[Any]) -> list[Any]:
    """Messages with parsed payloads."""
    for row in rows:
        row["payload"] = read_stored(row["payload"], f"the payload of message {row['id']}")
    return rows


def count_fitting(rows: Sequence[InboxMessage | ListedMessage], most: int) -> int:
    """How many messages, as printed, fit into so many bytes; at least one."""
    count, size = 0, 0
    for row in rows:
        size += len(dump_json(row).encode()) + 1
        if size > most and count:
            break
        count += 1
    return count
