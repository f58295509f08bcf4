"""What the tests share: a store on each backend, a clock moved by hand, and ways to run the command line."""
from __future__ import annotations

import io
import os
import re
import shutil
import signal
import sqlite3  # noqa: F401  before the package: then that uses it too, and tests can put themselves in its place
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import pytest
from cluster import Cluster, find_program
from made_stores import MadeStores
from memory import LETTERS, find_memory, invent_name
from shared_schema import SharedSchema

from milestone_persist import open_store
from milestone_persist.cli.main import Console, main
from milestone_persist.opening.place import open_for
from milestone_persist.storage.call import Clock

pytest_plugins = ["building", "example_scene", "file_store", "install_project", "mcp_wire", "postgresql_store"]
ROOT = Path(__file__).resolve().parent.parent
ADAPTER = ROOT / "shell" / "storage-adapter.sh"
TABLES = ("milestones", "coordination_sessions", "agent_registry", "agent_messages", "agent_state",
          "agent_checkpoints", "agent_health_log", "agent_coordination_config", "idempotency_keys", "events")

# Tests of load and of many combinations are small unless FULL_SIZE=1 is set; .ci/run does that on one Python.
FULL_SIZE = os.environ.get("FULL_SIZE") == "1"


# With ONE_OF_EACH=1 a test of several backends runs on one, and a test of several shells in one; .ci/run does that on
# all Pythons but one. What is the same on every Python is left out there: what breaks processes and disks, what asks a
# browser, shellcheck, a checker of types or a measuring program, what only reads sources, how SQLite goes about a
# statement, all combinations of states of recovery, and ways into a project that end in what other tests run.
ONE_OF_EACH = os.environ.get("ONE_OF_EACH") == "1"
ONCE = ("test_browser.py", "test_pictures.py", "test_crash_example.py", "test_proof.py", "test_migration_kills.py",
        "test_backup_kills.py", "test_rebuilding.py", "test_power_cut.py", "test_calls.py", "test_shell_concurrency.py",
        "test_matrix.py", "test_ways_in.py", "test_crash.py", "test_bench.py::test_the_programs_run",
        "test_surfaces.py", "test_growth.py", "test_recovery_states.py", "test_other_kinds.py",
        "test_layers.py::test_an_import_turned_round_is_found",
        "test_types.py::test_a_misspelt_column_is_an_error_of_types",
        "test_packaging.py::test_types_of_an_installed_package",
        "test_backups.py::test_a_restore_or_import_killed_at_any_moment_is_done_whole_or_not_at_all",
        "test_vendor.py::test_a_kill_at_any_moment_leaves_the_old_or_the_new",
        "test_schema_versions.py::test_a_step_of_the_schema_killed_anywhere_is_done_or_not_begun",
        "test_shell_adapter.py::test_shellcheck_finds_nothing")


def size(small, full):
    """How large a test is: the same test with another number."""
    return full if FULL_SIZE else small


def share(items, place, places):
    """The items that fall to one of some places, so that all are tried somewhere; at full size all of them."""
    return list(items) if FULL_SIZE else list(items)[place % places::places]


# For each backend the environment variables that choose it, made new for every test;
# an entry may ask `request` for a fixture that starts what the backend needs.
BACKENDS = {
    "file": lambda request: {"MILESTONE_BACKEND": "file"},
    "hybrid": lambda request: {"MILESTONE_BACKEND": "hybrid"},
    "database": lambda request: {"MILESTONE_BACKEND": "database"},
    "postgresql": lambda request: request.getfixturevalue("shared_environ"),
}


def pytest_configure(config):
    """Give every run a directory of its own for temporary files, in memory if it can be, and take it away again."""
    os.umask(0o022)  # what is meant to be read by others is
    vars(tempfile)["_RandomNameSequence"].characters = LETTERS
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="tests-", dir=find_memory())
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # then too


@pytest.fixture(scope="session")
def postgresql(need):
    """A throwaway PostgreSQL server (see cluster.py)."""
    need("psql")
    if not find_program("initdb"):
        need("initdb")
    server = Cluster()
    yield server
    server.close()


@pytest.fixture
def postgresql_environ(postgresql):
    """The environment that puts a store into a schema of its own on the server, which is not made yet."""
    return {"MILESTONE_DATABASE_URL": postgresql.url, "MILESTONE_DATABASE_SCHEMA": invent_name("test")}


@pytest.fixture(scope="session")
def shared_schema(postgresql, tmp_path_factory):
    shared = SharedSchema(postgresql, tmp_path_factory.mktemp("shared"))
    yield shared
    shared.close()


@pytest.fixture
def shared_environ(postgresql, shared_schema):
    """The environment of a store on the server that is made and empty."""
    yield {"MILESTONE_DATABASE_URL": postgresql.url, "MILESTONE_DATABASE_SCHEMA": shared_schema.lend()}
    shared_schema.take_back()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """With CI=true a test that skips itself fails, unless it is marked optional: nothing is left out there unseen."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not item.get_closest_marker("optional"):
        report.outcome, report.longrepr = "failed", f"CI=true wants every part: {report.longrepr[2]}"
    return report


@pytest.fixture
def soon():
    """A call that hangs fails."""
    def fail(*given):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class FakeClock(Clock):
    """Time moves only by hand, or by sleeping; `during_sleep` is called once, in the next sleep."""

    def __init__(self) -> None:
        self.seconds = 1767225600.0  # 2026-01-01 00:00:00 UTC
        self.during_sleep = None

    def time(self):
        return self.seconds

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds
        action, self.during_sleep = self.during_sleep, None
        if action:
            action()

    def advance(self, seconds):
        self.seconds += seconds


MADE = re.compile("^milestone_persist: made the data directory .*\n", re.MULTILINE)


class Result:
    """How a command ended: status, out (bytes), text (out as text), err (text), made (what it said of a new store)."""

    def __init__(self, status, out, err):
        self.status, self.out = status, out
        self.made = "".join(MADE.findall(err.decode()))
        self.err = MADE.sub("", err.decode())

    @property
    def text(self):
        return self.out.decode()

    def __repr__(self):
        return f"status {self.status}\nout: {self.out[:2000]!r}\nerr: {self.err[:2000]!r}"


@pytest.fixture(params=list(BACKENDS))
def backend(request):
    """The name of the backend a test runs on; a test that asks for it, or for `store` or `cli`, runs on each."""
    return request.param


@pytest.fixture
def environ(request, backend, tmp_path):
    """The environment of store and command line; a test may add to it before it opens them."""
    return {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **BACKENDS[backend](request)}


@pytest.fixture
def unmade(request, backend, environ):
    """For tests of a store that is not made yet: on PostgreSQL the others find one. Returns the schema's name there."""
    if backend == "postgresql":
        environ.update(request.getfixturevalue("postgresql_environ"))
    return environ.get("MILESTONE_DATABASE_SCHEMA")


@pytest.fixture
def directory(tmp_path):
    """The data directory, not made yet."""
    return tmp_path / ".milestones"


@pytest.fixture
def memory(tmp_path):
    """A directory in memory, where the system has such a place: for tests of thousands of commits."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(scope="session")
def made_stores(tmp_path_factory):
    return MadeStores(tmp_path_factory.mktemp("made"))


@pytest.fixture
def connect(directory, clock, environ, made_stores):
    """Opens the test's store once more, as another process would, made before; all are closed at the end."""
    opened = []

    def connect():
        if not directory.exists():
            made_stores.put(directory, environ, clock)
        opened.append(open_store(directory, clock=clock, environ=environ))
        return opened[-1]

    yield connect
    for store in opened:
        store.close()


@pytest.fixture
def store(connect):
    return connect()


@pytest.fixture
def cli(directory, clock, environ):
    """Runs a command line in this process, on the test's store: cli("load-agent-state", "a", "k", stdin=b"")."""
    def cli(*words, stdin=b"", on_output=None, **variables):
        out, err = io.BytesIO(), io.BytesIO()
        out.write = on_output or out.write
        surroundings = {**environ, "MILESTONE_DIR": str(directory), **variables}
        status = main([str(word) for word in words], Console(io.BytesIO(stdin), out, err, surroundings, clock))
        return Result(status, out.getvalue(), err.getvalue())

    return cli


@pytest.fixture
def dump(directory, environ):
    """Reads every row of every table: what a call that is refused must leave as it was."""
    def dump():
        storage = open_for(str(directory), environ, create=False)
        try:
            return {table: sorted(map(repr, storage.execute(f"SELECT * FROM {table}"))) for table in TABLES}
        finally:
            storage.close()

    return dump


@pytest.fixture
def run(tmp_path, environ):
    """Runs a real process in the test's directory: run(["zsh", "-c", text], stdin=b"", cwd=…, NAME="value")."""
    def run(command, stdin=b"", cwd=tmp_path, **variables):
        done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, cwd=cwd,
                              env={**environ, **variables}, timeout=300, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def program(run):
    """Runs `python milestone_persist/__main__.py` as the shell functions do, in a process of its own."""
    def program(*words, **options):
        return run([sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py", *words], **options)

    return program


@pytest.fixture(scope="session")
def need():
    """Skips the test where a program is missing: need("zsh"). Returns its path."""
    def need(name):
        return shutil.which(name) or pytest.skip(f"{name} is not installed")

    return need


# How each shell is called; those after the first three are less common where agents run.
SHELLS = {
    "bash": ["bash", "--norc"], "zsh": ["zsh", "-f"], "dash": ["dash"], "bash-posix": ["bash", "--posix", "--norc"],
    "ksh": ["ksh"], "mksh": ["mksh"], "busybox": ["busybox", "ash"],
}


@pytest.fixture
def run_shell(tmp_path, need):
    """Runs a text in a shell under `set -eu`, the functions sourced: run_shell("zsh", text, "$1", NAME="value")."""
    def run_shell(shell, text, *words, stdin=b"", cwd=tmp_path, source=True, **variables):
        need(SHELLS[shell][0])
        surroundings = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MILESTONE_BACKEND": "hybrid",
                        "MILESTONE_PYTHON": sys.executable, "ADAPTER": str(ADAPTER), **variables}
        text = 'set -eu\n. "$ADAPTER"\n' + text if source else text
        done = subprocess.run([*SHELLS[shell], "-c", text, "shell", *words], input=stdin, capture_output=True, cwd=cwd,
                              env={name: value for name, value in surroundings.items() if value is not None},
                              timeout=300, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    return run_shell


def find_common_name(item):
    """The name of a test without its backend and its shell."""
    params, name = item.callspec.params if hasattr(item, "callspec") else {}, item.nodeid
    for word in (params.get(kind, "") for kind in ("backend", "sh", "shell")):
        name = re.sub(rf"(?<=[\[-]){re.escape(word)}(?=[]-])", "", name, count=1) if word else name
    return name


def pytest_collection_modifyitems(config, items):
    """With ONE_OF_EACH=1 a test of several backends or shells runs on the backend and in the shell its name chooses."""
    if not ONE_OF_EACH:
        return
    groups = {}
    for item in items:
        if not {item.path.name, f"{item.path.name}::{item.originalname}"} & {*ONCE}:
            groups.setdefault(find_common_name(item), []).append(item)
    chosen = {group[zlib.crc32(alike.encode()) % len(group)] for alike, group in groups.items()}
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def pytest_generate_tests(metafunc):
    """A test that asks for `sh` and names no shell runs in each; if not at full size, in bash, zsh and one other."""
    names = [mark.args[0].replace(",", " ").split() for mark in metafunc.definition.iter_markers("parametrize")]
    if "sh" in metafunc.fixturenames and not any("sh" in each for each in names):
        others = list(SHELLS)[2:]
        other = share(others, zlib.crc32(metafunc.function.__name__.encode()), len(others))
        metafunc.parametrize("sh", ["bash", "zsh", *other], indirect=True)


@pytest.fixture
def sh(request, run_shell):
    """`run_shell` in each shell; parametrize("sh", ["bash", "zsh"], indirect=True) chooses some."""
    def sh(text, *words, **options):
        return run_shell(request.param, text, *words, **options)

    sh.name = request.param
    return sh
