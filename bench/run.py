#!/usr/bin/env python3
"""The whole table: calls, operations in one process beside raw SQLite and peers, many processes, growth, counts.

python3 bench/run.py [--only SECTION,…] [--quick] [--json FILE]
python3 bench/run.py --counts       only what no machine changes, and status 1 where it is more than it was: for CI
Everything is a ratio inside one run, or a count. Peers (litequeue, persist-queue, diskcache, huey,
langgraph-checkpoint-sqlite) are measured where they are installed; nothing here needs them. BENCH_DIR is the disk.
"""
from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def measure_calls(quick):
    """What one call costs, in a process of its own, which bench/calls.py begins."""
    words = [sys.executable, os.path.join(HERE, "calls.py"), *(["3"] if quick else [])]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def measure_statements(quick):
    import statements

    return statements.measure(3 if quick else 7, 0.25 if quick else 1.0)


def measure_concurrency(quick):
    import concurrency

    return concurrency.measure(*((8, 30, 1) if quick else (32, 300, 1)))


def measure_slow_disk(quick):
    import concurrency

    return concurrency.measure(*((8, 5, 1) if quick else (32, 40, 1)), kinds=("raw", "ours"), milliseconds=5.0)


def measure_growth(quick):
    import growth

    return growth.measure_all(quick)


def measure_shell(quick):
    import calls

    return calls.measure_wall(3 if quick else 31)


def measure_postgresql(quick):
    import postgresql

    return postgresql.measure(*((0.02, 1) if quick else (2.0, 5)))


def measure_seed(quick):
    import seed

    return seed.measure(500 if quick else 10_000)


def measure_counts(quick):
    import counts

    return counts.measure()


def lines_of(section, found):
    """What a section found, as the program of that section shows it."""
    if section == "calls":
        return found
    if section == "shell":
        return __import__("calls").show_wall(found)
    module = __import__({"slow_disk": "concurrency"}.get(section, section))
    return module.show(found)


SECTIONS = {
    "counts": ("Counts", measure_counts), "calls": ("One call from the shell", measure_calls),
    "statements": ("One operation in one process", measure_statements),
    "concurrency": ("32 processes at once", measure_concurrency),
    "slow_disk": ("32 processes on a disk that takes 5 ms for a sync", measure_slow_disk),
    "shell": ("A whole bash that calls a function, beside one that spawns sqlite3", measure_shell),
    "postgresql": ("PostgreSQL, a kept connection", measure_postgresql),
    "growth": ("Growth", measure_growth), "seed": ("Against plain files, 10,000 agents", measure_seed),
}


def main(words):
    """Print the sections, one after the other; the exit status."""
    if "--counts" in words:
        return __import__("counts").main([])
    given = dict(zip(words, [*words[1:], ""]))
    quick, wanted = "--quick" in words, given["--only"].split(",") if "--only" in given else [*SECTIONS]
    report = {"python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version, "load": os.getloadavg()}
    print(f"Python {report['python']}, SQLite {report['sqlite']}, {os.cpu_count()} cores, load {report['load'][0]:.1f}")
    for section in wanted:
        title, action = SECTIONS[section]
        begun = time.time()
        report[section] = action(quick)
        print(f"\n{title} ({time.time() - begun:.0f} s)")
        for line in lines_of(section, report[section]):
            print(line)
    if "--json" in given:
        with open(given["--json"], "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
