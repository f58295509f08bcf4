"""Checkpoints: all of an agent's state at one instant, with the digests of the files it names."""
from __future__ import annotations

import os

from ..errors import Refused, UsageError
from ..registry import operation
from ..times import shift_time
from ..values import dump_json, read_stored
from ..vocabulary import CHECKPOINT_TYPES, check_word, nearest
from .events import record_event
from .membership import admit_agent, renew_heartbeat
from .settings import read_count
from .state import LIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

GROUP = "Checkpoints"

_INBOX = ("SELECT id, from_agent, message_type, payload, priority, created_at, delivered_at, retry_count "
          "FROM agent_messages WHERE to_agent = :agent AND dead_lettered_at IS NULL AND ")
# Two halves, because each has an index that leaves the acknowledged ones aside.
UNACKNOWLEDGED = (f"{_INBOX} delivered_at IS NULL UNION ALL "
                  f"{_INBOX} delivered_at IS NOT NULL AND acknowledged_at IS NULL ORDER BY id")


@operation(text="checkpoint_id")
def create_agent_checkpoint(store: Storage, agent_id: str, checkpoint_type: str = "manual", *files: str) -> Row:
    """Keep all of an agent's state as it is now, its registry row and its unacknowledged messages; prints the id.

    agent_id: the agent
    checkpoint_type: automatic, manual, phase_completion or error_recovery
    files: files whose size and SHA-256 are kept, to tell later which have changed

    Example: create_agent_checkpoint exec-1 phase_completion src/main.py
    """
    check_word(checkpoint_type, CHECKPOINT_TYPES, "checkpoint type")
    references = [_describe_file(store, path) for path in files]
    with store.transaction("agent:" + agent_id):
        admit_agent(store, agent_id)
        return store_checkpoint(store, agent_id, checkpoint_type, references)


def store_checkpoint(store: Storage, agent_id: str, checkpoint_type: str, references: list[Row]) -> Row:
    """Write the checkpoint of a registered agent, within the caller's transaction."""
    now = store.now()
    given = {"agent": agent_id, "now": now}
    agent = store.execute("SELECT * FROM agent_registry WHERE agent_id = :agent", given)[0]
    snapshot = {
        "agent": agent,
        "state": store.execute("SELECT state_key, state_value, state_type, version, is_json, created_at, updated_at, "
                               "expires_at FROM agent_state WHERE agent_id = :agent AND " + LIVE +
                               " ORDER BY state_key", given),
        "messages": store.execute(UNACKNOWLEDGED, given),
    }
    checkpoint_id = "cp-{}-{}".format(now.translate({ord(c): None for c in "-: ."}), os.urandom(4).hex())
    store.execute(
        "INSERT INTO agent_checkpoints (checkpoint_id, agent_id, session_id, checkpoint_type, state_snapshot, "
        "file_references, created_at, retention_until) "
        "VALUES (:id, :agent, :session, :type, :snapshot, :files, :now, :until)",
        {"id": checkpoint_id, "session": agent["session_id"], "type": checkpoint_type,
         "snapshot": dump_json(snapshot), "files": dump_json(references),
         "until": shift_time(now, 86400 * read_count(store, "cleanup_retention_days")), **given})
    record_event(store, "checkpoint_created", agent["session_id"], agent_id, agent["milestone_id"], checkpoint_id)
    return {"checkpoint_id": checkpoint_id, "agent_id": agent_id, "checkpoint_type": checkpoint_type,
            "keys": len(snapshot["state"]), "messages": len(snapshot["messages"]), "files": len(references)}


def _describe_file(store: Storage, path: str) -> Row:
    """Path, size and SHA-256 of a file; the path is relative to the project where it lies inside."""
    full = os.path.abspath(path)
    size, digest = _measure_file(full)
    if digest is None:
        raise UsageError(f"cannot read the file {path!r}: no checkpoint was made")
    project = os.path.dirname(store.directory)
    inside = full.startswith(project.rstrip("/") + "/")
    return {"path": os.path.relpath(full, project) if inside else full, "size": size, "sha256": digest}


def _measure_file(path: str) -> tuple[int, str | None]:
    import hashlib

    digest, size = hashlib.sha256(), 0
    if not os.path.isfile(path):  # a pipe or device may have no end
        return 0, None
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
                size += len(block)
    except OSError:
        return 0, None
    return size, digest.hexdigest()


@operation(text="checkpoints", creates=False)
def list_agent_checkpoints(store: Storage, agent_id: str) -> list[Row]:
    """List an agent's checkpoints, the latest first.

    agent_id: the agent

    Example: list_agent_checkpoints exec-1
    """
    rows = store.execute(
        "SELECT checkpoint_id, checkpoint_type, session_id, created_at, retention_until, file_references "
        "FROM agent_checkpoints WHERE agent_id = :agent ORDER BY created_at DESC, checkpoint_id DESC",
        {"agent": agent_id})
    return [{**row, "file_references": read_stored(row["file_references"], "file_references")} for row in rows]


@operation(text="restored")
def restore_agent_checkpoint(store: Storage, checkpoint_id: str) -> Row:
    """Put an agent's state back to a checkpoint; what it had is kept as another checkpoint first.

    checkpoint_id: as create_agent_checkpoint printed it

    Example: restore_agent_checkpoint cp-20260131093000000-1a2b3c4d
    """
    with store.transaction("checkpoint:" + checkpoint_id):
        row = _find_checkpoint(store, checkpoint_id)
        agent_id, state = row["agent_id"], read_stored(row["state_snapshot"], "the checkpoint")["state"]
        renew_heartbeat(store, agent_id)
        kept = store_checkpoint(store, agent_id, "error_recovery", [])
        restored = _replace_state(store, agent_id, state)
        record_event(store, "checkpoint_restored", row["session_id"], agent_id, detail=checkpoint_id)
    files = read_stored(row["file_references"], "file_references")
    return {"checkpoint_id": checkpoint_id, "agent_id": agent_id, "keys": restored,
            "kept_as": kept["checkpoint_id"], "files": [_compare_file(store, file) for file in files]}


def _find_checkpoint(store: Storage, checkpoint_id: str) -> Row:
    rows = store.execute("SELECT * FROM agent_checkpoints WHERE checkpoint_id = :id", {"id": checkpoint_id})
    if rows:
        return rows[0]
    known = store.execute("SELECT checkpoint_id FROM agent_checkpoints ORDER BY created_at DESC LIMIT 1000")
    near = nearest(checkpoint_id, [row["checkpoint_id"] for row in known])
    raise Refused(f"no checkpoint {checkpoint_id!r}: " +
                  (f"did you mean {near[0]}?" if near else "list_agent_checkpoints AGENT names them"))


def _replace_state(store: Storage, agent_id: str, state: list[Row]) -> list[str]:
    """Make an agent's keys those of a snapshot, each with a version above any it had; the keys put back."""
    now = store.now()
    before = {row["state_key"]: row["version"] for row in
              store.execute("SELECT state_key, version FROM agent_state WHERE agent_id = :agent", {"agent": agent_id})}
    store.execute("DELETE FROM agent_state WHERE agent_id = :agent", {"agent": agent_id})
    live = [item for item in state if item["expires_at"] is None or item["expires_at"] > now]
    for item in live:
        store.execute(
            "INSERT INTO agent_state (agent_id, state_key, state_value, state_type, created_at, updated_at, "
            "expires_at, version, is_json) VALUES (:agent, :state_key, :state_value, :state_type, :created_at, :now, "
            ":expires_at, :next, :is_json)",
            {**item, "agent": agent_id, "now": now,
             "next": max(item["version"], before.get(item["state_key"], 0)) + 1})
    return [item["state_key"] for item in live]


def _compare_file(store: Storage, reference: Row) -> Row:
    """A file reference with what has become of the file: same, changed, missing; unknown if it has no digest."""
    path = os.path.join(os.path.dirname(store.directory), reference["path"])
    _, digest = _measure_file(path)
    known = reference["sha256"]
    status = "missing" if digest is None else "unknown" if not known else "same" if digest == known else "changed"
    return {**reference, "status": status}
