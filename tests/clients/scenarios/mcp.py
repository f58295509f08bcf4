"""The MCP server that `install` registers: in each client, in the project and in a linked worktree of it."""
from __future__ import annotations

import json
import threading

from model import Step

from bench import as_arguments, git

from .shell import DONE

WAY = "MCP"
AGENT = "worker-ms-5-1"


def _call(name, *words):
    return Step(mcp=name, given=as_arguments(name, words))


def tools(bench, report, clients):
    """The tools of the MCP server: there, called without being asked for, on the one store of the project."""
    for client in clients:
        home = bench.home(*clients)
        project = bench.project()
        bench.install(project, home)
        steps = [_call("register_agent", AGENT, "milestone-executor", "ms-5", "execution-ms-5-1"),
                 _call("save_agent_state", AGENT, "notes", '{"it\'s": "a \\"value\\" $HOME"}'),
                 _call("load_agent_state", AGENT, "notes"), _call("load_agent_state", AGENT, "nothing")]
        results = [*bench.play(client, project, home, *steps, DONE).results(), "", "", "", ""]
        saved = bench.program(project, home, "load-agent-state", AGENT, "notes") if AGENT in results[0] else ""
        report.check(WAY, "tools are called without approval, and work", client,
                     json.loads(saved or "{}") == {"it's": 'a "value" $HOME'} and "$HOME" in results[2])
        report.check(WAY, "what is not there is an error that the model reads", client, "nothing" in results[3])
        _see_place(bench, report, client, project, home, "in a subfolder", client.name in ("codex", "opencode"))
        _see_place(bench, report, client, project, home, "in a linked worktree")
        bench.install(project, home, str(home))
        _see_place(bench, report, client, project, home, 'in a subfolder, after `install "$HOME"`')


def _see_place(bench, report, client, project, home, where, expected=True):
    cwd, key = project / "src", f"key-{len(where)}"
    if where == "in a linked worktree":
        git(project, "add", "--force", ".")
        git(project, "reset", "-q", "--", ".milestones")
        git(project, "commit", "-qm", "ready")
        cwd = project.with_name(project.name + "-tree")
        git(project, "worktree", "add", "-q", cwd)
    cwd.mkdir(exist_ok=True)
    bench.play(client, cwd, home, _call("save_agent_state", AGENT, key, "v"), DONE)
    stores = [path for top in {project, cwd} for path in top.rglob(".milestones")]
    report.check(WAY, f"tools {where}, with the one store", client,
                 key in bench.keys(project, home) and stores == [project / ".milestones"], expected=expected)


def waiting(bench, report, clients):
    """A message that is sent while a client waits for it by the MCP tool."""
    for client in clients:
        home = bench.home(*clients)
        project = bench.project()
        bench.install(project, home)
        bench.program(project, home, "initialize-agent-coordination")
        timer = threading.Timer(4, bench.program, (project, home, "send-agent-message", "boss-ms-5-1", AGENT,
                                                   "task_assignment", '{"text": "word"}'))
        wait = _call("get_agent_messages", AGENT, "true")
        wait.given["wait"], wait.before = 30, timer.start
        results = bench.play(client, project, home, wait, _call("get_agent_messages", AGENT, "true"), DONE).results()
        timer.join()
        report.check(WAY, "a message sent during a wait of 30 s reaches the model", client,
                     sum("boss-ms-5-1" in result for result in results) == 1)
