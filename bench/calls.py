#!/usr/bin/env python3
"""What one call from the shell costs, beside the cost of starting Python with sqlite3: counts, which no load changes.

python3 bench/calls.py [--json] [--file]   prints the table, beside the committed figures; of the file backend
python3 bench/calls.py --write             takes what was counted as the figures (bench/figures.json)
python3 bench/calls.py --wall [N]          times whole shells, in turn with one that spawns sqlite3 once: N ratios

Instructions need valgrind. They are those of the Python that runs this: give the system's for figures to compare.
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

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PROGRAM = os.path.join(ROOT, "milestone_persist", "__main__.py")
ADAPTER = os.path.join(ROOT, "shell", "storage-adapter.sh")
FIGURES = os.path.join(HERE, "figures.json")
PYTHON = [sys.executable, "-I", "-S"]
FLOOR = "import sqlite3"
CALLS = {
    "heartbeat": ["agent_heartbeat", "a"],
    "load": ["load_agent_state", "a", "k"],
    "save text": ["save_agent_state", "a", "k", "hello"],
    "save JSON": ["save_agent_state", "a", "j", '{"n": 1}'],
    "send": ["send_agent_message", "a", "b", "x-note", '{"n": 1}'],
    "take": ["get_agent_messages", "b", "true", "1"],
}
LIMITS = dict(zip(CALLS, (1.10, 1.10, 1.10, 1.20, 1.20, 1.20)))  # times the floor's instructions
# Runs the program within a process that counts: what of ours it opens and looks at, its modules, its statements.
COUNTING = """
import posix, sys
program, counts = sys.argv[1], {"opens": 0, "looks": 0, "statements": 0}
OURS = program.rpartition("/milestone_persist/")[0], posix.environ[b"MILESTONE_DIR"].decode()
def count(name):
    counts[name] += 1
def watch(event, args):
    if event in ("open", "os.listdir", "os.scandir") and str(args[0]).startswith(OURS):
        count("opens")
    driver = event == "import" and sys.modules.get("_sqlite3")
    if hasattr(driver, "connect") and driver.connect.__name__ == "connect":
        connect = driver.connect
        def traced(*args, **options):
            connection = connect(*args, **options)
            connection.set_trace_callback(lambda sql: None if sql.startswith("--") else count("statements"))
            return connection
        driver.connect = traced
def counted(function):
    def look(*args, **options):
        if str(args[0]).startswith(OURS):
            count("looks")
        return function(*args, **options)
    return look
for module in (posix, sys.modules.get("os")):
    for name in ("stat", "lstat"):
        if module:
            setattr(module, name, counted(getattr(module, name)))
def end(status):
    counts.update(ours=sum(name.startswith("milestone_persist") for name in sys.modules), status=status,
                  theirs=sorted(name for name in sys.modules if not name.startswith("milestone_persist")))
    posix.write(2, repr(counts).encode())
    leave(status)
leave, posix._exit = posix._exit, end
sys.argv[:] = sys.argv[1:]
sys.addaudithook(watch)
code = compile(open(program, "rb").read(), program, "exec")
sys.modules["__main__"].__file__ = program
exec(code, sys.modules["__main__"].__dict__)
"""


def main(argv):
    if "--wall" in argv:
        return print_wall(int(argv[argv.index("--wall") + 1]) if argv[-1] != "--wall" else 21)
    counted = count_all("file" if "--file" in argv else "hybrid")
    if "--write" in argv:
        with open(FIGURES, "w", encoding="utf-8") as file:
            file.write(json.dumps(counted, indent=1) + "\n")
    if "--json" in argv:
        print(json.dumps(counted))
    else:
        print_table(counted, read_figures())
    return 0


def read_figures():
    try:
        with open(FIGURES, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {"calls": {}}


def count_all(backend="hybrid"):
    """Every count of every call, and whose they are."""
    with tempfile.TemporaryDirectory() as folder:
        environ = prepare(folder, backend)
        floor = count_instructions(["-c", FLOOR], environ)
        calls = {name: {**count_steps(words, later(environ)), **count_ratio(words, later(environ), floor)}
                 for name, words in CALLS.items()}
    return {"machine": describe_machine(), "floor": floor, "calls": calls}


def describe_machine():
    """What the instructions depend on."""
    import sqlite3

    return {"python": sys.version.split()[0], "executable": os.path.realpath(sys.executable),
            "sqlite": sqlite3.sqlite_version}


def prepare(folder, backend="hybrid"):
    """A store on which each call finds something to do, and the environment in which it is used; byte code is there."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MILESTONE_", "AGENT_ID"))}
    environ.update(MILESTONE_DIR=os.path.join(folder, "data"), MILESTONE_BACKEND=backend)
    for agent in "ab":
        call(["register_agent", agent, "scope-analyzer", "ms-1", "planning-1"], environ)
    call(CALLS["save text"], environ)
    for _ in range(4):  # enough for every take below to acknowledge one and take one
        for words in [*CALLS.values()][:-1]:
            call(words, environ)
    call(CALLS["take"], environ)
    return environ


def later(environ):
    """The environment as it is, some seconds later by the clock of the calls: what they skip depends on it."""
    minutes, seconds = environ.get("MILESTONE_NOW", "2026-01-31 09:00:00.000")[14:19].split(":")
    passed = int(minutes) * 60 + int(seconds) + 20
    environ["MILESTONE_NOW"] = f"2026-01-31 09:{passed // 60:02}:{passed % 60:02}.000"
    return environ


def call(words, environ):
    done = subprocess.run([*PYTHON, PROGRAM, "--from-shell", *words], env=later(environ), stdin=subprocess.DEVNULL,
                          capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.decode()}")


def count_steps(words, environ):
    """What a call opens, looks at, loads and asks its database."""
    done = subprocess.run([*PYTHON, "-c", COUNTING, PROGRAM, "--from-shell", *words], env=environ, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    counts = eval(done.stderr[done.stderr.index("{'opens'"):])  # our own repr, behind what the call may have said
    if counts.pop("status"):
        sys.exit(f"{' '.join(words)}: {done.stderr}")
    return counts


def count_ratio(words, environ, floor):
    found = count_instructions([PROGRAM, "--from-shell", *words], environ)
    return {"instructions": found, "ratio": found and round(found / floor, 3)}


def count_instructions(words, environ):
    """How many instructions a process of Python takes; None without valgrind."""
    if not shutil.which("valgrind"):
        return None
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run([*valgrind, *PYTHON, *words], env=environ, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=True)
    [line] = [line for line in done.stderr.splitlines() if "I refs" in " ".join(line.split())]
    return int(line.split()[-1].replace(",", ""))


def print_table(counted, figures):
    machine = counted["machine"]
    print(f"Python {machine['python']}, SQLite {machine['sqlite']}; {FLOOR}: {counted['floor'] or 0:,} instructions\n")
    print(f"{'call':<12}{'instructions':>14}{'ratio':>8}{'to reach':>10}{'figure':>8}{'modules':>9}{'statements':>12}"
          f"{'opens':>7}{'looks':>7}")
    for name, row in counted["calls"].items():
        figure = figures["calls"].get(name, {}).get("ratio")
        print(f"{name:<12}{row['instructions'] or 0:>14,}{row['ratio'] or 0:>8.2f}{LIMITS[name]:>10.2f}"
              f"{figure or 0:>8.2f}{row['ours']:>9}{row['statements']:>12}{row['opens']:>7}{row['looks']:>7}")


def print_wall(rounds):
    for line in show_wall(measure_wall(rounds)):
        print(line)
    return 0


def measure_wall(rounds):
    """Ratios of wall time: a whole shell that sources the functions and calls one, to one that spawns sqlite3 once."""
    if not shutil.which("sqlite3"):
        return {"skipped": "sqlite3 not installed"}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        environ = {**prepare(folder), "MILESTONE_PYTHON": sys.executable}
        database = os.path.join(folder, "plain.db")
        insert = f"sqlite3 '{database}' \"INSERT INTO t VALUES (1, 'hello')\""
        subprocess.run(["sqlite3", database, "CREATE TABLE t (a, b)"], check=True)
        for name, words in CALLS.items():
            line = " ".join(f"'{word}'" for word in words)
            found[name] = [time_shell(f". '{ADAPTER}'; {line} >/dev/null", environ) / time_shell(insert, environ)
                           for _ in range(rounds)]
    return found


def show_wall(found):
    """The lines of the table."""
    if "skipped" in found:
        yield "skipped: " + found["skipped"]
        return
    for name, ratios in found.items():
        yield f"{name:<12}{statistics.median(ratios):6.1f}   [{min(ratios):.1f} … {max(ratios):.1f}]"


def time_shell(script, environ):
    start = time.perf_counter()
    subprocess.run(["bash", "-c", script], env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
