"""State: keys and values that outlive the agent that saved them, readable by every other."""
from __future__ import annotations

from ..base.errors import Refused
from ..base.times import shift_time
from ..base.values import check_range, check_word, is_json
from ..base.vocabulary import STATE_TYPES
from ..coordination.membership import acting_session, admit_agent, renew_if_own, suggest_agent, warn_of_slip
from ..coordination.snapshots import LIVE
from ..coordination.state import write_state
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import DeletedState, LoadedState, SavedState, StateKey
    from ..storage.interface import Storage

GROUP = "State"
LONGEST_TTL = 3_000_000_000  # seconds: times stay within four digits of a year


@operation(stdin="value")
def save_agent_state(store: Storage, agent_id: str, state_key: str, value: str, state_type: str = "user_data",
                     ttl_seconds: int | None = None, *, if_version: int | None = None) -> SavedState:
    """Save a value under a key of an agent, byte for byte.

    agent_id: the agent; one nobody registered is taken in
    state_key: the key
    value: any text, JSON or not; - reads standard input
    state_type: checkpoint, progress, user_data, system_data or temp_data
    ttl_seconds: seconds after which the key is gone; without it, it stays
    if_version: save only if the key still has this version (0: only if it is not there), else status 1

    Example: save_agent_state scope-1 planning-scope '{"files": 12}'
    """
    check_word(state_type, STATE_TYPES, "state type")
    if ttl_seconds is not None:
        check_range(ttl_seconds, 1, LONGEST_TTL, "TTL_SECONDS")
    given = {"agent": agent_id, "key": state_key, "value": value, "type": state_type, "now": store.now(),
             "json": int(is_json(value)),
             "expires": None if ttl_seconds is None else shift_time(store.now(), ttl_seconds)}
    with store.transaction("agent:" + agent_id):
        given["session"] = acting_session(store, admit_agent(store, agent_id))
        store.execute("DELETE FROM agent_state WHERE agent_id = :agent AND state_key = :key AND expires_at <= :now",
                      given)
        if if_version is not None:
            _require_version(store, agent_id, state_key, if_version)
        return write_state(store, given)


def _require_version(store: Storage, agent_id: str, state_key: str, wanted: int) -> None:
    rows = store.execute("SELECT version FROM agent_state WHERE agent_id = :agent AND state_key = :key",
                         {"agent": agent_id, "key": state_key})
    found = rows[0]["version"] if rows else 0
    if found != wanted:
        raise Refused(f"{state_key!r} of {agent_id!r} has version {found}, not {wanted}: another writer was first; "
                      "load it again and decide anew")


@operation(text="state", creates=False)
def load_agent_state(store: Storage, agent_id: str, state_key: str, default: str | None = None, *,
                     full: bool = False) -> str | LoadedState:
    """Print a saved value exactly as it was saved.

    agent_id: the agent that saved it
    state_key: the key
    default: printed when there is no such key; without it that is status 1
    full: print a JSON object with value, version (0: it is the default), type and times instead

    Example: load_agent_state scope-1 planning-scope '{}'
    """
    rows = store.execute(
        "SELECT agent_id, state_key, state_value AS value, state_type, version, created_at, updated_at, expires_at "
        "FROM agent_state WHERE agent_id = :agent AND state_key = :key AND " + LIVE,
        {"agent": agent_id, "key": state_key, "now": store.now()})
    if default is not None and not rows:
        warn_of_slip(store, agent_id, "the default is given")
        rows = [{"agent_id": agent_id, "state_key": state_key, "value": default, "state_type": None, "version": 0,
                 "created_at": None, "updated_at": None, "expires_at": None}]
    if rows:
        return rows[0] if full else str(rows[0]["value"])
    slip = suggest_agent(store, agent_id)
    if slip:
        raise Refused(f"no state {state_key!r} of agent {agent_id!r} in {store.directory}{slip}")
    keys = [row["state_key"] for row in _list_keys(store, agent_id)]
    raise Refused(f"no state {state_key!r} of agent {agent_id!r} in {store.directory}; it has: " +
                  (", ".join(keys[:20]) or "none"))


def _list_keys(store: Storage, agent_id: str) -> list[StateKey]:
    return store.execute(
        "SELECT state_key, state_type, version, length(state_value) AS characters, is_json, created_at, updated_at, "
        f"expires_at, saved_in AS session_id FROM agent_state WHERE agent_id = :agent AND {LIVE} ORDER BY state_key",
        {"agent": agent_id, "now": store.now()})


@operation(text="state_keys", creates=False)
def list_agent_state(store: Storage, agent_id: str) -> list[StateKey]:
    """List the keys an agent has saved, with type, version, size and session; the values are not printed.

    agent_id: the agent

    Example: list_agent_state scope-1
    """
    rows = _list_keys(store, agent_id)
    if not rows:
        warn_of_slip(store, agent_id, "it has no state")
    return rows


@operation(existing=True)
def delete_agent_state(store: Storage, agent_id: str, state_key: str) -> DeletedState:
    """Delete a key; status 1 if there is none.

    agent_id: the agent that saved it
    state_key: the key

    Example: delete_agent_state scope-1 planning-scope
    """
    with store.transaction("agent:" + agent_id):
        rows: list[DeletedState] = store.execute(
            "DELETE FROM agent_state WHERE agent_id = :agent AND state_key = :key "
            "RETURNING agent_id, state_key, expires_at", {"agent": agent_id, "key": state_key})
        renew_if_own(store, agent_id)
        if not rows or (rows[0]["expires_at"] or "9") <= store.now():
            raise Refused(f"no state {state_key!r} of agent {agent_id!r} in {store.directory}: nothing was deleted"
                          f"{suggest_agent(store, agent_id)}")
        return rows[0]
