"""A project that is full of its users' own files: hooks, servers, agents and documents, beside ours and without."""
from __future__ import annotations

import json
import time

from model import Step

from bench import ROOT, git

from .hooks import SESSION, TRUST, _call
from .shell import DONE

WAY = "crowded"
EVENTS = {"claude": ("SessionStart", "UserPromptSubmit", "PreToolUse", "Stop"),
          "codex": ("SessionStart", "UserPromptSubmit", "Stop"),
          "gemini": ("SessionStart", "BeforeAgent", "AfterAgent")}
AGENT = """---
name: reviewer
description: Reviews what others have written
tools: Read, Grep, Bash
---

You review. THEIRS-AGENT
"""


def beside(bench, report, clients):
    """Their hooks, MCP server, documents and agents work beside ours, and all is as before after `uninstall`."""
    for client in clients:
        home = bench.home(*clients)
        project = bench.project("project", ("README.md", "CLAUDE.md", "AGENTS.md", "GEMINI.md"))
        for path, text in _theirs(client.name).items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text, newline="")
        git(project, "add", ".")
        git(project, "commit", "-qm", "theirs")
        bench.install(project, home)
        bench.program(project, home, "register-agent", "boss-ms-6-1", "milestone-coordinator", "ms-6", SESSION)
        steps = [_call(client, "save_agent_state worker-ms-6-1 k v"), DONE]
        played = bench.play(client, project, home, *steps, options=TRUST.get(client.name, ()))
        if client.has_hooks:
            report.check(WAY, "hooks of others run beside ours", client, SESSION in played.first_request
                         and {*EVENTS[client.name]} <= _events(home))
        report.check(WAY, "MCP server, document and ours reach the model", client,
                     _offers_theirs(client, played) and "k" in bench.keys(project, home, "worker-ms-6-1"))
        if client.name in AGENTS:
            _see_agent(bench, report, client, home, project)
        bench.program(project, home, "uninstall")
        left = git(project, "status", "--porcelain")
        (home / "theirs.log").unlink(missing_ok=True)
        played = bench.play(client, project, home, DONE, options=TRUST.get(client.name, ()))
        report.check(WAY, "after `uninstall` all is as before, to the byte, and works", client, left == ""
                     and _offers_theirs(client, played) and SESSION not in played.first_request
                     and (not client.has_hooks or {*EVENTS[client.name]} - {"PreToolUse"} <= _events(home)), left)


# The tool that starts a sub-agent by the name of an agent in the project.
AGENTS = {"claude": ("Agent", {"description": "a task", "prompt": "[[SCRIPT:sub]] go", "subagent_type": "reviewer"}),
          "opencode": ("task", {"description": "a task", "prompt": "[[SCRIPT:sub]] go", "subagent_type": "reviewer"})}


def _see_agent(bench, report, client, home, project):
    """An agent of theirs as a sub-agent: it takes its task, and sends what came of it."""
    bench.program(project, home, "send-agent-message", "boss-ms-6-1", "sub-ms-6-1", "task_assignment", '{"do": "x7"}')
    tool, given = AGENTS[client.name]
    pause = _call(client, f"get_session_status {SESSION}")
    pause.before = lambda: time.sleep(12)
    sub = [_call(client, f"register_agent sub-ms-6-1 validation ms-6 {SESSION}"),
           _call(client, "get_agent_messages sub-ms-6-1 true"),
           _call(client, "save_agent_state sub-ms-6-1 review '{\"found\": []}'"),
           _call(client, "create_agent_checkpoint sub-ms-6-1"),
           _call(client, "send_agent_message sub-ms-6-1 boss-ms-6-1 validation_result '{\"ok\": true}'"),
           _call(client, "update_agent_status sub-ms-6-1 completed"), Step(text="reviewed")]
    played = bench.play(client, project, home, Step(tool=tool, given=given), pause, DONE,
                        scripts={"sub": sub}.items(), options=TRUST.get(client.name, ()))
    system = next((json.dumps(each.body) for each in played.exchanges if each.script == "sub"), "")
    sent = json.loads(bench.program(project, home, "get-agent-messages", "boss-ms-6-1"))
    what = "an agent of others, whose `tools` name `Bash` but no server, does its part of a milestone"
    report.check(WAY, what, client,
                 "THEIRS-AGENT" in system and "x7" in "".join(played.results("sub")) and len(sent) == 1
                 and bench.program(project, home, "update-agent-status", "sub-ms-6-1").strip() == "completed")


def _events(home):
    path = home / "theirs.log"
    return {*path.read_text().split()} if path.exists() else set()


def _offers_theirs(client, played):
    names = {"claude": "THEIRS-CLAUDE", "gemini": "THEIRS-GEMINI"}
    tools = json.dumps([each.body for each in played.exchanges])
    return names.get(client.name, "THEIRS-AGENTS") in played.first_request and "theirs" in tools


def _theirs(client):
    """Files as people have them, by hand and by tools, for all clients."""
    program, words = "python3", [str(ROOT / "milestone_persist" / "__main__.py"), "mcp"]
    server = {"command": program, "args": words, "env": {"MILESTONE_DIR": "/nonexistent"}}

    def hooks(name):
        commands = {event: f'echo {event} >> "$HOME/theirs.log"' for event in EVENTS[name]}
        return {event: [{"matcher": "*", "hooks": [{"type": "command", "command": command}]}]
                for event, command in commands.items()}

    agent = AGENT if client != "opencode" else AGENT.replace("tools: Read, Grep, Bash", "mode: subagent")
    return {
        ".claude/settings.json": json.dumps({
            "permissions": {"allow": ["Bash(ls:*)"], "deny": ["Read(.env)"]}, "env": {"THEIRS": "1"},
            "statusLine": {"type": "command", "command": "echo theirs"}, "hooks": hooks("claude"),
            "enableAllProjectMcpServers": True}, indent=2).replace("\n", "\r\n"),
        ".mcp.json": '{ "mcpServers": { "theirs": ' + json.dumps(server) + " } }\n",
        ".codex/hooks.json": json.dumps({"hooks": hooks("codex")}),
        ".codex/config.toml": f'[mcp_servers.theirs]\ncommand = "{program}"\nargs = {json.dumps(words)}\n',
        ".gemini/settings.json": json.dumps({"mcpServers": {"theirs": server}, "hooks": hooks("gemini")}, indent=4),
        "opencode.json": json.dumps({"$schema": "https://opencode.ai/config.json", "mcp": {"theirs": {
            "type": "local", "command": [program, *words]}}}, indent=2),
        ".claude/agents/reviewer.md": agent, ".opencode/agent/reviewer.md": agent,
        "CLAUDE.md": "# Theirs\r\n\r\nTHEIRS-CLAUDE", "AGENTS.md": "\ufeff# Theirs\n\nTHEIRS-AGENTS\n",
        "GEMINI.md": "# Theirs\n\nTHEIRS-GEMINI\n\n```\n"}
