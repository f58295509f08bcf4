"""The three clients on one project: one plan, one hand-over, one crash, one recovery."""
from __future__ import annotations

import json
import time

from clients import CLIENTS
from model import Step

from bench import as_arguments

from .shell import ADAPTER, DONE

PLAN, RUN = "planning-ms-7-1", "execution-ms-7-1"
BOSS, WORKER = "coordinator-ms-7-1", "executor-ms-7-1"


def by_shell(bench, report, clients):
    """Claude plans, Codex takes the task and dies, Gemini recovers and finishes, Claude reads: by shell functions."""
    def call(client, *words):
        line = " ".join(f"'{word}'" if word[:1] in "{[" else word for word in words)
        return Step(sh=line if client.name == "claude" else f". {ADAPTER} && {line}")

    _play(bench, report, clients, "plain shell", call)


def by_mcp(bench, report, clients):
    """The same by the tools of the MCP server."""
    _play(bench, report, clients, "MCP", lambda client, name, *words: Step(mcp=name, given=as_arguments(name, words)))


def _play(bench, report, clients, way, call):
    """call: makes the step in which a client calls an operation with these words"""
    claude, codex, gemini = CLIENTS["claude"], CLIENTS["codex"], CLIENTS["gemini"]
    if {claude, codex, gemini} - {*clients}:
        return
    home = bench.home(*clients)
    project = bench.project()
    bench.install(project, home)
    bench.program(project, home, "initialize-agent-coordination")
    for key, value in (("interrupted_after", "2"), ("session_timeout", "4")):  # seconds: the crash is found at once
        bench.program(project, home, "set-storage-config", key, value)

    def play(client, *calls, before=None):
        steps = [call(client, *words) for words in calls]
        steps[0].before = before
        results = bench.play(client, project, home, *steps, DONE).results()
        return [*results, *[""] * (len(calls) - len(results))]

    play(
        claude, ("register_agent", BOSS, "milestone-coordinator", "ms-7", PLAN),
        ("save_agent_state", BOSS, "milestone-plan", '{"title": "the plan", "phases": ["design"]}'),
        ("complete_planning_session", PLAN), ("register_agent", BOSS, "milestone-coordinator", "ms-7", RUN),
        ("send_agent_message", BOSS, WORKER, "task_assignment", '{"phase": "design"}'))
    done = bench.program(project, home, "get-session-status", PLAN)
    sent = bench.program(project, home, "get-agent-messages", WORKER)
    report.check(way, "together: plans, and hands a task over", claude,
                 "completed" in done and len(json.loads(sent)) == 1)
    taken = play(
        codex, ("register_agent", WORKER, "milestone-executor", "ms-7", RUN), ("get_agent_messages", WORKER, "true"),
        ("save_agent_state", WORKER, "notes", '{"next": "interfaces"}'))
    report.check(way, "together: takes the task that another client sent, and dies", codex,
                 "task_assignment" in taken[1])
    recovered = play(
        gemini, ("detect_interrupted_sessions",), ("resume_execution_from_phase", RUN, "design"),
        ("register_agent", WORKER, "milestone-executor", "ms-7", RUN), ("get_agent_messages", WORKER, "true"),
        ("load_agent_state", WORKER, "notes"),
        ("save_agent_state", WORKER, "design-phase-results", '{"summary": "done"}'),
        ("send_agent_message", WORKER, BOSS, "completion_notification", '{"phase": "design"}'),
        ("update_agent_status", WORKER, "completed"), before=lambda: time.sleep(5))
    report.check(way, "together: finds the session of a client that died, and goes on with its task and notes", gemini,
                 RUN in recovered[0] and WORKER in recovered[1] and "task_assignment" in recovered[3]
                 and "interfaces" in recovered[4])
    read = play(claude, ("get_agent_messages", BOSS, "true"), ("get_session_status", RUN))
    left = json.loads(bench.program(project, home, "get-agent-messages", WORKER))
    report.check(way, "together: reads the result; nothing is left over, nothing was done twice", claude,
                 read[0].count("completion_notification") == 1 and "design" in read[1] and left == [])
