#!/usr/bin/env python3
"""Many processes write at once: rate, refusals and the worst wait, with raw SQLite loops in the same run.

python3 bench/concurrency.py [PROCESSES] [MESSAGES] [ROUNDS]
Each process sends MESSAGES to its neighbour, then takes as many one by one. `raw` writes about the same rows by hand
with BEGIN IMMEDIATE and a busy timeout of 30 s, in the same journal mode and durability; `raw in line` takes the
queue's lock first; `raw WAL` is another journal mode.
How many calls of others end while one waits is a count of the order alone: a busy machine or disk does not change it.
SLOW_SYNC=5 delays each fdatasync and fsync by so many milliseconds (needs a C compiler).
"""
from __future__ import annotations

import bisect
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAYLOAD = {"task": "design", "files": ["a.py", "b.py"], "note": "x" * 60}


class Raw:
    """Two writes and a read for a message, as ours: a heartbeat, and the message's row."""

    journal, synchronous = "DELETE", "EXTRA"
    queue = False

    def __init__(self, folder, me):
        self.me = me
        self.connection = sqlite3.connect(os.path.join(folder, "raw.db"), timeout=30, isolation_level=None)
        self.connection.execute(f"PRAGMA journal_mode = {self.journal}")
        self.connection.execute(f"PRAGMA synchronous = {self.synchronous}")
        self.descriptor = os.open(os.path.join(folder, "raw.lock"), os.O_CREAT | os.O_RDWR) if self.queue else -1

    @classmethod
    def make(cls, folder, processes):
        self = cls(folder, 0)
        self.connection.execute("CREATE TABLE agents (id INTEGER PRIMARY KEY, beat REAL)")
        self.connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, sender INT, reader INT, "
                                "body TEXT, taken REAL)")
        self.connection.execute("CREATE INDEX pending ON messages (reader, id) WHERE taken IS NULL")
        self.connection.executemany("INSERT INTO agents VALUES (?, 0)", [(n,) for n in range(processes)])

    def write(self, sql, values):
        if self.queue:
            import fcntl

            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                self.connection.execute("UPDATE agents SET beat = ? WHERE id = ?", (time.time(), self.me))
                rows = self.connection.execute(sql, values).fetchall()
                self.connection.execute("COMMIT")
                return rows
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
        finally:
            if self.queue:
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def send(self, to):
        self.write("INSERT INTO messages (sender, reader, body) VALUES (?, ?, ?)", (self.me, to, json.dumps(PAYLOAD)))

    def take(self):
        return self.write("UPDATE messages SET taken = ? WHERE id = (SELECT id FROM messages WHERE reader = ? "
                          "AND taken IS NULL ORDER BY id LIMIT 1) RETURNING id, body", (time.time(), self.me))


class RawInLine(Raw):
    queue = True


class RawWal(Raw):
    journal, synchronous = "WAL", "FULL"


class Ours:
    """The Python API, one store for each process."""

    def __init__(self, folder, me):
        sys.path.insert(0, ROOT)
        from milestone_persist import open_store

        self.store, self.me = open_store(os.path.join(folder, "m"), environ={}), me

    @classmethod
    def make(cls, folder, processes):
        store = cls(folder, 0).store
        for n in range(processes):
            store.register_agent(f"w{n}", "scope-analyzer", "ms-1", "execution-1")

    def send(self, to):
        self.store.send_agent_message(f"w{self.me}", f"w{to}", "x-note", PAYLOAD)

    def take(self):
        return self.store.get_agent_messages(f"w{self.me}", True, 1)


KINDS = {"raw": Raw, "raw in line": RawInLine, "ours": Ours, "raw WAL": RawWal}


def work(kind, folder, me, processes, messages):
    """One process: its waits, and what was refused."""
    one = KINDS[kind](folder, me)
    print("ready", flush=True)
    sys.stdin.readline()
    calls, errors, taken = [], [], 0

    def timed(action, *words):
        begun = time.perf_counter()
        try:
            return action(*words)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:120])
        finally:
            calls.append((begun, time.perf_counter()))  # by a clock that is the same for all processes

    for _ in range(messages):
        timed(one.send, (me + 1) % processes)
    patience = time.monotonic() + 60
    while taken < messages and time.monotonic() < patience:
        rows = timed(one.take)
        if rows:
            taken += len(rows)
        else:
            time.sleep(0.005)  # until the neighbour has sent it
    print(json.dumps({"calls": calls, "errors": errors, "taken": taken}), flush=True)


def run(kind, processes, messages, environ):
    """All of them on a fresh database: messages sent and taken a second, refused, lost, and waits in seconds."""
    folder = tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_DIR"))
    try:
        KINDS[kind].make(folder, processes)
        words = [sys.executable, __file__, "--work", kind, folder]
        started = [subprocess.Popen([*words, str(me), str(processes), str(messages)], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True, env={**os.environ, **environ})
                   for me in range(processes)]
        for process in started:
            process.stdout.readline()
        begun = time.perf_counter()
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [json.loads(process.communicate()[0]) for process in started]
        passed = time.perf_counter() - begun
    finally:
        shutil.rmtree(folder)
    calls = [tuple(call) for each in told for call in each["calls"]]
    waits, ends = sorted(end - begun for begun, end in calls), sorted(end for _, end in calls)
    first = sorted(bisect.bisect_left(ends, end) - bisect.bisect_right(ends, begun) for begun, end in calls)
    errors = [error for each in told for error in each["errors"]]
    taken = sum(each["taken"] for each in told)
    return {"rate": (processes * messages + taken) / passed, "refused": len(errors),
            "errors": sorted(set(errors))[:3], "lost": processes * messages - taken, "median": waits[len(waits) // 2],
            "p99": waits[len(waits) * 99 // 100], "worst": waits[-1], "others_median": first[len(first) // 2],
            "others_p99": first[len(first) * 99 // 100], "others_worst": first[-1]}


def slow_disk(folder, milliseconds):
    """The environment in which each sync takes so long."""
    source, library = os.path.join(folder, "slow.c"), os.path.join(folder, "slow.so")
    with open(source, "w", encoding="ascii") as file:
        file.write("#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <unistd.h>\n" + "".join(
            f'int {name}(int fd) {{ int (*real)(int) = dlsym(RTLD_NEXT, "{name}"); '
            f"usleep({int(milliseconds * 1000)}); return real(fd); }}\n" for name in ("fsync", "fdatasync")))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": library}


def measure(processes=32, messages=300, rounds=1, kinds=tuple(KINDS), milliseconds=0.0):
    """Name → the results of each round; the kinds take turns at being first."""
    found = {kind: [] for kind in kinds}
    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        environ = slow_disk(folder, milliseconds) if milliseconds else {}
        for n in range(rounds):
            for kind in (*kinds[n % len(kinds):], *kinds[:n % len(kinds)]):
                found[kind].append(run(kind, processes, messages, environ))
    finally:
        shutil.rmtree(folder)
    return found


def show(found):
    """The lines of the table; the rate is a ratio to the raw loop of the same round."""
    yield (f"{'':14}{'rate':>7}{'calls/s':>9}{'refused':>9}{'lost':>6}{'median ms':>11}{'p99 ms':>9}{'worst ms':>10}"
           "   others served meanwhile: median, 99 %, most")
    for kind, rounds in found.items():
        ratio = sum(each["rate"] / base["rate"] for each, base in zip(rounds, found["raw"])) / len(rounds)
        yield (f"{kind:14}{ratio:7.2f}{sum(each['rate'] for each in rounds) / len(rounds):9.0f}"
               f"{sum(each['refused'] for each in rounds):9}{sum(each['lost'] for each in rounds):6}"
               f"{max(each['median'] for each in rounds) * 1000:11.1f}{max(each['p99'] for each in rounds) * 1000:9.0f}"
               f"{max(each['worst'] for each in rounds) * 1000:10.0f}   "
               + ", ".join(str(max(each["others_" + name] for each in rounds)) for name in ("median", "p99", "worst"))
               + "  "
               + "; ".join(error for each in rounds for error in each["errors"]))


def main(words):
    if words[:1] == ["--work"]:
        return work(words[1], words[2], *map(int, words[3:]))
    numbers = [int(word) for word in words]
    for line in show(measure(*numbers, milliseconds=float(os.environ.get("SLOW_SYNC", "0")))):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
