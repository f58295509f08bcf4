#!/usr/bin/env python3
"""What does not depend on the machine: statements, syncs and bytes of each operation; the small form that CI compares.

python3 bench/counts.py             prints them, and what differs from bench/counts.json
python3 bench/counts.py --write     writes that file
Syncs are counted where there is strace. Statements are those of the second call in a process, a second after the first.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEPT = os.path.join(ROOT, "bench", "counts.json")
PAYLOAD = {"task": "design", "note": "x" * 90}
CALLS = {
    "register": lambda s: s.register_agent("c", "scope-analyzer", "ms-1", "planning-1"),
    "heartbeat": lambda s: s.agent_heartbeat("a"),
    "save": lambda s: s.save_agent_state("a", "k", "v"),
    "load": lambda s: s.load_agent_state("a", "k"),
    "send": lambda s: s.send_agent_message("a", "b", "x-note", PAYLOAD),
    "take": lambda s: s.get_agent_messages("b", True, 1),
    "look": lambda s: s.get_agent_messages("b"),
    "checkpoint": lambda s: s.create_agent_checkpoint("a"),
    "status": lambda s: s.get_session_status("planning-1"),
    "send 1,000": lambda s: s.send_many("a", [{"to_agent": "b", "message_type": "x-note", "payload": PAYLOAD}] * 1000),
}


def open_filled(folder):
    """A store with two agents, and a clock that each call finds a second later."""
    sys.path.insert(0, ROOT)
    from milestone_persist import open_store
    from milestone_persist.storage.call import Clock

    class Ticking(Clock):
        passed = 0

        def time(self):
            return 1767225600.0 + self.passed

        def monotonic(self):
            return self.passed

    clock = Ticking()
    store = open_store(folder, clock=clock, environ={"MILESTONE_BACKEND": "hybrid"})
    for agent in ("a", "b"):
        store.register_agent(agent, "scope-analyzer", "ms-1", "planning-1")
    return store, clock


def count_statements(folder):
    """Operation → statements of SQL; one for many rows is one, and what triggers do is of the statement."""
    import itertools
    import warnings

    warnings.simplefilter("ignore")
    store, clock = open_filled(folder)
    found = {}
    for name, call in CALLS.items():
        for _ in range(2):
            told = []
            clock.passed += 1
            store.storage().connection.set_trace_callback(told.append)
            call(store)
            store.storage().connection.set_trace_callback(None)
        told = [sql[:40] for sql in told if not sql.startswith("--")]  # a trigger, or the same again for each row
        found[name] = len([*itertools.groupby(told)])
    store.close()
    return found


def count_bytes(folder):
    """Bytes of the database for a message of 120 bytes: pending, and once it is acknowledged."""
    store, clock = open_filled(folder)
    path, found = os.path.join(folder, "coordination.db"), {}
    before = os.path.getsize(path)
    for _ in range(10):
        CALLS["send 1,000"](store)
    found["a pending message"] = (os.path.getsize(path) - before) // 10_000
    for _ in range(11):
        store.get_agent_messages("b", True, 1000)
    found["an acknowledged message"] = (os.path.getsize(path) - before) // 10_000
    store.close()
    return found


def count_trips(folder):
    """Operation → how often it waits for PostgreSQL; {} where no server can be started."""
    import postgresql

    return postgresql.count_trips()


def count_syncs(folder):
    """Operation → fsync and fdatasync of one call of the shell on a store that is there; {} without strace."""
    if not shutil.which("strace"):
        return {}
    store, _ = open_filled(folder)
    store.close()
    found = {}
    for name, words in (("save", ["save_agent_state", "a", "k", "v"]), ("load", ["load_agent_state", "a", "k"]),
                        ("send", ["send_agent_message", "a", "b", "x-note", "{}"]),
                        ("take", ["get_agent_messages", "b", "true"])):
        trace = os.path.join(folder, "trace")
        subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=fsync,fdatasync", sys.executable, "-I", "-S",
                        os.path.join(ROOT, "milestone_persist", "__main__.py"), *words], check=True,
                       env={"MILESTONE_DIR": folder, "MILESTONE_NOW": "2026-01-01 01:00:00"}, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        with open(trace, encoding="utf-8") as file:
            found[name] = len(re.findall(r"\bf(data)?sync\(", file.read()))
    return found


def measure():
    """All counts."""
    found = {}
    for what, count in (("statements", count_statements), ("bytes", count_bytes), ("syncs", count_syncs),
                        ("round trips to PostgreSQL", count_trips)):
        folder = tempfile.mkdtemp(prefix="bench-")
        try:
            found[what] = count(folder)
        finally:
            shutil.rmtree(folder)
    return found


def compare(found):
    """A line for each count that is above the one that was kept."""
    with open(KEPT, encoding="utf-8") as file:
        kept = json.load(file)
    return [f"{what} of {name}: {number}, {kept[what][name]} before" for what, numbers in found.items()
            for name, number in numbers.items() if name in kept[what] and number > kept[what][name]]


def show(found):
    """The lines of the table."""
    for what, numbers in found.items():
        yield f"{what}: " + ", ".join(f"{name} {number}" for name, number in numbers.items())


def main(words):
    found = measure()
    for line in show(found):
        print(line)
    if words == ["--write"]:
        with open(KEPT, "w", encoding="utf-8") as file:
            file.write(json.dumps(found, indent=1) + "\n")
        return 0
    more = compare(found)
    for line in more:
        print("more than before:", line)
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
