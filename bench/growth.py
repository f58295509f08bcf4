#!/usr/bin/env python3
"""How a call grows with what lies in the store: CPU time at each size over that at the smallest.

python3 bench/growth.py [--only sqlite|unread|files|records] [SIZE …]

sqlite: 1000 and 100000 of each kind: acknowledged messages, agents at work in one other session, keys of one other
  agent (1000000 takes some minutes)
unread: 1000 and 100000 messages that one agent has not read
files: the file backend at 10, 100, 1000 and 5000 agents with a key each, in a tenth as many sessions, and as many
  acknowledged messages; a call opens the store, as a call from the shell does
records: the milestones of hybrid, at 10, 100 and 1000 files
"""
from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import warnings

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)
ROWS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows) "
FILLED = (
    "INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, delivered_at, "
    "acknowledged_at) SELECT 's', 'a', 'b', 'x-n', '{}', strftime('%Y-%m-%d %H:%M:%f', 'now'), "
    "strftime('%Y-%m-%d %H:%M:%f', 'now') FROM n",
    "INSERT INTO agent_registry (agent_id, agent_type, session_id) SELECT 'busy-' || i, 'validation', 'busy' FROM n",
    "INSERT INTO agent_state (agent_id, state_key, state_value) SELECT 'old', 'key-' || i, 'v' FROM n",
)
UNREAD = ("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
          "SELECT 's', 'a', 'full', 'x-n', '{}' FROM n",)
COUNTED = "UPDATE coordination_sessions SET agent_count = :rows + 1 WHERE session_id = 'busy'"
CALLS = {
    "send": lambda s: s.send_agent_message("a", "b", "x-note", {}), "take": lambda s: s.get_agent_messages("b", True),
    "save": lambda s: s.save_agent_state("a", "k", "v"), "load": lambda s: s.load_agent_state("a", "k"),
    "heartbeat": lambda s: s.agent_heartbeat("a"), "checkpoint": lambda s: s.create_agent_checkpoint("a"),
    "register": lambda s: s.register_agent("a", "validation", "m", "s"),
}
FULL = {
    "send": lambda s: s.send_agent_message("a", "full", "x-note", {}),
    "take one": lambda s: s.get_agent_messages("full", True, 1),
    "register": lambda s: s.register_agent("full", "validation", "m", "s"),
    "status of its session": lambda s: s.get_session_status("s"),
    "status of another session": lambda s: s.get_session_status("old"),
    "status": lambda s: s.status("old"),
    "recovery status": lambda s: s.get_session_recovery_status(),
}
OWN = ("heartbeat", "save", "load", "send", "take")  # calls of one agent about itself
SQLITE = {
    **CALLS,
    "register into the session of all agents": lambda s: s.register_agent("new", "validation", "m", "busy"),
    "send to an id that nobody has": lambda s: s.send_agent_message("a", "nobody-at-all-99", "x-note", {}),
    "detect": lambda s: s.detect_interrupted_sessions(),
    "list active sessions": lambda s: s.list_coordination_sessions("active"),
    "planning list": lambda s: s.list_planning_sessions(),
    "status of the session of all messages": lambda s: s.get_session_status("s"),
    "recover that session": lambda s: s.recover_milestone_session("s"),
    "recovery status": lambda s: s.get_session_recovery_status(),
    "cleanup": lambda s: s.cleanup_stale_coordination(),
}
FILES = {name: CALLS[name] for name in (*OWN, "register", "checkpoint")}
FILES["register a new one"] = lambda s: s.register_agent(f"new-{time.monotonic_ns()}", "validation", "m", "s")
FILES["put back"] = lambda s: s.requeue_agent_message("b", 1)
FILES["session status"] = lambda s: s.get_session_status("s")
FILES["detect"] = lambda s: s.detect_interrupted_sessions()
RECORDS = {
    "create": lambda s: s.create_milestone_record(f"new-{time.monotonic_ns()}", "title: new\n"),
    "read": lambda s: s.read_milestone_record("ms-1"),
    "update": lambda s: s.update_milestone_record("ms-1", "title: x\n"),
    "list": lambda s: s.list_milestones(), "search": lambda s: s.search_milestones("number 7"),
    "analytics": lambda s: s.get_milestone_analytics(), "optimal backend": lambda s: s.get_optimal_storage_backend(),
}


def open_in(folder, backend="hybrid"):
    """A store in that folder."""
    from milestone_persist import open_store

    return open_store(folder, environ={"MILESTONE_BACKEND": backend})


def fill(folder, rows, scripts=FILLED):
    """A store on SQLite of that size."""
    store = open_in(folder)
    for agent, session in (("old", "old"), ("busy", "busy"), ("a", "s"), ("b", "s"), ("full", "s")):
        store.register_agent(agent, "validation", "m", session)
    with store.storage().transaction():
        for sql in scripts:
            store.storage().execute(ROWS + sql, {"rows": rows})
        store.storage().execute(COUNTED, {"rows": rows})
    store.save_agent_state("a", "k", "v")
    return store


def fill_files(folder, rows):
    """A store of files of that size."""
    with open_in(folder, "file") as store:
        for agent in ("a", "b"):
            store.register_agent(agent, "validation", "m", "s")
        with store.storage().transaction():
            for number in range(rows):
                name = f"agent-{number}"
                store.register_agent(name, "validation", "m", f"session-{number // 10}")
                store.save_agent_state(name, "k", "v")
            store.storage().execute(ROWS + FILLED[0], {"rows": rows})
        store.save_agent_state("a", "k", "v")


def fill_records(folder, rows):
    """A hybrid store with so many records."""
    with open_in(folder) as store:
        for number in range(rows):
            store.create_milestone_record(f"ms-{number}", f"title: number {number}\nstatus: active\n")


def time_calls(calls, store, times):
    """Operation → CPU seconds, the least of some."""
    found = {}
    for name, call in calls.items():
        spent = []
        for _ in range(times):
            begun = time.process_time()
            call(store)
            spent.append(time.process_time() - begun)
        found[name] = min(spent)
    return found


def measure_sqlite(folder, rows, times):
    """Calls in a store that is kept open."""
    with fill(folder, rows) as store:
        return time_calls(SQLITE, store, times)


def measure_unread(folder, rows, times):
    """The same with so many messages in one inbox."""
    with fill(folder, rows, UNREAD) as store:
        return time_calls(FULL, store, times)


def measure_files(folder, rows, times):
    """Calls each of which opens the store."""
    fill_files(folder, rows)

    def opened(call):
        def run(_):
            with open_in(folder, "file") as store:
                call(store)
        return run

    return time_calls({name: opened(call) for name, call in FILES.items()}, None, times)


def measure_records(folder, rows, times):
    """Calls on milestone records in a store that is kept open."""
    fill_records(folder, rows)
    with open_in(folder) as store:
        return time_calls(RECORDS, store, times)


SECTIONS = {"sqlite": measure_sqlite, "unread": measure_unread, "files": measure_files, "records": measure_records}
SIZES = {"sqlite": (1000, 100_000), "unread": (1000, 100_000), "files": (10, 100, 1000, 5000),
         "records": (10, 100, 1000)}
QUICK = {"sqlite": (1000, 10_000), "unread": (1000, 10_000), "files": (10, 40), "records": (10, 40)}


def measure(section, sizes, times=7):
    """Sizes, and operation → CPU seconds at each of them."""
    found = {}
    warnings.simplefilter("ignore")
    for rows in sizes:
        folder = tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_DIR"))
        try:
            for name, spent in SECTIONS[section](folder, rows, times).items():
                found.setdefault(name, []).append(spent)
        finally:
            shutil.rmtree(folder)
    return {"sizes": [*sizes], "calls": found}


def measure_all(quick=False):
    """Every section; SQLite at a million rows, too, unless it is to be quick."""
    sizes = QUICK if quick else {**SIZES, "sqlite": (1000, 100_000, 1_000_000)}
    return {section: measure(section, sizes[section], 2 if quick else 7) for section in SECTIONS}


def show(found):
    """The lines of the tables."""
    for section, told in found.items():
        yield f"{section:44}{told['sizes'][0]:>11}" + "".join(f"{size:>11}" for size in told["sizes"][1:])
        for name, spent in told["calls"].items():
            yield f"  {name:42}{spent[0] * 1000:8.2f} ms" + "".join(f"{each / spent[0]:9.1f} x" for each in spent[1:])


if __name__ == "__main__":
    words = sys.argv[1:]
    only = words[1:2] if words[:1] == ["--only"] else [*SECTIONS]
    given = [int(word) for word in (words[2:] if words[:1] == ["--only"] else words)]
    for section in only:
        for line in show({section: measure(section, given or SIZES[section])}):
            print(line, flush=True)
