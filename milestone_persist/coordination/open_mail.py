"""Open mail: pending, taken and dead messages, in groups; at most MOST_COUNTED messages of each are read."""
from __future__ import annotations

from . import bounded
from .bounded import count_some
from .message_states import COUNTS_IN, DEAD, PENDING, STATE, TAKEN
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..storage.interface import Params, Row, Storage

PARTS = {"pending": PENDING, "taken": TAKEN, "dead": DEAD}
STATES_IN = {"pending": ("pending",), "taken": ("pending", "taken", "dead"), "dead": ("dead",)}  # leases run out
COLUMNS = ("id, session_id, from_agent, to_agent, message_type, priority, created_at, delivered_at, acknowledged_at, "
           "retry_count, dead_lettered_at, lease_until, sent_for")


def group_open(store: Storage, columns: str, session_id: str | None = None, agent_id: str | None = None,
               parts: Iterable[str] = PARTS, totals: str = "", every_one: bool = False) -> tuple[list[Row], set[str]]:
    """The number `n` of open messages for each part and each value of columns, and the incomplete parts.

    columns: of the messages, and `state`, whether they are `mine` (count in the session) and `sent` in it
    agent_id: only those in this inbox, the most urgent first
    totals: what else is asked of each group
    every_one: read all of them
    """
    given = {"id": session_id, "agent": agent_id, "now": store.now(),
             "limit": read_count(store, "message_retry_limit")}
    columns = f"part, {columns}"
    ask = f"SELECT {columns}, count(*) AS n{', ' * bool(totals)}{totals} FROM ({{}}) AS told GROUP BY {columns}"
    walks = {part: _walk(part, session_id, agent_id) + ("" if every_one else _limit()) for part in parts}
    rows = store.execute(ask.format(_tell(walks, session_id)), given)
    cut = {part for part in walks if not every_one
           and sum(row["n"] for row in rows if row["part"] == part) > bounded.MOST_COUNTED}
    again = sorted(cut - {"dead"}) if session_id is not None else []
    if again:  # of all messages there are too many: those of its agents, and those sent in it, may be few
        rows = [row for row in rows if row["part"] not in again]
        rows += store.execute(ask.format(_tell({part: _walk_session(part) for part in again}, session_id)), given)
        is_short = _is_short(store, "agent_messages WHERE session_id = :id", given)
        cut -= {part for part in again if is_short and _is_short(store, _own_inboxes(part), given)}
    return rows, cut


def states_beyond(cut: Iterable[str]) -> set[str]:
    """The states with incomplete numbers, if those parts were not read to the end."""
    return {state for part in cut for state in STATES_IN[part]}


def list_readers(store: Storage, part: str) -> Iterator[str]:
    """The ids whose inboxes contain messages of a part."""
    last: str | None = ""
    while last is not None:
        last = store.execute(f"SELECT min(to_agent) AS id FROM agent_messages WHERE {PARTS[part]} AND to_agent > :last",
                             {"last": last})[0]["id"]
        if last is not None:
            yield last


def _walk(part: str, session_id: str | None, agent_id: str | None) -> str:
    inbox = " AND to_agent = :agent" * (agent_id is not None)
    scope = " AND session_id = :id" * (part == "dead" and session_id is not None)
    order = " ORDER BY priority DESC, id" * (part == "pending" and agent_id is not None)
    return f"SELECT {COLUMNS} FROM agent_messages WHERE {PARTS[part]}{inbox}{scope}{order}"


def _tell(walks: dict[str, str], session_id: str | None) -> str:
    """The messages of those walks, with the values that they lack."""
    sent = "1 = 1" if session_id is None else "session_id = :id"
    mine = {"dead": "1 = 1"} if session_id is not None else dict.fromkeys(walks, "1 = 1")
    return " UNION ALL ".join(
        f"SELECT '{part}' AS part, {STATE} AS state, {mine.get(part, COUNTS_IN + ' = :id')} AS mine, {sent} AS sent, "
        f"mail.* FROM ({walk}) AS mail" for part, walk in walks.items())


def _walk_session(part: str) -> str:
    """The messages in the inboxes of a session's agents, and those that were sent in it."""
    return (f"SELECT {COLUMNS} FROM agent_messages WHERE {PARTS[part]} AND id IN ("
            f"SELECT id FROM (SELECT id FROM {_own_inboxes(part)}{_limit()}) AS own UNION "
            f"SELECT id FROM (SELECT id FROM agent_messages WHERE session_id = :id{_limit()}) AS sent)")


def _own_inboxes(part: str) -> str:
    return ("agent_registry a CROSS JOIN agent_messages WHERE a.session_id = :id "
            f"AND to_agent = a.agent_id AND {PARTS[part]}")


def _is_short(store: Storage, which: str, given: Params) -> bool:
    return count_some(store, which, given) <= bounded.MOST_COUNTED


def _limit() -> str:
    return f" LIMIT {bounded.MOST_COUNTED + 1}"
