"""State: writing a key of an agent."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import SavedState
    from ..storage.interface import Row, Storage


def write_state(store: Storage, given: Row) -> SavedState:
    """Write a value of a registered agent, within the caller's transaction.

    given: agent, session (whose result it is), key, value, type, json, expires, now
    """
    saved: SavedState = store.execute(
        "INSERT INTO agent_state (agent_id, saved_in, state_key, state_value, state_type, created_at, updated_at, "
        "expires_at, is_json, version) VALUES (:agent, :session, :key, :value, :type, :now, :now, :expires, :json, "
        "1 + coalesce((SELECT removed_version FROM agent_registry WHERE agent_id = :agent), 0)) "
        "ON CONFLICT (agent_id, state_key) DO UPDATE SET saved_in = excluded.saved_in, "
        "state_value = excluded.state_value, state_type = excluded.state_type, updated_at = excluded.updated_at, "
        "expires_at = excluded.expires_at, is_json = excluded.is_json, version = agent_state.version + 1 "
        "RETURNING agent_id, state_key, state_type, version, expires_at", given)[0]
    return saved
