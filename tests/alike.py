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
import io
import json
import os
import random
import re
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cluster import Cluster, find_program  # noqa: E402
from fuzz import LEFT_OUT  # noqa: E402
from ground import HandMoved  # noqa: E402

from milestone_persist import MilestoneError, open_store  # noqa: E402
from milestone_persist.base.errors import Incomplete  # noqa: E402
from milestone_persist.base.tables import TABLES  # noqa: E402
from milestone_persist.cli.main import Console  # noqa: E402
from milestone_persist.cli.main import main as run_command  # noqa: E402
from milestone_persist.coordination import leases, snapshots  # noqa: E402
from milestone_persist.opening.place import begin_call, make_store  # noqa: E402
from milestone_persist.registry import all_operations, find_operation  # noqa: E402
from milestone_persist.storage.events import record_event  # noqa: E402
from milestone_persist.storage.interface import Storage  # noqa: E402
from milestone_persist.storage.jsonfiles.store import FileStorage  # noqa: E402

# What tells of the backend, is no call on the store, or is a step of its own here.
APART = LEFT_OUT | {"where", "whoami", "doctor", "status", "get_current_storage_backend", "migrate_storage_backend",
                    "backup_coordination", "restore_coordination", "export_coordination", "import_coordination",
                    "batch", "hook", "completion", "complete", "get_session_monitor_status", "report",
                    "import_tmp_files", "show_recovery_help", "initialize_agent_coordination",
                    "initialize_storage_system"}
APART_OPTIONS = {"wait", "follow", "after"}
AGENTS, SESSIONS = ("a", "A", "ä/b", "c"), ("planning-m-1", "execution-m-1", "validation-n-1", "x")
TEXTS = ("v", '{"x": 1}', "é\n", '{"title": "T", "tasks": ["a", "b"]}', "{}", "", '{"x": ', "title: x\n")
OBJECTS = ({}, {"n": "é"}, '{"n": [1, {"m": null}]}', {"text": "x" * 300})
TYPES = ("validation", "x-own", "milestone-coordinator", "scope-analyzer", "milestone-planner", "execute-phase")
POOLS = {
    "agent_id": AGENTS, "agent": AGENTS, "from_agent": AGENTS, "to_agent": ("", "all", *AGENTS * 3), "owner": AGENTS,
    "session_id": SESSIONS, "session": SESSIONS, "milestone_id": ("m", "n", "planning-m-1"), "milestone": ("m", "n"),
    "agent_type": TYPES, "capabilities": ('["x"]', "[]"), "state_key": ("k", "K", "a=k", "milestone-plan",
                                                                       "planning-scope", "spec-x", "task-y"),
    "value": TEXTS, "text": ("title: x\n", "title: y\nstatus: planned\npriority: high\n", "a: [1, 2]\n"),
    "values": ({"k": "v", "K": "{}"}, {"planning-risks": "r"}), "payload": OBJECTS, "details": ("{}", '{"a": 1}'),
    "messages": ([{"to_agent": "a", "message_type": "x-t", "payload": {}}, {"to_agent": "c", "message_type": "x-u", "payload": {}}],
                 [["a", "x-t", {}]]),
    "message_type": ("x-t", "progress_update", "task_assignment"), "priority": (1, 5, 5, 10), "limit": (1, 2, 50),
    "state_type": ("user_data", "temp_data", "progress"), "ttl_seconds": (1, 30, 400), "if_version": (0, 1, 2, 3),
    "lease": (1, 5, 60), "max_bytes": (50, 400, 20000), "phase": ("design", "spec", "task", "execute"),
    "checkpoint_type": ("manual", "automatic"), "percent": (0, 40.5, 99, 100), "minutes": (0.5, 20, 30),
    "hours": (0.5, 24), "health": ("healthy", "degraded"), "ttl": (9, 300), "error": ("broke", "é\nx"),
    "task": ("t", ""), "cpu": (0.5, 97), "memory": (0, 12.5), "response_ms": (3,), "errors": (0, 2), "warnings": (0, 1),
    "term": ("x", "T", "m"), "event": ("phase_completed", "x-e"), "detail": ("", "d", "é\nx"), "default": ("{}", ""),
    "backend": ("file", "hybrid"), "after": (0, 5, 40), "long": (True,), "full": (True,), "taken": (True,),
    "brief": (True,), "sent": (True,), "new": (True,), "state": ("pending", "taken", "acknowledged", "dead"),
}
# What is called more often than once in a round of all.
OFTEN = {"register_agent": 6, "save_agent_state": 5, "send_agent_message": 6, "get_agent_messages": 8, "save_many": 2,
         "acknowledge_agent_message": 2, "requeue_agent_message": 2, "update_agent_status": 3, "agent_heartbeat": 2,
         "create_agent_checkpoint": 2, "restore_agent_checkpoint": 2, "create_milestone_record": 2}
STATUS = {"update_agent_status": ("active", "completed", "failed", "paused", "terminated"),
          "list_coordination_sessions": ("active", "completed", "failed", "abandoned"),
          "list_milestones": ("all", "active", "planned")}
CONFIG = (("message_retry_limit", "1"), ("session_timeout", "900"), ("interrupted_after", "60"),
          ("strict_agents", "true"), ("strict_agents", "false"), ("cleanup_retention_days", "1"),
          ("planning_artifacts", "planning-scope milestone-plan"), ("heartbeat_interval", "x"))
NEAR = ("", " ", "nobody", "-", "0", 0, -1, 10 ** 9, 2 ** 63, 1.5, float("nan"), True, None, [], {}, "a\nb", "\x1b[2J",
        "x" * 300, "CON", "\ud800", "{", "*")  # of any type, as nothing wants it
RECORD = ("data", "file_path", "file_stamp")  # of a milestone: where its record is
# What is of the files of records, which some backends have, and names that are drawn.
OWN = re.compile(r'"file_stamp": ?"[^"]*"|\\?"(?:file_)?path\\?": ?(?:null|\\?"(?:active|completed)/[^"\\]*\\?")'
                 r'|"id": [0-9]+, (?="timestamp|"agent_id)|, "id": [0-9]+(?=, "event"|, "error_count")'  # PostgreSQL gives none again where a call was undone
                 r'|backups/[0-9]{8}-[0-9]{6}-[0-9a-f]{8}')
JUMPS = (*[0.01] * 40, *[1, 40, 700] * 10, 90_000, 900_000)


class Broken(Exception):
    """What must hold does not; which seed, step and call led to it."""


class Side:
    """A backend: stores that stay open, as of several processes, and one that is opened for a single call.

    moves: whether it goes to another backend now and then
    """

    def __init__(self, root, backend, clock, moves=False, **environ):
        self.root, self.backend, self.moves, self.clock = Path(root), backend, moves, clock
        self.root.mkdir()
        given = {"PATH": os.environ["PATH"], "HOME": str(root), "AGENT_ID": "a", **environ}
        fixed = {} if environ else {"MILESTONE_BACKEND": backend}
        self.surroundings = {"directory": self.root / "data", "clock": clock,
                             "environ": given if moves else {**given, **fixed}}
        self.stores = []
        make_store(begin_call(str(self.root / "data"), {**given, **fixed}, clock))
        self.reopen()
        storage = self.stores[0].storage()
        storage.execute("UPDATE agent_coordination_config SET updated_at = :now", {"now": storage.now()})

        named = self.surroundings["environ"]
        self.nobody = {**self.surroundings, "environ": {each: named[each] for each in named if each != "AGENT_ID"}}

    def reopen(self):
        self.close()
        self.stores = [open_store(**self.surroundings) for _ in range(2)]

    def close(self):
        for store in self.stores:
            store.close()

    def call(self, number, name, args, options):
        """The kind of answer, the answer or what was refused, and the warnings."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                got = self._give(number, name, args, options)
            except MilestoneError as error:
                got = {"refused": type(error).__name__, "text": str(error), "data": getattr(error, "data", None)}
        self.got = got
        return self.clean(json.dumps([got, [str(each.message) for each in told]]))

    def _give(self, number, name, args, options):
        if number < len(self.stores):
            return getattr(self.stores[number], name)(*args, **options)
        with open_store(**self.surroundings) as store:
            return getattr(store, name)(*args, **options)

    def rows(self):
        with open_store(**self.nobody) as store:
            storage = store.storage()
            return {table: sorted(map(self.clean_row, storage.execute(f"SELECT * FROM {table}"))) for table in TABLES}

    def clean_row(self, row):
        return self.clean(json.dumps({name: row[name] for name in sorted(row, reverse=True) if name not in RECORD}))

    def clean(self, text):
        """A text without what each backend has of its own."""
        return OWN.sub("", text.replace(str(self.root), ""))

    def replace_all(self, how, number):
        """Put an export or a backup of everything in its own place; the rows of the export."""
        path = self.root / f"{how}-{number}"
        export, replace = {"export": ("export_coordination", "import_coordination"),
                           "backup": ("backup_coordination", "restore_coordination")}[how]
        with open_store(**self.nobody) as store:
            getattr(store, export)(str(path))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                getattr(store, replace)(str(path), **({"replace": True} if how == "export" else {}))
            level_events(store.storage())
        return [self.clean_row(json.loads(line).get("row", {})) for line in path.read_bytes().splitlines()
                if how == "export"]

    def export(self, name, number):
        with open_store(**self.nobody) as store:
            store.export_coordination(str(self.root / f"{name}-{number}"))

    def migrate(self, backend):
        with open_store(**self.nobody) as store:
            if store.get_current_storage_backend() == backend:
                self.export("move", self.clock.seconds)
            store.migrate_storage_backend(backend)

    def list_unsound(self):
        with open_store(**self.nobody) as store:
            return [found for found in store.doctor() if found["severity"] == "unsound"]


def level_events(storage):
    """Where records are files, a replacement tells of their copy too: then there are two events everywhere."""
    told = "FROM events WHERE event LIKE 'store_%'"
    with storage.transaction():
        if storage.execute(f"SELECT count(*) AS n {told}")[0]["n"] == 1:
            record_event(storage, "store_records_kept")
        storage.execute(f"UPDATE events SET event = 'replaced', detail = '' WHERE id IN (SELECT id {told})")


class Calls:
    """Draws the next call; `points` and `numbers` are the checkpoints and messages there have been."""

    def __init__(self, chance, atomic=0.5):
        self.atomic = atomic  # how likely a batch is
        self.chance, self.points, self.numbers = chance, ["cp-none"], [1]
        self.operations = [op for op in all_operations() if op.name not in APART for _ in range(OFTEN.get(op.name, 1))]

    def draw(self, bundled=0.03):
        """Name, arguments and options."""
        chance = self.chance
        if chance.random() < bundled:
            calls = [self.draw(0) for _ in range(chance.randint(1, 4))]
            return "batch", ([{"name": name, "arguments": {**dict(zip(self._names(name), args)), **options}}
                              for name, args, options in calls],), {"atomic": chance.random() < self.atomic}
        op = chance.choice(self.operations)
        given = [p for p in op.positionals if p.required]
        given += op.positionals[len(given):len(given) + chance.choice((0, 0, 1, 2))]
        options = {p.name: self.pick(op, p) for p in op.options
                   if p.name not in APART_OPTIONS and chance.random() < 0.25}
        return op.name, tuple(self.pick(op, p) for p in given), options

    def _names(self, name):
        return [p.name for op in self.operations if op.name == name for p in op.positionals]

    def pick(self, op, parameter):
        """A value that is likely to be taken, seldom another."""
        chance, name = self.chance, parameter.name
        if chance.random() < 0.02:
            return chance.choice(NEAR)
        if name == "checkpoint_id":
            return chance.choice(self.points[-9:])
        if name == "message_id":
            return chance.choice(self.numbers[-9:])
        if name == "status":
            return chance.choice(STATUS[op.name])
        if name == "key" and not parameter.option:
            return chance.choice(CONFIG)[0]
        if name == "value" and op.name == "set_storage_config":
            return chance.choice(CONFIG)[1]
        if name == "files":
            return chance.choice((__file__, "/no/such/file"))
        return chance.choice(POOLS.get(name, ("p", "q")) if parameter.type != "bool" else (True, True, False))

    def note(self, answer):
        """The ids that an answer has are drawn later."""
        self.points += re.findall(r"\bcp-[0-9]+-[0-9a-f]+", answer)
        self.numbers += map(int, re.findall(r'\[?\{"id": ([0-9]+), "', answer)[-3:])


class Alike:
    """Some sides, and what one call after another does to them."""

    def __init__(self, sides, clock, seed):
        self.sides, self.clock, self.chance = sides, clock, random.Random(seed)
        self.step = self.tried = 0  # and how many calls were compared
        has_gaps = any(side.backend == "postgresql" for side in sides)  # in the numbers of messages, where all is undone
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


PAUSE = 4  # calls between two comparisons of counts, which are a dozen calls
WRITING = ("briefing", "get_agent_messages")  # may change rows, though they need not


def is_strange(value):
    """Whether a value is not said by a word of a command line."""
    return not isinstance(value, (str, int, bool)) or value in ("-", "\ud800") or str(value).startswith("-")


def say(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


LOSING = ("cleanup_stale_coordination", "cleanup_failed_sessions", "batch")  # messages may go, and it is said
STATES = """SELECT id, to_agent, retry_count, acknowledged_at, dead_lettered_at, CASE
    WHEN acknowledged_at IS NOT NULL THEN 'acknowledged' WHEN dead_lettered_at IS NOT NULL THEN 'dead'
    WHEN delivered_at IS NOT NULL THEN 'taken' ELSE 'pending' END AS state FROM agent_messages"""
VERSIONS = "SELECT agent_id, state_key, version, state_value, saved_in FROM agent_state"


class Watch:
    """What must hold after every call, looked at by nobody's store on one side."""

    def __init__(self, side):
        self.side, self.store = side, open_store(**side.nobody)
        self.versions, self.last, self.looked = {}, 0, 0

    def look(self):
        """The messages by number, and the values by key."""
        storage = self.store.storage()
        return ({row["id"]: row for row in storage.execute(STATES)},
                {(row["agent_id"], row["state_key"]): row for row in storage.execute(VERSIONS)})

    def judge(self, before, name, answer):
        """What does not hold after a call."""
        messages, values = self.look()
        gone = before[0].keys() - messages.keys()
        if gone and name not in LOSING:
            yield f"messages are gone: {sorted(gone)}"
        new = messages.keys() - before[0].keys()
        if new and min(new) <= self.last:
            yield f"a number is given again: {sorted(new)} after {self.last}"
        self.last = max([self.last, *messages])
        if name == "get_agent_messages" and isinstance(answer, list):
            yield from self.judge_taken(before[0], messages, answer)
        agents = {row["agent_id"] for row in self.store.storage().execute("SELECT agent_id FROM agent_registry")}
        for key, row in values.items():
            kept = self.versions.get(key)
            if kept and row["version"] < kept["version"]:
                yield f"the version of {key} falls from {kept['version']} to {row['version']}"
            if kept and row["version"] == kept["version"] and row != kept:
                yield f"{key} has changed and its version has not: {kept} {row}"
        self.versions = {key: row for key, row in {**self.versions, **values}.items() if key[0] in agents}
        self.looked += 1
        if self.looked % PAUSE == 1:
            yield from self.compare_counts(messages)

    def judge_taken(self, before, messages, answer):
        for row in answer:
            number = row["id"]
            if before.get(number, {}).get("state") == "acknowledged":
                yield f"{number} was acknowledged, and is shown again"

    def compare_output(self, name, args, options):
        """What the command line prints as JSON and as text, beside the data of the same call."""
        op = find_operation(name)
        if op.creates or op.existing or op.name in WRITING or any(map(is_strange, (*args, *options.values()))):
            return
        words = [op.name, *map(say, args)]
        for name, value in options.items():
            words += [] if value is False else ["--" + name.replace("_", "-"), *[say(value)] * (value is not True)]
        try:
            data, failed = getattr(self.store, op.name)(*args, **options), False
        except MilestoneError as error:
            data, failed = error.data if isinstance(error, Incomplete) else None, True
        status, text, _ = self.print(*words)
        same, found, _ = self.print("--json", *words)
        if status != same or bool(status) != failed:
            yield f"status {status}, with --json {same}, in Python {'an error' if failed else 'none'}"
        elif found and json.loads(found) != json.loads(json.dumps(data)):
            yield f"--json prints {found}, Python gives {data}"
        elif isinstance(data, list) and data and "timestamp" not in data[0] and isinstance(data[0], dict) and not failed:
            first = "state_key" if "state_key" in data[0] else next(iter(data[0]))
            missing = [row for row in data if str(row[first]) not in text]
            if missing:
                yield f"{text!r} lacks {missing}"

    def print(self, *words):
        out, err = io.BytesIO(), io.BytesIO()
        environ = {**self.side.nobody["environ"], "MILESTONE_DIR": str(self.side.nobody["directory"])}
        status = run_command([*words], Console(io.BytesIO(), out, err, environ, self.side.clock))
        return status, out.getvalue().decode(), err.getvalue().decode()

    def compare_counts(self, messages):
        """Counts and lists that tell of the same."""
        store, states = self.store, [row["state"] for row in messages.values()]
        told = store.get_session_recovery_status()
        sessions = store.list_coordination_sessions()
        if told["sessions"]["total"] != len(sessions) or told["messages"]["total"] != len(messages):
            yield f"totals: {told}"
        for state in ("pending", "taken", "acknowledged", "dead"):
            listed = sum(len(store.list_agent_messages(agent, state=state, limit=10 ** 6))
                         for agent in {row["to_agent"] for row in messages.values()})
            if not told["messages"][state] == listed:
                yield f"{state}: {told['messages'][state]} counted, {listed} listed, {states.count(state)} rows"
        for session in sessions:
            name = session["session_id"]
            status, agents = store.get_session_status(name), store.list_session_agents(name)
            if not session["agent_count"] == status["agent_count"] == len(status["agents"]) == len(agents):
                yield f"agents of {name}: {session['agent_count']} {status['agent_count']} {len(agents)}"
        planned = store.list_planning_sessions()["sessions"]
        if {each["id"] for each in planned} != {each["session_id"] for each in sessions
                                                if each["operation_type"] == "planning"}:
            yield f"planning sessions: {planned}"

    def close(self):
        self.store.close()


def make_sides(folder, clock, server=None, backends=("file", "hybrid", "database")):
    """Every backend, and one store that moves from one to the other."""
    folder = Path(folder)
    sides = [Side(folder / name, name, clock) for name in backends]
    sides.append(Side(folder / "moving", "file", clock, moves=True))
    if server:
        sides.append(Side(folder / "postgresql", "postgresql", clock, MILESTONE_DATABASE_URL=server.url,
                          MILESTONE_DATABASE_SCHEMA=f"alike_{os.urandom(6).hex()}"))
    return sides


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
