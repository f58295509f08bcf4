"""System calls killed and failed: at the n-th of each kind, for every n, a call leaves the state before or after.

strace stops the call from outside, so what SQLite does is broken as well as what we do.
"""
from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import os
import random
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import projects
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
INSTALLING = {  # in a project; what was done to it before
    "install": [],
    "install over an old one": ["old"],
    "uninstall": ["new"],
    "install into an empty project": ["empty"],
    "uninstall from an empty project": ["empty", "new"],
}
OTHER = {"file": "hybrid", "hybrid": "database", "database": "file"}
BROKEN = ("write", "pwrite64", "fsync", "fdatasync", "rename", "unlink", "ftruncate", "link", "mkdir", "symlink",
          "rmdir", "fchmod", "utimensat")
FAULTS = ("signal=KILL", "error=EIO", "error=ENOSPC", "error=EINTR")
NOT_FAILED = re.compile(r"\d+ +\w+\(([012])[<,]")  # the streams of the call: their loss is another promise
# Nobody reads a database before it has its name: the writes to it are all alike, and of so many of them one is broken.
UNNAMED, ALIKE = re.compile(r"\d+ +pwrite64\(\d+<[^>]*\.part(?:-journal)?>"), 8


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


class Call:
    """One call, tried with one fault after the other on copies of a folder that is made once.

    What it is made on is said by make_template, read, find_difference and find_faults.
    """

    words: list = []

    def __init__(self, name, folder):
        self.name, self.folder = name, Path(folder)
        self.template, self.store = self.folder / "template", self.folder / "store"
        self.after, self._judged = None, {}

    def read(self):
        """Everything that is promised to be as before or as after."""
        raise NotImplementedError

    def find_difference(self, state):
        """What is neither as before the call nor as after it; "" where it is."""
        raise NotImplementedError

    def find_faults(self):
        """What is wrong with what is there, or with the next calls."""
        raise NotImplementedError

    def copy(self):
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.copytree(self.template, self.store, symlinks=True)

    def run(self, *tracer):
        """Run the call on a fresh copy."""
        self.copy()
        return subprocess.run([*tracer, *PROGRAM, *self.words], env=make_environ(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=120, check=False)

    def list_moments(self):
        """Each system call to be broken: its name, and the how manieth of that name it is."""
        self.run()  # which leaves the byte code
        log = self.folder / "log"
        done = self.run("strace", "-f", "-qq", "-y", "-o", str(log), "-e", "trace=" + ",".join(BROKEN))
        if done.returncode:
            raise RuntimeError(f"{self.name} fails unbroken: {done.stderr}")
        self.after, counts, unnamed = self.read(), collections.Counter(), 0
        for line in log.read_text(errors="replace").splitlines():
            name = re.match(r"\d+ +(\w+)\(", line)
            if name:
                counts[name[1]] += 1
                unnamed += bool(UNNAMED.match(line))
                if not NOT_FAILED.match(line) and not (UNNAMED.match(line) and unnamed % ALIKE):
                    yield name[1], counts[name[1]]

    def try_fault(self, call, number, fault):
        """Break one system call; judge what is left."""
        tally, where = Tally(1), f"{self.name}, {call} {number} {fault}"
        done = self.run("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}",
                        "-e", f"inject={call}:{fault}:when={number}")
        tally.killed = int(done.returncode < 0 or done.returncode == 137)
        if not tally.killed and done.returncode not in (0, 1, 2, 3):
            tally.wrong.append(f"{where}: status {done.returncode}")
        if "Traceback" in done.stderr:
            tally.wrong.append(f"{where}: a traceback: {done.stderr[-300:]}")
        state, difference, found = self.judge()
        tally.wrong += [f"{where}: {fault} (status {done.returncode}: {done.stderr[-300:].strip()})"
                        for fault in [*filter(None, [difference]), *found]]
        tally.before, tally.after = int(state == self.before), int(state == self.after)
        if done.returncode == 0 and not tally.after:
            tally.pretended.append(where)
        if done.returncode in (1, 2, 3):
            if not tally.killed and state not in (None, self.before, self.after) and not difference:
                tally.wrong.append(f"{where}: half of it is done after status {done.returncode}: {done.stderr.strip()}")
            if self.before != self.after and tally.after and not says_done(done.stderr):
                tally.wrong.append(f"{where}: done, but status {done.returncode}: {done.stderr.strip()}")
        return tally

    def judge(self):
        """The state that was left, what of it is neither as before nor as after, and what else is wrong. Where every
        name and every byte is the same as once before, so is the judgement."""
        key = digest_tree(self.store)
        if key not in self._judged:
            try:
                state = self.read()
                self._judged[key] = state, self.find_difference(state), self.find_faults()
            except Exception as error:  # whatever it is, it is to be reported with the place
                self._judged[key] = None, f"cannot be read: {error!r}", []
        return self._judged[key]


class StoreCall(Call):
    """A call on a filled store of a backend."""

    def __init__(self, backend, name, folder):
        super().__init__(f"{name} on {backend}", folder)
        self.backend = backend
        fill(self.template, backend)
        self.prepare_input()
        self.words = ["--dir", str(self.store), *map(self.fill_in, CALLS[name])]
        self.copy()
        self.before = self.read()

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

    def read(self):
        return read_all(self.store)

    def find_difference(self, state):
        return "" if state in (self.before, self.after) else find_difference(self.before, self.after, state)

    def find_faults(self):
        return find_faults(self.store)


class ProjectCall(Call):
    """Installing into a project that has files of its own for every client, or taking out again.

    Each file is as before or as after; after an error, so is the whole.
    """

    def __init__(self, name, folder):
        super().__init__(name, folder)
        self.words = [name.split()[0], str(self.store), *(projects.CLIENTS if name.startswith("install") else [])]
        history = INSTALLING[name]
        projects.make_project(self.store, {} if "empty" in history else projects.FILES)
        self.untouched = projects.read_tree(self.store)
        if "new" in history or "old" in history:
            projects.call("install", self.store, *projects.CLIENTS)
        if "old" in history:
            projects.make_old(self.store)
        shutil.copytree(self.store, self.template, symlinks=True)
        self.before = self.read()

    def read(self):
        return projects.read_tree(self.store)

    def find_difference(self, state):
        return projects.find_difference(self.before, self.after, state)

    def find_faults(self):
        return projects.find_faults(self.store, self.untouched, self.words)


def digest_tree(folder):
    """Of the names and bytes of all that is in a folder."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        digest.update(repr((str(path), path.lstat().st_mode, content)).encode())
    return digest.digest()


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


def list_calls(backends, names=(*CALLS, *INSTALLING)):
    """The calls of these names, those on a store on each backend: what make_call takes."""
    return [*((backend, name) for backend in backends for name in names if name in CALLS),
            *(("", name) for name in names if name in INSTALLING)]


def make_call(backend, name, folder):
    return StoreCall(backend, name, folder) if backend else ProjectCall(name, folder)


def break_call(backend, name, step=1, faults=FAULTS):
    """Break a call at each moment in each way, or at so many of them that each step-th is tried; the tally."""
    with make_folder("faults-") as folder:
        call, tally = make_call(backend, name, folder), Tally()
        moments = [(*moment, fault) for moment in call.list_moments() for fault in faults]
        random.Random(1).shuffle(moments)  # of every kind some, whatever the step
        for moment in moments[::step]:
            tally.add(call.try_fault(*moment))
    return tally


def break_calls(calls, step=1, report=print, processes=1):
    """Break calls in turn, or in so many processes at once; the tally of all."""
    total = Tally()
    for (backend, name), tally in spread(break_call, [(*call, step) for call in calls], processes):
        report(f"{backend} {name}: {tally.injected} faults, {tally.killed} killed, {tally.before} before, "
               f"{tally.after} after, {len(tally.pretended)} pretended, {len(tally.wrong)} wrong")
        for line in tally.pretended + tally.wrong:
            report("   " + line)
        total.add(tally)
    return total


def spread(work, jobs, processes):
    """What work(*job) gives for each job, with the job's first two words, as they end."""
    if processes == 1:
        yield from ((job[:2], work(*job)) for job in jobs)
        return
    with concurrent.futures.ProcessPoolExecutor(processes) as pool:
        started = {pool.submit(work, *job): job[:2] for job in jobs}
        for done in concurrent.futures.as_completed(started):
            yield started[done], done.result()
