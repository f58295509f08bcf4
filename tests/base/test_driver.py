"""SQLite's driver: the part of the standard module that a call needs, or the module."""
from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

BLOCK = """
class OnlyOnce:
    def find_spec(self, name, path=None, target=None):
        if name == "_sqlite3":
            sys.meta_path.remove(self)
            raise ImportError("no such part")
sys.meta_path.insert(0, OnlyOnce())
"""


@pytest.mark.parametrize("before, name", [("", "_sqlite3"), ("import sqlite3", "sqlite3"), (BLOCK, "sqlite3")],
                         ids=["alone", "the module is there", "the part is missing"])
def test_every_python_has_a_driver(before, name, tmp_path):
    code = f"""import sys\nsys.path.insert(0, {str(ROOT)!r})\n{before}
from milestone_persist.base.driver import sqlite3
from milestone_persist.opening.place import open_for
from milestone_persist.operations.state import load_agent_state, save_agent_state
store = open_for({str(tmp_path)!r}, {{}})
save_agent_state(store, "a", "k", "v")
print(sqlite3.__name__, load_agent_state(store, "a", "k"))"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{name} v\n", "")
