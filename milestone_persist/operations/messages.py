"""Messages: an inbox; each is handed to exactly one taker and kept until it is acknowledged."""
from __future__ import annotations

from ..base.errors import Refused, UsageError
from ..base.quoting import command
from ..base.times import shift_time, since
from ..base.values import check_range, check_word, dump_json, read_stored
from ..base.vocabulary import MESSAGE_STATES, MOST_NAMED
from ..coordination.inbox import ask_held, count_unread, move_on, requeue_lapsed, ring_again, settle_held
from ..coordination.membership import (
    acting_session,
    admit_agent,
    ask_acting,
    is_own,
    note_alive,
    renew_if_own,
    suggest_agent,
    warn_of_slip,
)
from ..coordination.message_states import BACK, FOR_READER, LAPSED, STATE, TAKEN
from ..coordination.message_states import PENDING as UNTAKEN
from ..coordination.settings import read_count
from ..coordination.silence import end_silent_agents
from ..registry import operation
from ..storage.call import tell_nobody
from ..storage.events import record_event
from ..storage.interface import CODEX, CODEX_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..base.answers import Acknowledged, InboxMessage, ListedMessage, Requeued
    from ..storage.interface import Row, Statement, Storage

GROUP = "Messages"
LEAST_BYTES = 50  # of a message as it is printed
NEEDED = ("id", "from_agent", "message_type", "payload")  # to act
ALL = 2_000_000_000

COLUMNS = ("id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, "
           "retry_count")
PENDING = f"to_agent = :agent AND {UNTAKEN} AND {FOR_READER}"
ORDER = "ORDER BY priority DESC, id"


def requeue_undelivered(store: Storage, messages: list[Row], agent_id: str, *more: Any) -> str:
    """Requeue what was taken for a reader that had gone: pending as before, and no retry; what became of it."""
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
    """Messages with all their columns, or only with what is needed to act."""
    if not brief:
        return rows
    short: list[Any] = [{name: value for name, value in row.items()
                         if name in NEEDED or name == "priority" and value != 5} for row in rows]
    return short


def _count_fitting(rows: Sequence[InboxMessage | ListedMessage], most: int) -> int:
    """How many messages, as they are printed, have so many bytes at most; one at least."""
    count, size = 0, 0
    for row in rows:
        size += len(dump_json(row).encode()) + 1
        if size > most and count:
            break
        count += 1
    return count


def _wait_for_message(store: Storage, agent_id: str, until: float) -> bool:
    """Wait until a message lies in the inbox, renewing the heartbeat meanwhile; False when the time is over."""
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
    rows = _shorten(rows, brief)
    fitting = len(rows) if most is None else _count_fitting(rows, most)
    if fitting < len(rows):
        store.tell_done(f"{len(rows) - fitting} more would be over --max-bytes {most}: they are not shown")
    return rows[:fitting]


def _find_ready(store: Storage, agent_id: str, limit: int) -> list[InboxMessage]:
    """What a take would hand out, in its order; a message whose lease has run out is there again."""
    rows = store.execute(*_ask_pending(agent_id, limit))
    lapsed = store.execute(f"SELECT {COLUMNS} FROM agent_messages WHERE to_agent = :agent AND {LAPSED} "
                           f"AND {FOR_READER}", {"agent": agent_id, "now": store.now()})
    if lapsed:
        tries = read_count(store, "message_retry_limit")
        rows += [{**row, "delivered_at": None, "retry_count": row["retry_count"] + 1} for row in lapsed
                 if row["retry_count"] < tries]
    return _read_payloads(_in_order(rows)[:limit])


def _ask_pending(agent_id: str, limit: int) -> Statement:
    return (f"SELECT {COLUMNS} FROM agent_messages WHERE {PENDING} {ORDER} LIMIT :limit",
            {"agent": agent_id, "limit": limit})


def _in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (-row["priority"], row["id"]))


def _list_taken(store: Storage, agent_id: str, limit: int | None) -> list[InboxMessage]:
    """What is taken and not acknowledged, with the end of its lease if it has one."""
    with store.snapshot():
        rows = store.execute(
            f"SELECT {COLUMNS}, lease_until FROM agent_messages WHERE to_agent = :agent AND {TAKEN} "
            f"AND (lease_until IS NULL OR lease_until > :now) {ORDER} LIMIT :limit",
            {"agent": agent_id, "now": store.now(), "limit": limit or ALL})
        if not rows:
            warn_of_slip(store, agent_id, "it has taken no message")
    return _read_payloads([row if row["lease_until"] else {name: row[name] for name in row if name != "lease_until"}
                           for row in rows])


def _take(store: Storage, agent_id: str, limit: int | None, lease: float | None, most: int | None,
          brief: bool) -> list[InboxMessage]:
    asked = limit or ALL if most is None else min(limit or ALL, most // LEAST_BYTES + 2)
    pending = _ask_pending(agent_id, asked)
    with store.transaction("inbox:" + agent_id, [ask_acting(agent_id), ask_held(store, agent_id), pending]):
        agent = admit_agent(store, agent_id)
        if acting_session(store, agent) != agent["session_id"]:
            raise Refused(f"the inbox of {agent_id!r} is now that of the agent in session {agent['session_id']!r}; "
                          "nothing was taken or acknowledged: register_agent under an id of your own")
        held = settle_held(store, agent_id)
        done = held if lease is None else []
        # One that cannot be read ends it: it is not taken.
        ready: list[InboxMessage] = _read_payloads(store.execute(*pending))
        taken = ready if most is None else ready[:_count_fitting(_shorten(ready, brief), most)]
        now = store.now()
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
    """Say what a take has acknowledged, for it may have been taken and never seen."""
    if not acknowledged or store.tell is tell_nobody:
        return
    shown = ", ".join(f"{row['id']} {row['message_type']}" for row in acknowledged[:MOST_NAMED])
    rest = len(acknowledged) - MOST_NAMED
    more = f" and {rest} more up to {acknowledged[-1]['id']}" if rest > 0 else ""
    again = ["requeue_agent_message", agent_id, str(acknowledged[0]["id"])]
    first = min(row["delivered_at"] for row in acknowledged)
    store.tell_done(f"this acknowledged what {agent_id} took {since(first, store.now())} ago: {shown}{more}; one that "
                    f"you have not seen is requeued with: {command(again)}")


def _read_payloads(rows: list[Any]) -> list[Any]:
    for row in rows:
        row["payload"] = read_stored(row["payload"], f"the payload of message {row['id']}")
    return rows


@operation(existing=True)
def acknowledge_agent_message(store: Storage, agent_id: str, message_id: int) -> Acknowledged:
    """Acknowledge one message of an agent's inbox; acknowledging it again does nothing.

    agent_id: the recipient
    message_id: the id the message came with

    Example: acknowledge_agent_message exec-ms-123 17
    """
    given = {"agent": agent_id, "id": message_id, "now": store.now()}
    with store.transaction("inbox:" + agent_id):
        rows = store.execute("SELECT dead_lettered_at FROM agent_messages WHERE id = :id AND to_agent = :agent", given)
        if not rows:
            raise _no_message(store, agent_id, message_id, "acknowledged")
        renew_if_own(store, agent_id)
        done: Acknowledged = store.execute(
            "UPDATE agent_messages SET delivered_at = coalesce(delivered_at, :now), "
            "processed_at = coalesce(processed_at, :now), acknowledged_at = coalesce(acknowledged_at, :now), "
            "dead_lettered_at = NULL WHERE id = :id RETURNING id, acknowledged_at", given)[0]
        return done


def _no_message(store: Storage, agent_id: str, message_id: int, undone: str) -> Refused:
    rows = store.execute("SELECT to_agent FROM agent_messages WHERE id = :id", {"id": message_id})
    meant = f"; that one is for {rows[0]['to_agent']!r}" if rows else suggest_agent(store, agent_id)
    return Refused(f"agent {agent_id!r} has no message {message_id} in {store.directory}: nothing was {undone}{meant}")


@operation(text="requeued", existing=True)
def requeue_agent_message(store: Storage, agent_id: str, message_id: int) -> Requeued:
    """Requeue a taken, acknowledged or dead message in the inbox it was sent to; a pending one is there already.

    agent_id: the recipient
    message_id: its id

    A dead letter may then be tried as often as a new message.
    Example: requeue_agent_message exec-ms-123 17
    """
    given = {"agent": agent_id, "id": message_id, "now": store.now(), "limit": 0}
    with store.transaction("inbox:" + agent_id):
        requeue_lapsed(store, agent_id)
        rows = store.execute(f"SELECT session_id, {STATE} AS state FROM agent_messages "
                             "WHERE id = :id AND to_agent = :agent", given)
        if not rows:
            raise _no_message(store, agent_id, message_id, "requeued")
        renew_if_own(store, agent_id)
        was = rows[0]["state"]
        if was != "pending":
            store.execute(f"UPDATE agent_messages SET {BACK}, processed_at = NULL, acknowledged_at = NULL, "
                          "retry_count = CASE WHEN dead_lettered_at IS NULL THEN retry_count ELSE 0 END, "
                          "dead_lettered_at = NULL WHERE id = :id", given)
            ring_again(store, agent_id)
            record_event(store, "message_requeued", rows[0]["session_id"], agent_id, detail=str(message_id))
        return {"id": message_id, "to_agent": agent_id, "was": was}


@operation(text="json", creates=False)
def list_agent_messages(store: Storage, agent_id: str, *, state: str | None = None, sent: bool = False,
                        milestone: str = "", limit: int = 20) -> list[ListedMessage]:
    """Print the latest messages to an agent as one JSON array, the newest last, each with its state; changes nothing.

    agent_id: the recipient
    state: only those that are pending, taken, acknowledged or dead
    sent: those that it has sent instead
    milestone: only those that were sent for this milestone
    limit: the latest N

    requeue_agent_message puts one back; acknowledge_agent_message acknowledges one.
    Example: list_agent_messages exec-ms-123 --state dead
    """
    if state is not None:
        check_word(state, MESSAGE_STATES, "message state")
    check_range(limit, 1, 1_000_000_000, "--limit")
    with store.snapshot():
        rows = store.execute(
            f"SELECT * FROM (SELECT {COLUMNS}, acknowledged_at, lease_until, sent_for, {STATE} AS state "
            f"FROM agent_messages WHERE {'from_agent' if sent else 'to_agent'} = :agent "
            f"{'AND sent_for = :milestone' if milestone else ''}) AS told "
            f"{'WHERE state = :state' if state else ''} ORDER BY id DESC LIMIT :show",
            {"agent": agent_id, "now": store.now(), "limit": read_count(store, "message_retry_limit"),
             "milestone": milestone, "state": state, "show": limit})
        if not rows:
            warn_of_slip(store, agent_id, "it has sent no message" if sent else "it has no message")
    rows = _read_payloads(rows)
    fitting = len(rows) if store.room is None else _count_fitting(rows, store.room)
    if fitting < len(rows):
        store.tell_done(f"only the latest {fitting} are shown, of {len(rows)}: more would be over {store.room} bytes")
    return rows[:fitting][::-1]
