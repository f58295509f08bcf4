"""Hooks that `install` registers: the briefing, unread mail at the end, and the end of agents."""
from __future__ import annotations

import re
import time

from model import Step

from .shell import ADAPTER, DONE

WAY = "hook"
AGENT, SESSION = "worker-ms-6-1", "execution-ms-6-1"
TRUST = {"codex": ["--dangerously-bypass-hook-trust"]}  # else a person looks at them once, in /hooks


def _call(client, line):
    return Step(sh=line if client.name == "claude" else f". {ADAPTER} && {line}")


def with_hooks(clients):
    return [client for client in clients if client.has_hooks]


def _prepare(bench, clients):
    home = bench.home(*clients)
    project = bench.project()
    bench.install(project, home)
    bench.program(project, home, "register-agent", "boss-ms-6-1", "milestone-coordinator", "ms-6", SESSION)
    return home, project


def briefing(bench, report, clients):
    """SessionStart: the briefing reaches the model."""
    for client in with_hooks(clients):
        home, project = _prepare(bench, clients)
        played = bench.play(client, project, home, DONE, options=TRUST.get(client.name, ()))
        report.check(WAY, "SessionStart: the briefing reaches the model", client, SESSION in played.first_request)
        if client.name == "codex":
            played = bench.play(client, project, home, DONE)
            report.check(WAY, "SessionStart, before a person has trusted the hooks", client,
                         SESSION in played.first_request, expected=False)


def unread(bench, report, clients):
    """Stop: an agent with unread mail is sent back once, takes it, and ends."""
    for client in with_hooks(clients):
        home, project = _prepare(bench, clients)

        def send(project=project, home=home):
            bench.program(project, home, "send-agent-message", "boss-ms-6-1", AGENT, "task_assignment",
                          '{"text": "one more"}', "9")

        stop = Step(text="I am done", before=send)
        steps = [_call(client, f"register_agent {AGENT} milestone-executor ms-6 {SESSION}"), stop,
                 _call(client, f"get_agent_messages {AGENT} true"), DONE]
        played = bench.play(client, project, home, *steps, options=TRUST.get(client.name, ()))
        was_told = AGENT in played.heard() and "one more" not in played.heard()
        taken = any("one more" in result for result in played.results())
        report.check(WAY, "Stop: an agent with unread mail is sent back, and takes it", client, was_told and taken)
        ignored = bench.play(client, project, home, steps[0], stop, DONE, DONE, DONE,
                             options=TRUST.get(client.name, ()))
        turns = 1 + max((each.turn for each in ignored.exchanges), default=0)
        report.check(WAY, "Stop: one who does not take it is sent back once, and no more", client, turns == 3,
                     "" if turns == 3 else f"{turns - 2} times")


def ends(bench, report, clients):
    """SessionEnd and SubagentStop: the agents that belong to what ends, end."""
    for client in with_hooks(clients):
        home, project = _prepare(bench, clients)
        bench.play(client, project, home, _call(client, f"register_agent {AGENT} milestone-executor ms-6 {SESSION}"),
                   DONE, options=TRUST.get(client.name, ()))
        status = bench.program(project, home, "update-agent-status", AGENT).strip()
        report.check(WAY, "SessionEnd: the agent of a client that ends, ends", client, status != "active", status)
    for client in with_hooks(clients):
        if client.name in STARTING:
            _see_sub_agent(bench, report, clients, client)


# The tool with which a client's model starts a sub-agent, and its input.
STARTING = {"claude": ("Agent", {"description": "a task", "prompt": "[[SCRIPT:sub]] go",
                                 "subagent_type": "general-purpose"}),
            "opencode": ("task", {"description": "a task", "prompt": "[[SCRIPT:sub]] go", "subagent_type": "general"}),
            "codex": ("collaboration.spawn_agent", {"task_name": "sub", "message": "[[SCRIPT:sub]] go"})}


def _see_sub_agent(bench, report, clients, client):
    home, project = _prepare(bench, clients)
    tool, given = STARTING[client.name]
    sub = [_call(client, f"register_agent sub-ms-6-1 milestone-executor ms-6 {SESSION}"), Step(text="sub done")]
    look = _call(client, "update_agent_status sub-ms-6-1")
    look.before = lambda: time.sleep(8)  # sub-agents run beside the one that starts them
    results = bench.play(client, project, home, Step(tool=tool, given=given), look, DONE,
                         scripts={"sub": sub}.items(), options=TRUST.get(client.name, ())).results()
    said = re.search("^(active|completed|terminated|failed)$", results[1] if len(results) > 1 else "", re.M)
    status = said[0] if said else "no agent"
    report.check(WAY, "SubagentStop: the agent of a sub-agent that ends, ends", client,
                 status in ("completed", "terminated", "failed"), status)
