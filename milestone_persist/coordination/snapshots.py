"""Snapshots: which state there is at one instant, and keeping it as a checkpoint."""
from __future__ import annotations

import os

from ..base.times import shift_time
from ..base.values import dump_json
from ..storage.events import record_event
from .inbox import PENDING, TAKEN
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import FileReference, MadeCheckpoint
    from ..storage.interface import Storage

LIVE = "(expires_at IS NULL OR expires_at > :now)"
_INBOX = ("SELECT id, from_agent, message_type, payload, priority, created_at, delivered_at, retry_count "
          "FROM agent_messages WHERE to_agent = :agent AND ")
# Two halves, because each has an index that leaves the acknowledged ones aside.
UNACKNOWLEDGED = f"{_INBOX} {PENDING} UNION ALL {_INBOX} {TAKEN} ORDER BY id"


def keep_until(store: Storage) -> str:
    """Until when a checkpoint made or used now is kept at least."""
    return shift_time(store.now(), 86400 * read_count(store, "cleanup_retention_days"))


def store_checkpoint(store: Storage, agent_id: str, checkpoint_type: str, references: list[FileReference],
                     saved_in: str | None = None) -> MadeCheckpoint:
    """Write the checkpoint of a registered agent, within the caller's transaction.

    saved_in: keep only what was saved in that session
    """
    now = store.now()
    given = {"agent": agent_id, "now": now, "saved_in": saved_in}
    agent = store.execute("SELECT * FROM agent_registry WHERE agent_id = :agent", given)[0]
    snapshot = {
        "agent": agent,
        "state": store.execute("SELECT state_key, state_value, state_type, version, is_json, saved_in, created_at, "
                               "updated_at, expires_at FROM agent_state WHERE agent_id = :agent AND " + LIVE +
                               " AND (:saved_in IS NULL OR saved_in = :saved_in) ORDER BY state_key", given),
        "messages": store.execute(UNACKNOWLEDGED, given),
    }
    checkpoint_id = "cp-{}-{}".format(now.translate({ord(c): None for c in "-: ."}), os.urandom(4).hex())
    store.execute(
        "INSERT INTO agent_checkpoints (checkpoint_id, agent_id, session_id, checkpoint_type, state_snapshot, "
        "file_references, created_at, retention_until) "
        "VALUES (:id, :agent, :session, :type, :snapshot, :files, :now, :until)",
        {"id": checkpoint_id, "session": agent["session_id"], "type": checkpoint_type,
         "snapshot": dump_json(snapshot), "files": dump_json(references),
         "until": keep_until(store), **given})
    record_event(store, "checkpoint_created", agent["session_id"], agent_id, agent["milestone_id"], checkpoint_id)
    return {"checkpoint_id": checkpoint_id, "agent_id": agent_id, "checkpoint_type": checkpoint_type,
            "keys": len(snapshot["state"]), "messages": len(snapshot["messages"]), "files": len(references)}
