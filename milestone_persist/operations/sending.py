"""Messages: sending, to one agent or to all of a session; one row for each recipient."""
from __future__ import annotations

from ..base.errors import Refused, UsageError
from ..base.quoting import command
from ..base.values import check_id, check_range, check_word, is_own, json_object, json_value, parse_json
from ..base.vocabulary import AGENT_TYPES, AT_WORK, ENDED_AGENT, MESSAGE_TYPES, MOST_NAMED, any_of
from ..coordination.argument_order import is_message_type, require_message_in_order
from ..coordination.idempotency import do_once, lock_of
from ..coordination.membership import (
    acting,
    acting_session,
    admit_agent,
    ask_acting,
    find_agent,
    known_agents,
    tell_other_kind,
)
from ..coordination.settings import is_strict
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..base.answers import ActingAgent, AgentOf, Broadcast, Sent, SentMessages
    from ..storage.interface import Posted, Row, Statement, Storage

    Head = tuple[str, str, int]

GROUP = "Messages"
EVERYBODY = ("", "all", "everyone", "everybody", "broadcast", "any", "team")  # whom some take for all, asterisks apart
NEEDED = frozenset(("to_agent", "message_type", "payload"))  # of one of many messages
PARTS = NEEDED | {"priority"}
LONG_PAYLOAD = 16 * 1024  # bytes
INSERT = ("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, priority, created_at, "
          "sent_for, is_broadcast) VALUES (:session, :sender, :to_agent, :type, :payload, :priority, :now, :sent_for, "
          ":is_broadcast)")
_READER = ("r.status AS reader_status, CASE WHEN r.agent_type <> 'unregistered' THEN r.milestone_id END AS "
           "reader_milestone")
_READER_ALONE = f"SELECT {_READER} FROM agent_registry r WHERE r.agent_id = :reader"
_WITH_READER = acting(f", a.milestone_id, {_READER}", " LEFT JOIN agent_registry r ON r.agent_id = :reader")
_NOBODY: Row = {"reader_status": None}


@operation(text="message_id", stdin="payload")
def send_agent_message(store: Storage, from_agent: str, to_agent: str, message_type: str,
                       payload: str | Mapping[str, Any], priority: int = 5, *, key: str | None = None) -> Sent:
    """Send a message to another agent; prints its id.

    from_agent: the sender; an unregistered one is registered
    to_agent: the recipient; '' sends to every other agent of the sender's session
    message_type: task_assignment, progress_update, coordination_request, … or x-YOURS
    payload: a JSON object; - reads standard input
    priority: 1 to 10; 10 is delivered first
    key: sends it once: with the same key the same call prints the first id again, another is refused (status 1)

    Example: send_agent_message coord-ms-123 exec-ms-123 task_assignment '{"phase": "design"}' 8
    """
    if not to_agent:
        sent = broadcast_agent_message(store, from_agent, message_type, payload, priority, key=key)
        return {"ids": sent["ids"], "to_agents": sent["to_agents"]}
    if not is_message_type(message_type):
        require_message_in_order("send_agent_message", {"FROM_AGENT": from_agent, "TO_AGENT": to_agent,
                                                        "MESSAGE_TYPE": message_type, "PAYLOAD": _word(payload)})
    message = _check_message(store, message_type, payload, priority)
    asked = _ask_sender(from_agent, to_agent)
    with store.transaction(lock_of("inbox:" + to_agent, key), [asked]):
        sender = _admit_sender(store, from_agent, asked)

        def send() -> Posted:
            session_id = acting_session(store, sender)
            meant = (_milestone_of_reader(store, sender, to_agent, from_agent) or
                     _milestone_of_sender(store, sender, session_id))
            return _deliver(store, session_id, from_agent, to_agent, meant, message)

        if key is not None:
            return do_once(store, key, from_agent, "send_agent_message", lambda: [to_agent, *_content(message)],
                           lambda: _sent(send(), to_agent))
        posted = send()
    return _sent(posted, to_agent)


def _sent(posted: Posted, to_agent: str) -> Sent:
    return {"id": int(posted.rows()[0]["id"]), "to_agent": to_agent}


def _content(message: Row) -> list[Any]:
    """The content by which a repeated message is recognized."""
    return [message["type"], parse_json(message["payload"]), message["priority"]]


def _ask_sender(from_agent: str, to_agent: str = "") -> Statement:
    return ask_acting(from_agent, _WITH_READER, reader=to_agent)


def _admit_sender(store: Storage, from_agent: str, asked: Statement | None = None) -> Any:
    if not from_agent:
        raise UsageError("FROM_AGENT is empty: give it a name")
    return admit_agent(store, from_agent, asked or _ask_sender(from_agent))


def _word(payload: str | Mapping[str, Any]) -> str:
    """A payload as a command-line word for an error."""
    return payload if isinstance(payload, str) and len(payload) <= 200 else "PAYLOAD"


def _check_message(store: Storage, message_type: str, payload: str | Mapping[str, Any], priority: int) -> Row:
    _check_head(message_type, priority)
    return {"type": message_type, "payload": _check_payload(store, payload), "priority": priority}


def _check_head(message_type: str, priority: int) -> None:
    check_word(message_type, MESSAGE_TYPES, "message type", extensible=True)
    check_range(priority, 1, 10, "PRIORITY")


def _check_payload(store: Storage, payload: str | Mapping[str, Any]) -> str:
    text = json_object(payload, "PAYLOAD", store.warn)
    size = len(text) if text.isascii() else len(text.encode())
    if size > LONG_PAYLOAD:
        store.warn(f"the payload has {size // 1024} KB, more than many readers are shown: better save it as state "
                   "(save_agent_state AGENT KEY -) and send the key")
    return text


def _milestone_of_reader(store: Storage, found: Row, to_agent: str, from_agent: str) -> str | None:
    """The milestone a recipient works on, None if it is not known; warns of one who will not read it, or refuses it.

    found: the columns of _READER
    """
    status: str | None = found["reader_status"]
    if status in ENDED_AGENT:  # the next agent with that id may be registered for the sender's milestone
        show = command(["list_session_agents", find_agent(store, to_agent)["session_id"]])
        store.warn(f"agent {to_agent!r} is {status}: this message is not read unless {to_agent} is "
                   f"registered again; {show} shows who else is there")
        return None
    if status is not None:
        milestone_id: str | None = found["reader_milestone"]
        return milestone_id
    if is_strict(store):
        find_agent(store, to_agent)
    if to_agent.strip("*@ ").lower() in EVERYBODY:
        store.warn(f"{to_agent!r} names no agent: the message is kept for an agent of that name; "
                   f"{command(['broadcast_agent_message', from_agent])} TYPE PAYLOAD sends to all of the session")
        return None
    store.warn(f"no agent {to_agent!r} is registered; the message is kept for it"
               f"{_whom_else(store, to_agent, from_agent)}")
    return None


def _whom_else(store: Storage, to_agent: str, from_agent: str) -> str:
    """The end of a line about a recipient that is not an agent: what it is instead, or which agent may be meant."""
    other = tell_other_kind(store, to_agent)
    if other:
        return f"; {other}"
    named = store.execute(
        f"SELECT agent_id AS id FROM agent_registry WHERE agent_type = :type AND status IN {any_of(AT_WORK)} "
        "ORDER BY last_heartbeat DESC, agent_id LIMIT 3", {"type": to_agent}
    ) if to_agent in AGENT_TYPES or is_own(to_agent) else []  # no index has the types
    if named:
        return f"; that is the type of {' and '.join(row['id'] for row in named)}"
    if "," in to_agent:
        return "; one message goes to one agent: send_many sends several"
    from ..storage.suggestions import offer_near

    near = offer_near(to_agent, [known for known in known_agents(store) if known != from_agent])
    return f"; {near}" if near else ""


def _registered_for(agent: AgentOf) -> str | None:
    return None if agent["agent_type"] == "unregistered" else agent["milestone_id"]


def _milestone_of_sender(store: Storage, sender: ActingAgent, session_id: str) -> str | None:
    """The milestone for which a sender acts, None if that would be a guess."""
    if session_id != sender["session_id"]:
        from ..coordination.sessions import find_session

        return str(find_session(store, session_id)["milestone_id"] or "") or None
    return sender["milestone_id"] if store.environ.get("SESSION_ID") else _registered_for(sender)


def _deliver(store: Storage, session_id: str, from_agent: str, to_agent: str, sent_for: str | None,
             message: Row, is_broadcast: bool = False) -> Posted:
    return store.post_insert(INSERT, {
        "session": session_id, "sender": from_agent, "to_agent": to_agent, "now": store.now(), "sent_for": sent_for,
        "is_broadcast": int(is_broadcast), **message})


@operation(text="json", stdin="messages")
def send_many(store: Storage, from_agent: str, messages: str | Sequence[Any]) -> SentMessages:
    """Send many messages in one transaction: all or none; prints their ids.

    from_agent: the sender; an unregistered one is registered
    messages: a JSON array of objects with to_agent, message_type, payload and perhaps priority; - reads standard input

    Example: send_many coord-ms-123 '[{"to_agent": "exec-ms-123", "message_type": "x-note", "payload": {"n": 1}}]'
    """
    given = json_value(messages, "MESSAGES", list, "an array of objects")
    heads: dict[Head, None] = {}
    checked = [_check_one(store, number, message, heads) for number, message in enumerate(given, 1)]
    with store.transaction("broadcast"):
        sender = _admit_sender(store, from_agent)
        session_id = acting_session(store, sender)
        own = _milestone_of_sender(store, sender, session_id)
        readers = {to: [*store.execute(_READER_ALONE, {"reader": to}), _NOBODY][0]
                   for to in dict.fromkeys(to for to, _, _ in heads)}
        meant = {to: _milestone_of_reader(store, row, to, from_agent) or own for to, row in readers.items()}
        common = {"session": session_id, "sender": from_agent, "now": store.now(), "is_broadcast": 0}
        return {"ids": store.insert_each(INSERT, [
            {**common, **message, "sent_for": meant[message["to_agent"]]} for message in checked])}


def _check_one(store: Storage, number: int, given: Any, heads: dict[Head, None]) -> Row:
    """One of many messages in the form to insert; UsageError says which one cannot be sent.

    heads: recipient, type and priority of those before, which are checked
    """
    try:
        if not isinstance(given, dict) or not NEEDED <= {*given} <= PARTS:
            raise UsageError("it must be an object with to_agent, message_type, payload and perhaps priority")
        to_agent, message_type, priority = head = (given["to_agent"], given["message_type"], given.get("priority", 5))
        if type(priority) is not int:
            raise UsageError("priority must be a whole number")
        for name in ("to_agent", "message_type"):
            if not isinstance(given[name], str):
                raise UsageError(f"{name} must be text")
        if head not in heads:
            check_id(to_agent, "to_agent")
            _check_head(message_type, priority)
            heads[head] = None
        return {"to_agent": to_agent, "type": message_type, "priority": priority,
                "payload": _check_payload(store, given["payload"])}
    except UsageError as error:
        raise UsageError(f"message {number}: {error}; none was sent") from None


@operation(text="broadcast", stdin="payload")
def broadcast_agent_message(store: Storage, from_agent: str, message_type: str, payload: str | Mapping[str, Any],
                            priority: int = 5, *, key: str | None = None) -> Broadcast:
    """Send a message to every other agent of the sender's session that has not ended; status 1 if there is none.

    from_agent: the sender
    message_type: as for send_agent_message
    payload: a JSON object; - reads standard input
    priority: 1 to 10
    key: as for send_agent_message

    Example: broadcast_agent_message coord-ms-123 phase_transition '{"to": "spec"}'
    """
    if not is_message_type(message_type):
        require_message_in_order("broadcast_agent_message", {"FROM_AGENT": from_agent, "MESSAGE_TYPE": message_type,
                                                             "PAYLOAD": _word(payload)})
    message = _check_message(store, message_type, payload, priority)
    with store.transaction("broadcast"):
        sender = _admit_sender(store, from_agent)
        return do_once(store, key, from_agent, "broadcast_agent_message", lambda: _content(message),
                       lambda: _broadcast(store, sender, message))


def _broadcast(store: Storage, sender: ActingAgent, message: Row) -> Broadcast:
    session_id, from_agent = acting_session(store, sender), sender["agent_id"]
    found = store.execute("SELECT agent_id, agent_type, status, milestone_id FROM agent_registry "
                          "WHERE session_id = :session AND agent_id <> :sender ORDER BY spawn_time, agent_id",
                          {"session": session_id, "sender": from_agent})
    others = [row for row in found if row["status"] not in ENDED_AGENT]
    failed = [row["agent_id"] for row in found if row["status"] == "failed"]
    if not others:
        alone = "all others have ended" if found else f"{from_agent!r} is alone"
        raise Refused(f"{alone} in session {session_id!r}: nothing was sent")
    if failed:
        store.tell_done(f"not sent to {', '.join(failed[:MOST_NAMED])}, which failed: send_agent_message keeps it for "
                        "who begins again")
    posted = {row["agent_id"]: _deliver(store, session_id, from_agent, row["agent_id"], _registered_for(row), message,
                                        is_broadcast=True) for row in others}
    sent = {to_agent: _sent(answer, to_agent)["id"] for to_agent, answer in posted.items()}
    return {"ids": list(sent.values()), "to_agents": list(sent)}
