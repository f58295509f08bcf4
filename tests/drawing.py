"""Calls at random: any operation, with arguments of which most are valid."""
from __future__ import annotations

import re

from fuzz import LEFT_OUT

from milestone_persist.registry import all_operations

# What tells of the backend, is no call on the store, or is a step of its own here.
APART = LEFT_OUT | {"where", "whoami", "doctor", "status", "get_current_storage_backend", "migrate_storage_backend",
                    "backup_coordination", "restore_coordination", "export_coordination", "import_coordination",
                    "batch", "hook", "completion", "complete", "get_session_monitor_status", "report",
                    "import_tmp_files", "show_recovery_help", "initialize_agent_coordination",
                    "initialize_storage_system"}
APART_OPTIONS = {"wait", "follow", "after"}
AGENTS, SESSIONS = ("a", "A", "ä/b", "c"), ("planning-m-1", "execution-m-1", "validation-n-1", "x")
TEXTS = ("v", '{"x": 1}', "é\n", '{"title": "T", "tasks": ["a", "b"]}', "{}", "", '{"x": ', "title: x\n")
OBJECTS = ({}, {"n": "é"}, '{"n": [1, {"m": null}]}', {"text": "x" * 300})
TYPES = ("validation", "x-own", "milestone-coordinator", "scope-analyzer", "milestone-planner", "execute-phase")
POOLS = {
    "agent_id": AGENTS, "agent": AGENTS, "from_agent": AGENTS, "to_agent": ("", "all", *AGENTS * 3), "owner": AGENTS,
    "session_id": SESSIONS, "session": SESSIONS, "milestone_id": ("m", "n", "planning-m-1"), "milestone": ("m", "n"),
    "agent_type": TYPES, "capabilities": ('["x"]', "[]"), "state_key": ("k", "K", "a=k", "milestone-plan",
                                                                       "planning-scope", "spec-x", "task-y"),
    "value": TEXTS, "text": ("title: x\n", "title: y\nstatus: planned\npriority: high\n", "a: [1, 2]\n"),
    "values": ({"k": "v", "K": "{}"}, {"planning-risks": "r"}), "payload": OBJECTS, "details": ("{}", '{"a": 1}'),
    "messages": ([{"to_agent": each, "message_type": "x-t", "payload": {}} for each in "ac"], [["a", "x-t", {}]]),
    "message_type": ("x-t", "progress_update", "task_assignment"), "priority": (1, 5, 5, 10), "limit": (1, 2, 50),
    "state_type": ("user_data", "temp_data", "progress"), "ttl_seconds": (1, 30, 400), "if_version": (0, 1, 2, 3),
    "lease": (1, 5, 60), "max_bytes": (50, 400, 20000), "phase": ("design", "spec", "task", "execute"),
    "checkpoint_type": ("manual", "automatic"), "percent": (0, 40.5, 99, 100), "minutes": (0.5, 20, 30),
    "hours": (0.5, 24), "health": ("healthy", "degraded"), "ttl": (9, 300), "error": ("broke", "é\nx"),
    "task": ("t", ""), "cpu": (0.5, 97), "memory": (0, 12.5), "response_ms": (3,), "errors": (0, 2), "warnings": (0, 1),
    "term": ("x", "T", "m"), "event": ("phase_completed", "x-e"), "detail": ("", "d", "é\nx"), "default": ("{}", ""),
    "backend": ("file", "hybrid"), "after": (0, 5, 40), "long": (True,), "full": (True,), "taken": (True,),
    "brief": (True,), "sent": (True,), "new": (True,), "state": ("pending", "taken", "acknowledged", "dead"),
}
# What is called more often than once in a round of all.
OFTEN = {"register_agent": 6, "save_agent_state": 5, "send_agent_message": 6, "get_agent_messages": 8, "save_many": 2,
         "acknowledge_agent_message": 2, "requeue_agent_message": 2, "update_agent_status": 3, "agent_heartbeat": 2,
         "create_agent_checkpoint": 2, "restore_agent_checkpoint": 2, "create_milestone_record": 2}
STATUS = {"update_agent_status": ("active", "completed", "failed", "paused", "terminated"),
          "list_coordination_sessions": ("active", "completed", "failed", "abandoned"),
          "list_milestones": ("all", "active", "planned")}
CONFIG = (("message_retry_limit", "1"), ("session_timeout", "900"), ("interrupted_after", "60"),
          ("strict_agents", "true"), ("strict_agents", "false"), ("cleanup_retention_days", "1"),
          ("planning_artifacts", "planning-scope milestone-plan"), ("heartbeat_interval", "x"))
NEAR = ("", " ", "nobody", "-", "0", 0, -1, 10 ** 9, 2 ** 63, 1.5, float("nan"), True, None, [], {}, "a\nb", "\x1b[2J",
        "x" * 300, "CON", "\ud800", "{", "*")  # of any type, as nothing wants it


class Calls:
    """Draws the next call; `points` and `numbers` are the checkpoints and messages there have been."""

    def __init__(self, chance, atomic=0.5):
        self.atomic = atomic  # how likely a batch is
        self.chance, self.points, self.numbers = chance, ["cp-none"], [1]
        self.operations = [op for op in all_operations() if op.name not in APART for _ in range(OFTEN.get(op.name, 1))]

    def draw(self, bundled=0.03):
        """Name, arguments and options."""
        chance = self.chance
        if chance.random() < bundled:
            calls = [self.draw(0) for _ in range(chance.randint(1, 4))]
            return "batch", ([{"name": name, "arguments": {**dict(zip(self._names(name), args)), **options}}
                              for name, args, options in calls],), {"atomic": chance.random() < self.atomic}
        op = chance.choice(self.operations)
        given = [p for p in op.positionals if p.required]
        given += op.positionals[len(given):len(given) + chance.choice((0, 0, 1, 2))]
        options = {p.name: self.pick(op, p) for p in op.options
                   if p.name not in APART_OPTIONS and chance.random() < 0.25}
        return op.name, tuple(self.pick(op, p) for p in given), options

    def _names(self, name):
        return [p.name for op in self.operations if op.name == name for p in op.positionals]

    def pick(self, op, parameter):
        """A value that is likely to be taken, seldom another."""
        chance, name = self.chance, parameter.name
        if chance.random() < 0.02:
            return chance.choice(NEAR)
        if name == "checkpoint_id":
            return chance.choice(self.points[-9:])
        if name == "message_id":
            return chance.choice(self.numbers[-9:])
        if name == "status":
            return chance.choice(STATUS[op.name])
        if name == "key" and not parameter.option:
            return chance.choice(CONFIG)[0]
        if name == "value" and op.name == "set_storage_config":
            return chance.choice(CONFIG)[1]
        if name == "files":
            return chance.choice((__file__, "/no/such/file"))
        return chance.choice(POOLS.get(name, ("p", "q")) if parameter.type != "bool" else (True, True, False))

    def note(self, answer):
        """The ids that an answer has are drawn later."""
        self.points += re.findall(r"\bcp-[0-9]+-[0-9a-f]+", answer)
        self.numbers += map(int, re.findall(r'\[?\{"id": ([0-9]+), "', answer)[-3:])
