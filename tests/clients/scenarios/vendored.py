"""A project whose path has a space and a letter outside ASCII, with the program vendored in it: all ways at once."""
from __future__ import annotations

from model import Step

from bench import git

from .hooks import AGENT, SESSION, TRUST, _call
from .mcp import _call as call_tool
from .shell import DONE

WAY = "vendored"
COPY = "tools/milestone"


def all_ways(bench, report, clients):
    """Functions, permissions, MCP server and hooks of a vendored program, in a path with a space and an `ü`."""
    for client in clients:
        home = bench.home(*clients)
        project = bench.project("für uns")
        bench.program(project, home, "vendor", COPY)
        own = {"program": project / COPY / "milestone_persist"}
        bench.program(project, home, "install", **own)
        git(project, "add", ".")
        git(project, "commit", "-qm", "ready")
        bench.program(project, home, "register-agent", "boss-ms-6-1", "milestone-coordinator", "ms-6", SESSION, **own)

        def send(project=project, home=home, own=own):
            bench.program(project, home, "send-agent-message", "boss-ms-6-1", AGENT, "task_assignment",
                          '{"text": "one more"}', "9", **own)

        played = bench.play(client, project, home,
                            _call(client, f"register_agent {AGENT} milestone-executor ms-6 {SESSION}"),
                            _call(client, f"save_agent_state {AGENT} by-function v"),
                            call_tool("save_agent_state", AGENT, "by-tool", "v"), Step(text="I am done", before=send),
                            _call(client, f"get_agent_messages {AGENT} true"), DONE, options=TRUST.get(client.name, ()))
        keys = bench.keys(project, home, AGENT)
        report.check(WAY, "functions, called without approval", client, "by-function" in keys)
        report.check(WAY, "MCP tools, called without approval", client, "by-tool" in keys)
        if client.has_hooks:
            report.check(WAY, "SessionStart: the briefing reaches the model", client, SESSION in played.first_request)
            report.check(WAY, "Stop: an agent with unread mail is sent back, and takes it", client,
                         AGENT in played.heard() and any("one more" in result for result in played.results()))
            ended = bench.program(project, home, "update-agent-status", AGENT, **own).strip()
            report.check(WAY, "SessionEnd: the agent of a client that ends, ends", client, ended == "terminated",
                         ended)
        _see_removal(bench, report, client, home, project, own)


def _see_removal(bench, report, client, home, project, own):
    """Nothing names this machine, `install --check` finds nothing, and `uninstall` removes what was added."""
    texts = [project.joinpath(file).read_bytes() for file in git(project, "ls-files", "-z").split("\0")[:-1]]
    report.check(WAY, "what is committed names no path of this machine", client,
                 not any(str(project).encode() in text for text in texts))
    bench.program(project, home, "uninstall", **own)
    left = {*git(project, "ls-files", "-z").split("\0")[:-1]} - {*git(project, "ls-files", "-d", "-z").split("\0")[:-1]}
    report.check(WAY, "`uninstall` leaves the copy and nothing else", client,
                 all(file == "README.md" or file.startswith(COPY) for file in left),
                 ", ".join(sorted(file for file in left if not file.startswith(COPY))[1:]))
