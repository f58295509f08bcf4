#!/usr/bin/env python3
"""How a call grows with what lies in the store: CPU time at each size over that at the smallest.

python3 bench/growth.py [SIZE …]     1000 and 100000, unless others are named (1000000 takes some minutes)
Each size is that many acknowledged messages, agents at work in one other session, and keys of one other agent.
"""
from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import warnings

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROWS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows) "
FILLED = (
    "INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, delivered_at, "
    "acknowledged_at) SELECT 's', 'a', 'b', 'x-n', '{}', '2025-01-01', '2025-01-01' FROM n",
    "INSERT INTO agent_registry (agent_id, agent_type, session_id) SELECT 'busy-' || i, 'validation', 'busy' FROM n",
    "INSERT INTO agent_state (agent_id, state_key, state_value) SELECT 'old', 'key-' || i, 'v' FROM n",
)
CALLS = {
    "send": lambda s: s.send_agent_message("a", "b", "x-note", {}), "take": lambda s: s.get_agent_messages("b", True),
    "save": lambda s: s.save_agent_state("a", "k", "v"), "load": lambda s: s.load_agent_state("a", "k"),
    "heartbeat": lambda s: s.agent_heartbeat("a"), "checkpoint": lambda s: s.create_agent_checkpoint("a"),
    "register": lambda s: s.register_agent("a", "validation", "m", "s"),
    "send to a stranger": lambda s: s.send_agent_message("a", "nobody-at-all-99", "x-note", {}),
    "detect": lambda s: s.detect_interrupted_sessions(),
    "list active sessions": lambda s: s.list_coordination_sessions("active"),
    "planning list": lambda s: s.list_planning_sessions(),
    "session status (counts its messages)": lambda s: s.get_session_status("s"),
    "recovery status (counts everything)": lambda s: s.get_session_recovery_status(),
    "cleanup": lambda s: s.cleanup_stale_coordination(),  # the first removes what is old
}


def fill(folder, rows):
    """A store of that size."""
    sys.path.insert(0, ROOT)
    from milestone_persist import open_store

    store = open_store(folder, environ={"MILESTONE_BACKEND": "hybrid"})
    for agent, session in (("old", "old"), ("busy", "busy"), ("a", "s"), ("b", "s")):
        store.register_agent(agent, "validation", "m", session)
    with store.storage().transaction():
        for sql in FILLED:
            store.storage().execute(ROWS + sql, {"rows": rows})
    store.save_agent_state("a", "k", "v")
    return store


def measure(sizes=(1000, 100_000), times=7):
    """Operation → CPU seconds at each size, the least of some."""
    found = {name: [] for name in CALLS}
    warnings.simplefilter("ignore")
    for rows in sizes:
        folder = tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_DIR"))
        try:
            with fill(folder, rows) as store:
                for name, call in CALLS.items():
                    spent = []
                    for _ in range(times):
                        begun = time.process_time()
                        call(store)
                        spent.append(time.process_time() - begun)
                    found[name].append(min(spent))
        finally:
            shutil.rmtree(folder)
    return found


def show(found):
    """The lines of the table."""
    for name, spent in found.items():
        yield f"  {name:38}{spent[0] * 1000:8.2f} ms" + "".join(f"{each / spent[0]:9.1f} x" for each in spent[1:])


if __name__ == "__main__":
    sizes = [int(word) for word in sys.argv[1:]] or [1000, 100_000]
    print(f"  {'':38}{sizes[0]:>11}" + "".join(f"{size:>11}" for size in sizes[1:]))
    for line in show(measure(sizes)):
        print(line)
