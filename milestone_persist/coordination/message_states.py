"""States of a message, told by its times: one condition in SQL for each, and the word for it."""
from __future__ import annotations

MESSAGE_STATES = ("pending", "taken", "acknowledged", "dead")

PENDING = "delivered_at IS NULL AND dead_lettered_at IS NULL"
TAKEN = "delivered_at IS NOT NULL AND acknowledged_at IS NULL AND dead_lettered_at IS NULL"
DEAD = "dead_lettered_at > ''"  # not IS NOT NULL: then SQLite goes through all messages of a session
UNREAD = "acknowledged_at IS NULL AND dead_lettered_at IS NULL"  # PENDING or TAKEN
STATE = ("CASE WHEN dead_lettered_at IS NOT NULL THEN 'dead' WHEN acknowledged_at IS NOT NULL THEN 'acknowledged' "
         "WHEN delivered_at IS NULL THEN 'pending' ELSE 'taken' END")
