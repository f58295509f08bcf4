"""Everything that is promised for bad moments, tried: python3 tests/proof/run.py [--step N] [--only PART…] [--write]

--only tries the parts that begin with these words: faults (of a backend, and of installing), power, storm, contention,
openings, damages, inputs, mutations. --step N tries every N-th fault only, and less of the rest; with step 1 all of it
takes two cores for an hour. --write notes the figures of the parts that were run in docs/reliability.md, each with its
date and step: those of the others stay. Run it with the Python of a test environment.
"""
from __future__ import annotations

import argparse
import datetime
import os
import platform
import sqlite3
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "project")]

import faults  # noqa: E402
import fuzz  # noqa: E402
import ground  # noqa: E402
import mutations  # noqa: E402
import power  # noqa: E402
import storm  # noqa: E402
import tables  # noqa: E402
from cluster import Cluster, find_program  # noqa: E402
from stores import BACKENDS, ROOT, make_folder  # noqa: E402
from test_bad_ground import DAMAGES  # noqa: E402

FAULTS = {"faults on file": ["file"], "faults on hybrid": ["hybrid"], "faults on database": ["database"],
          "faults while installing": []}  # the backends
PARTS = [*FAULTS, "power", "storm", "contention", "openings", "damages", "inputs", "mutations"]
PROCESSES = os.cpu_count() or 1
NOTHING = {"lost": 0, "doubled": 0, "pretended": 0, "wrong": 0}


def sum_up(tally):
    return {"lost": 0, "doubled": 0, "pretended": len(tally.pretended), "wrong": len(tally.wrong)}


def try_faults(backends, step):
    """System calls killed or failed."""
    calls = faults.list_calls(backends, faults.CALLS if backends else faults.INSTALLING)
    tally = faults.break_calls(calls, step, processes=PROCESSES)
    return {"system calls killed or failed": tally.injected, "of them killed": tally.killed}, sum_up(tally)


def try_power(step):
    """Power cuts at every sync."""
    tally = power.cut_calls(faults.list_calls(BACKENDS), tries=max(1, 8 // step), processes=PROCESSES)
    return {"power cuts": tally.injected}, {**sum_up(tally), "pretended": 0, "lost": len(tally.pretended)}


def try_storms(rounds, count):
    """On each backend rounds of 16 processes, of which more than a third is killed at random and started again."""
    return sum_crowds(dict(senders=12, takers=4, count=count, shells=4, kills=6, seed=number)
                      for number in range(rounds))


def try_contention(count):
    """On each backend 32 processes that send, 8 of them through shells, and 8 that take."""
    return sum_crowds([dict(senders=32, takers=8, count=count, shells=8)])


def sum_crowds(crowds):
    """Let each crowd work on each backend, PostgreSQL among them where there is a server."""
    crowds = [*crowds]
    counts, bad = {"messages confirmed": 0, "processes killed": 0}, dict(NOTHING)
    for backend in [*BACKENDS, *["postgresql"] * bool(find_program("initdb"))]:
        for crowd in crowds:
            add_crowd(counts, bad, backend, run_on_server(crowd) if backend == "postgresql" else
                      storm.run_crowd(backend, **crowd))
    return counts, bad


def add_crowd(counts, bad, backend, found):
    print(backend, found, flush=True)
    counts["messages confirmed"] += found["confirmed"]
    counts["processes killed"] += found["killed"]
    bad["lost"] += found["lost"]
    bad["doubled"] += found["doubled"] + found["repeated_ids"]
    bad["wrong"] += len(found["errors"]) + len(found["unsound"])


def run_on_server(crowd):
    server = Cluster()
    os.environ.update(MILESTONE_DATABASE_URL=server.url, MILESTONE_DATABASE_SCHEMA="crowd")
    try:
        return storm.run_crowd("database", **crowd)
    finally:
        del os.environ["MILESTONE_DATABASE_URL"], os.environ["MILESTONE_DATABASE_SCHEMA"]
        server.close()


def try_openings(rounds):
    """24 processes that make the same directory."""
    bad = dict(NOTHING)
    for backend in BACKENDS * rounds:
        errors, kept = storm.open_at_once(backend)
        bad["wrong"] += len(errors)
        bad["lost"] += 24 - len(errors) - kept
    return {"first openings by 24 processes": len(BACKENDS) * rounds}, bad


def try_damages():
    """Bad ground: every damage of the list, named by doctor or survived."""
    with make_folder("ground-") as folder:
        tried = ground.Ground(folder)
        wrong = [line for damage in DAMAGES for line in tried.try_damage(damage).wrong]
    print(*wrong, sep="\n")
    return {"damages": tried.tried, "of them named": tried.named}, {**NOTHING, "wrong": len(wrong)}


def try_inputs(count):
    """Random input of every surface."""
    counts, bad = {"random inputs": 0}, dict(NOTHING)
    for surface in fuzz.SURFACES:
        try:
            counts["random inputs"] += fuzz.fuzz(datetime.date.today().toordinal(), surface, count)
        except fuzz.Failed as failed:
            print(failed)
            bad["wrong"] += 1
    return counts, bad


def try_mutations():
    """Breaks of the product, each to be caught by a test."""
    outcomes = mutations.try_all()
    missed = [each for each in outcomes if not each.caught_by]
    counts = {"mutations": len(outcomes), "of them caught": len(outcomes) - len(missed)}
    return counts, {**NOTHING, "wrong": len(missed)}, outcomes


def try_part(name, step):
    """What was tried and how often, what came of it, and of mutations the outcomes."""
    if name in FAULTS:
        return try_faults(FAULTS[name], step)
    works = {"power": lambda: try_power(step), "storm": lambda: try_storms(max(1, 10 // step), max(5, 30 // step)),
             "contention": lambda: try_contention(max(10, 200 // step)),
             "openings": lambda: try_openings(max(1, 20 // step)), "damages": try_damages,
             "inputs": lambda: try_inputs(max(100, 10_000 // step)), "mutations": try_mutations}
    return works[name]()


def ask_git(*words):
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def describe_run(step):
    """When, with what and how thoroughly a part was run."""
    commit = ask_git("describe", "--always") + " and changes" * bool(ask_git("status", "--porcelain", ":!docs"))
    return (f"{datetime.date.today()}, {commit}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
            f"{platform.system()} {platform.machine()}, step {step}")


def list_words(numbers):
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=int, default=1, help="try every N-th fault only")
    parser.add_argument("--only", nargs="+", metavar="PART", default=("",))
    parser.add_argument("--write", action="store_true", help="note the figures in docs/reliability.md")
    given = parser.parse_args()
    found = {}
    for name in [part for part in PARTS if part.startswith(tuple(given.only))]:
        print(f"== {name}", flush=True)
        counts, bad, *outcomes = try_part(name, given.step)
        found[name] = [describe_run(given.step), list_words(counts), list_words(bad)]
        print(*found[name], sep="; ", flush=True)
        if given.write:
            tables.note(tables.PROOFS, {name: found[name]}, PARTS)
            for each in outcomes:
                mutations.write_outcomes(each)
    print("all is well" if all(row[2] == list_words(NOTHING) for row in found.values()) else "something is wrong")
    sys.exit(any(row[2] != list_words(NOTHING) for row in found.values()))


if __name__ == "__main__":
    main()
