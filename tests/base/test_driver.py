"""SQLite's driver in a process of the program: without the modules around it; with them where that cannot be."""
from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

PROGRAM = """import sys
sys.path.insert(0, sys.argv[1])
from milestone_persist import base
base.is_program = sys.argv[2] == "program"
BEFORE
from milestone_persist.base.driver import sqlite3
connection = sqlite3.connect(":memory:", isolation_level=None)
for n in range(300):
    assert connection.execute(f"SELECT {n % 150}, ?", (n,)).fetchall() == [(n % 150, n)]
connection.execute("SELECT * FROM missing") if len(sys.argv) > 3 else None
print(sqlite3.__name__, *sorted({"functools", "sqlite3"} & sys.modules.keys()))
import functools
print(functools.lru_cache(3)(abs)(-1), functools.partial.__name__)
"""


def run(whose, before="", *more):
    words = [sys.executable, "-I", "-S", "-c", PROGRAM.replace("BEFORE", before), str(ROOT), whose, *more]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_process_of_the_program_loads_the_driver_alone():
    done = run("program")
    assert (done.stdout, done.stderr) == ("_sqlite3\n1 partial\n", "")


@pytest.mark.parametrize("before, loaded", [
    ("import sqlite3", "sqlite3 functools sqlite3"),
    ("import _functools; del _functools._lru_cache_wrapper", "sqlite3 functools sqlite3"),
    ("import functools", "_sqlite3 functools"),
], ids=["module loaded", "no cache in C", "functools loaded"])
def test_where_it_cannot_be_had_alone_it_comes_with_its_modules(before, loaded):
    done = run("program", before)
    if sys.version_info < (3, 10):  # whose driver needs no functools
        loaded = loaded.replace("sqlite3 functools sqlite3", "sqlite3 sqlite3")
    assert (done.stdout.splitlines()[0], done.stderr) == (loaded, "")


def test_a_python_without_sqlite_says_so_itself():
    assert "import of _sqlite3 halted" in run("program", "sys.modules['_sqlite3'] = None").stderr


def test_a_process_that_imports_the_package_meets_nothing_in_place_of_functools():
    done = run("another")
    assert done.stderr == "" and done.stdout.splitlines()[0].startswith("_sqlite3")


def test_an_error_of_the_driver_is_the_drivers():
    assert "sqlite3.OperationalError: no such table: missing" in run("program", "", "fail").stderr
