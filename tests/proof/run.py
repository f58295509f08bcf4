"""Everything that is promised for bad moments, tried: python3 tests/proof/run.py [--step N] [--only PART…] [--write]

Parts: faults, power, storm, contention, openings, damages, inputs, mutations. --step N tries every N-th fault only, and
less of the rest; --write notes the figures in docs/reliability.md. With step 1 it takes two cores for some hours.
Run it with the Python of a test environment.
"""
from __future__ import annotations

import argparse
import datetime
import platform
import re
import sqlite3
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
from stores import BACKENDS, ROOT, make_folder  # noqa: E402
from test_bad_ground import DAMAGES  # noqa: E402

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- made by tests/proof/run.py --write -->", "<!-- end of what is made -->"
NOTHING = {"lost": 0, "doubled": 0, "pretended": 0, "wrong": 0}


def sum_up(tally):
    return {"lost": 0, "doubled": 0, "pretended": len(tally.pretended), "wrong": len(tally.wrong)}


def try_faults(step):
    """System calls killed or failed."""
    tally = faults.break_calls(BACKENDS, faults.CALLS, step)
    return {"system calls killed or failed": tally.injected, "of them killed": tally.killed}, sum_up(tally)


def try_power(step):
    """Power cuts at every sync."""
    tally = power.cut_calls(BACKENDS, tries=max(1, 8 // step))
    return {"power cuts": tally.injected}, {**sum_up(tally), "pretended": 0, "lost": len(tally.pretended)}


def try_crowds(kills, count):
    """Crowds on each backend, 8 of the senders through shells; `kills` of the processes killed and started again."""
    counts, bad = {"messages confirmed": 0, "processes killed": 0}, dict(NOTHING)
    for backend in BACKENDS:
        found = storm.run_crowd(backend, 24 if kills else 32, 8, count, shells=8, kills=kills)
        print(f"{backend}: {found}")
        counts["messages confirmed"] += found["confirmed"]
        counts["processes killed"] += found["killed"]
        bad["lost"] += found["lost"]
        bad["doubled"] += found["doubled"] + found["repeated_ids"]
        bad["wrong"] += len(found["errors"]) + len(found["unsound"])
    return counts, bad


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
    return counts, {**NOTHING, "wrong": len(missed)}


def write_figures(counts, bad, step):
    """Put the figures of this run into the document, with the date and the versions."""
    lines = [BEGIN, "", f"Last run on {datetime.date.today()}, Python {platform.python_version()}, "
             f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.machine()}, --step {step}:", "",
             "| tried | number |", "| --- | --- |", *(f"| {name} | {number:,} |" for name, number in counts.items()),
             *(f"| **{name}** | **{number}** |" for name, number in bad.items()), "", END]
    text = DOCUMENT.read_text()
    if BEGIN not in text:
        raise SystemExit(f"{DOCUMENT} has no line {BEGIN}")
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    DOCUMENT.write_text(re.sub(pattern, lambda found: "\n".join(lines), text, flags=re.S))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=int, default=1, help="try every N-th fault only")
    parser.add_argument("--only", nargs="+", metavar="PART")
    parser.add_argument("--write", action="store_true", help="note the figures in docs/reliability.md")
    given = parser.parse_args()
    parts = {"faults": lambda: try_faults(given.step), "power": lambda: try_power(given.step),
             "storm": lambda: try_crowds(40, max(10, 100 // given.step)),
             "contention": lambda: try_crowds(0, max(10, 200 // given.step)),
             "openings": lambda: try_openings(max(1, 20 // given.step)), "damages": try_damages,
             "inputs": lambda: try_inputs(max(100, 10_000 // given.step)), "mutations": try_mutations}
    counts, bad = {}, dict(NOTHING)
    for name in given.only or parts:
        print(f"== {name}", flush=True)
        tried, wrong = parts[name]()
        for what, number in tried.items():
            counts[what] = counts.get(what, 0) + number
        bad = {what: number + wrong[what] for what, number in bad.items()}
    for what, number in [*counts.items(), *bad.items()]:
        print(f"{what:35}{number:>9,}")
    if given.write:
        write_figures(counts, bad, given.step)
    sys.exit(any(bad.values()))


if __name__ == "__main__":
    main()
