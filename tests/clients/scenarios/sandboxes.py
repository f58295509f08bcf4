"""Sandboxes of Codex and Claude Code: what is written outside the project, the network, and processes that stay."""
from __future__ import annotations

from model import Step

from .shell import ADAPTER, DONE

WAY = "sandbox"
SANDBOXED = {"codex": [], "claude": ["--settings", '{"sandbox": {"enabled": true, "autoAllowBashIfSandboxed": true}}']}
CLOSED = ('touch "$HOME/outside" 2>&1 | grep -q "Read-only" && echo "home closed"; '
          "python3 -c 'import urllib.request as u; u.urlopen(\"http://192.0.2.1\", timeout=2)' 2>/dev/null "
          "|| echo offline")


def work(bench, report, clients):
    """The functions where neither home nor network is open, and a monitor that would end with its call."""
    for client in clients:
        if client.name not in SANDBOXED:
            continue
        home = bench.home(*clients)
        project = bench.project()
        bench.install(project, home)
        begin = "" if client.name == "claude" else f". {ADAPTER}; "
        saving = "save_agent_state worker-ms-8-1 k v; load_agent_state worker-ms-8-1 k"
        steps = [Step(sh=CLOSED), Step(sh=begin + saving),
                 Step(sh=f"{begin}start_session_monitor 300"), Step(sh=f"{begin}get_session_monitor_status")]
        results = bench.play(client, project, home, *steps, DONE, options=SANDBOXED[client.name]).results()
        closed, saved, started, running = [*results, "", "", "", ""][:4]
        report.check(WAY, "functions work with a home that cannot be written, without network", client,
                     "home closed" in closed and "offline" in closed and saved.rstrip().endswith("v"))
        report.check(WAY, "a monitor that would end with its call is not said to be started", client,
                     "no session monitor was started" in started and "not running" in running)
        bench.program(project, home, "start-session-monitor", "300")
        try:
            played = bench.play(client, project, home, steps[2], DONE, options=SANDBOXED[client.name])
            report.check(WAY, "a monitor that runs outside the sandbox is found", client,
                         "already running" in played.results()[0])
        finally:
            bench.program(project, home, "stop-session-monitor")
