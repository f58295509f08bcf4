"""Checkpoints: all of an agent's state at one instant, with digests of the files that it names."""
from __future__ import annotations

import os

from ..base.errors import Refused, StorageError, UsageError
from ..base.found import open_found
from ..base.quoting import command
from ..base.values import check_word, read_stored
from ..base.vocabulary import CHECKPOINT_TYPES
from ..coordination.idempotency import do_once, lock_of
from ..coordination.membership import WHOLE, acting_session, admit_agent, ask_acting, warn_of_slip
from ..coordination.snapshots import foresee_checkpoint, keep_until, read_snapshot, store_checkpoint
from ..coordination.state import keep_others
from ..registry import operation
from ..storage.directory import is_one_of
from ..storage.events import record_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base.answers import ComparedFile, FileReference, ListedCheckpoint, MadeCheckpoint, Restoration
    from ..base.rows import Checkpoint
    from ..storage.interface import Row, Storage

GROUP = "Checkpoints"


@operation(text="checkpoint_id")
def create_agent_checkpoint(store: Storage, agent_id: str, checkpoint_type: str = "manual", *files: str,
                            key: str | None = None) -> MadeCheckpoint:
    """Save an agent's current state, its registry row and its unacknowledged messages; prints the id.

    agent_id: the agent
    checkpoint_type: automatic, manual, phase_completion or error_recovery
    files: files whose size and SHA-256 are stored, to show later which have changed
    key: makes it once: with the same key the same call prints the first id again, another is refused (status 1)

    Example: create_agent_checkpoint exec-ms-123 phase_completion src/main.py
    """
    check_word(checkpoint_type, CHECKPOINT_TYPES, "checkpoint type")
    references = [_describe_file(store, path) for path in files]
    asked = ask_acting(agent_id, WHOLE)
    with store.transaction(lock_of("agent:" + agent_id, key), [asked, *foresee_checkpoint(store, agent_id)]):
        agent: Any = admit_agent(store, agent_id, asked)
        acting_session(store, agent)
        return do_once(store, key, agent_id, "create_agent_checkpoint", lambda: [checkpoint_type, *files],
                       lambda: store_checkpoint(store, agent_id, checkpoint_type, references, agent=agent))


def _describe_file(store: Storage, path: str) -> FileReference:
    """Path, size and SHA-256 of a file; the path is relative to the project if the file is inside."""
    full = os.path.abspath(path)
    if is_one_of(full, store.directory, store.FILES):
        raise UsageError(f"{path!r} is a file of the store, which backup_coordination keeps: no checkpoint was made")
    size, digest = _measure_file(full)
    if digest is None:
        raise UsageError(f"cannot read the file {path!r}: no checkpoint was made")
    project = os.path.dirname(store.directory)
    inside = full.startswith(project.rstrip("/") + "/")
    return {"path": os.path.relpath(full, project) if inside else full, "size": size, "sha256": digest}


def _measure_file(path: str) -> tuple[int, str | None]:
    import hashlib

    digest, size = hashlib.sha256(), 0
    try:
        with open_found(os.path.realpath(path)) as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
                size += len(block)
    except (OSError, StorageError):
        return 0, None
    return size, digest.hexdigest()


@operation(text="checkpoints", creates=False)
def list_agent_checkpoints(store: Storage, agent_id: str) -> list[ListedCheckpoint]:
    """List an agent's checkpoints, the latest first.

    agent_id: the agent

    Example: list_agent_checkpoints exec-ms-123
    """
    rows = store.execute(
        "SELECT checkpoint_id, checkpoint_type, session_id, created_at, retention_until, file_references "
        "FROM agent_checkpoints WHERE agent_id = :agent ORDER BY created_at DESC, checkpoint_id DESC",
        {"agent": agent_id})
    if not rows:
        warn_of_slip(store, agent_id, "it has no checkpoint")
    for row in rows:
        row["file_references"] = read_stored(row["file_references"], "file_references")
    return rows


@operation(text="restored", existing=True)
def restore_agent_checkpoint(store: Storage, checkpoint_id: str) -> Restoration:
    """Restore an agent's state from a checkpoint; its previous state is saved as another checkpoint first.

    checkpoint_id: as create_agent_checkpoint printed it

    Values that the agent has saved in other sessions since then are kept.

    Example: restore_agent_checkpoint cp-20260131093000000-1a2b3c4d
    """
    with store.transaction("checkpoint:" + checkpoint_id):
        row = _find_checkpoint(store, checkpoint_id)
        agent_id, state = row["agent_id"], read_snapshot(row)["state"]
        store.execute("UPDATE agent_checkpoints SET retention_until = :until WHERE checkpoint_id = :id "
                      "AND retention_until < :until", {"id": checkpoint_id, "until": keep_until(store)})
        kept = store_checkpoint(store, agent_id, "error_recovery", [])
        restored = _replace_state(store, agent_id, row["session_id"], state)
        record_event(store, "checkpoint_restored", row["session_id"], agent_id, detail=checkpoint_id)
    files = read_stored(row["file_references"], "file_references")
    return {"checkpoint_id": checkpoint_id, "agent_id": agent_id, "keys": restored,
            "kept_as": kept["checkpoint_id"], "files": [_compare_file(store, file) for file in files]}


def _find_checkpoint(store: Storage, checkpoint_id: str) -> Checkpoint:
    rows: list[Checkpoint] = store.execute("SELECT * FROM agent_checkpoints WHERE checkpoint_id = :id",
                                           {"id": checkpoint_id})
    if rows:
        return rows[0]
    raise Refused(f"no checkpoint {checkpoint_id!r} in {store.directory}: {_name_others(store, checkpoint_id)}")


def _name_others(store: Storage, checkpoint_id: str) -> str:
    """Which checkpoint may be meant: one that begins so or is a slip away; another's would undo what that one did."""
    from ..storage.suggestions import find_slip

    if store.execute("SELECT 1 AS there FROM agent_registry WHERE agent_id = :id", {"id": checkpoint_id}):
        return f"that is an agent; {command(['list_agent_checkpoints', checkpoint_id])} names its checkpoints"
    known = store.execute("SELECT checkpoint_id AS id FROM agent_checkpoints ORDER BY created_at DESC LIMIT 1000")
    begun = [row["id"] for row in known if row["id"].startswith(checkpoint_id) and len(checkpoint_id) > len("cp-")]
    meant = begun[0] if len(begun) == 1 else "" if begun else find_slip(checkpoint_id, known)
    return f"did you mean {meant}?" if meant else "list_agent_checkpoints AGENT names them"


def _replace_state(store: Storage, agent_id: str, session_id: str, state: list[Row]) -> list[str]:
    """Replace an agent's keys in a session with those of a snapshot, with higher versions; returns the restored keys.

    Keys of other sessions in the snapshot are restored where they are missing.
    """
    now, given = store.now(), {"agent": agent_id, "session": session_id}
    for item in state:
        theirs = item.get("saved_in") in (None, session_id)
        if theirs:
            keep_others(store, {"agent": agent_id, "key": item["state_key"], "session": session_id})
        store.execute("DELETE FROM agent_state WHERE agent_id = :agent AND state_key = :key AND (:theirs = 1 "
                      "OR expires_at <= :now)", {**given, "key": item["state_key"], "theirs": int(theirs), "now": now})
    store.execute("DELETE FROM agent_state WHERE agent_id = :agent AND saved_in = :session", given)
    there = {row["state_key"] for row in
             store.execute("SELECT state_key FROM agent_state WHERE agent_id = :agent", given)}
    removed = store.execute("SELECT removed_version FROM agent_registry WHERE agent_id = :agent", given)
    live = [item for item in state if item["state_key"] not in there
            and (item["expires_at"] is None or item["expires_at"] > now)]
    for item in live:
        store.execute(
            "INSERT INTO agent_state (agent_id, state_key, state_value, state_type, created_at, updated_at, "
            "expires_at, version, is_json, saved_in) VALUES (:agent, :state_key, :state_value, :state_type, "
            ":created_at, :now, :expires_at, :next, :is_json, "
            "(SELECT session_id FROM coordination_sessions WHERE session_id = :session))",
            {**item, "agent": agent_id, "now": now, "session": item.get("saved_in"),
             "next": max(item["version"], removed[0]["removed_version"]) + 1})
    return [item["state_key"] for item in live]


def _compare_file(store: Storage, reference: FileReference) -> ComparedFile:
    """A file reference with the state of the file: same, changed, missing; unknown if it has no digest."""
    path = os.path.join(os.path.dirname(store.directory), reference["path"])
    _, digest = _measure_file(path)
    known = reference["sha256"]
    status = "missing" if digest is None else "unknown" if not known else "same" if digest == known else "changed"
    return {**reference, "status": status}
