#!/usr/bin/env python3
"""The table of the first description: plain files with ls, cat and jq against a call, from the shell and in process.

python3 bench/seed.py [AGENTS]     10000 agents, a file of each and a message; needs jq
"""
from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = [sys.executable, "-I", "-S", os.path.join(ROOT, "milestone_persist", "__main__.py"), "--from-shell"]
# What is asked: with files, as a call, in process, and what the description promises.
QUESTIONS = {
    "registry: the agents of a session": (
        "cat agents/*.json | jq -c 'select(.session == \"s7\")' | wc -l", ["list_session_agents", "s7"],
        lambda s: s.list_session_agents("s7"), 100),
    "queue: the messages of an agent": (
        "cat messages/*.json | jq -c 'select(.to == \"agent-77\")' | wc -l", ["get_agent_messages", "agent-77"],
        lambda s: s.get_agent_messages("agent-77"), 50),
    "across agents: who has failed or is silent": (
        "cat agents/*.json | jq -r 'select(.status == \"failed\") | .session' | sort | uniq -c",
        ["detect_interrupted_sessions"], lambda s: s.detect_interrupted_sessions(), 10),
}


def fill(folder, agents):
    """The same agents and messages as files and in a store."""
    sys.path.insert(0, ROOT)
    from milestone_persist import open_store

    for name in ("agents", "messages"):
        os.mkdir(os.path.join(folder, name))
    store = open_store(os.path.join(folder, "store"), environ={"MILESTONE_BACKEND": "hybrid"})
    calls = []
    for n in range(agents):
        row = {"id": f"agent-{n}", "session": f"s{n // 20}", "status": "active", "note": "x" * 200}
        message = {"to": row["id"], "type": "x-note", "payload": {"n": n}}
        for name, what in (("agents", row), ("messages", message)):
            with open(os.path.join(folder, name, f"{n}.json"), "w", encoding="utf-8") as file:
                json.dump(what, file)
        calls.append(["register_agent", row["id"], "validation", "m", row["session"]])
    store.batch(calls, atomic=True)
    store.send_many("agent-0", [{"to_agent": f"agent-{n}", "message_type": "x-note", "payload": {"n": n}}
                                for n in range(agents)])
    return store


def run(command, folder, environ):
    """A process, which says nothing."""
    subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)


def timed(times, action, *words):
    """Median seconds."""
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        action(*words)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


def measure(agents=10_000, times=3):
    """Question → seconds with files, from the shell, in process."""
    folder = tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_DIR"))
    environ = {**os.environ, "MILESTONE_DIR": os.path.join(folder, "store")}
    found = {}
    try:
        with fill(folder, agents) as store:
            for question, (files, words, call, promised) in QUESTIONS.items():
                found[question] = {
                    "files": timed(times, run, ["bash", "-c", files], folder, environ),
                    "shell": timed(times, run, [*PROGRAM, *words], folder, environ),
                    "process": timed(times * 5, call, store), "promised": promised}
    finally:
        shutil.rmtree(folder)
    return found


def show(found):
    """The lines of the table: how many times faster than files."""
    for question, spent in found.items():
        yield (f"  {question:44}promised {spent['promised']:>4} x   from the shell "
               f"{spent['files'] / spent['shell']:7.1f} x   in process {spent['files'] / spent['process']:9.0f} x")


if __name__ == "__main__":
    for line in show(measure(*(int(word) for word in sys.argv[1:]))):
        print(line)
