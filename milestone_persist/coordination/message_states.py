"""The states of a message, derived from its times: the SQL condition and the word for each, and its owner."""
from __future__ import annotations

PENDING = "delivered_at IS NULL AND dead_lettered_at IS NULL"
TAKEN = "delivered_at IS NOT NULL AND acknowledged_at IS NULL AND dead_lettered_at IS NULL"
UNLEASED = f"{TAKEN} AND lease_until IS NULL"
LAPSED = f"{TAKEN} AND lease_until <= :now"  # pending, or dead, though that is not stored yet
DEAD = "dead_lettered_at > ''"  # not IS NOT NULL: then SQLite goes through all messages of a session
# The word for a message at :now, where :limit is message_retry_limit.
STATE = ("CASE WHEN dead_lettered_at IS NOT NULL THEN 'dead' WHEN acknowledged_at IS NOT NULL THEN 'acknowledged' "
         "WHEN delivered_at IS NULL THEN 'pending' WHEN lease_until <= :now THEN "
         "CASE WHEN retry_count < :limit THEN 'pending' ELSE 'dead' END ELSE 'taken' END")
BACK = "delivered_at = NULL, taken_in_life = NULL, lease_until = NULL"  # what makes a taken message pending

# What is worth calling an agent for: what was sent to it alone, or with a priority above the usual one.
RINGS = "(is_broadcast = 0 OR priority > 5)"

# Mail for another milestone than its reader is registered for is kept for who registers for that one.
_ELSEWHERE = ("agent_registry.agent_id = to_agent AND agent_type <> 'unregistered' "
              "AND agent_registry.milestone_id <> sent_for")
FOR_READER = f"NOT EXISTS (SELECT 1 FROM agent_registry WHERE {_ELSEWHERE})"
FOR_OTHERS = f"EXISTS (SELECT 1 FROM agent_registry WHERE {_ELSEWHERE})"
# The session in which an unread message counts: its reader's, or the one it was sent in if it has no reader.
COUNTS_IN = (f"coalesce((SELECT agent_registry.session_id FROM agent_registry WHERE agent_registry.agent_id = to_agent "
             f"AND {FOR_READER}), session_id)")
