"""Messages: an agent's inbox; each message goes to exactly one taker, and is kept until it is acknowledged."""
from __future__ import annotations

from ..base.errors import Refused, UsageError
from ..base.quoting import command
from ..base.times import shift_time, since
from ..base.values import check_range
from ..base.vocabulary import MOST_NAMED
from ..coordination.inbox import (
    COLUMNS,
    ask_held,
    count_fitting,
    count_unread,
    move_on,
    read_payloads,
    settle_held,
)
from ..coordination.membership import (
    acting,
    acting_session,
    admit_agent,
    ask_acting,
    is_own,
    note_alive,
    warn_of_slip,
)
from ..coordination.message_states import BACK, FOR_READER, LAPSED, TAKEN
from ..coordination.message_states import PENDING as UNTAKEN
from ..coordination.settings import read_count
from ..coordination.silence import end_silent_agents
from ..registry import operation
from ..storage.call import tell_nobody
from ..storage.interface import CODEX, CODEX_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base.answers import InboxMessage
    from ..storage.interface import Row, Statement, Storage

GROUP = "Messages"
LEAST_BYTES = 50  # of a message as it is printed
NEEDED = ("id", "from_agent", "message_type", "payload")  # to act
ALL = 2_000_000_000

ACTING = acting(", a.life")
PENDING = f"to_agent = :agent AND {UNTAKEN} AND {FOR_READER}"
ORDER = "ORDER BY priority DESC, id"
_ASK_PENDING = f"SELECT {COLUMNS} FROM agent_messages WHERE {PENDING} {ORDER} LIMIT :limit"


def requeue_undelivered(store: Storage, messages: list[Row], agent_id: str, *more: Any) -> str:
    """Requeue messages taken for a reader that has gone: pending as before, no retry counted; returns the outcome."""
    with store.transaction("inbox:" + agent_id):
        for message in messages:
            store.execute(f"UPDATE agent_messages SET {BACK} WHERE id = :id AND to_agent = :agent AND {TAKEN}",
                          {"id": message["id"], "agent": agent_id})
    return f"nothing was taken: what is for {agent_id} is in the inbox again"


@operation(text="json", creates="take", on_undelivered=requeue_undelivered)
def get_agent_messages(store: Storage, agent_id: str, take: bool = False, limit: int | None = None, *,
                       wait: float = 0, lease: float | None = None, taken: bool = False,
                       max_bytes: int | None = None, brief: bool = False) -> list[InboxMessage]:
    """Print an agent's pending messages as one JSON array, the most urgent first; [] if there are none.

    agent_id: the agent
    take: true takes the messages (each for one reader) and acknowledges and names those taken before; false peeks
    limit: at most this many
    wait: seconds to wait for a message where there is none; taking within Codex 8 at most
    lease: with true: acknowledge nothing; each is requeued after so many seconds unless it is acknowledged before
    taken: show what is taken and not acknowledged instead
    max_bytes: at most about N bytes, one message at least; the rest stays (taken from the shell functions: 20000)
    brief: only id, from_agent, message_type, payload, and the priority if it is not 5

    Example: get_agent_messages exec-ms-123 true 10 --wait 60
    """
    _check_taking(take, limit, wait, lease, taken, max_bytes)
    if taken:
        return _shorten(_list_taken(store, agent_id, limit), brief)
    if take:
        end_silent_agents(store, agent_id)
    is_cut = bool(take and wait > CODEX_SECONDS and store.environ.get(CODEX))
    until = store.clock.monotonic() + (CODEX_SECONDS if is_cut else wait)
    most = max_bytes or (store.room if take else None)

    def get() -> list[InboxMessage]:
        return (_take(store, agent_id, limit, lease, most, brief) if take else
                _look(store, agent_id, limit, most, brief))

    messages = get()
    while not messages and _wait_for_message(store, agent_id, until):
        messages = get()
    if is_cut and not messages:
        store.tell_done(f"waited {CODEX_SECONDS:g} s and not {wait:g}: Codex leaves a longer call behind, with what it "
                        "takes; call again")
    return messages


def _check_taking(take: bool, limit: int | None, wait: float, lease: float | None, taken: bool,
                  max_bytes: int | None) -> None:
    if limit is not None:
        check_range(limit, 1, 1_000_000_000, "LIMIT")
    check_range(wait, 0, 86400, "--wait")
    if max_bytes is not None:
        check_range(max_bytes, 1, 1_000_000_000, "--max-bytes")
    if lease is not None:
        check_range(lease, 1, 604800, "--lease")
    if lease is not None and not take:
        raise UsageError("--lease goes with taking: get_agent_messages AGENT true --lease SECONDS")
    if taken and (take or wait):
        raise UsageError("--taken only shows what is taken already: get_agent_messages AGENT --taken")


def _shorten(rows: list[InboxMessage], brief: bool) -> list[InboxMessage]:
    """Messages with all their columns, or only with those needed to act."""
    if not brief:
        return rows
    short: list[Any] = [{name: value for name, value in row.items()
                         if name in NEEDED or name == "priority" and value != 5} for row in rows]
    return short


def _wait_for_message(store: Storage, agent_id: str, until: float) -> bool:
    """Wait until a message is in the inbox, renewing the heartbeat meanwhile; False when the time is over."""
    if store.clock.monotonic() >= until:
        return False
    from ..coordination.waiting import Changes

    beat, interval = store.clock.monotonic(), max(1, read_count(store, "heartbeat_interval"))
    changes = Changes(store)
    while store.clock.monotonic() < until:
        changes.wait(until)
        if store.execute(f"SELECT 1 AS pending FROM agent_messages WHERE {PENDING} UNION ALL SELECT 1 FROM "
                         f"agent_messages WHERE to_agent = :agent AND {LAPSED} LIMIT 1",
                         {"agent": agent_id, "now": store.now()}):
            return True
        if store.clock.monotonic() - beat >= interval:
            beat = store.clock.monotonic()
            note_alive(store, agent_id)
    return False


def _look(store: Storage, agent_id: str, limit: int | None, most: int | None, brief: bool) -> list[InboxMessage]:
    if is_own(store, agent_id):
        note_alive(store, agent_id)
    with store.snapshot():
        rows = _find_ready(store, agent_id, limit or ALL)
        if not rows:
            warn_of_slip(store, agent_id, "it has no message")
    if store.is_unmade:
        store.warn(f"there is no store at {store.directory}: no message can come; if there was one, it was removed")
    rows = _shorten(rows, brief)
    fitting = len(rows) if most is None else count_fitting(rows, most)
    if fitting < len(rows):
        store.tell_done(f"{len(rows) - fitting} more would be over --max-bytes {most}: they are not shown")
    return rows[:fitting]


def _find_ready(store: Storage, agent_id: str, limit: int) -> list[InboxMessage]:
    """The messages that a take would return, in order, including those with expired leases."""
    rows = store.execute(*_ask_pending(agent_id, limit))
    lapsed = store.execute(f"SELECT {COLUMNS} FROM agent_messages WHERE to_agent = :agent AND {LAPSED} "
                           f"AND {FOR_READER}", {"agent": agent_id, "now": store.now()})
    if lapsed:
        tries = read_count(store, "message_retry_limit")
        rows += [{**row, "delivered_at": None, "retry_count": row["retry_count"] + 1} for row in lapsed
                 if row["retry_count"] < tries]
    return read_payloads(_in_order(rows)[:limit])


def _ask_pending(agent_id: str, limit: int) -> Statement:
    return _ASK_PENDING, {"agent": agent_id, "limit": limit}


def _in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (-row["priority"], row["id"]))


def _list_taken(store: Storage, agent_id: str, limit: int | None) -> list[InboxMessage]:
    """Taken, unacknowledged messages, with the end of their leases, if any."""
    with store.snapshot():
        rows = store.execute(
            f"SELECT {COLUMNS}, lease_until FROM agent_messages WHERE to_agent = :agent AND {TAKEN} "
            f"AND (lease_until IS NULL OR lease_until > :now) {ORDER} LIMIT :limit",
            {"agent": agent_id, "now": store.now(), "limit": limit or ALL})
        if not rows:
            warn_of_slip(store, agent_id, "it has taken no message")
    return read_payloads([row if row["lease_until"] else {name: row[name] for name in row if name != "lease_until"}
                           for row in rows])


def _take(store: Storage, agent_id: str, limit: int | None, lease: float | None, most: int | None,
          brief: bool) -> list[InboxMessage]:
    asked = limit or ALL if most is None else min(limit or ALL, most // LEAST_BYTES + 2)
    acts, pending = ask_acting(agent_id, ACTING), _ask_pending(agent_id, asked)
    with store.transaction("inbox:" + agent_id, [acts, ask_held(agent_id, store.now()), pending]):
        agent = admit_agent(store, agent_id, acts)
        if acting_session(store, agent) != agent["session_id"]:
            raise Refused(f"the inbox of {agent_id!r} is now that of the agent in session {agent['session_id']!r}; "
                          "nothing was taken or acknowledged: register_agent under an id of your own")
        now = store.now()
        held = settle_held(store, agent_id, now)
        done = held if lease is None else []
        # One that cannot be read ends it: it is not taken.
        ready: list[InboxMessage] = read_payloads(store.execute(*pending))
        taken = ready if most is None else ready[:count_fitting(_shorten(ready, brief), most)]
        move_on(store, [*done, *taken], {"now": now, "life": agent["life"],
                                         "until": None if lease is None else shift_time(now, lease)})
        rest = count_unread(store, agent_id).tell("messages_unread") if len(ready) > len(taken) else ""
    for row in taken:
        row["delivered_at"] = now
    _tell_acknowledged(store, agent_id, done)
    if rest:
        again = ["get_agent_messages", agent_id, "true", *([] if lease is None else ["--lease", f"{lease:g}"])]
        store.tell_done(f"{rest} more remain in the inbox (at most {most} bytes at once); when these are done: "
                        f"{command(again)}")
    return _shorten(taken, brief)


def _tell_acknowledged(store: Storage, agent_id: str, acknowledged: list[Row]) -> None:
    """Report what a take has acknowledged, because it may have been taken without being seen."""
    if not acknowledged or store.tell is tell_nobody:
        return
    shown = ", ".join(f"{row['id']} {row['message_type']}" for row in acknowledged[:MOST_NAMED])
    rest = len(acknowledged) - MOST_NAMED
    more = f" and {rest} more up to {acknowledged[-1]['id']}" if rest > 0 else ""
    again = ["requeue_agent_message", agent_id, str(acknowledged[0]["id"])]
    first = min(row["delivered_at"] for row in acknowledged)
    store.tell_done(f"this acknowledged what {agent_id} took {since(first, store.now())} ago: {shown}{more}; one that "
                    f"you have not seen is requeued with: {command(again)}")
