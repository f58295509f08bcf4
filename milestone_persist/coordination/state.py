"""State: for which milestone a key was saved, who may load it, and writing it.

An id that works on a second milestone finds its own keys there; those of the first stay that milestone's.
"""
from __future__ import annotations

from ..base.quoting import command
from ..base.tables import LIVE
from ..base.vocabulary import OPEN_SESSION, any_of
from .membership import acting, ask_acting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base.answers import SavedState
    from ..storage.interface import Row, Statement, Storage

LATER = "9"  # than any time
LONGEST_TTL = 3_000_000_000  # seconds: times stay within four digits of a year
_WRITE = (
    "INSERT INTO agent_state (agent_id, saved_in, state_key, state_value, state_type, created_at, updated_at, "
    "expires_at, is_json, version) VALUES (:agent, :session, :key, :value, :type, :now, :now, :expires, :json, "
    ":version) ON CONFLICT (agent_id, state_key) DO UPDATE SET saved_in = excluded.saved_in, "
    "state_value = excluded.state_value, state_type = excluded.state_type, updated_at = excluded.updated_at, "
    "expires_at = excluded.expires_at, is_json = excluded.is_json, version = excluded.version")
_BEFORE = "s.saved_in, s.expires_at, s.version, a.removed_version"
_THERE = "LEFT JOIN agent_state s ON s.agent_id = :id"
_KEY_BEFORE = acting(f", {_BEFORE}", f" {_THERE} AND s.state_key = :key")
_KEYS_BEFORE = f"SELECT s.state_key, {_BEFORE} FROM agent_registry a {_THERE} WHERE a.agent_id = :id"
_VALUE = "s.state_value AS value"
_REGISTERED_FOR = ("SELECT k.milestone_id FROM agent_registry a JOIN coordination_sessions k "
                   "ON k.session_id = a.session_id WHERE a.agent_id = :agent")
_PLAIN = ("SELECT s.state_value AS value FROM agent_state s "
          "LEFT JOIN coordination_sessions k ON k.session_id = s.saved_in "
          "JOIN agent_registry a ON a.agent_id = s.agent_id "
          "JOIN coordination_sessions o ON o.session_id = a.session_id "
          f"WHERE s.agent_id = :agent AND s.state_key = :key AND {LIVE} "
          "AND coalesce(k.milestone_id = o.milestone_id, TRUE)")
_COLUMNS = "s.agent_id, s.state_key, s.state_type, s.version, s.created_at, s.updated_at, s.expires_at"


def milestone_read(store: Storage, agent_id: str) -> str | None:
    """The milestone whose keys the caller gets under an agent's id: the caller's if the agent worked on it too.

    Else that of the session in which the agent is registered.
    """
    given = {"agent": agent_id, "session": store.environ.get("SESSION_ID"), "caller": store.environ.get("AGENT_ID")}
    callers = store.execute("SELECT milestone_id FROM coordination_sessions WHERE session_id = :session "
                            f"AND status IN {any_of(OPEN_SESSION)}", given) if given["session"] else []
    if not callers and given["caller"] not in (None, "", agent_id):
        callers = _registered_for(store, given["caller"])
    own = _registered_for(store, agent_id)
    for row in callers:
        if row not in own and store.execute(
                "SELECT 1 AS been FROM events e JOIN coordination_sessions k ON k.session_id = e.session_id WHERE "
                "e.agent_id = :agent AND k.milestone_id = :milestone AND e.event IN ('agent_registered', "
                "'agent_revived') LIMIT 1", {**given, "milestone": row["milestone_id"]}):
            return str(row["milestone_id"])
    return own[0]["milestone_id"] if own else None


def _registered_for(store: Storage, agent_id: str) -> list[Row]:
    return store.execute(_REGISTERED_FOR, {"agent": agent_id})


def find_plain(store: Storage, agent_id: str, state_key: str) -> str | None:
    """The value of a key, in one statement, if no other milestone is involved; None: use `find_own`."""
    if store.environ.get("SESSION_ID") or store.environ.get("AGENT_ID") not in (None, "", agent_id):
        return None
    for row in store.execute(_PLAIN, {"agent": agent_id, "key": state_key, "now": store.now()}):
        return str(row["value"])
    return None


def list_keys(store: Storage, agent_id: str, milestone_id: str | None, state_key: str | None = None,
              columns: str = "length(s.state_value) AS characters, s.is_json") -> list[Any]:
    """An agent's keys, or one of them; `own`: whether it is visible for the caller's milestone.

    columns: which there are beside type, version, times, session_id and milestone_id
    """
    rows = store.execute(*_ask_keys(store, agent_id, state_key, columns))
    for row in rows:
        row["own"] = _is_of(row, row.pop("configuration"), milestone_id)
    return rows


def _ask_keys(store: Storage, agent_id: str, state_key: str | None, columns: str) -> Statement:
    return (f"SELECT {_COLUMNS}, {columns}, s.saved_in AS session_id, k.milestone_id, k.configuration "
            "FROM agent_state s LEFT JOIN coordination_sessions k ON k.session_id = s.saved_in "
            f"WHERE s.agent_id = :agent AND {LIVE} AND (:key IS NULL OR s.state_key = :key) ORDER BY s.state_key",
            {"agent": agent_id, "key": state_key, "now": store.now()})


def foresee_key(store: Storage, agent_id: str, state_key: str) -> list[Statement]:
    """The reads of a snapshot that looks for one key of an agent."""
    return [(_REGISTERED_FOR, {"agent": agent_id}), _ask_keys(store, agent_id, state_key, _VALUE)]


def _is_of(row: Row, configuration: str | None, milestone_id: str | None) -> bool:
    """Whether a key belongs to a milestone: its session works on it, or planned it, or nothing is known of either."""
    if milestone_id in (None, row["milestone_id"]) or row["milestone_id"] is None:
        return True
    from .artifacts import milestones_of

    return milestone_id in milestones_of({"configuration": configuration or "{}"})


def find_own(store: Storage, agent_id: str, state_key: str, milestone_id: str | None) -> tuple[Row | None, Row | None]:
    """The key that an agent saved for a milestone, perhaps from a checkpoint; and what others see under that key."""
    rows = list_keys(store, agent_id, milestone_id, state_key, _VALUE)
    if not rows or rows[0]["own"]:
        return (rows[0] if rows else None), None
    from .snapshots import list_displaced

    displaced = [row for row in list_displaced(store, milestone_id=milestone_id)
                 if (row["agent_id"], row["state_key"]) == (agent_id, state_key)]
    return (displaced[0] if displaced else None), rows[0]


def find_in_session(store: Storage, agent_id: str, state_key: str, session_id: str) -> Row | None:
    """The key that an agent saved in a session, wherever it is now: in the state, else in the latest checkpoint."""
    rows: list[Row] = list_keys(store, agent_id, None, state_key, _VALUE)
    if rows and rows[0]["session_id"] == session_id:
        return rows[0]
    from .snapshots import find_kept

    return find_kept(store, agent_id, state_key, session_id)


def tell_whose(row: Row, milestone_id: str | None) -> str:
    """The beginning of a line about a key that was saved for a different milestone."""
    return (f"{row['state_key']!r} of {row['agent_id']!r} was saved for milestone {row['milestone_id']}, "
            f"not for {milestone_id}")


def read_there(row: Row) -> str:
    """The command that reads a key of another milestone."""
    return command(["load_agent_state", row["agent_id"], row["state_key"], "--session", row["session_id"]])


def ask_before(given: Row) -> Statement:
    """The question for the agent that saves, and at once for what is there under the key that is to be written."""
    return ask_acting(given["agent"], _KEY_BEFORE, key=given["key"])


def write_state(store: Storage, given: Row, before: Row | None = None) -> SavedState:
    """Write a value of a registered agent, within the caller's transaction; another milestone's value is kept.

    given: agent, session (whose result it is), key, value, type, json, expires, now
    before: the answer to `ask_before`, where the caller has it
    """
    before = before or store.execute(*ask_before(given))[0]
    if (before["expires_at"] or LATER) <= given["now"]:
        _delete_expired(store, given)
        [before] = store.execute(*ask_before(given))
    version = _make_room(store, given, before)
    store.post(_WRITE, {**given, "version": version})
    return {"agent_id": given["agent"], "state_key": given["key"], "state_type": given["type"], "version": version,
            "expires_at": given["expires"]}


def write_states(store: Storage, given: list[Row]) -> dict[str, int]:
    """Write several keys of one agent, like write_state; returns the version of each.

    given: as that of write_state, alike in agent, session and now
    """
    if not given:
        return {}
    _delete_expired(store, given[0])
    found = store.execute(_KEYS_BEFORE, {"id": given[0]["agent"]})
    before, nothing = {row["state_key"]: row for row in found}, {**found[0], "version": None}
    versions = {row["key"]: _make_room(store, row, before.get(row["key"], nothing)) for row in given}
    store.execute_each(_WRITE, [{**row, "version": versions[row["key"]]} for row in given])
    return dict(sorted(versions.items()))


def _delete_expired(store: Storage, given: Row) -> None:
    """Delete the expired keys of an agent; later saves continue from their versions."""
    store.execute("DELETE FROM agent_state WHERE agent_id = :agent AND expires_at <= :now", given)


def _make_room(store: Storage, given: Row, before: Row) -> int:
    """Keep another milestone's value of a key to be written; returns the version to write.

    before: what is there; its version is None for nothing
    """
    if before["version"] is None:
        return int(before["removed_version"]) + 1
    if before["saved_in"] != given["session"]:
        keep_others(store, given)
    return int(before["version"]) + 1


def keep_others(store: Storage, given: Row) -> None:
    """Before a key is written: keep its value for another milestone, in a checkpoint of that session.

    given: agent, key, session (for which it is written)
    """
    rows = store.execute(
        "SELECT s.agent_id, s.state_key, k.session_id, k.milestone_id FROM agent_state s "
        "JOIN coordination_sessions k ON k.session_id = s.saved_in JOIN coordination_sessions c "
        "ON c.session_id = :session AND c.milestone_id <> k.milestone_id "
        f"WHERE s.agent_id = :agent AND s.state_key = :key AND {LIVE}",
        {"agent": given["agent"], "key": given["key"], "session": given["session"], "now": store.now()})
    for row in rows:
        from .snapshots import store_checkpoint

        point = store_checkpoint(store, row["agent_id"], "automatic", [], row["session_id"],
                                 row["state_key"])["checkpoint_id"]
        store.warn(f"{row['state_key']!r} of {row['agent_id']!r} was milestone {row['milestone_id']}'s: that is kept "
                   f"in checkpoint {point}; {read_there(row)} reads it")
