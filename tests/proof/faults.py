"""System calls killed and failed: at the n-th of each kind, for every n, a call leaves the state before or after.

strace stops the call from outside, so what SQLite does is broken as well as what we do.
"""
from __future__ import annotations

import collections
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from stores import PROGRAM, fill, find_faults, make_environ, make_folder, open_quietly, read_all

CALLS = {
    "save": ["save-agent-state", "a", "k-0", "after " + "y" * 5000],
    "send": ["send-agent-message", "a", "c", "error_report", '{"n": 99}'],
    "take": ["get-agent-messages", "b", "true", "2"],
    "lease": ["get-agent-messages", "b", "true", "2", "--lease", "60"],
    "acknowledge": ["acknowledge-agent-message", "b", "2"],
    "register again": ["register-agent", "b", "validation", "ms-1", "execution-1"],
    "checkpoint": ["create-agent-checkpoint", "b"],
    "restore checkpoint": ["restore-agent-checkpoint", "CHECKPOINT"],
    "record": ["create-milestone-record", "ms-2", "title: two"],
    "update record": ["update-milestone-record", "ms-1", "title: changed"],
    "archive record": ["delete-milestone-record", "ms-1"],
    "migrate": ["migrate-storage-backend", "OTHER"],
    "backup": ["backup-coordination"],
    "restore": ["restore-coordination", "IN/backup.db"],
    "export": ["export-coordination"],
    "import": ["import-coordination", "IN/export.jsonl", "--replace"],
}
OTHER = {"file": "hybrid", "hybrid": "database", "database": "file"}
BROKEN = ("write", "pwrite64", "fsync", "fdatasync", "rename", "unlink", "ftruncate", "link", "mkdir")
FAULTS = ("signal=KILL", "error=EIO", "error=ENOSPC", "error=EINTR")
NOT_FAILED = re.compile(r"\d+ +\w+\(([012])[<,]")  # the streams of the call: their loss is another promise


@dataclass
class Tally:
    """What was done and what came of it."""

    injected: int = 0
    killed: int = 0
    before: int = 0
    after: int = 0
    pretended: list = field(default_factory=list)
    wrong: list = field(default_factory=list)

    def add(self, other):
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Broken:
    """One call on one backend, tried with one fault after the other on copies of a filled store."""

    def __init__(self, backend, name, folder):
        self.backend, self.name, self.folder = backend, name, Path(folder)
        self.template, self.store = self.folder / "template", self.folder / "store"
        fill(self.template, backend)
        self.prepare_input()
        self.words = [self.fill_in(word) for word in CALLS[name]]
        self.before = read_all(self.template)

    def prepare_input(self):
        """A backup and an export of a store that differs from the template."""
        place = self.folder / "in"
        shutil.copytree(self.template, self.folder / "other")
        with open_quietly(self.folder / "other") as other:
            other.save_agent_state("b", "of the backup", "v")
            other.backup_coordination(str(place / "backup.db"))
            other.export_coordination(str(place / "export.jsonl"))

    def fill_in(self, word):
        with open_quietly(self.template) as store:
            checkpoint = store.list_agent_checkpoints("a")[0]["checkpoint_id"]
        for name, value in {"OTHER": OTHER[self.backend], "CHECKPOINT": checkpoint,
                            "IN": str(self.folder / "in")}.items():
            word = word.replace(name, value) if word.startswith(name) else word
        return word

    def run(self, *tracer):
        """Run the call on a fresh copy."""
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.copytree(self.template, self.store)
        return subprocess.run([*tracer, *PROGRAM, "--dir", str(self.store), *self.words], env=make_environ(),
                              capture_output=True, text=True, errors="replace", timeout=120, check=False)

    def list_moments(self):
        """Each system call to be broken: its name, and the how manieth of that name it is."""
        self.run()  # which leaves the byte code
        log = self.folder / "log"
        done = self.run("strace", "-f", "-qq", "-o", str(log), "-e", "trace=" + ",".join(BROKEN))
        if done.returncode:
            raise RuntimeError(f"{self.name} on {self.backend} fails unbroken: {done.stderr}")
        self.after, counts = read_all(self.store), collections.Counter()
        for line in log.read_text(errors="replace").splitlines():
            name = re.match(r"\d+ +(\w+)\(", line)
            if name:
                counts[name[1]] += 1
                if not NOT_FAILED.match(line):
                    yield name[1], counts[name[1]]

    def try_fault(self, call, number, fault):
        """Break one system call; judge what is left."""
        tally, where = Tally(1), f"{self.name} on {self.backend}, {call} {number} {fault}"
        done = self.run("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}",
                        "-e", f"inject={call}:{fault}:when={number}")
        tally.killed = int(done.returncode < 0 or done.returncode == 137)
        if not tally.killed and done.returncode not in (0, 1, 2, 3):
            tally.wrong.append(f"{where}: status {done.returncode}")
        if "Traceback" in done.stderr:
            tally.wrong.append(f"{where}: a traceback: {done.stderr[-300:]}")
        try:
            state = read_all(self.store)
        except Exception as error:  # whatever it is, it is to be reported with the place
            tally.wrong.append(f"{where}: cannot be read: {error!r}")
            return tally
        tally.before, tally.after = int(state == self.before), int(state == self.after)
        if not (tally.before or tally.after):
            tally.wrong.append(f"{where}: neither the state before nor after (status {done.returncode}): "
                               + find_difference(self.before, self.after, state))
        if done.returncode == 0 and not tally.after:
            tally.pretended.append(where)
        if done.returncode in (1, 2, 3) and self.before != self.after and tally.after and not says_done(done.stderr):
            tally.wrong.append(f"{where}: done, but status {done.returncode}: {done.stderr.strip()}")
        tally.wrong += [f"{where}: {fault}" for fault in find_faults(self.store)]
        return tally


def find_difference(before, after, state):
    """The first row that is neither as before nor as after."""
    for table, rows in state.items():
        for row in rows:
            if row not in before[table] and row not in after[table]:
                return f"{table}: {row[:300]}"
        if rows not in (before[table], after[table]):
            return f"{table}: {len(rows)} rows, {len(before[table])} before, {len(after[table])} after"
    return "some tables as before, some as after"


def says_done(text):
    """Whether an error says that the work was done all the same."""
    return bool(re.search(r"\b(was|were|is) (done|saved|sent|moved|made|written|taken|kept|in use)\b|\bdone\b", text))


def break_calls(backends, names, step=1, faults=FAULTS, report=print):
    """Break the calls of these names on these backends, at every step-th moment; the tally of all."""
    total = Tally()
    for backend in backends:
        for name in names:
            with make_folder("faults-") as folder:
                broken, tally = Broken(backend, name, folder), Tally()
                moments = [(call, number, fault) for call, number in broken.list_moments() for fault in faults]
                for moment in moments[::step]:
                    tally.add(broken.try_fault(*moment))
            report(f"{backend} {name}: {tally.injected} faults, {tally.killed} killed, {tally.before} before, "
                   f"{tally.after} after, {len(tally.pretended)} pretended, {len(tally.wrong)} wrong")
            for line in tally.pretended + tally.wrong:
                report("   " + line)
            total.add(tally)
    return total
