"""The operations as tools: which are offered, and each one's description for a client."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.vocabulary import words_for
from ..registry import all_operations, find_operation
from ..registry.manual import parameter_help, remarks_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..registry import Operation, Parameter

# What an agent on a milestone needs, and whoever brings a session back: few enough to be read whole. `install` lets
# clients use all of them unasked, so none deletes, or ends the work of others.
CORE = (
    "register_agent", "update_agent_status", "list_session_agents",
    "get_agent_messages", "send_agent_message", "acknowledge_agent_message", "requeue_agent_message",
    "save_agent_state", "load_agent_state", "list_agent_state", "create_agent_checkpoint",
    "get_session_status", "update_session_progress", "read_milestone_record",
    "complete_planning_session", "finalize_milestone_execution", "complete_coordination_session",
    "briefing", "detect_interrupted_sessions", "recover_milestone_session", "resume_planning_agents",
    "resume_execution_from_phase", "resume_session_agents",
)
# Of what needs no open store; the rest is for people and shells: installing, completion, loops in the foreground.
COMMANDS = ("show_recovery_help", "start_session_monitor", "stop_session_monitor", "get_session_monitor_status")
OMITTED = (("start_session_monitor", "foreground"), ("list_coordination_events", "follow"), ("status", "watch"))
# What takes something away, or puts something else in the place of what is there.
DESTRUCTIVE = (
    "delete_agent_state", "delete_milestone_record", "update_milestone_record", "restore_agent_checkpoint",
    "restart_planning_with_artifacts", "restart_incomplete_phases", "restart_milestone_execution", "abandon_session",
    "cleanup_stale_coordination", "cleanup_failed_sessions", "migrate_storage_backend", "set_storage_config",
    "restore_coordination", "import_coordination", "import_tmp_files",
)
# What changes nothing more when it is called again with the same arguments.
IDEMPOTENT = (
    "initialize_agent_coordination", "initialize_storage_system", "migrate_storage_backend", "set_storage_config",
    "update_agent_status", "agent_heartbeat", "save_agent_state", "delete_agent_state", "acknowledge_agent_message",
    "requeue_agent_message", "restore_agent_checkpoint", "update_session_progress", "save_planning_artifacts",
    "complete_planning_session", "complete_coordination_session", "finalize_milestone_execution", "abandon_session",
    "generate_milestone_report", "start_session_monitor", "update_milestone_record", "delete_milestone_record",
)
LONGEST_WAIT = 50  # seconds: clients give a call up after 60
CODEX_WAIT = 25  # and after 30 Codex goes on without what a program has called: nobody reads what that takes then
OPEN = ("agent_type", "message_type", "list_milestones status")  # beside their vocabulary, words of one's own
_TYPES = {"int": "integer", "float": "number", "bool": "boolean"}
_READS_STDIN = ("; - reads standard input", "; - reads stdin")


def is_tool(op: Operation) -> bool:
    """Whether an operation can be offered: a remote caller may call it, and gets an answer."""
    return op.opens or op.name in COMMANDS


def choose_tools(words: str) -> list[Operation]:
    """The operations that `core`, `all`, or names with commas between them stand for, in the order of the documents.

    UsageError for a name that is no tool.
    """
    names: set[str] = set()
    for word in filter(None, words.replace(" ", "").split(",")):
        if word in ("core", "all"):
            names.update(CORE if word == "core" else (op.name for op in all_operations() if is_tool(op)))
            continue
        found = find_operation(word)
        if found is None or not is_tool(found):
            raise UsageError(f"no tool {word!r}: --tools takes core, all, or names of functions with commas between "
                             "them, such as core,abandon_session")
        names.add(found.name)
    if not names:
        raise UsageError("--tools is empty: give core, all, or names of functions with commas between them")
    return [op for op in all_operations() if op.name in names]


def describe_tool(op: Operation, environ: Any) -> dict[str, Any]:
    """A tool as tools/list shows it."""
    return {"name": op.name, "description": describe(op), "inputSchema": make_schema(op, environ),
            "annotations": annotate(op)}


def describe(op: Operation) -> str:
    """What an operation does: the sentences of its docstring."""
    return " ".join([op.summary, *remarks_of(op)])


def annotate(op: Operation) -> dict[str, bool]:
    """A tool's annotations, by which a client may ask its user for approval."""
    changes = bool(op.creates or op.existing)
    hints = {"readOnlyHint": not changes, "openWorldHint": False}
    if changes:
        hints.update(destructiveHint=op.name in DESTRUCTIVE, idempotentHint=op.name in IDEMPOTENT)
    return hints


def parameters_of(op: Operation) -> list[Parameter]:
    """The parameters that a tool has."""
    return [p for p in op.parameters if (op.name, p.name) not in OMITTED]


def make_schema(op: Operation, environ: Any) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments. An id that the environment provides may be omitted."""
    helps = parameter_help(op)
    required = [p.name for p in parameters_of(op) if p.required and not environ.get(p.variable)]
    properties = {p.name: _describe_parameter(op, p, helps[p.name]) for p in parameters_of(op)}
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _describe_parameter(op: Operation, parameter: Parameter, text: str) -> dict[str, Any]:
    schema = _type_of(parameter)
    words = words_for(op.name, parameter.name) if schema["type"] == "string" else ()
    if words and (parameter.name in OPEN or f"{op.name} {parameter.name}" in OPEN):
        more = [word for word in words if word not in text]
        text += ": " + ", ".join(more) if more else ""
    elif words:
        schema["enum"] = [*words]
    if parameter.name == "wait":
        schema["maximum"] = LONGEST_WAIT
    if parameter.default not in (None, False, "", 0):
        schema["default"] = min(parameter.default, LONGEST_WAIT) if parameter.name == "wait" else parameter.default
    for words_of_shells in _READS_STDIN:
        text = text.replace(words_of_shells, "")
    return {**schema, "description": text}


def _type_of(parameter: Parameter) -> dict[str, Any]:
    if parameter.repeated or "Sequence[str]" in parameter.types:
        return {"type": "array", "items": {"type": "string"}}
    if "Sequence[Any]" in parameter.types:
        return {"type": "array", "items": {"type": "object"}}
    if any(name.startswith("Mapping[") for name in parameter.types):
        return {"type": "object"}
    return {"type": _TYPES.get(parameter.type, "string")}
