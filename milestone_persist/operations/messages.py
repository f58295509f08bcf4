"""Messages: one row a recipient, handed to exactly one taker, kept until acknowledged."""
from __future__ import annotations

from ..base.errors import Refused, UsageError
from ..base.quoting import command
from ..base.times import since
from ..base.values import check_range, check_word, json_object, nearest, read_stored
from ..base.vocabulary import ENDED_AGENT, MESSAGE_TYPES
from ..coordination.inbox import settle_messages
from ..coordination.membership import (
    acting_session,
    admit_agent,
    find_agent,
    is_own,
    known_agents,
    note_alive,
    renew_if_own,
    suggest_agent,
    warn_of_slip,
)
from ..coordination.message_states import PENDING as UNTAKEN
from ..coordination.message_states import STATE, TAKEN
from ..coordination.places import require_message_in_order
from ..coordination.settings import is_strict, read_count
from ..registry import operation
from ..storage.events import record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..base.answers import Acknowledged, Broadcast, InboxMessage, Requeued, Sent
    from ..storage.interface import Row, Storage

GROUP = "Messages"
POLL_SECONDS = 0.2
EVERYBODY = ("", "all", "everyone", "everybody", "broadcast", "any", "team")  # whom some take for all, asterisks apart
LONG_PAYLOAD = 16 * 1024  # bytes
MOST_NAMED = 12  # messages that one line names

COLUMNS = ("id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, "
           "retry_count")
PENDING = "to_agent = :agent AND " + UNTAKEN
ORDER = "ORDER BY priority DESC, id"


@operation(text="message_id", stdin="payload")
def send_agent_message(store: Storage, from_agent: str, to_agent: str, message_type: str,
                       payload: str | Mapping[str, Any], priority: int = 5) -> Sent:
    """Send a message to another agent; prints its id.

    from_agent: the sender; one nobody registered is taken in
    to_agent: the recipient; '' sends to every other agent of the sender's session
    message_type: task_assignment, progress_update, coordination_request, … or x-YOURS
    payload: a JSON object; - reads standard input
    priority: 1 to 10; 10 is handed out first

    Example: send_agent_message coord-1 exec-1 task_assignment '{"phase": "design"}' 8
    """
    if not to_agent:
        sent = broadcast_agent_message(store, from_agent, message_type, payload, priority)
        return {"ids": sent["ids"], "to_agents": sent["to_agents"]}
    require_message_in_order("send_agent_message", {"FROM_AGENT": from_agent, "TO_AGENT": to_agent,
                                                    "MESSAGE_TYPE": message_type, "PAYLOAD": _word(payload)})
    message = _check_message(store, message_type, payload, priority)
    with store.transaction("inbox:" + to_agent):
        sender = admit_agent(store, _sender(from_agent))
        session_id = _session_of(store, to_agent, from_agent) or acting_session(store, sender)
        return {"id": _deliver(store, session_id, from_agent, to_agent, message), "to_agent": to_agent}


def _sender(from_agent: str) -> str:
    if not from_agent:
        raise UsageError("FROM_AGENT is empty: give it a name")
    return from_agent


def _word(payload: str | Mapping[str, Any]) -> str:
    """A payload as a word of a call that an error may show."""
    return payload if isinstance(payload, str) and len(payload) <= 200 else "PAYLOAD"


def _check_message(store: Storage, message_type: str, payload: str | Mapping[str, Any], priority: int) -> Row:
    check_word(message_type, MESSAGE_TYPES, "message type", extensible=True)
    check_range(priority, 1, 10, "PRIORITY")
    text = json_object(payload, "PAYLOAD", store.warn)
    size = len(text.encode())
    if size > LONG_PAYLOAD:
        store.warn(f"the payload has {size // 1024} KB, more than many readers are shown: better save it as state "
                   "(save_agent_state AGENT KEY -) and send the key")
    return {"type": message_type, "payload": text, "priority": priority}


def _session_of(store: Storage, to_agent: str, from_agent: str) -> str:
    """The session of a recipient, "" if there is none; of one who will not read it is warned (or, if strict, refused).
    """
    for row in store.execute("SELECT session_id, status FROM agent_registry WHERE agent_id = :id", {"id": to_agent}):
        if row["status"] in ENDED_AGENT:
            show = command(["list_session_agents", row["session_id"]])
            store.warn(f"agent {to_agent!r} is {row['status']}: nobody reads this message unless {to_agent} is "
                       f"registered again; {show} shows who else is there")
        return str(row["session_id"])
    if is_strict(store):
        find_agent(store, to_agent)
    if to_agent.strip("*@ ").lower() in EVERYBODY:
        store.warn(f"{to_agent!r} is nobody: the message is kept for an agent of that name; "
                   f"{command(['broadcast_agent_message', from_agent])} TYPE PAYLOAD sends to all of the session")
        return ""
    near = nearest(to_agent, [known for known in known_agents(store) if known != from_agent])
    store.warn(f"no agent {to_agent!r} is registered; the message is kept for it" +
               (f"; did you mean {near[0]}?" if near else ""))
    return ""


def _deliver(store: Storage, session_id: str, from_agent: str, to_agent: str, message: Row) -> int:
    rows = store.execute(
        "INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, priority, created_at) "
        "VALUES (:session, :sender, :to_agent, :type, :payload, :priority, :now) RETURNING id",
        {"session": session_id, "sender": from_agent, "to_agent": to_agent, "now": store.now(), **message})
    return int(rows[0]["id"])


@operation(text="broadcast", stdin="payload")
def broadcast_agent_message(store: Storage, from_agent: str, message_type: str, payload: str | Mapping[str, Any],
                            priority: int = 5) -> Broadcast:
    """Send a message to every other agent of the sender's session that has not ended; status 1 if there is none.

    from_agent: the sender
    message_type: as for send_agent_message
    payload: a JSON object; - reads standard input
    priority: 1 to 10

    Example: broadcast_agent_message coord-1 phase_transition '{"to": "spec"}'
    """
    require_message_in_order("broadcast_agent_message", {"FROM_AGENT": from_agent, "MESSAGE_TYPE": message_type,
                                                         "PAYLOAD": _word(payload)})
    message = _check_message(store, message_type, payload, priority)
    with store.transaction("broadcast"):
        session_id = acting_session(store, admit_agent(store, _sender(from_agent)))
        found = store.execute("SELECT agent_id, status FROM agent_registry WHERE session_id = :session "
                              "AND agent_id <> :sender ORDER BY spawn_time, agent_id",
                              {"session": session_id, "sender": from_agent})
        others = [row for row in found if row["status"] not in ENDED_AGENT]
        failed = [row["agent_id"] for row in found if row["status"] == "failed"]
        if not others:
            alone = "all others have ended" if found else f"{from_agent!r} is alone"
            raise Refused(f"{alone} in session {session_id!r}: nothing was sent")
        if failed:
            store.tell(f"not sent to {', '.join(failed[:MOST_NAMED])}, which failed: send_agent_message keeps it for "
                       "who begins again")
        sent = {row["agent_id"]: _deliver(store, session_id, from_agent, row["agent_id"], message)
                for row in others}
        return {"ids": list(sent.values()), "to_agents": list(sent)}


def give_back_messages(store: Storage, messages: list[InboxMessage]) -> None:
    """Put back what was taken for a reader that had gone: pending as before, and no retry."""
    for message in messages:
        with store.transaction("inbox:" + message["to_agent"]):
            store.execute("UPDATE agent_messages SET delivered_at = NULL WHERE id = :id AND delivered_at = :at "
                          f"AND {TAKEN}", {"id": message["id"], "at": message["delivered_at"]})


@operation(text="json", creates="take", unheard=give_back_messages)
def get_agent_messages(store: Storage, agent_id: str, take: bool = False, limit: int | None = None, *,
                       wait: float = 0) -> list[InboxMessage]:
    """Print an agent's pending messages as one JSON array, the most urgent first; [] if there are none.

    agent_id: the agent
    take: true hands the messages out, to exactly one taker, and acknowledges (and names) those taken before; else look
    limit: at most so many
    wait: seconds to wait for a message where there is none

    Example: get_agent_messages exec-1 true 10 --wait 60
    """
    if limit is not None:
        check_range(limit, 1, 1_000_000_000, "LIMIT")
    check_range(wait, 0, 86400, "--wait")
    until = store.clock.monotonic() + wait
    messages = _take(store, agent_id, limit) if take else _look(store, agent_id, limit)
    while not messages and _wait_for_message(store, agent_id, until):
        messages = _take(store, agent_id, limit) if take else _look(store, agent_id, limit)
    return messages


def _wait_for_message(store: Storage, agent_id: str, until: float) -> bool:
    """Wait until a message lies in the inbox, renewing the heartbeat meanwhile; False when the time is over."""
    beat, interval = store.clock.monotonic(), max(1, read_count(store, "heartbeat_interval"))
    while store.clock.monotonic() < until:
        store.clock.sleep(min(POLL_SECONDS, max(0.0, until - store.clock.monotonic())))
        if store.execute(f"SELECT 1 AS pending FROM agent_messages WHERE {PENDING} LIMIT 1", {"agent": agent_id}):
            return True
        if store.clock.monotonic() - beat >= interval:
            beat = store.clock.monotonic()
            note_alive(store, agent_id)
    return False


def _look(store: Storage, agent_id: str, limit: int | None) -> list[InboxMessage]:
    if is_own(store, agent_id):
        note_alive(store, agent_id)
    with store.snapshot():
        rows = store.execute(f"SELECT {COLUMNS} FROM agent_messages WHERE {PENDING} {ORDER} LIMIT :limit",
                             {"agent": agent_id, "limit": limit or 2_000_000_000})
        if not rows:
            warn_of_slip(store, agent_id, "it has no message")
        return _read_payloads(rows)


def _take(store: Storage, agent_id: str, limit: int | None) -> list[InboxMessage]:
    with store.transaction("inbox:" + agent_id):
        acting_session(store, admit_agent(store, agent_id))
        _tell_settled(store, agent_id, settle_messages(store, agent_id))
        rows = _read_payloads(store.execute(
            f"UPDATE agent_messages SET delivered_at = :now WHERE id IN "
            f"(SELECT id FROM agent_messages WHERE {PENDING} {ORDER} LIMIT :limit) RETURNING {COLUMNS}",
            {"agent": agent_id, "now": store.now(), "limit": limit or 2_000_000_000}))
    return sorted(rows, key=lambda row: (-row["priority"], row["id"]))


def _tell_settled(store: Storage, agent_id: str, settled: list[Row]) -> None:
    """Say what a take has acknowledged, for somebody may have taken it who never saw it."""
    if not settled:
        return
    shown = ", ".join(f"{row['id']} {row['message_type']}" for row in settled[:MOST_NAMED])
    more = f" and {len(settled) - MOST_NAMED} more up to {settled[-1]['id']}" if len(settled) > MOST_NAMED else ""
    first = min(row["delivered_at"] for row in settled)
    store.tell(f"this acknowledged what {agent_id} took {since(first, store.now())} ago: {shown}{more}; one that you "
               f"have not seen comes back with: {command(['requeue_agent_message', agent_id, str(settled[0]['id'])])}")


def _read_payloads(rows: list[Any]) -> list[InboxMessage]:
    for row in rows:
        row["payload"] = read_stored(row["payload"], f"the payload of message {row['id']}")
    return rows


@operation(existing=True)
def acknowledge_agent_message(store: Storage, agent_id: str, message_id: int) -> Acknowledged:
    """Acknowledge one message of an agent's inbox; acknowledging it again does nothing.

    agent_id: the recipient
    message_id: the id the message came with

    Example: acknowledge_agent_message exec-1 17
    """
    given = {"agent": agent_id, "id": message_id, "now": store.now()}
    with store.transaction("inbox:" + agent_id):
        rows = store.execute("SELECT dead_lettered_at FROM agent_messages WHERE id = :id AND to_agent = :agent", given)
        if not rows:
            raise Refused(f"agent {agent_id!r} has no message {message_id} in {store.directory}: "
                          f"nothing was acknowledged{suggest_agent(store, agent_id)}")
        renew_if_own(store, agent_id)
        done: Acknowledged = store.execute(
            "UPDATE agent_messages SET delivered_at = coalesce(delivered_at, :now), "
            "processed_at = coalesce(processed_at, :now), acknowledged_at = coalesce(acknowledged_at, :now), "
            "dead_lettered_at = NULL WHERE id = :id RETURNING id, acknowledged_at", given)[0]
        return done


@operation(existing=True, text="requeued")
def requeue_agent_message(store: Storage, agent_id: str, message_id: int) -> Requeued:
    """Put a taken, acknowledged or dead message back into the inbox it was sent to; a pending one lies there already.

    agent_id: the recipient
    message_id: its id

    A dead letter may then be tried as often as a new message.
    Example: requeue_agent_message exec-1 17
    """
    given = {"agent": agent_id, "id": message_id}
    with store.transaction("inbox:" + agent_id):
        rows = store.execute(f"SELECT session_id, {STATE} AS state FROM agent_messages "
                             "WHERE id = :id AND to_agent = :agent", given)
        if not rows:
            raise Refused(f"agent {agent_id!r} has no message {message_id} in {store.directory}: nothing was requeued"
                          f"{suggest_agent(store, agent_id)}")
        renew_if_own(store, agent_id)
        was = rows[0]["state"]
        if was != "pending":
            store.execute("UPDATE agent_messages SET delivered_at = NULL, processed_at = NULL, acknowledged_at = NULL, "
                          "retry_count = CASE WHEN dead_lettered_at IS NULL THEN retry_count ELSE 0 END, "
                          "dead_lettered_at = NULL WHERE id = :id", given)
            record_event(store, "message_requeued", rows[0]["session_id"], agent_id, detail=str(message_id))
        return {"id": message_id, "to_agent": agent_id, "was": was}
