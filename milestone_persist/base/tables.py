"""The tables, each with its primary key, in an order in which rows can be inserted."""
from __future__ import annotations

APPLICATION_ID = 1297305677  # identifies a SQLite file as a store of this program
SCHEMA_VERSION = 3

TABLES = {
    "milestones": ("id",),
    "milestone_locks": ("milestone_id",),
    "coordination_sessions": ("session_id",),
    "agent_registry": ("agent_id",),
    "agent_messages": ("id",),
    "agent_state": ("agent_id", "state_key"),
    "agent_checkpoints": ("checkpoint_id",),
    "agent_health_log": ("id",),
    "agent_coordination_config": ("key",),
    "idempotency_keys": ("caller", "operation", "key"),
    "events": ("id",),
}
SCHEMA_FILE = "milestone-coordination.sql"
POSTGRESQL_FILE = "milestone-coordination.postgresql.sql"
TO_COME = frozenset(("expires_at", "lease_until", "retention_until"))  # columns whose times may be in the future
TIMES = TO_COME | frozenset(("created_at", "updated_at", "archived_at", "acquired_at", "last_activity", "completed_at",
                             "spawn_time", "last_heartbeat", "completion_time", "delivered_at", "processed_at",
                             "acknowledged_at", "dead_lettered_at", "timestamp"))
NUMBERED = ("agent_messages", "agent_health_log", "events")  # whose rows the database numbers
LARGEST_NUMBER = 2 ** 62  # that such a row may have: later rows need numbers too


def read_columns() -> dict[str, set[str]]:
    """The columns of each table, from the canonical schema."""
    return {table: {name for name, _, _ in columns} for table, columns in describe_columns().items()}


def describe_columns() -> dict[str, list[tuple[str, str, bool]]]:
    """The columns of each table in their order, from the canonical schema: name, type, whether it may be NULL."""
    import sqlite3

    from .packaged import read_packaged

    connection = sqlite3.connect(":memory:")
    connection.executescript(read_packaged("sql", SCHEMA_FILE))
    found = {table: [(name, kind, not (is_required or is_key)) for _, name, kind, is_required, _, is_key
                     in connection.execute(f"PRAGMA table_info({table})")] for table in TABLES}
    connection.close()
    return found

LIVE = "(expires_at IS NULL OR expires_at > :now)"
