#!/usr/bin/env python3
"""What an operation costs in one process, as a ratio to raw SQLite in the same run and the same journal mode.

python3 bench/statements.py [ROUNDS]          CPU and wall time, medians of the rounds; with peers that are installed
python3 bench/statements.py --instructions    instructions of a call in WAL mode, which no other load changes; valgrind
"""
from __future__ import annotations

import gc
import os
import shutil
import statistics
import sys
import tempfile
import time

from calls import count_instructions
from floors import Floor, FloorAgain, SameRows
from ours import Ours
from peers import PEERS
from replay import SameStatements

CONTENDERS = (Floor, FloorAgain, SameRows, SameStatements, Ours, *PEERS)
OPERATIONS = {"send": 200, "take": 200, "save": 200, "load": 200, "heartbeat": 200, "checkpoint": 50, "send_1000": 1,
              "save_1000": 1}  # how many calls a round
MODES = {"WAL, synchronous normal": ("WAL", "NORMAL"), "rollback journal, synchronous full": ("DELETE", "EXTRA")}


def make(folder, journal, synchronous):
    """The contenders that are there."""
    found = []
    for kind in CONTENDERS:
        place = os.path.join(folder, kind.__name__)
        os.mkdir(place)
        try:
            found.append(kind(place, journal, synchronous))
        except ImportError:
            continue
    return found


def measure_one(action, calls, first):
    """CPU and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    for n in range(first, first + calls):
        action(n)
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls


def measure(rounds=5, scale=1.0, modes=tuple(MODES)):
    """mode → operation → contender → median CPU and wall seconds, and their ratios to the floor of the same round."""
    found = {}
    for mode in modes:
        found[mode] = {}
        for name, calls in OPERATIONS.items():
            folder = tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_DIR"))
            contenders = make(folder, *MODES[mode])
            try:
                found[mode][name] = _measure(contenders, name, rounds, max(1, int(calls * scale)))
            finally:
                for one in contenders:
                    one.close()
                shutil.rmtree(folder)
    return found


def _measure(contenders, name, rounds, calls):
    able = [one for one in contenders if hasattr(one, name)]
    for one in able:
        one.prepare(name)
    times = {one.name: [] for one in able}
    gc.disable()
    for n in range(rounds):
        for one in (*able[n % len(able):], *able[:n % len(able)]):
            times[one.name].append(measure_one(getattr(one, name), calls, n * calls))
    gc.enable()
    found = {}
    for who, spent in times.items():
        found[who] = {"cpu": statistics.median(cpu for cpu, _ in spent),
                      "wall": statistics.median(wall for _, wall in spent)}
        for word, base in (("ratio", Floor), ("to_rows", SameRows), ("to_statements", SameStatements)):
            for place, measure in enumerate(("cpu", "wall")):
                found[who][f"{measure}_{word}"] = statistics.median(
                    one[place] / other[place] for one, other in zip(spent, times[base.name]))
    return found


def show(found):
    """The lines of the tables."""
    for mode, operations in found.items():
        yield f"{mode}: CPU and wall time as ratios to raw SQLite"
        for name, told in operations.items():
            ratios = "  ".join(f"{who} {each['cpu_ratio']:.2f}/{each['wall_ratio']:.2f}" for who, each in told.items())
            ours = told[Ours.name]
            beside = ", ".join(f"{kind.name} {ours[f'cpu_{word}']:.2f}/{ours[f'wall_{word}']:.2f}"
                               for kind, word in ((SameRows, "to_rows"), (SameStatements, "to_statements")))
            yield f"  {name:12}{ratios}  (ours to {beside})"


def run_calls(kind, name, calls):
    """What a process does whose instructions are counted: 20 calls, and so many more."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        contender = kind(folder, *MODES["WAL, synchronous normal"])
        contender.prepare(name)
        gc.disable()
        measure_one(getattr(contender, name), 20 + calls, 0)
        contender.close()


def count_calls(kind, name, calls=50):
    """Instructions of one call, in a process that goes on."""
    code = (f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})\n"
            f"import statements; statements.run_calls(statements.{kind.__name__}, {name!r}, %d)")
    run_calls(kind, name, 0)  # from here on the byte code is there: a process that makes it counts that too
    few, many = (count_instructions(["-c", code % number], {**os.environ}) for number in (0, calls))
    return (many - few) // calls


def show_instructions():
    """The lines of a table: of raw SQLite in thousands, of the others as ratios to that."""
    for name in (name for name, calls in OPERATIONS.items() if calls > 1):
        floor, rows, asked, ours = (count_calls(kind, name) for kind in (Floor, SameRows, SameStatements, Ours))
        yield (f"  {name:12}{Floor.name} {floor / 1000:.0f} k  {SameRows.name} {rows / floor:.2f}  "
               f"{SameStatements.name} {asked / floor:.2f}  {Ours.name} {ours / floor:.2f}, to the same rows "
               f"{ours / rows:.2f}, to the same statements {ours / asked:.2f}")


if __name__ == "__main__":
    for line in (show_instructions() if sys.argv[1:] == ["--instructions"] else
                 show(measure(*(int(word) for word in sys.argv[1:])))):
        print(line, flush=True)
