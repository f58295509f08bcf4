"""Messages: one row a recipient, handed to exactly one taker, kept until acknowledged."""
from __future__ import annotations

from ..errors import Refused, UsageError
from ..registry import operation
from ..values import check_range, json_object, read_stored
from ..vocabulary import MESSAGE_TYPES, check_word, nearest
from .deliveries import PENDING as UNTAKEN
from .deliveries import settle_messages
from .membership import admit_agent, find_agent, known_agents, renew_heartbeat, renew_if_own
from .settings import is_strict, read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..storage.interface import Row, Storage

GROUP = "Messages"
POLL_SECONDS = 0.2

COLUMNS = ("id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, "
           "retry_count")
PENDING = "to_agent = :agent AND " + UNTAKEN
ORDER = "ORDER BY priority DESC, id"


@operation(text="message_id", stdin="payload")
def send_agent_message(store: Storage, from_agent: str, to_agent: str, message_type: str,
                       payload: str | Mapping[str, Any], priority: int = 5) -> Row:
    """Send a message to another agent; prints its id.

    from_agent: the sender; one nobody registered is taken in
    to_agent: the recipient; '' sends to every other agent of the sender's session
    message_type: task_assignment, progress_update, coordination_request, … or x-YOURS
    payload: a JSON object; - reads standard input
    priority: 1 to 10; 10 is handed out first

    Example: send_agent_message coord-1 exec-1 task_assignment '{"phase": "design"}' 8
    """
    if not to_agent:
        return broadcast_agent_message(store, from_agent, message_type, payload, priority)
    message = _check_message(message_type, payload, priority)
    with store.transaction("inbox:" + to_agent):
        sender = admit_agent(store, _sender(from_agent))
        session_id = _session_of(store, to_agent, from_agent) or sender["session_id"]
        return {"id": _deliver(store, session_id, from_agent, to_agent, message), "to_agent": to_agent}


def _sender(from_agent: str) -> str:
    if not from_agent:
        raise UsageError("FROM_AGENT is empty: give it a name")
    return from_agent


def _check_message(message_type: str, payload: str | Mapping[str, Any], priority: int) -> Row:
    check_word(message_type, MESSAGE_TYPES, "message type", extensible=True)
    check_range(priority, 1, 10, "PRIORITY")
    return {"type": message_type, "payload": json_object(payload, "PAYLOAD"), "priority": priority}


def _session_of(store: Storage, to_agent: str, from_agent: str) -> str:
    """The session of a recipient; one nobody registered is warned of (or, if strict, refused), with the nearest id."""
    for row in store.execute("SELECT session_id FROM agent_registry WHERE agent_id = :id", {"id": to_agent}):
        return str(row["session_id"])
    if is_strict(store):
        find_agent(store, to_agent)
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
                            priority: int = 5) -> Row:
    """Send a message to every other agent of the sender's session, a row each; status 1 if there is none.

    from_agent: the sender
    message_type: as for send_agent_message
    payload: a JSON object; - reads standard input
    priority: 1 to 10

    Example: broadcast_agent_message coord-1 phase_transition '{"to": "spec"}'
    """
    message = _check_message(message_type, payload, priority)
    with store.transaction("broadcast"):
        sender = admit_agent(store, _sender(from_agent))
        others = store.execute("SELECT agent_id FROM agent_registry WHERE session_id = :session "
                               "AND agent_id <> :sender ORDER BY spawn_time, agent_id",
                               {"session": sender["session_id"], "sender": from_agent})
        if not others:
            raise Refused(f"{from_agent!r} is alone in session {sender['session_id']!r}: nothing was sent")
        sent = {row["agent_id"]: _deliver(store, sender["session_id"], from_agent, row["agent_id"], message)
                for row in others}
        return {"ids": list(sent.values()), "to_agents": list(sent)}


def give_back_messages(store: Storage, messages: list[Row]) -> None:
    """Put back what was taken for a reader that had gone: pending as before, and no retry."""
    for message in messages:
        with store.transaction("inbox:" + message["to_agent"]):
            store.execute("UPDATE agent_messages SET delivered_at = NULL WHERE id = :id AND delivered_at = :at "
                          "AND acknowledged_at IS NULL AND dead_lettered_at IS NULL",
                          {"id": message["id"], "at": message["delivered_at"]})


@operation(text="json", unheard=give_back_messages)
def get_agent_messages(store: Storage, agent_id: str, take: bool = False, limit: int | None = None, *,
                       wait: float = 0) -> list[Row]:
    """Print an agent's pending messages as one JSON array, the most urgent first; [] if there are none.

    agent_id: the agent
    take: true hands the messages out, to exactly one taker, and acknowledges those taken before; else only look
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
            with store.transaction("agent:" + agent_id):
                renew_heartbeat(store, agent_id)
    return False


def _look(store: Storage, agent_id: str, limit: int | None) -> list[Row]:
    with store.transaction("agent:" + agent_id):
        renew_if_own(store, agent_id)
        return _read_payloads(store.execute(
            f"SELECT {COLUMNS} FROM agent_messages WHERE {PENDING} {ORDER} LIMIT :limit",
            {"agent": agent_id, "limit": limit or 2_000_000_000}))


def _take(store: Storage, agent_id: str, limit: int | None) -> list[Row]:
    with store.transaction("inbox:" + agent_id):
        admit_agent(store, agent_id)
        settle_messages(store, agent_id)
        rows = _read_payloads(store.execute(
            f"UPDATE agent_messages SET delivered_at = :now WHERE id IN "
            f"(SELECT id FROM agent_messages WHERE {PENDING} {ORDER} LIMIT :limit) RETURNING {COLUMNS}",
            {"agent": agent_id, "now": store.now(), "limit": limit or 2_000_000_000}))
    return sorted(rows, key=lambda row: (-row["priority"], row["id"]))


def _read_payloads(rows: list[Row]) -> list[Row]:
    return [{**row, "payload": read_stored(row["payload"], f"the payload of message {row['id']}")} for row in rows]


@operation()
def acknowledge_agent_message(store: Storage, agent_id: str, message_id: int) -> Row:
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
                          "nothing was acknowledged")
        renew_if_own(store, agent_id)
        return store.execute(
            "UPDATE agent_messages SET delivered_at = coalesce(delivered_at, :now), "
            "processed_at = coalesce(processed_at, :now), acknowledged_at = coalesce(acknowledged_at, :now), "
            "dead_lettered_at = NULL WHERE id = :id RETURNING id, acknowledged_at", given)[0]
