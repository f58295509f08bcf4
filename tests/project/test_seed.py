"""The code blocks of the document this project implements run verbatim, in bash and in zsh."""
from __future__ import annotations

import json
import re

import pytest
from conftest import ROOT

DOCUMENT = ROOT / "tests" / "data" / "milestone-persistence.md"

BLOCKS = ("Initialize Agent Coordination", "Use Persistent State Instead of /tmp Files", "Inter-Agent Communication",
          "Before (Fragile)", "After (Robust)", "Inter-Agent Coordination", "Detect Interrupted Sessions",
          "Recover Specific Sessions", "Automatic Session Monitoring", "Automatic Maintenance",
          "Planning Session with Recovery")

# What the document's blocks take for granted.
VARIABLES = {
    "MILESTONE_ID": "ms-123", "SESSION_ID": "planning-ms-123-1640995200", "AGENT_ID": "scope-agent-001",
    "SCOPE_AGENT_ID": "scope-agent-001", "COORDINATOR_ID": "coordinator-001", "EXECUTOR_ID": "executor-001",
    "scope_data": '{"files": 12, "text": "it\'s \\"quoted\\"\\n"}', "data": "plain text",
    "scope_analysis": '{"files": 12}',
    "estimates": '{"days": 3}', "MILESTONE_BACKEND": None,
}
# The document's sessions began at the second 1640995200; the one it recovers by name has a plan.
FIRST = """date() { if [ "$1" = +%s ]; then echo 1640995200; else command date "$@"; fi; }
register_agent planner milestone-planner milestone-001 planning-milestone-001-1640995200 >/dev/null
trap "stop_session_monitor >/dev/null 2>&1" EXIT
"""


def blocks():
    """The bash blocks of the document by the heading they stand under."""
    found, heading = {}, ""
    document = DOCUMENT.read_text(encoding="utf-8")
    for kind, text in re.findall(r"^#+ ([^\n]+)$|^```bash\n(.*?)^```", document, re.M | re.S):
        if kind:
            heading = kind.strip("🚀🔄📈🛠🔧📋📊 ")
        else:
            found[heading] = text
    return found


@pytest.fixture(params=["bash", "zsh"])
def shell(request, need, run_shell, tmp_path):
    """Runs the blocks under some headings one after the other, then `more`, with the functions sourced.

    The files in /tmp, the old way that they show too, are in this test's own directory.
    """
    need("jq")

    def shell(*headings, first=FIRST, more=""):
        text = "set +eu\n" + first + "\n".join(blocks()[heading] for heading in headings) + "\n" + more
        return run_shell(request.param, text.replace("/tmp/milestone-", f"{tmp_path}/milestone-"), **VARIABLES)

    return shell


def test_every_block_is_on_the_list():
    assert set(blocks()) == set(BLOCKS)


@pytest.mark.parametrize("heading", BLOCKS)
def test_a_block_runs_alone(shell, heading):
    done = shell(heading, more='printf "\\nstatus %s\\n" $?')
    assert done.text.splitlines()[-1] == "status 0"
    complaints = [line for line in done.err.splitlines() if line.startswith("milestone_persist:")]
    assert all("warning: no agent" in line for line in complaints), done.err
    assert "Traceback" not in done.err


def test_the_quick_start(shell):
    done = shell("Initialize Agent Coordination", first="", more='list_session_agents "$SESSION_ID"; '
                 "get_current_storage_backend")
    assert re.search(r"^coordinator-\d+ +milestone-coordinator +active", done.text, re.M)
    assert done.text.endswith("hybrid\n")


def test_state_instead_of_files(shell):
    done = shell("Use Persistent State Instead of /tmp Files", more='printf "%s" "$scope_data"')
    assert done.text == VARIABLES["scope_data"]


def test_the_state_of_the_first_document_outlives_restarts(shell):
    assert shell("After (Robust)").text == "plain text"


def test_the_messages_of_the_first_document_arrive(shell):
    done = shell("Inter-Agent Communication", more='EXECUTOR_ID=$AGENT_ID\n' + blocks()["Inter-Agent Communication"])
    message = json.loads(done.text[done.text.index("{"):done.text.rindex("}") + 1])
    assert message["payload"] == {"phase": "design", "requirements": ["analyze", "document"]}
    assert (message["from_agent"], message["message_type"]) == ("coordinator-001", "task_assignment")


def test_coordination_of_two_agents(shell):
    done = shell("Inter-Agent Coordination", more='printf "%s\\n" "$task"; get_agent_messages coordinator-001 true')
    lines = done.text.splitlines()
    answer = json.loads(lines.pop())
    task = json.loads("\n".join(lines[lines.index("{"):lines.index("}") + 1]))
    assert task == {"phase": "design", "weight": 15, "requirements": ["analyze_patterns", "document_decisions"]}
    assert answer[0]["payload"] == {"phase": "design", "progress": 75, "status": "in_progress"}


def test_what_detection_prints(shell):
    done = shell("Detect Interrupted Sessions", first="""MILESTONE_NOW="2026-01-01 10:00:00"
        for id in a b c d; do register_agent $id validation ms-123 planning-001 >/dev/null; done
        update_agent_status a failed; update_agent_status b failed; update_agent_status c completed
        MILESTONE_NOW="2026-01-01 10:15:00"
        """)
    shown = [line[2:] for line in blocks()["Detect Interrupted Sessions"].splitlines() if "|" in line]
    lines = done.text.splitlines()
    assert [re.sub(" +", " ", lines[0]), re.sub("-+", "-", lines[1])] == [shown[0], re.sub("-+", "-", shown[1])]
    assert lines[2] == "planning-001 | ms-123    | planning  |             15 |      4 |      1 |      2"
    assert len(set(map(len, lines[:3]))) == 1


def test_what_recovery_prints(shell):
    keys = "planning-scope planning-estimates planning-risks planning-kiro milestone-plan"
    save = f"for key in $(echo {keys}); do save_agent_state planner $key some; done\n"
    done = shell("Recover Specific Sessions", first=FIRST + save)
    lines = done.text.splitlines()
    assert "✅ All planning artifacts present - session can be completed" in lines
    options = lines[lines.index("Options:"):]
    assert [line for line in options if re.match(r"  \d\.", line)][:3] == [
        "  1. Complete planning session", "  2. Create milestone from plan", "  3. Resume planning agents"]


def test_planning_with_recovery_ends_in_a_milestone(shell):
    done = shell("Planning Session with Recovery", more="read_milestone_record ms-123")
    assert 'id: "ms-123"' in done.text
    assert 'key: "planning-scope"' in done.text and 'key: "planning-estimates"' in done.text
