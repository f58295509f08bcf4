"""Rows that refer to a missing one: it is recreated with its defaults, so that they keep their meaning."""
from __future__ import annotations

from .findings import FIXED, finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Finding
    from .interface import Storage

GONE = "that is gone"  # so ends the line of a row without the one it refers to
RESCUED = "recovery-of-lost-rows"  # the session of agents of whose session nothing is known
# table: its key, and where that is referred to
REFERRED = {
    "milestones": ("id", (("coordination_sessions", "milestone_id"), ("agent_registry", "milestone_id"))),
    "coordination_sessions": ("session_id", (("agent_registry", "session_id"), ("agent_messages", "session_id"),
                                             ("agent_checkpoints", "session_id"))),
    "agent_registry": ("agent_id", (("agent_state", "agent_id"), ("agent_checkpoints", "agent_id"),
                                    ("agent_health_log", "agent_id"))),
}


def make_parents(store: Storage) -> list[Finding]:
    """Create the missing rows that others refer to, within the caller's transaction; returns what was done."""
    done = []
    for table, (key, columns) in REFERRED.items():
        named = " UNION ".join(f"SELECT {column} AS name FROM {other} WHERE {column} IS NOT NULL"
                               for other, column in columns)
        for row in store.execute(f"SELECT name FROM ({named}) q WHERE name NOT IN (SELECT {key} FROM {table}) "
                                 "ORDER BY name"):
            _make(store, table, row["name"])
            done.append(finding(table, f"{row['name']!r} was gone, and is there again with its defaults: "
                                       "what refers to it was kept", severity=FIXED))
    return done


def _make(store: Storage, table: str, name: str) -> None:
    given = {"name": name, "now": store.now()}
    if table == "milestones":
        store.execute("INSERT INTO milestones (id, title, created_at, updated_at) VALUES (:name, :name, :now, :now)",
                      given)
    elif table == "coordination_sessions":
        store.execute("INSERT INTO coordination_sessions (session_id, created_at, last_activity) "
                      "VALUES (:name, :now, :now)", given)
    else:
        store.execute("INSERT INTO agent_registry (agent_id, agent_type, session_id, status, spawn_time, "
                      "last_heartbeat) VALUES (:name, 'unregistered', :session, 'terminated', :now, :now)",
                      {**given, "session": _session_of(store, name)})


def _session_of(store: Storage, agent_id: str) -> str:
    """The session in which an agent last wrote something."""
    rows = store.execute(
        "SELECT session_id FROM (SELECT saved_in AS session_id, updated_at AS at FROM agent_state WHERE "
        "agent_id = :id UNION ALL SELECT session_id, created_at FROM agent_checkpoints WHERE agent_id = :id) q "
        "WHERE session_id IN (SELECT session_id FROM coordination_sessions) ORDER BY at DESC LIMIT 1", {"id": agent_id})
    if rows:
        return str(rows[0]["session_id"])
    store.execute("INSERT INTO coordination_sessions (session_id, operation_type, created_at, last_activity) "
                  "VALUES (:id, 'recovery', :now, :now) ON CONFLICT (session_id) DO NOTHING",
                  {"id": RESCUED, "now": store.now()})
    return RESCUED
