"""State: keys and values that outlive the agent that saved them; every other agent can read them."""
from __future__ import annotations

from ..base.errors import Refused, UsageError
from ..base.quoting import command, quote
from ..base.times import shift_time
from ..base.values import (
    check_id,
    check_range,
    check_text,
    check_version,
    check_word,
    dump_json,
    is_json,
    json_value,
)
from ..base.vocabulary import STATE_TYPES
from ..coordination.membership import acting_session, admit_agent, renew_if_own, suggest_agent, warn_of_slip
from ..coordination.state import (
    LATER,
    LONGEST_TTL,
    ask_before,
    find_in_session,
    find_own,
    find_plain,
    foresee_key,
    list_keys,
    milestone_read,
    read_there,
    tell_whose,
    write_state,
    write_states,
)
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..base.answers import DeletedState, LoadedState, SavedState, SavedStates, StateKey
    from ..storage.interface import Row, Storage

GROUP = "State"


@operation(stdin="value")
def save_agent_state(store: Storage, agent_id: str, state_key: str, value: str, state_type: str = "user_data",
                     ttl_seconds: int | None = None, *, if_version: int | None = None) -> SavedState:
    """Save a value under a key of an agent, byte for byte.

    agent_id: the agent; an unregistered one is registered
    state_key: the key
    value: any text, JSON or not; - reads standard input
    state_type: checkpoint, progress, user_data, system_data or temp_data
    ttl_seconds: seconds after which the key expires; without it, never
    if_version: save only if the key still has this version (0: only if it does not exist), else status 1

    Example: save_agent_state scope-ms-123 planning-scope '{"files": 12}'
    """
    if value.startswith("--value="):
        store.warn("VALUE begins with '--value=', which is saved with it: give the value alone, in its place")
    check_word(state_type, STATE_TYPES, "state type")
    check_version(if_version)
    if ttl_seconds is not None:
        check_range(ttl_seconds, 1, LONGEST_TTL, "TTL_SECONDS")
    given: Row = {"agent": agent_id, "key": state_key, "value": value, "type": state_type, "now": store.now(),
             "json": int(is_json(value)),
             "expires": None if ttl_seconds is None else shift_time(store.now(), ttl_seconds)}
    asked = ask_before(given)
    with store.transaction("agent:" + agent_id, [asked]):
        agent: Any = admit_agent(store, agent_id, asked)
        session_id = given["session"] = acting_session(store, agent)
        if if_version is not None:
            _require_version(store, agent_id, state_key, session_id, if_version)
        return write_state(store, given, agent)


def _require_version(store: Storage, agent_id: str, state_key: str, session_id: str, wanted: int) -> None:
    from ..coordination.sessions import find_session

    row, _ = find_own(store, agent_id, state_key, find_session(store, session_id)["milestone_id"])
    found = row["version"] if row else 0
    if found != wanted:
        raise Refused(f"{state_key!r} of {agent_id!r} has version {found}, not {wanted}: another writer was first; "
                      "load it and decide again")


@operation(text="json", stdin="values")
def save_many(store: Storage, agent_id: str, values: str | Mapping[str, Any], state_type: str = "user_data",
              ttl_seconds: int | None = None) -> SavedStates:
    """Save many keys of an agent in one transaction: all or none; prints the version of each.

    agent_id: the agent; an unregistered one is registered
    values: a JSON object of keys and values, text as it is and other values as JSON; - reads standard input
    state_type: of all: checkpoint, progress, user_data, system_data or temp_data
    ttl_seconds: seconds after which the keys expire; without it, never

    Example: save_many scope-ms-123 '{"planning-scope": {"files": 12}, "note": "as agreed"}'
    """
    given: Mapping[str, Any] = json_value(values, "VALUES", dict, """an object such as '{"KEY": "value"}'""")
    check_word(state_type, STATE_TYPES, "state type")
    if ttl_seconds is not None:
        check_range(ttl_seconds, 1, LONGEST_TTL, "TTL_SECONDS")
    texts = [_as_text(key, value) for key, value in given.items()]
    with store.transaction("agent:" + agent_id):
        session_id = acting_session(store, admit_agent(store, agent_id))
        now = store.now()
        return {"agent_id": agent_id, "versions": write_states(store, [
            {"agent": agent_id, "session": session_id, "key": key, "value": text, "type": state_type, "now": now,
             "json": int(is_it), "expires": None if ttl_seconds is None else shift_time(now, ttl_seconds)}
            for key, text, is_it in texts])}


def _as_text(key: Any, value: Any) -> tuple[str, str, bool]:
    """A key, its value as text, and whether that is JSON; UsageError says which key cannot be stored."""
    if not isinstance(key, str):
        raise UsageError(f"a key must be text, not {type(key).__name__}")
    check_id(key, "a key of VALUES")
    if isinstance(value, str):
        return key, check_text(value, f"the value of {key!r}"), is_json(value)
    try:
        return key, check_text(dump_json(value), f"the value of {key!r}"), True
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the value of {key!r} is not text, and not JSON ({error})") from None


@operation(text="state", creates=False)
def load_agent_state(store: Storage, agent_id: str, state_key: str, default: str | None = None, *,
                     full: bool = False, session: str | None = None) -> str | LoadedState:
    """Print a saved value exactly as it was saved.

    agent_id: the agent that saved it
    state_key: the key
    default: printed if there is no such key; without it, that is status 1
    full: print a JSON object with value, version (0: it is the default), type, session and times instead
    session: what was saved in that session, even if another session has written the key since

    What the same id has saved for another milestone is not printed unless its session is named.
    Example: load_agent_state scope-ms-123 planning-scope '{}'
    """
    if not session and not full:
        value = find_plain(store, agent_id, state_key)
        if value is not None:
            return value
    with store.snapshot(foresee_key(store, agent_id, state_key)):
        if not session:
            milestone_id = milestone_read(store, agent_id)
            row, other = find_own(store, agent_id, state_key, milestone_id)
        else:
            from ..coordination.sessions import find_session

            find_session(store, session)
            row, other = find_in_session(store, agent_id, state_key, session), None
        if row is None and default is not None:
            if other:
                store.warn(f"{tell_whose(other, milestone_id)}: the default is given; {read_there(other)} reads it")
            else:
                warn_of_slip(store, agent_id, "the default is given")
            row = {"agent_id": agent_id, "state_key": state_key, "value": default, "version": 0}
        if row is None and other:
            raise Refused(f"{tell_whose(other, milestone_id)}: {read_there(other)} reads it")
        if row is None:
            raise Refused(_tell_missing(store, agent_id, state_key, session))
    return _tell_all(row) if full else str(row["value"])


def _tell_all(row: Row) -> LoadedState:
    """Everything known about a key; the default has no times, type or session."""
    return {"agent_id": row["agent_id"], "state_key": row["state_key"], "value": row["value"],
            "state_type": row.get("state_type"), "version": row["version"], "created_at": row.get("created_at"),
            "updated_at": row.get("updated_at"), "expires_at": row.get("expires_at"),
            "session_id": row.get("session_id")}


def _tell_missing(store: Storage, agent_id: str, state_key: str, session: str | None) -> str:
    there = f" saved in session {session!r}" if session else ""
    line = f"no state {state_key!r} of agent {agent_id!r}{there} in {store.directory}"
    slip = _tell_swapped(store, agent_id, state_key) or suggest_agent(store, agent_id)
    rows = [] if slip else list_keys(store, agent_id, None if session else milestone_read(store, agent_id))
    keys = [row["state_key"] for row in rows if row["own"] and session in (None, "", row["session_id"])]
    return line + (slip or "; it has: " + (", ".join(keys[:20]) or "none"))


def _tell_swapped(store: Storage, agent_id: str, state_key: str) -> str:
    """The end of a line on a key that is not there, where the key is an agent that has one named as the agent is."""
    if not store.execute("SELECT 1 AS there FROM agent_state WHERE agent_id = :agent AND state_key = :key",
                         {"agent": state_key, "key": agent_id}):
        return ""
    return f"; AGENT_ID and STATE_KEY are swapped: {command(['load_agent_state', state_key, agent_id])}"


@operation(text="state_keys", creates=False)
def list_agent_state(store: Storage, agent_id: str) -> list[StateKey]:
    """List the keys an agent has saved, with type, version, size and session; the values are not printed.

    agent_id: the agent

    Keys that the same id saved for another milestone come last, with the commands that read them (`own` is false).
    Example: list_agent_state scope-ms-123
    """
    with store.snapshot():
        rows = list_keys(store, agent_id, milestone_read(store, agent_id))
        if not rows:
            warn_of_slip(store, agent_id, "it has no state")
    return rows


@operation(existing=True)
def delete_agent_state(store: Storage, agent_id: str, state_key: str, *, session: str | None = None) -> DeletedState:
    """Delete a key; status 1 if there is none.

    agent_id: the agent that saved it
    state_key: the key
    session: only if it was saved in that session; needed to delete a value saved for another milestone

    Example: delete_agent_state scope-ms-123 planning-scope
    """
    with store.transaction("agent:" + agent_id):
        milestone_id = None if session else milestone_read(store, agent_id)
        for row in list_keys(store, agent_id, milestone_id, state_key):
            if not row["own"]:
                raise Refused(f"{tell_whose(row, milestone_id)}: nothing was deleted; --session "
                              f"{quote(row['session_id'])} deletes it")
        rows: list[DeletedState] = store.execute(
            "DELETE FROM agent_state WHERE agent_id = :agent AND state_key = :key AND (:session IS NULL "
            "OR saved_in = :session) RETURNING agent_id, state_key, expires_at",
            {"agent": agent_id, "key": state_key, "session": session or None})
        renew_if_own(store, agent_id)
        if not rows or (rows[0]["expires_at"] or LATER) <= store.now():
            there = f" saved in session {session!r}" if session else ""
            raise Refused(f"no state {state_key!r} of agent {agent_id!r}{there} in {store.directory}: nothing was "
                          f"deleted{suggest_agent(store, agent_id)}")
        return rows[0]
