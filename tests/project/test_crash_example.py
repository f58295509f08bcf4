"""The demonstration of a crash: one command, an agent killed with a task, and the rows that show who finished it."""
from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.parametrize("shell, place", [("sh", ["a place"]), ("bash", [])])
def test_another_agent_finishes_what_the_killed_one_had_taken(shell, place, tmp_path, request):
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    done = subprocess.run([shell, ROOT / "examples" / "crash.sh", *place], stdin=subprocess.DEVNULL, cwd=tmp_path,
                          env={"PATH": path, "MILESTONE_DATABASE_URL": "postgresql://nowhere", "TMPDIR": "/nowhere"},
                          capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    [database] = tmp_path.glob("*/.milestones/coordination.db")  # in the current directory where TMPDIR is of no use
    connection = sqlite3.connect(database)
    request.addfinalizer(connection.close)
    rows = connection.execute
    assert rows("SELECT agent_id, status FROM agent_registry ORDER BY agent_id").fetchall() == [
        ("coord-1", "active"), ("worker-1", "failed"), ("worker-2", "completed")]
    assert rows("SELECT to_agent, retry_count FROM agent_messages ORDER BY id").fetchall() == [
        ("worker-1", 1), ("worker-2", 0), ("coord-1", 0)]
    assert rows("SELECT state_value, version FROM agent_state").fetchall() == [("4", 4)]
    assert [line.split(",")[0].strip() for line in done.stdout.splitlines() if line.startswith("   worker")] == [
        "worker-1: invoice"] * 2 + ["worker-2: invoice"] * 2
