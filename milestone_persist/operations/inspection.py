"""Looking: where the data is, who one is, whether all is well."""
from __future__ import annotations

import os

from ..base.errors import Refused, StorageError
from ..base.location import find_data_directory
from ..registry import operation
from ..storage.directory import can_write, how_to_write
from ..storage.interface import Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Caller, Diagnosis, Place, Where
    from ..storage.interface import Storage

GROUP = "Looking"
TIMES = frozenset("created_at updated_at archived_at acquired_at expires_at last_activity completed_at spawn_time "
                  "last_heartbeat completion_time delivered_at processed_at acknowledged_at dead_lettered_at "
                  "lease_until retention_until timestamp".split())
UNTIL = frozenset(("expires_at", "lease_until", "retention_until"))  # these may lie in the future


@operation(text="where", shell=False, creates=False)
def where(store: Storage) -> Where:
    """Print which data directory is used, and why.

    Example: where
    """
    return {**_place(store), **store.describe()}


def _place(store: Storage) -> Place:
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it is gone, and was not needed: the directory has an absolute name
        here = os.sep
    found, reason = find_data_directory(here, store.environ)
    if found != store.directory:
        reason = "it was named by the caller"
    return {"directory": store.directory, "reason": reason}


@operation(text="whoami", shell=False, creates=False)
def whoami(store: Storage) -> Caller:
    """Print what is known of the caller: agent, session, milestone and data directory, and where each comes from.

    Example: whoami
    """
    named = {name: store.environ.get(name) for name in ("AGENT_ID", "SESSION_ID", "MILESTONE_ID")}
    with store.snapshot():
        agents = store.execute("SELECT agent_id, agent_type, status, session_id, milestone_id FROM agent_registry "
                               "WHERE agent_id = :id", {"id": named["AGENT_ID"]})
        agent = agents[0] if agents else None
        session_id = named["SESSION_ID"] or (agent and agent["session_id"])
        sessions = store.execute("SELECT session_id, operation_type, status, milestone_id FROM coordination_sessions "
                                 "WHERE session_id = :id", {"id": session_id})
    session = sessions[0] if sessions else None
    milestones = [("MILESTONE_ID", named["MILESTONE_ID"]), ("the agent", agent and agent["milestone_id"]),
                  ("the session", session and session["milestone_id"])]
    source, milestone_id = next(((source, word) for source, word in milestones if word), (None, None))
    return {"agent_id": named["AGENT_ID"] or None, "agent": agent, "session_id": session_id or None,
            "session_from": "SESSION_ID" if named["SESSION_ID"] else "the agent" if agent else None,
            "session": session, "milestone_id": milestone_id, "milestone_from": source, **_place(store)}


@operation(text="doctor", shell=False, creates=False)
def doctor(store: Storage) -> Diagnosis:
    """Check that the storage is sound and can be written; status 3 and what is wrong if not, 1 if there is none.

    Example: doctor
    """
    from ..coordination.settings import find_spoilt_settings
    from ..storage.filesystem import filesystem_of, is_network

    if not store.describe()["exists"]:
        raise Refused(f"no store at {store.directory}: initialize_agent_coordination makes one")
    with store.hurry():
        obstacles = _find_obstacles(store)
        unsound = store.check()
        future = [] if unsound else _find_future_times(store)
        wrong = unsound or [*_find_spoilt_times(store), *find_spoilt_settings(store)]
    if wrong:
        text = f"{store.directory} is damaged: " + "; ".join([*wrong[:5], *obstacles])
        if unsound and store.FILES and "restore_coordination" not in text:  # else it says so, or is mended by hand
            raise Damaged(text, store, store.backend)
        raise StorageError(text)
    if obstacles:
        raise StorageError(f"{store.directory} is sound, but cannot be written: " + "; ".join(obstacles))
    for line in future:
        store.warn(line)
    if is_network(store.directory):
        store.warn(f"{store.directory} lies on {filesystem_of(store.directory)}, whose locks cannot be trusted between "
                   "machines: use it from one machine only, or PostgreSQL (MILESTONE_DATABASE_URL)")
    return {**store.describe(), "filesystem": filesystem_of(store.directory)}


def _find_obstacles(store: Storage) -> list[str]:
    """Why this caller cannot write, a line each: the folders it may not write, then what became of an attempt."""
    closed = [folder for folder, _, _ in os.walk(store.directory) if not can_write(folder)]
    if closed:
        return [f"{closed[0]} is not writable: {how_to_write(closed[0])}"]
    try:
        store.try_writing()
    except StorageError as error:
        return [str(error)]
    return []


def _find_spoilt_times(store: Storage) -> list[str]:
    """A line for each column that holds what is no time, or one that does not compare with the others."""
    from ..base.tables import read_columns

    found = []
    for table, columns in read_columns().items():
        for column in sorted(columns & TIMES):
            rows = store.execute(f"SELECT count(*) AS n, min({column}) AS example FROM {table} "
                                 f"WHERE {column} NOT LIKE '____-__-__ __:__:__%'")
            if rows[0]["n"]:
                found.append(f"{table}.{column} of {rows[0]['n']} rows is no time, as {rows[0]['example']!r}: "
                             "write it as 2026-01-31 09:30:00.000")
    return found


def _find_future_times(store: Storage) -> list[str]:
    """A line for each column that holds times after now, as a clock that is ahead leaves them."""
    from ..base.tables import read_columns
    from ..base.times import shift_time
    from ..coordination.future import TOLERANCE

    found = []
    for table, columns in read_columns().items():
        for column in sorted(columns & TIMES - UNTIL):
            rows = store.execute(f"SELECT count(*) AS n, max({column}) AS latest FROM {table} WHERE {column} > :limit "
                                 f"AND {column} LIKE '____-__-__ __:__:__%'",
                                 {"limit": shift_time(store.now(), TOLERANCE)})
            if rows[0]["n"]:
                found.append(f"{table}.{column} of {rows[0]['n']} rows lies in the future, as {rows[0]['latest']!r}: "
                             "a clock was ahead, or this one is behind; what begins in the future counts from now on")
    return found
