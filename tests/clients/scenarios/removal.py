"""Uninstalling, when the clients have worked: what was there before is there again, and nothing else."""
from __future__ import annotations

from model import Step

from bench import git

from .shell import ADAPTER, DONE


def uninstall(bench, report, clients):
    """After work by the client, `uninstall` leaves nothing that `git status` shows."""
    for client in clients:
        home = bench.home(*clients)
        project = bench.project("project", ("README.md", "AGENTS.md"))
        (project / ".claude").mkdir()
        (project / ".claude" / "settings.json").write_text('{"model": "opus"}\n')
        git(project, "add", ".")
        git(project, "commit", "-qm", "settings of its own")
        bench.install(project, home, "--prompts")
        begin = "" if client.name == "claude" else f". {ADAPTER} && "
        bench.play(client, project, home, Step(sh=f"{begin}save_agent_state worker-ms-5-1 k v"), DONE)
        used = "k" in bench.keys(project, home)
        installed = git(project, "status", "--porcelain")
        bench.program(project, home, "uninstall")
        left = git(project, "status", "--porcelain")
        report.check("install", "`uninstall` after work leaves `git status` empty", client,
                     used and installed and not left, ", ".join(left.split()))
