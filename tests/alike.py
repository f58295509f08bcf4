"""Operations at random (seeded) on every backend side by side: what they answer, refuse and keep never differs.

    python3 tests/alike.py [--seed N] [--rounds N] [--steps N] [--backends NAME…]

All of the table of operations, with arguments of which most are valid; several agents; time jumps, stores that stay
open and stores that are opened for a call; exports and backups that take the store's place; and a store that migrates.
What must hold, holds after each step. A failure names its seed, the step and the call; PostgreSQL is among them where
its server is installed.
"""
from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cluster import Cluster, find_program  # noqa: E402
from drawing import Calls  # noqa: E402
from ground import HandMoved  # noqa: E402
from invariants import Watch  # noqa: E402
from side import make_sides  # noqa: E402

from milestone_persist.coordination import leases, snapshots  # noqa: E402
from milestone_persist.storage.interface import Storage  # noqa: E402
from milestone_persist.storage.jsonfiles.store import FileStorage  # noqa: E402

JUMPS = (*[0.01] * 40, *[1, 40, 700] * 10, 90_000, 900_000)


class Broken(Exception):
    """What must hold does not; which seed, step and call led to it."""


class Alike:
    """Some sides, and what one call after another does to them."""

    def __init__(self, sides, clock, seed):
        self.sides, self.clock, self.chance = sides, clock, random.Random(seed)
        self.step = self.tried = 0  # and how many calls were compared
        has_gaps = any(side.backend == "postgresql" for side in sides)  # in the numbers of messages, then
        self.calls, self.drawn = Calls(self.chance, atomic=0.5 * (not has_gaps)), random.Random()
        self.watch = Watch(sides[1])

    @contextlib.contextmanager
    def drawing(self):
        """Ids are drawn alike on each side, and on each whoever may look for silent agents does."""
        source = SimpleNamespace(urandom=lambda size: self.drawn.getrandbits(8 * size).to_bytes(size, "big"))
        with contextlib.ExitStack() as stack:
            for where in (snapshots, leases):
                stack.enter_context(mock.patch.object(where, "os", source))
            for kind in (Storage, FileStorage):
                stack.enter_context(mock.patch.object(kind, "has_looked", lambda store: False))
            yield

    def run(self, steps):
        with self.drawing():
            for self.step in range(1, steps + 1):
                self.clock.seconds += self.chance.choice(JUMPS)
                what = self.chance.random()
                if what < 0.01:
                    self.replace_all(self.chance.choice(("export", "backup")))
                elif what < 0.02:
                    self.move()
                else:
                    self.call(self.chance.randrange(3), *self.calls.draw())
                if self.step % 20 == 0:
                    self.compare_rows()

    def call(self, number, name, args, options):
        before, now, answers = self.watch.look(), self.clock.seconds, []
        for side in self.sides:
            self.drawn.seed(self.step)
            self.clock.seconds = now  # which waiting moves
            try:
                answers.append(side.call(number, name, args, options))
            except Exception as error:
                raise Broken(f"{side.backend}: {type(error).__name__}: {error}", (name, args, options)) from error
        for side, answer in zip(self.sides, answers):
            if answer != answers[0]:
                raise Broken(f"{self.sides[0].backend}: {answers[0]}\n{side.backend}: {answer}", (name, args, options))
        self.calls.note(answers[0])
        got = self.sides[0].got
        self.tried += 1
        found = [*self.watch.judge(before, name, got), *self.watch.compare_output(name, args, options)]
        if found:
            raise Broken(found, (name, args, options, answers[0][:2000]))

    def replace_all(self, how):
        now, found = self.clock.seconds, []
        for side in self.sides:
            self.clock.seconds = now
            found.append(side.replace_all(how, self.step))
        for side, rows in zip(self.sides, found):
            if rows != found[0]:
                raise Broken(f"the exports of {side.backend} and of {self.sides[0].backend} differ",
                             [pair for pair in zip(rows, found[0]) if pair[0] != pair[1]][:4])

    def move(self):
        now, target = self.clock.seconds, self.chance.choice(("file", "hybrid", "database"))
        for side in self.sides:
            self.clock.seconds = now
            if side.moves:
                side.migrate(target)
            else:
                side.export("move", self.step)  # which deletes what has expired, as a move does
            if self.chance.random() < 0.3:
                side.reopen()

    def compare_rows(self):
        kept = [side.rows() for side in self.sides]
        for side, rows in zip(self.sides, kept):
            if rows != kept[0]:
                differ = {table: [row for one, other in ((rows, kept[0]), (kept[0], rows))
                                  for row in one[table] if row not in other[table]][:4]
                          for table in rows if rows[table] != kept[0][table]}
                raise Broken(f"the rows of {side.backend} differ from those of {self.sides[0].backend}", differ)
            if side.list_unsound():
                raise Broken(f"{side.backend} is unsound", side.list_unsound())

    def close(self):
        self.watch.close()
        for side in self.sides:
            side.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 9))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--backends", nargs="+", default=["file", "hybrid", "database", "postgresql"],
                        help="beside a store that moves")
    given = parser.parse_args()
    server = Cluster() if "postgresql" in given.backends and find_program("initdb") else None
    backends = [name for name in given.backends if name != "postgresql"]
    try:
        for seed in range(given.seed, given.seed + given.rounds):
            with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
                clock = HandMoved()
                alike = Alike(make_sides(folder, clock, server, backends), clock, seed)
                try:
                    alike.run(given.steps)
                except Broken as broken:
                    sys.exit(f"python3 tests/alike.py --seed {seed} --steps {given.steps}: step {alike.step}: "
                             + "\n".join(map(str, broken.args)))
                finally:
                    alike.close()
            print(f"seed {seed}: {given.steps} steps on {len(alike.sides)} stores", flush=True)
    finally:
        if server:
            server.close()


if __name__ == "__main__":
    main()
