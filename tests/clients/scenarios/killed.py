"""A conversation that is killed in the middle of its work, as kill -9 does it, and goes on later."""
from __future__ import annotations

import json

from model import Step

from .hooks import AGENT, SESSION, TRUST, _call, _prepare
from .shell import DONE

WAY = "killed"


def goes_on(bench, report, clients):
    """Killed by kill -9 with a task in hand: nothing is lost, and the conversation, gone on with, finishes it."""
    for client in clients:
        home, project = _prepare(bench, clients)
        bench.program(project, home, "send-agent-message", "boss-ms-6-1", AGENT, "task_assignment", '{"do": "part 7"}')
        bench.play(client, project, home,
                   _call(client, f"register_agent {AGENT} milestone-executor ms-6 {SESSION}"),
                   _call(client, f"get_agent_messages {AGENT} true"),
                   _call(client, f"save_agent_state {AGENT} notes 'half of part 7'"),
                   _call(client, f"create_agent_checkpoint {AGENT} manual README.md"),
                   Step(text="killed", before=lambda home=home: bench.kill(home)), options=TRUST.get(client.name, ()))
        taken = json.loads(bench.program(project, home, "get-agent-messages", AGENT, "--taken"))
        points = json.loads(bench.program(project, home, "list-agent-checkpoints", AGENT, "--json"))
        report.check(WAY, "what it had taken and saved, and its checkpoint, are there", client,
                     len(taken) == 1 == len(points) and "notes" in bench.keys(project, home, AGENT))
        played = bench.play(client, project, home, _call(client, f"load_agent_state {AGENT} notes"),
                            _call(client, f"get_agent_messages {AGENT} --taken"),
                            _call(client, f"send_agent_message {AGENT} boss-ms-6-1 completion_notification "
                                          "'{\"done\": \"part 7\"}'"),
                            _call(client, f"update_agent_status {AGENT} completed"), DONE,
                            options=[*client.resuming, *TRUST.get(client.name, ())], goes_on=True)
        if client.has_hooks:
            report.check(WAY, "gone on with, its conversation is told to continue, and what it has in hand", client,
                         "Continue" in played.first_request and "not acknowledged" in played.first_request)
        results = [*played.results(), "", ""]
        ended = bench.program(project, home, "update-agent-status", AGENT).strip()
        sent = json.loads(bench.program(project, home, "get-agent-messages", "boss-ms-6-1"))
        report.check(WAY, "it finishes what it had in hand, once", client, ended == "completed"
                     and "half of part 7" in results[0] and "part 7" in results[1] and len(sent) == 1)
