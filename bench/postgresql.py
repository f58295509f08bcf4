#!/usr/bin/env python3
"""PostgreSQL over a kept connection: an operation beside its own statements, sent one by one by `pgbench -M simple`.

python3 bench/postgresql.py [SECONDS] [ROUNDS]
A server is started for it, as the tests do, without fsync: what is left is processor time and round trips. pgbench
gets the statements with their values, without what makes JSON of rows or keeps them parsed; so does the same psql, in
the same round trips (`bare`). For each the time goes on from call to call, as it does for ours: a heartbeat that is not
later than the last one fires no trigger, and costs half. Where there is no server, it is skipped.
"""
from __future__ import annotations

import base64
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEEDED = ("initdb", "psql", "pgbench")
MESSAGE = {"task": "design", "files": ["a.py", "b.py"], "note": "x" * 60}
OPERATIONS = {
    "send": lambda store: store.send_agent_message("a", "b", "x-note", MESSAGE),
    "take": lambda store: store.get_agent_messages("b", True, 1),
    "save": lambda store: store.save_agent_state("a", "k", "x" * 200),
    "load": lambda store: store.load_agent_state("a", "k"),
    "heartbeat": lambda store: store.agent_heartbeat("a"),
    "checkpoint": lambda store: store.create_agent_checkpoint("a"),
}
_BASE64 = re.compile(r"convert_from\(decode\('([^']*)','base64'\),'UTF8'\)")

_PLAIN = re.compile(r"('[^']*')::text")
_CHECKPOINT = re.compile(r"'(cp-\d+-\w+)'")  # an id, which may be used once


def find_missing():
    """What is needed and not there."""
    sys.path[:0] = [path for path in (os.path.join(ROOT, "tests"), ROOT) if path not in sys.path]
    from cluster import find_program

    return [name for name in NEEDED if not find_program(name)]


class Recorder:
    """Takes down what a connection is told, and how often it is waited for."""

    def __init__(self, psql):
        self.waits, self.trips = 0, []
        exchange, ask_all, tell = psql.exchange, psql.ask_all, psql.tell

        def counted(request):
            self.waits += 1
            return exchange(request)

        def recorded(before, asked, after=()):
            self.trips.append([each if isinstance(each, str) else each.write() for each in (*before, *asked, *after)])
            return ask_all(before, asked, after)

        def told(statement):
            self.trips[-1].append(statement)
            tell(statement)

        psql.exchange, psql.ask_all, psql.tell = counted, recorded, told

    def take_down(self, action):
        """How often an action waits, and the statements of each of its trips, with their values as literals."""
        self.waits, self.trips = 0, []
        action()
        return self.waits, [list(map(_as_plain, trip)) for trip in self.trips]


def _as_plain(statement):
    return _CHECKPOINT.sub(r"'\1' || :later", _BASE64.sub(_as_literal, _PLAIN.sub(r"\1", statement)))


def _as_literal(found):
    return "'" + base64.b64decode(found[1]).decode().replace("'", "''") + "'"


def measure(seconds=3.0, rounds=3):
    """Operation → its round trips, its statements, milliseconds of ours and of pgbench, and the ratio.

    rounds: 0: only what is counted
    """
    missing = find_missing()
    if missing:
        return {"skipped": f"{' and '.join(missing)} not installed"}
    from cluster import Cluster

    cluster, folder = Cluster(), tempfile.mkdtemp(prefix="bench-")
    try:
        return _measure(cluster, folder, seconds, rounds)
    finally:
        cluster.close()
        shutil.rmtree(folder)


def count_trips():
    """Operation → its round trips; {} where there is no server."""
    found = measure(rounds=0)
    return {} if "skipped" in found else {name: row["trips"] for name, row in found.items()}


def _measure(cluster, folder, seconds, rounds):
    from milestone_persist import open_store
    from milestone_persist.storage.call import Clock

    class Ahead(Clock):
        """Two seconds pass between calls, none in them: each writes a heartbeat. Who is silent is asked once."""

        now = time.time()

        def time(self):
            return self.now

        def monotonic(self):
            return 0.0

    clock = Ahead()
    store = open_store(os.path.join(folder, "m"), clock=clock,
                       environ={"MILESTONE_DATABASE_URL": cluster.url, "PATH": os.environ["PATH"], "HOME": folder})
    for agent in "ab":
        store.register_agent(agent, "scope-analyzer", "ms-1", "execution-1")
    store.save_agent_state("a", "k", "v")
    psql, found = store.storage().psql, {}
    recorder = Recorder(psql)
    children = psql.pid, store.storage().execute("SELECT pg_backend_pid() AS pid")[0]["pid"]

    def call(action):
        clock.now += 2
        action(store)

    def write_for_now(trips, recorded):
        """The statements of trips, later than any call yet; the later, the greater their `:later` is."""
        clock.now += 2
        second = store.storage().now().partition(".")[0]
        return [[each.replace(recorded, f"{second}.:later") for each in trip] for trip in trips]

    for name, action in OPERATIONS.items():
        _fill(store, name)
        call(action)
        waits, trips = recorder.take_down(lambda action=action: call(action))
        recorded = store.storage().now()
        script = os.path.join(folder, name + ".sql")
        found[name] = {"trips": waits, "statements": sum(map(len, trips))}
        times = {"ours": [], "bare": [], "pgbench": []}
        for number in range(rounds):
            _fill(store, name)
            times["ours"].append(_repeat(lambda action=action: call(action), seconds, children))
            first, texts = (number + 1) * 10**9, write_for_now(trips, recorded)
            ids = itertools.count(first)
            times["bare"].append(_repeat(lambda texts=texts, ids=ids: _ask(psql, texts, next(ids)), seconds, children))
            with open(script, "w", encoding="utf-8") as file:
                file.write("\\set later :later + 1\n")
                file.writelines(each + ";\n" for trip in write_for_now(trips, recorded) for each in trip)
            times["pgbench"].append(_run_pgbench(cluster, script, first + 10**8, seconds))
        if rounds:
            found[name].update(_summarize(times))
    store.close()
    return found


def _summarize(times):
    """Medians of the rounds: milliseconds of each, and ratios to pgbench in the same round."""
    found = {}
    for place, unit in enumerate(("ms", "cpu_ms")):
        for who, key in (("ours", "ratio_"), ("bare", "bare_ratio_"), ("pgbench", "")):
            found[f"{who}_{unit}"] = statistics.median(pair[place] for pair in times[who])
            if key:
                found[key + unit] = statistics.median(mine[place] / max(theirs[place], 0.001) for mine, theirs
                                                      in zip(times[who], times["pgbench"]))
    return found


def _repeat(action, seconds, children):
    """Milliseconds of one call, and those of processor time."""
    calls, begun, used = 0, time.perf_counter(), _used(children)
    while time.perf_counter() - begun < seconds:
        action()
        calls += 1
    return (time.perf_counter() - begun) / calls * 1000, (_used(children) - used) / calls * 1000


def _ask(psql, trips, number):
    for trip in trips:
        psql.ask("\\; ".join(trip).replace(":later", str(number)) + ";")


def _fill(store, name):
    """For a take: what there is to take."""
    if name == "take":
        store.send_many("a", [{"to_agent": "b", "message_type": "x-note", "payload": MESSAGE}] * 1000)


def _run_pgbench(cluster, script, first, seconds):
    """Milliseconds of one transaction, and those of processor time, with that of its server process.

    first: the first `:later`
    """
    from cluster import find_program

    length = ["-T", str(round(seconds))] if seconds >= 1 else ["-t", "20"]
    words = ["-n", "-M", "simple", "-c", "1", "-D", f"later={first}", *length, "-f", script, cluster.url]
    with open(os.path.join(cluster.data, "postmaster.pid"), encoding="ascii") as file:
        postmaster = int(file.readline())
    used = _used_by_ended(postmaster)
    done = subprocess.run([find_program("pgbench"), *words], check=True, capture_output=True, text=True,
                          env={**os.environ, "PGOPTIONS": "-c search_path=milestone_persist "
                                                          "-c enable_seqscan=off -c jit=off"})
    while cluster.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'") != "0":
        time.sleep(0.1)
    time.sleep(0.1)  # until the server knows that this process has ended
    number = int(re.search(r"transactions actually processed: (\d+)", done.stdout)[1])
    return (float(re.search(r"latency average = ([\d.]+) ms", done.stdout)[1]),
            (_used_by_ended(postmaster) - used) / number * 1000)


def _used(children):
    """Processor seconds of this process and of some others, as far as the system tells them."""
    return time.process_time() + sum(sum(_read_times(pid)[:2]) for pid in children)


def _used_by_ended(postmaster):
    """Processor seconds of the children that have ended, of this process and of the server."""
    times = os.times()
    return times.children_user + times.children_system + sum(_read_times(postmaster)[2:])


def _read_times(pid):
    """User and system seconds of a process, and of its children that have ended; none where there is no /proc."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return [int(word) / os.sysconf("SC_CLK_TCK") for word in file.read().rpartition(")")[2].split()[11:15]]
    except OSError:
        return [0.0] * 4


def show(found):
    """The lines of the table."""
    if "skipped" in found:
        yield "skipped: " + found["skipped"]
        return
    yield f"{'':12}{'round trips':>12}{'statements':>12}{'ours ms':>9}{'bare':>7}{'pgbench':>9}" \
          f"{'ratio':>7}{'bare':>6}{'of CPU':>8}{'bare':>6}"
    for name, row in found.items():
        yield (f"{name:12}{row['trips']:12}{row['statements']:12}{row['ours_ms']:9.2f}{row['bare_ms']:7.2f}"
               f"{row['pgbench_ms']:9.2f}{row['ratio_ms']:7.2f}{row['bare_ratio_ms']:6.2f}{row['ratio_cpu_ms']:8.2f}"
               f"{row['bare_ratio_cpu_ms']:6.2f}")


if __name__ == "__main__":
    for line in show(measure(*(float(word) for word in sys.argv[1:2]), *(int(word) for word in sys.argv[2:3]))):
        print(line)
