"""The plugins and the extension of this repository: installed by each client from an address, validated, and used."""
from __future__ import annotations

import subprocess

from gitserver import GitServer
from model import Step

from bench import ROOT

from .hooks import SESSION, TRUST
from .mcp import AGENT, _call
from .shell import DONE

PLUGIN = "milestone@milestone-persist"
INSTALLING = {"claude": [["plugin", "marketplace", "add", "{url}"], ["plugin", "install", PLUGIN]],
              "codex": [["plugin", "marketplace", "add", "{url}"], ["plugin", "add", PLUGIN]],
              "gemini": [["extensions", "install", "{url}", "--consent"]]}
# Codex has no validator. Claude Code's reads no links: it is given the catalog, and the plugin as it was installed.
VALIDATING = {"claude": [["plugin", "validate", "{clone}"],
                         ["plugin", "validate", "{home}/.claude/plugins/cache/milestone-persist/milestone/{version}"]],
              "codex": [], "gemini": [["extensions", "validate", "{clone}"]]}
# What a person answers with "always": a plugin cannot permit itself anything.
PERMITTING = {"claude": ["--allowedTools", "mcp__plugin_milestone_milestone", "Bash(save_agent_state:*)"]}


def used(bench, report, clients):
    """Install each from a git address, validate it, and use what it brings in a project that has nothing of ours."""
    from milestone_persist import __version__

    for client in clients:
        if client.name not in INSTALLING:
            continue
        home = bench.home(*clients)
        project = bench.project()
        clone = bench.folder / f"clone-{client.name}"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True, capture_output=True)

        def run(commands, url="", client=client, home=home, project=project, clone=clone):
            given = {"url": url, "clone": clone, "home": home, "version": __version__}
            return [bench.run_client(client, project, home, *[word.format(**given) for word in words])[0]
                    for words in commands[client.name]]

        with GitServer(ROOT, bench.folder / f"served-{client.name}") as server:
            statuses = run(INSTALLING, server.url)
        report.check("plugin", "it is installed from a git address", client, not any(statuses))
        if VALIDATING[client.name]:
            report.check("plugin", "the client's validator passes it", client, not any(run(VALIDATING)))
        _use(bench, report, client, home, project)


def _use(bench, report, client, home, project):
    bench.program(project, home, "register-agent", "boss-ms-6-1", "milestone-coordinator", "ms-6", SESSION)
    played = bench.play(client, project, home, _call("save_agent_state", AGENT, "tool", "v"),
                        Step(sh=f"save_agent_state {AGENT} plain v"), DONE,
                        options=[*TRUST.get(client.name, ()), *PERMITTING.get(client.name, ())])
    keys = bench.keys(project, home)
    report.check("plugin", "MCP tools work, on the store of the project", client, "tool" in keys)
    report.check("plugin", "functions in the client's shell", client, "plain" in keys, expected=client.name == "claude")
    (project / "src").mkdir()
    bench.play(client, project / "src", home, _call("save_agent_state", AGENT, "below", "v"), DONE,
               options=PERMITTING.get(client.name, ()))
    report.check("plugin", "MCP tools in a subfolder, on the store of the project", client,
                 "below" in bench.keys(project, home) and not (project / "src" / ".milestones").exists())
    report.check("plugin", "hooks run: the briefing reaches the model", client, SESSION in played.first_request)
    report.check("plugin", "the skill is offered to the model", client,
                 "Work with other agents on one milestone" in played.first_request)
    if client.name == "claude":
        report.check("plugin", "the agents are offered to the model", client,
                     "milestone:milestone-executor" in played.first_request)
