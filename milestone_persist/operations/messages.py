"""Messages: single ones by id, and lists."""
from __future__ import annotations

from ..base.errors import Refused
from ..base.values import check_range, check_word
from ..base.vocabulary import MESSAGE_STATES
from ..coordination.inbox import COLUMNS, count_fitting, read_payloads, requeue_lapsed, ring_again
from ..coordination.membership import renew_if_own, suggest_agent, warn_of_slip
from ..coordination.message_states import BACK, STATE
from ..coordination.settings import read_count
from ..registry import operation
from ..storage.events import record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Acknowledged, ListedMessage, Requeued
    from ..storage.interface import Storage

GROUP = "Messages"


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
    """Requeue a taken, acknowledged or dead message in its recipient's inbox; a pending one is there already.

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
    rows = read_payloads(rows)
    fitting = len(rows) if store.room is None else count_fitting(rows, store.room)
    if fitting < len(rows):
        store.tell_done(f"only the latest {fitting} are shown, of {len(rows)}: more would be over {store.room} bytes")
    return rows[:fitting][::-1]
