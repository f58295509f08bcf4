"""Files that agents left in /tmp: to whom they belong, and storing them as state."""
from __future__ import annotations

import os

from ..base.errors import Refused
from ..base.tables import LIVE
from ..base.times import format_time
from ..base.values import is_json
from ..base.vocabulary import PHASES
from ..storage.events import record_event
from .artifacts import expected_artifacts
from .deliverables import ANY_PLANNER, PLANNERS, maker_id, results_of
from .leftovers import find_files, key_of
from .lives import enter_agent, set_agent_status
from .sessions import ensure_session
from .state import write_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

TMP = "/tmp"
LEFT = "x-tmp-files"  # the type of the agent that keeps what is no result
MAKERS = {**PLANNERS, **{results_of(phase): f"{phase}-phase" for phase in PHASES}}


def keep_session_files(store: Storage, session_id: str) -> None:
    """Store the files in /tmp whose names contain the session's id, within the caller's transaction.

    Not those that name its milestone: another project may have one of the same id.
    """
    sessions = _ids(store)[0]
    try:
        found = [file for file in find_files(TMP)[0] if _id_in(file["file"], sessions) == session_id]
    except Refused:
        return
    for file in found:
        file["session_id"] = session_id
    plan_files(store, found)
    keep_files(store, found)


def _id_in(name: str, known: list[str]) -> str:
    """The longest of the ids contained in a file's name as whole words."""
    stem = f"-{os.path.splitext(name)[0]}-"
    return max((known_id for known_id in known if any(f"{before}{known_id}{after}" in stem for before in "-_."
                                                      for after in "-_.")), key=len, default="")


def _ids(store: Storage) -> tuple[list[str], list[str]]:
    """The ids of all sessions and of all milestones."""
    return ([row["session_id"] for row in store.execute("SELECT session_id FROM coordination_sessions")],
            [row["id"] for row in store.execute("SELECT id FROM milestones")])


def session_named(store: Storage, name: str) -> str:
    """The session whose id is in a file's name, else the latest of the milestone whose id is in it, else ""."""
    sessions, milestones = _ids(store)
    found = _id_in(name, sessions)
    if found:
        return found
    rows = store.execute("SELECT session_id FROM coordination_sessions WHERE milestone_id = :id "
                         "ORDER BY last_activity DESC, session_id LIMIT 1", {"id": _id_in(name, milestones)})
    return rows[0]["session_id"] if rows else ""


def plan_files(store: Storage, found: list[Row]) -> None:
    """Give each file its agent, its key and its outcome: saved, older or unchanged. `found`: oldest first."""
    newest: dict[tuple[str, str], Row] = {}
    results = {**MAKERS, **{key: PLANNERS.get(key, ANY_PLANNER) for key in expected_artifacts(store)}}
    for file in found:
        key = key_of(file["file"], results, _ids_of(store, file["session_id"]))
        file["agent_type"] = results.get(key, LEFT)
        file["agent_id"] = _agent_for(store, file["session_id"], key, file["agent_type"])
        file["state_key"], file["saved_at"] = key, _time_of(store, file)
        newest[file["agent_id"], key] = file
    for file in found:
        pair = file["agent_id"], file["state_key"]
        stored, last = find_stored(store, *pair), newest[pair]
        before = stored["state_value"] if stored else None
        after = before if stored and stored["updated_at"] >= last["saved_at"] else last["text"]
        if file["text"] == after:
            file["what"] = "saved" if file is last and before != after else "unchanged"
            file["replaced"] = stored if file["what"] == "saved" else None
        else:
            file["state_key"] = _older_key(file["state_key"], file["saved_at"], file["text"])
            file["what"] = "unchanged" if find_stored(store, file["agent_id"], file["state_key"]) else "older"


def _ids_of(store: Storage, session_id: str) -> list[str]:
    """The ids that may stand behind a result's name in files of a session: its own and its milestone's."""
    rows = store.execute("SELECT milestone_id FROM coordination_sessions WHERE session_id = :id", {"id": session_id})
    return [session_id, *(row["milestone_id"] for row in rows if row["milestone_id"])]


def _time_of(store: Storage, file: Row) -> str:
    return min(store.now(), format_time(file["stat"].st_mtime))


def _older_key(key: str, time: str, text: str) -> str:
    """The key of a value that is not the newest: not that of an artifact, and the same for the same value."""
    import hashlib

    stamp = time[:19].replace("-", "").replace(":", "").replace(" ", "-")
    return f"older-{key}-{stamp}-{hashlib.sha256(text.encode()).hexdigest()[:4]}"


def _agent_for(store: Storage, session_id: str, key: str, agent_type: str) -> str:
    """The agent of a session that has saved the key, else the last of the type for it, else a new one."""
    rows = store.execute(
        "SELECT a.agent_id FROM agent_registry a LEFT JOIN agent_state s ON s.agent_id = a.agent_id "
        "AND s.state_key = :key WHERE a.session_id = :session "
        "AND (s.state_key = :key OR a.agent_type = :type AND a.agent_type <> :planner) "
        "ORDER BY CASE WHEN s.state_key IS NULL THEN 1 ELSE 0 END, s.updated_at DESC, a.last_heartbeat DESC, "
        "a.agent_id LIMIT 1",
        {"key": key, "session": session_id, "type": agent_type, "planner": ANY_PLANNER})
    if rows:
        return str(rows[0]["agent_id"])
    return (f"tmp-files-{session_id}" if agent_type == LEFT else
            maker_id({"name": _name_of(key), "agent_type": agent_type}, session_id))


def _name_of(key: str) -> str:
    return next((phase for phase in PHASES if key == results_of(phase)), key)


def find_stored(store: Storage, agent_id: str, key: str) -> Row | None:
    """The value, type and time of a key of an agent, whatever milestone it is for; None if there is none."""
    rows = store.execute("SELECT state_value, state_type, is_json, updated_at FROM agent_state "
                         "WHERE agent_id = :agent AND state_key = :key AND " + LIVE,
                         {"agent": agent_id, "key": key, "now": store.now()})
    return rows[0] if rows else None


def keep_files(store: Storage, found: list[Row]) -> None:
    """Save the new files found by plan_files, with the time at which each was written."""
    for file in found:
        if file["what"] == "unchanged":
            continue
        _ensure_agent(store, file)
        replaced = file.get("replaced")
        if replaced:
            older = _older_key(file["state_key"], replaced["updated_at"], replaced["state_value"])
            _write(store, file, older, replaced["state_value"], replaced["updated_at"])
        _write(store, file, file["state_key"], file["text"], file["saved_at"])
        record_event(store, "file_imported", file["session_id"], file["agent_id"], detail=file["file"])


def _write(store: Storage, file: Row, key: str, text: str, time: str) -> None:
    write_state(store, {"agent": file["agent_id"], "session": file["session_id"], "key": key, "value": text,
                        "type": "user_data", "json": int(is_json(text)), "expires": None, "now": time})


def _ensure_agent(store: Storage, file: Row) -> None:
    """Add the missing agent, as one that has done its work; this renews no heartbeat."""
    if store.execute("SELECT 1 AS n FROM agent_registry WHERE agent_id = :id", {"id": file["agent_id"]}):
        return
    rows = store.execute("SELECT * FROM coordination_sessions WHERE session_id = :id", {"id": file["session_id"]})
    session = rows[0] if rows else ensure_session(store, file["session_id"], store.environ.get("MILESTONE_ID") or None)
    enter_agent(store, file["agent_id"], file["agent_type"], session)
    set_agent_status(store, file["agent_id"], "completed")
