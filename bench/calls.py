#!/usr/bin/env python3
"""What one call costs, as a ratio to a bare start of Python with the modules a call needs; all measured in this run.

python3 bench/calls.py [ROUNDS]      CPU time (user and system) of whole processes, the median of the rounds
"""
from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "milestone_persist", "__main__.py")
ADAPTER = os.path.join(ROOT, "shell", "storage-adapter.sh")
PYTHON = [sys.executable, "-I", "-S"]
BATCH = 5


def cases(folder):
    """Name, command and environment of each thing that is measured; the first is what the others are compared with."""
    yield "python -I -S, import sqlite3 and json", [*PYTHON, "-c", "import sqlite3, json"], {}
    yield "the same again (the noise)", [*PYTHON, "-c", "import sqlite3, json"], {}
    for backend in ("hybrid", "file"):
        here = {"MILESTONE_DIR": os.path.join(folder, backend), "MILESTONE_BACKEND": backend}
        fill(here)
        for name, words in (("save", ["save_agent_state", "a", "k", '{"n": 1}']),
                            ("load", ["load_agent_state", "a", "k"]),
                            ("send", ["send_agent_message", "a", "b", "x-note", '{"n": 1}']),
                            ("take", ["get_agent_messages", "b", "true", "1"])):
            yield f"{backend}: {name}", [*PYTHON, PROGRAM, "--from-shell", *words], here
    for shell in ("bash", "dash", "zsh"):
        yield f"{shell}: source the adapter", [shell, "-c", f'. "{ADAPTER}"'], {}
        yield f"{shell}: start only", [shell, "-c", ":"], {}


def fill(environ):
    """A store of a usual size: 20 agents, 500 messages, 200 keys."""
    sys.path.insert(0, ROOT)
    from milestone_persist import open_store

    with open_store(environ["MILESTONE_DIR"], environ=environ) as store:
        for agent in ["a", "b", *(f"agent-{n}" for n in range(18))]:
            store.register_agent(agent, "scope-analyzer", "ms-1", "planning-1")
        for n in range(500):
            store.send_agent_message("a", f"agent-{n % 18}", "x-note", {"n": n})
        for n in range(200):
            store.save_agent_state(f"agent-{n % 18}", f"key-{n}", "value")


def measure(command, environ):
    """CPU seconds of one run, over a small batch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(BATCH):
        subprocess.run(command, env={**os.environ, **environ}, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / BATCH


def main(rounds):
    with tempfile.TemporaryDirectory() as folder:
        what = [case for case in cases(folder) if len(case[1]) != 3 or case[1][0] in PYTHON or has(case[1][0])]
        ratios = {name: [] for name, _, _ in what}
        for _ in range(rounds):
            times = {name: measure(command, environ) for name, command, environ in what}
            for name, seconds in times.items():
                ratios[name].append(seconds / times[what[0][0]])
    for name, values in ratios.items():
        print(f"{name:<40} {statistics.median(values):5.2f}   [{min(values):.2f} … {max(values):.2f}]")


def has(program):
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in os.environ["PATH"].split(os.pathsep))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
