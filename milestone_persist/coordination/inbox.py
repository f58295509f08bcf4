"""Deliveries: what becomes of the messages an agent has taken, or has still to read."""
from __future__ import annotations

from ..base.quoting import command
from ..base.values import read_stored
from ..storage.events import record_event
from .message_states import DEAD, MESSAGE_STATES, PENDING, STATE, TAKEN
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import DeadLetter
    from ..storage.interface import Row, Storage


def settle_messages(store: Storage, agent_id: str) -> list[Row]:
    """Acknowledge what an agent has taken; the id, type and time of each message, in the order of sending."""
    rows = store.execute(
        f"UPDATE agent_messages SET acknowledged_at = :now, processed_at = :now WHERE to_agent = :id AND {TAKEN} "
        "RETURNING id, message_type, delivered_at", {"id": agent_id, "now": store.now()})
    return sorted(rows, key=lambda row: int(row["id"]))


def return_messages(store: Storage, agent_id: str) -> tuple[int, int]:
    """Put back what an agent took and did not acknowledge: (back in the inbox, dead letters: tried too often)."""
    given = {"id": agent_id, "now": store.now(), "limit": read_count(store, "message_retry_limit")}
    taken = f"WHERE to_agent = :id AND {TAKEN} "
    dead = store.execute("UPDATE agent_messages SET dead_lettered_at = :now " + taken +
                         "AND retry_count >= :limit RETURNING id, session_id", given)
    back = store.execute("UPDATE agent_messages SET delivered_at = NULL, retry_count = retry_count + 1 " + taken +
                         "RETURNING id, session_id", given)
    for row in dead:
        record_event(store, "message_dead_lettered", row["session_id"], agent_id, detail=str(row["id"]))
    if back:
        _record_return(store, agent_id, back)
    return len(back), len(dead)


def requeue_messages(store: Storage, agent_id: str) -> int:
    """Put back what the former life of an agent took and did not acknowledge, which is no retry; how many."""
    rows = store.execute(f"UPDATE agent_messages SET delivered_at = NULL WHERE to_agent = :id AND {TAKEN} "
                         "RETURNING id, session_id", {"id": agent_id})
    if rows:
        _record_return(store, agent_id, rows)
    return len(rows)


def count_unread(store: Storage, agent_id: str) -> int:
    """How many messages lie in an agent's inbox."""
    return int(store.execute(f"SELECT count(*) AS n FROM agent_messages WHERE to_agent = :id AND {PENDING}",
                             {"id": agent_id})[0]["n"])


def warn_of_unread(store: Storage, what: str, agent_id: str | None = None, session_id: str | None = None) -> None:
    """Warn of the unread messages of an agent or of a session that ends.

    what: who ends how, as the line begins
    """
    rows = store.execute(
        f"SELECT to_agent, count(*) AS n, max(priority) AS priority FROM agent_messages WHERE {PENDING} AND "
        "(to_agent = :agent OR session_id = :session) GROUP BY to_agent ORDER BY max(priority) DESC, to_agent",
        {"agent": agent_id, "session": session_id})
    if not rows:
        return
    number = sum(row["n"] for row in rows)
    whose = "" if agent_id else " for " + ", ".join(row["to_agent"] for row in rows[:5]) + " …" * (len(rows) > 5)
    store.warn(f"{what} with {number} unread message{'s' * (number > 1)}{whose} (highest priority "
               f"{rows[0]['priority']}): {command(['get_agent_messages', rows[0]['to_agent']])} shows them")


def _record_return(store: Storage, agent_id: str, back: list[Row]) -> None:
    record_event(store, "messages_returned", back[0]["session_id"], agent_id,
                 detail=" ".join(str(number) for number in sorted(row["id"] for row in back)))


def gather_messages(store: Storage, agent_id: str, session_id: str) -> None:
    """Let the messages an agent has still to read or to acknowledge count in its session."""
    for which in (PENDING, TAKEN):
        store.execute(f"UPDATE agent_messages SET session_id = :session WHERE to_agent = :id AND {which} "
                      "AND session_id <> :session", {"id": agent_id, "session": session_id})


def count_messages(store: Storage, session_id: str | None = None) -> dict[str, int]:
    """How many messages are pending, taken, acknowledged and dead letters, of a session or in all."""
    rows = store.execute(f"SELECT {STATE} AS state, count(*) AS n FROM agent_messages "
                         "WHERE :id IS NULL OR session_id = :id GROUP BY 1", {"id": session_id})
    return {**dict.fromkeys(MESSAGE_STATES, 0), **{row["state"]: row["n"] for row in rows}}


def list_dead_letters(store: Storage, session_id: str) -> list[DeadLetter]:
    """The messages of a session that were put back too often."""
    rows = store.execute(
        "SELECT id, from_agent, to_agent, message_type, payload, retry_count, created_at, dead_lettered_at "
        f"FROM agent_messages WHERE session_id = :id AND {DEAD} ORDER BY id", {"id": session_id})
    for row in rows:
        row["payload"] = read_stored(row["payload"], f"the payload of message {row['id']}")
    return rows
