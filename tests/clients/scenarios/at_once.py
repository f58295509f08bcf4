"""Two clients at the same time on one store: with different sandboxes, and in a worktree each."""
from __future__ import annotations

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

from clients import CLIENTS
from model import Step

from bench import as_arguments, git

from .hooks import SESSION, TRUST, _call
from .shell import DONE

WAY = "at once"
NUMBER = 3  # messages that each sends to the other
PAIRS = {"codex": "claude", "claude": "codex", "opencode": "gemini", "gemini": "opencode"}
SANDBOXED = '{"sandbox": {"enabled": true, "autoAllowBashIfSandboxed": true}}'


def in_one_folder(bench, report, clients):
    """Two clients at once in one folder, one in a sandbox, the other without: each message is read once."""
    for one, other in _pairs(clients):
        home, project = _make(bench, clients)
        options = {"claude": ["--settings", SANDBOXED], "codex": ["--sandbox", "danger-full-access"]}
        _see(bench, report, project, [(one, project), (other, project)], home, "each message is read once", options)


def in_a_worktree_each(bench, report, clients):
    """The same in a linked worktree each."""
    for one, other in _pairs(clients):
        home, project = _make(bench, clients)
        git(project, "add", ".")
        git(project, "commit", "-qm", "ready")
        store = json.dumps([str(project / ".milestones")])
        places = [(client, project.parent / f"{project.name}-{client.name}") for client in (one, other)]
        for _, place in places:
            git(project, "worktree", "add", "-q", str(place))
        options = {"codex": ["-c", f"sandbox_workspace_write.writable_roots={store}"]}
        _see(bench, report, project, places, home, "each message is read once, in a worktree each", options)


def read_only(bench, report, clients):
    """Codex in a sandbox that may write nothing: the functions say so, the tools of the MCP server work."""
    client = CLIENTS["codex"]
    if client not in clients:
        return
    home, project = _make(bench, clients)
    words = ("save_agent_state", "worker-ms-6-1", "by-tool", "v")
    results = bench.play(client, project, home, _call(client, "save_agent_state worker-ms-6-1 by-function v"),
                         Step(mcp=words[0], given=as_arguments(words[0], words[1:])), DONE,
                         options=["--sandbox", "read-only", *TRUST["codex"]]).results()
    keys = bench.keys(project, home, "worker-ms-6-1")
    report.check("sandbox", "where nothing may be written, the functions say so, and the MCP tools work", client,
                 keys == {"by-tool"} and "milestone_persist: " in results[0])


def _pairs(clients):
    pairs = (CLIENTS["claude"], CLIENTS["codex"]), (CLIENTS["opencode"], CLIENTS["gemini"])
    return [pair for pair in pairs if {*pair} <= {*clients}]


def _make(bench, clients):
    home = bench.home(*clients)
    project = bench.project()
    bench.install(project, home)
    bench.program(project, home, "register-agent", "boss-ms-6-1", "milestone-coordinator", "ms-6", SESSION)
    return home, project


def _see(bench, report, project, places, home, what, options):
    """Each of two clients sends to the other and takes; what both have read, in all, is what was sent."""
    names = [f"{client.name}-ms-6-1" for client, _ in places]
    homes = [home, bench.home(*(client for client, _ in places))]
    for client, place in zip((client for client, _ in places), homes):
        client.trust(place, project)  # Claude Code asks for that of the main worktree
    both_are_there = threading.Barrier(2)

    def wait_for_other():
        with contextlib.suppress(threading.BrokenBarrierError):  # then what is missing is seen below
            both_are_there.wait(120)

    def play(number):
        client, place = places[number]
        me, other = names[number], names[1 - number]
        sends = [_call(client, f"send_agent_message {me} {other} progress_update '{{\"n\": \"{me}/{n}/\"}}'")
                 for n in range(NUMBER)]
        sends[0].before = wait_for_other
        steps = [_call(client, f"register_agent {me} milestone-executor ms-6 {SESSION}"), *sends,
                 *(_call(client, f"get_agent_messages {me} true --wait 8") for _ in range(NUMBER)),
                 _call(client, f"save_agent_state {me} k v"), _call(client, f"update_agent_status {me} completed")]
        return bench.play(client, place, homes[number], *steps, DONE,
                          options=[*options.get(client.name, ()), *TRUST.get(client.name, ())]).results()

    with ThreadPoolExecutor(2) as pool:
        read = [*pool.map(play, range(2))]
    for number, (client, _) in enumerate(places):
        sent = [f"{names[1 - number]}/{n}/" for n in range(NUMBER)]
        left = bench.program(project, home, "get-agent-messages", names[number])
        seen = "\n".join([*read[number], left])
        report.check(WAY, what, client, [seen.count(each) for each in sent] == [1] * NUMBER
                     and bench.keys(project, home, names[number]) == {"k"})
