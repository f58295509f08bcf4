"""The example session: one command, any shell, and the rows it says it made."""
from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys

import pytest
from conftest import ROOT

EXAMPLE = ROOT / "examples" / "planning-session.sh"


def run_example(shell, directory, cwd, **variables):
    """Run it without HOME in `cwd`; what it prints."""
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    done = subprocess.run([shell, EXAMPLE, directory], env={"PATH": path, **variables}, cwd=cwd,
                          stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert all(": this acknowledged what " in line for line in done.stderr.splitlines()), done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_example_session_makes_the_rows_it_shows(shell, need, tmp_path, request):
    tree, temporary = tmp_path / "a tree", tmp_path / "it's a place"
    for path, text in {"src/a.py": "1\n" * 300, "src/b.md": "1\n" * 600, "top.sh": "1\n2"}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    temporary.mkdir()

    text = run_example(need(shell), tree, temporary, TMPDIR=str(temporary),
                       MILESTONE_DATABASE_URL="postgresql://nowhere")

    [database] = temporary.glob("planning-session.*/.milestones/coordination.db")
    assert str(database) in text
    connection = sqlite3.connect(database)
    request.addfinalizer(connection.close)
    rows = connection.execute
    session, milestone, status, progress = rows(
        "SELECT session_id, milestone_id, status, progress FROM coordination_sessions").fetchone()
    assert (status, progress) == ("completed", 100)
    assert set(rows("SELECT agent_type, status FROM agent_registry")) == {
        ("milestone-coordinator", "completed"), ("scope-analyzer", "completed"), ("estimation-agent", "completed")}
    assert sorted(rows("SELECT message_type, acknowledged_at IS NOT NULL FROM agent_messages")) == [
        ("completion_notification", 1), ("progress_update", 1), ("task_assignment", 1), ("task_assignment", 1)]
    state = {key: json.loads(value) for key, value in rows("SELECT state_key, state_value FROM agent_state")}
    assert (state["planning-scope"]["files"], state["planning-scope"]["lines"]) == (3, 902)
    assert [(item["area"], item["hours"]) for item in state["planning-estimates"]["areas"]] == [("src", 2), (".", 0.01)]
    assert [task["task"] for task in state["milestone-plan"]["tasks"]] == ["review src", "review ."]
    assert rows("SELECT count(*) FROM agent_checkpoints").fetchone() == (2,)
    record = (database.parent / "active" / f"{milestone}.yaml").read_text()
    assert f'planning_session: "{session}"' in record and "review src" in record
    for shown in (session, milestone, "completion_notification", "planning-estimates"):
        assert shown in text


def test_example_session_uses_the_directory_it_is_given(tmp_path):
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        run_example("sh", "empty", tmp_path, MILESTONE_DIR="here/.milestones")
    connection = sqlite3.connect(tmp_path / "here" / ".milestones" / "coordination.db")
    rows = connection.execute("SELECT status FROM coordination_sessions").fetchall()
    connection.close()
    assert rows == [("completed",), ("completed",)]
