"""Snapshots: the state at one instant, and keeping it as a checkpoint."""
from __future__ import annotations

import os

from ..base.errors import StorageError
from ..base.tables import LIVE
from ..base.times import format_time, minutes_between
from ..base.values import dump_json, read_stored
from ..storage.events import ADD_EVENT, describe_event
from .message_states import PENDING, TAKEN
from .settings import ask_setting, read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import FileReference, LastCheckpoint, MadeCheckpoint, Snapshot
    from ..storage.interface import Row, Statement, Storage

_SIGNS = {ord(sign): None for sign in "-: ."}  # of a time, which an id has not
_INBOX = ("SELECT id, from_agent, message_type, payload, priority, created_at, delivered_at, retry_count "
          "FROM agent_messages WHERE to_agent = :agent AND ")
_STATE = ("SELECT state_key, state_value, state_type, version, is_json, saved_in, created_at, updated_at, expires_at "
          f"FROM agent_state WHERE agent_id = :agent AND {LIVE} AND (:saved_in IS NULL OR saved_in = :saved_in) "
          "ORDER BY state_key")
# Of a checkpoint: its agent has a later one.
HAS_LATER = ("EXISTS (SELECT 1 FROM agent_checkpoints later WHERE later.agent_id = agent_checkpoints.agent_id "
             "AND later.created_at > agent_checkpoints.created_at)")
# Two halves, because each has an index that leaves the acknowledged ones aside.
UNACKNOWLEDGED = f"{_INBOX} {PENDING} UNION ALL {_INBOX} {TAKEN} ORDER BY id"


def keep_until(store: Storage) -> str:
    """How long a checkpoint made or used now is kept at least."""
    return format_time(store.clock.time() + 86400 * read_count(store, "cleanup_retention_days"))


def foresee_checkpoint(store: Storage, agent_id: str) -> list[Statement]:
    """The reads of `store_checkpoint`."""
    given = {"agent": agent_id, "now": store.now(), "saved_in": None}
    return [(_STATE, given), (UNACKNOWLEDGED, given), ask_setting("cleanup_retention_days")]


def store_checkpoint(store: Storage, agent_id: str, checkpoint_type: str, references: list[FileReference],
                     saved_in: str | None = None, displaced: str | None = None,
                     agent: Row | None = None) -> MadeCheckpoint:
    """Write the checkpoint of a registered agent, within the caller's transaction.

    saved_in: keep only what was saved in that session, as a checkpoint of that session
    displaced: the key that is about to be written for another milestone; the checkpoint stays as long as its session
    agent: its whole row, where the caller has read it
    """
    now = store.now()
    given = {"agent": agent_id, "now": now, "saved_in": saved_in}
    agent = agent or store.execute("SELECT * FROM agent_registry WHERE agent_id = :agent", given)[0]
    snapshot = {
        "agent": agent,
        "state": store.execute(_STATE, given),
        "messages": store.execute(UNACKNOWLEDGED, given),
        **({"displaced": displaced} if displaced else {}),
    }
    session_id = saved_in or agent["session_id"]
    checkpoint_id = f"cp-{now.translate(_SIGNS)}-{os.urandom(4).hex()}"
    store.post(
        "INSERT INTO agent_checkpoints (checkpoint_id, agent_id, session_id, checkpoint_type, state_snapshot, "
        "file_references, created_at, retention_until) "
        "VALUES (:id, :agent, :session, :type, :snapshot, :files, :now, :until)",
        {"id": checkpoint_id, "session": session_id, "type": checkpoint_type,
         "snapshot": dump_json(snapshot), "files": dump_json(references),
         "until": None if displaced else keep_until(store), **given})
    store.post(ADD_EVENT, describe_event(store, "checkpoint_created", session_id, agent_id, agent["milestone_id"],
                                         checkpoint_id))
    return {"checkpoint_id": checkpoint_id, "agent_id": agent_id, "checkpoint_type": checkpoint_type,
            "keys": len(snapshot["state"]), "messages": len(snapshot["messages"]), "files": len(references)}


def find_last_checkpoint(store: Storage, column: str, value: str) -> LastCheckpoint | None:
    """The latest checkpoint of an agent or a session (the column), and its age."""
    rows: list[LastCheckpoint] = store.execute(
        f"SELECT checkpoint_id, agent_id, checkpoint_type, created_at FROM agent_checkpoints WHERE {column} = :value "
        "ORDER BY created_at DESC, checkpoint_id DESC LIMIT 1", {"value": value})
    for row in rows:
        row["minutes_ago"] = round(minutes_between(row["created_at"], store.now()), 1)
    return rows[0] if rows else None


def read_snapshot(row: Snapshot) -> Row:
    """The contents of a checkpoint; StorageError if it has no keys."""
    snapshot: Row = read_stored(row["state_snapshot"], f"checkpoint {row['checkpoint_id']}")
    state = snapshot.get("state")
    if isinstance(state, list) and all(isinstance(item, dict) and _is_key(item) for item in state):
        return snapshot
    raise StorageError(f"checkpoint {row['checkpoint_id']} cannot be restored: its state_snapshot has no list `state` "
                       "of keys as create_agent_checkpoint writes them")


def _is_key(item: Row) -> bool:
    texts = ("state_key", "state_value", "state_type", "created_at")
    return (all(isinstance(item.get(name), str) for name in texts) and isinstance(item.get("version"), int)
            and item.get("is_json") in (0, 1) and isinstance(item.get("expires_at", 0), (str, type(None))))


def find_kept(store: Storage, agent_id: str, state_key: str, session_id: str) -> Row | None:
    """A key that an agent saved in a session, from the latest checkpoint that has it."""
    points = store.execute("SELECT checkpoint_id, created_at FROM agent_checkpoints WHERE agent_id = :agent "
                           "ORDER BY created_at DESC", {"agent": agent_id})
    found: list[Row] = []
    for point in points:
        if found and point["created_at"] != found[0]["kept_at"]:
            break
        found += [{**_as_row(item, agent_id), "kept_at": point["created_at"]}
                  for item in _read_keys(store, point["checkpoint_id"]).get("state", [])
                  if item["state_key"] == state_key and item.get("saved_in") == session_id]
    return max(found, key=lambda row: int(row["version"]), default=None)


def list_displaced(store: Storage, session_id: str | None = None, milestone_id: str | None = None) -> list[Row]:
    """Values saved in a session, or for a milestone, and then replaced by those that the same id saved for another one.

    Of each key of an agent the last value; what has been saved there again is not among them, nor what has expired.
    """
    now = store.now()
    given = {"session": session_id, "milestone": milestone_id, "now": now}
    which = "(SELECT session_id FROM coordination_sessions WHERE session_id = :session OR milestone_id = :milestone)"
    points = store.execute(f"SELECT checkpoint_id, agent_id FROM agent_checkpoints WHERE session_id IN {which} "
                           "AND retention_until IS NULL", given)
    found: dict[tuple[str, str], Row] = {}
    for point in points:
        snapshot = _read_keys(store, point["checkpoint_id"])
        for item in snapshot.get("state", []):
            pair = (point["agent_id"], item["state_key"])
            if item["state_key"] == snapshot.get("displaced") and (item.get("expires_at") or "9") > now and (
                    pair not in found or item["version"] > found[pair]["version"]):
                found[pair] = _as_row(item, point["agent_id"])
    there = store.execute(f"SELECT agent_id, state_key FROM agent_state WHERE saved_in IN {which} AND {LIVE}",
                          given) if found else []
    for row in there:
        found.pop((row["agent_id"], row["state_key"]), None)
    return [*found.values()]


def _as_row(item: Row, agent_id: str) -> Row:
    return {**item, "agent_id": agent_id, "value": item["state_value"], "session_id": item.get("saved_in")}


def _read_keys(store: Storage, checkpoint_id: str) -> Row:
    """The contents of a checkpoint; nothing if it is corrupt."""
    try:
        return read_snapshot(store.execute("SELECT checkpoint_id, state_snapshot FROM agent_checkpoints "
                                           "WHERE checkpoint_id = :id", {"id": checkpoint_id})[0])
    except StorageError:
        return {}
