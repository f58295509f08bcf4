"""Power cuts: the trace of a call's writes and syncs is replayed, and cut at every sync.

What was synced before the cut is there; of the rest any part may be: nothing, all, or some in any order.
"""
from __future__ import annotations

import itertools
import os
import random
import re
import shutil
from pathlib import Path

from faults import Tally, make_call, spread
from stores import make_folder

SEEN = "openat,write,pwrite64,lseek,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,link,linkat," \
       "mkdir,mkdirat,rmdir,close,dup2"
LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def decode(text):
    return bytes.fromhex(text.replace("\\x", ""))


class Trace:
    """The changes and syncs below `home` that a trace tells of, in their order.

    ("write", path, offset, bytes): offset -1 is at the end, None cuts to a length; ("sync", path); ("name", change)
    A change of names is ("make", path, bytes or None for a folder), ("move" or "link", old, new), ("drop", path).
    """

    def __init__(self, home):
        self.home = home
        self.there = {str(path) for path in Path(home).rglob("*")}
        self.paths, self.positions, self.appends = {}, {}, set()  # by number of the open file

    def read(self, path):
        for line in Path(path).read_text(errors="replace").splitlines():
            found = LINE.match(line)
            if found and int(found[3]) >= 0:
                names = [os.fsdecode(decode(text)) for text in TEXT.findall(found[2])]
                yield from self.read_call(found[1], found[2], int(found[3]), names)

    def read_call(self, call, words, result, names):
        number = int(re.match(r"\d+", words)[0]) if words[:1].isdigit() else None
        if call == "openat":
            return self.open(words, result, names[0])
        if call == "lseek":
            self.positions[number] = result
        elif number is not None and self.paths.get(number, "").startswith(self.home):
            return self.change_bytes(call, words, result, number)
        elif number is None and names and names[-1].startswith(self.home):
            return self.change_names(call, names)
        return []

    def open(self, words, number, name):
        self.paths[number], self.positions[number] = name, 0
        (self.appends.add if "O_APPEND" in words else self.appends.discard)(number)
        if not name.startswith(self.home):
            return []
        if "O_CREAT" in words and name not in self.there:
            self.there.add(name)
            return [("name", ("make", name, b""))]
        return [("write", name, None, 0)] if "O_TRUNC" in words else []

    def change_bytes(self, call, words, result, number):
        name = self.paths[number]
        if call in ("fsync", "fdatasync"):
            return [("sync", name)]
        if call == "ftruncate":
            return [("write", name, None, int(words.rsplit(", ", 1)[1]))]
        if call not in ("write", "pwrite64"):
            return []
        offset = int(words.rsplit(", ", 1)[1]) if call == "pwrite64" else self.positions[number]
        if call == "write":
            self.positions[number] += result
        return [("write", name, -1 if number in self.appends else offset, decode(TEXT.search(words)[1])[:result])]

    def change_names(self, call, names):
        if call.startswith("unlink") or call == "rmdir":
            self.there.discard(names[0])
            return [("name", ("drop", names[0]))]
        self.there.add(names[-1])
        if call.startswith("mkdir"):
            return [("name", ("make", names[0], None))]
        if call.startswith("link"):
            return [("name", ("link", *names))]
        self.paths.update({number: names[1] for number, path in self.paths.items() if path == names[0]})
        self.there.discard(names[0])
        return [("name", ("move", *names))]


class Disk:
    """Files as the system has them, and what of their bytes and names a sync has made sure of.

    Files are numbered, as names move; a folder is {name: number or folder}.
    """

    def __init__(self, home):
        self.home, self.bytes, self.numbers = home, {}, itertools.count()
        self.now = self.load(home)
        self.sure_names, self.sure_bytes = dict(self.now), dict(self.bytes)
        self.writes, self.changes = {}, []  # not synced: the writes by number, the changes of names in their order

    def load(self, home):
        names = {home: None}
        for path in Path(home).rglob("*"):
            names[str(path)] = None if path.is_dir() else next(self.numbers)
            if not path.is_dir():
                self.bytes[names[str(path)]] = path.read_bytes()
        return names

    def apply(self, event):
        if event[0] == "write":
            number = self.now[event[1]]
            self.writes.setdefault(number, []).append(event[2:])
            self.bytes[number] = write(self.bytes[number], *event[2:])
        elif event[0] == "name":
            change = event[1]
            if change[0] == "make" and change[2] is not None:
                change = (*change[:2], next(self.numbers))
                self.bytes[change[2]] = self.sure_bytes[change[2]] = b""
            self.changes.append(change)
            self.now = rename(self.now, change)
        elif event[1] in self.now and self.now[event[1]] is not None:
            number = self.now[event[1]]
            self.sure_bytes[number] = self.bytes[number]
            self.writes.pop(number, None)
        else:
            self.make_sure(event[1])

    def make_sure(self, folder):
        """A synced folder has its names; the order of changes in several is not promised, that in one is."""
        for change in self.changes:
            if folder_of(change) == folder:
                self.sure_names = rename(self.sure_names, change)
        self.changes = [change for change in self.changes if folder_of(change) != folder]

    def after_cut(self, chance):
        """What may be on the disk after a cut now: names and bytes; chance None: nothing that was not synced."""
        names, content = self.sure_names, dict(self.sure_bytes)
        if chance is not None:
            kept = {folder: chance.randint(0, len(self.changes)) for folder in {*map(folder_of, self.changes)}}
            for at, change in enumerate(self.changes):
                names = rename(names, change) if at < kept[folder_of(change)] else names
            for number, writes in self.writes.items():
                kept = [each for each in writes if chance.random() < 0.5]
                chance.shuffle(kept)
                for each in kept:
                    content[number] = write(content[number], *each)
        return names, content


def write(content, offset, data):
    if offset is None:
        return content[:data].ljust(data, b"\0")
    offset = len(content) if offset < 0 else offset
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data):]


def folder_of(change):
    """The folder in which a change of names ends."""
    return os.path.dirname(change[2] if change[0] in ("move", "link") else change[1])


def rename(names, change):
    kind, path, *more = change
    names = dict(names)
    if kind == "make":
        names[path] = more[0]
    elif kind == "link" and path in names:
        names[more[0]] = names[path]
    elif kind == "drop":
        names.pop(path, None)
    elif path in names:
        below = [name for name in names if name == path or name.startswith(path + "/")]
        for name in below:
            names[more[0] + name[len(path):]] = names.pop(name)
    return names


def materialize(home, names, content):
    shutil.rmtree(home, ignore_errors=True)
    os.mkdir(home)
    for path, number in sorted(names.items()):
        if path == home or not os.path.isdir(os.path.dirname(path)):
            continue
        if number is None:
            os.makedirs(path, exist_ok=True)
        else:
            Path(path).write_bytes(content[number])


def cut_call(backend, name, tries=4, seed=1):
    """Cut a call at each of its syncs, and after its end; each time `tries` outcomes at random, and the emptiest."""
    chance, tally = random.Random(seed), Tally()
    with make_folder("power-") as folder:
        call = make_call(backend, name, folder)
        call.run()
        log, home = os.path.join(folder, "log"), str(call.store)
        done = call.run("strace", "-f", "-qq", "-xx", "-s", "100000000", "-o", log, "-e", "trace=" + SEEN)
        if done.returncode:
            raise RuntimeError(done.stderr)
        call.after = call.read()
        disk, events = Disk(str(call.template)), list(read_trace_of(call, log))
        for at, event in enumerate([*events, ("end",)]):
            if event[0] in ("sync", "end"):
                for outcome in [None, *[chance] * tries]:
                    names, content = disk.after_cut(outcome)
                    materialize(home, {home + path[len(str(call.template)):]: number for path, number in names.items()},
                                content)
                    judge_cut(tally, call, event[0] == "end", f"{call.name}, cut {at} of {len(events)}")
            if event[0] != "end":
                disk.apply(event)
    return tally


def read_trace_of(call, log):
    """The events of the store, as if it were the template."""
    home, template = str(call.store), str(call.template)
    call.copy()

    def place(value):
        return template + value[len(home):] if isinstance(value, str) and value.startswith(home) else value

    for kind, *rest in Trace(home).read(log):
        yield (kind, tuple(map(place, rest[0]))) if kind == "name" else (kind, *map(place, rest))


def judge_cut(tally, call, is_over, where):
    tally.injected += 1
    state, difference, found = call.judge()
    tally.before, tally.after = tally.before + (state == call.before), tally.after + (state == call.after)
    if is_over and state != call.after:
        tally.pretended.append(where)
    tally.wrong += [f"{where}: {fault}" for fault in [*filter(None, [difference]), *found]]


def cut_calls(calls, tries=4, report=print, processes=1):
    """Cut calls in turn, or in so many processes at once; the tally of all."""
    total = Tally()
    for (backend, name), tally in spread(cut_call, [(*call, tries) for call in calls], processes):
        report(f"{backend} {name}: {tally.injected} power cuts, {tally.before} before, {tally.after} after, "
               f"{len(tally.pretended)} lost after status 0, {len(tally.wrong)} wrong")
        for line in sorted(set(tally.pretended + tally.wrong)):
            report("   " + line)
        total.add(tally)
    return total
