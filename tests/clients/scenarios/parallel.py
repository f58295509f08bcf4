"""Four sub-agents of one conversation at once, which take from one inbox and send to the one that started them."""
from __future__ import annotations

import json
import time

from model import Step

from .hooks import SESSION, STARTING, TRUST, _call, _prepare
from .shell import DONE

NUMBER, EACH = 4, 3  # sub-agents, and messages that each takes
POOL = "pool-ms-6"
BEGINNING = {**STARTING, "gemini": ("invoke_agent", {"agent_name": "generalist", "prompt": "[[SCRIPT:sub]] go"})}


def sub_agents(bench, report, clients):
    """Four sub-agents at once take twelve messages from one inbox and send a result each: none lost, none twice."""
    for client in clients:
        home, project = _prepare(bench, clients)
        for n in range(NUMBER * EACH):
            bench.program(project, home, "send-agent-message", "boss-ms-6-1", POOL, "task_assignment",
                          json.dumps({"task": f"task-{n:02}-end"}))
        names = [f"sub_{n}" for n in range(NUMBER)]
        tool, given = BEGINNING[client.name]
        first, *others = [Step(tool=tool, given=_renamed(given, name)) for name in names]
        first.beside = others
        pause = _call(client, f"get_session_status {SESSION}")
        if client.name not in ("opencode", "gemini"):  # whose turns wait for them; elsewhere they run beside it
            pause.before = lambda: time.sleep(25)
        more = ["-c", "agents.max_threads=8"] if client.name == "codex" else []  # else three at once
        played = bench.play(client, project, home, first, pause, DONE, options=[*TRUST.get(client.name, ()), *more],
                            scripts={name: _script(client, name) for name in names}.items())
        results = "\n".join(result for name in names for result in played.results(name))
        taken = [results.count(f"task-{n:02}-end") for n in range(NUMBER * EACH)]
        sent = json.loads(bench.program(project, home, "get-agent-messages", "boss-ms-6-1"))
        report.check("sub-agents", f"{NUMBER} at once: each message of one inbox is read once, each result arrives",
                     client, taken == [1] * len(taken)
                     and sorted(each["from_agent"] for each in sent) == [f"{name}-ms-6" for name in names])


def _renamed(given, name):
    return {key: value.replace("SCRIPT:sub", f"SCRIPT:{name}").replace("sub", name) if key == "task_name"
            else value.replace("SCRIPT:sub", f"SCRIPT:{name}") for key, value in given.items()}


def _script(client, name):
    agent = f"{name}-ms-6"
    return [_call(client, f"register_agent {agent} milestone-executor ms-6 {SESSION}"),
            *(_call(client, f"get_agent_messages {POOL} true 1 --lease 300") for _ in range(EACH)),
            _call(client, f"send_agent_message {agent} boss-ms-6-1 completion_notification '{{\"by\": \"{name}\"}}'"),
            Step(text=f"{name} done")]
