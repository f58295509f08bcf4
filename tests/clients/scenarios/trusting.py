"""Whether Codex runs hooks that a person has trusted: again after `install`, a later version, `uninstall`."""
from __future__ import annotations

import json

from clients import CLIENTS

from .hooks import SESSION, WAY, _prepare
from .shell import DONE

LOG = "theirs.log"
THEIRS = {"hooks": [{"type": "command", "command": f'echo theirs >> "$HOME/{LOG}"', "timeout": 10}]}


def trusting(bench, report, clients):
    """Hooks that were trusted once are trusted after `install` again; what a later version does to those of others."""
    client = CLIENTS["codex"]
    if client not in clients:
        return
    home, project = _prepare(bench, clients)
    file = project / ".codex" / "hooks.json"

    def play():
        """Whether our hook has run, and theirs, which stands behind it."""
        (home / LOG).unlink(missing_ok=True)
        played = bench.play(client, project, home, DONE)
        return SESSION in played.first_request, (home / LOG).exists()

    data = json.loads(file.read_text())
    data["hooks"]["SessionStart"].append(THEIRS)
    file.write_text(json.dumps(data, indent=2))
    client.trust(home, project)
    client.trust_hooks(home, project)
    report.check(WAY, "trusted once, ours and one of others behind it run", client, play() == (True, True))
    bench.install(project, home)
    report.check(WAY, "the same after `install` is run again, without a question", client, play() == (True, True))
    manifest = project / ".claude" / "shared" / "milestone" / "installed.json"
    for path in (file, manifest):  # as an earlier version might have written it
        path.write_text(path.read_text().replace("hook SessionStart -", "hook  SessionStart -"))
    client.trust_hooks(home, project)
    bench.install(project, home)
    report.check(WAY, "one that a later version has changed runs before it is trusted again", client, play()[0],
                 expected=False)
    report.check(WAY, "one of others behind it runs without a question", client, play()[1])
    bench.program(project, home, "uninstall")
    report.check(WAY, "one of others behind ours runs after `uninstall` without a question", client, play()[1],
                 expected=False)
