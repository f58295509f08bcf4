"""Our entries in clients' files, as data: `install` merges them into a project; plugins are made from them."""
from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .launch import Launch

    Entries = Mapping[tuple[str, ...], Any]  # into a JSON file: a list is added to, else the value is set


class Client(NamedTuple):
    """A client, and how it is recognised."""

    title: str
    program: str  # on PATH, if the client is there
    marks: tuple[str, ...]  # in a project, if it is used there
    home: str  # in the home directory, if it is used at all
    skills: str  # where it finds skills
    document: tuple[str, str]  # what it reads at the start, of ours: in a project, and in the home directory


SERVER = "milestone"  # the name of the MCP server, and of the skill

CLIENTS: dict[str, Client] = {
    "claude_code": Client("Claude Code", "claude", (".claude", "CLAUDE.md", ".mcp.json"), ".claude", ".claude/skills",
                          ("", "")),
    "codex": Client("Codex", "codex", (".codex", "AGENTS.md"), ".codex", ".agents/skills",
                    ("AGENTS.md", ".codex/AGENTS.md")),
    "gemini": Client("Gemini CLI", "gemini", (".gemini", "GEMINI.md"), ".gemini", ".agents/skills",
                     ("GEMINI.md", ".gemini/GEMINI.md")),
    "opencode": Client("OpenCode", "opencode", (".opencode", "opencode.json", "opencode.jsonc"), ".config/opencode",
                       ".agents/skills", ("AGENTS.md", ".config/opencode/AGENTS.md")),
}

# The events at which `milestone_persist hook` has something to do. Gemini's PreCompress would be at every turn;
# OpenCode runs no commands at events.
_CLAUDE_EVENTS = ("SessionStart", "Stop", "SubagentStop", "SessionEnd", "PreCompact")
EVENTS = {"claude_code": _CLAUDE_EVENTS, "codex": _CLAUDE_EVENTS,
          "gemini": ("SessionStart", "AfterAgent", "SessionEnd")}

# The functions that Claude Code runs unasked: what the prompts, the skill and recovery name, and what only reads. Each
# entry begins with a name of ours: one that began with * would permit any program that is given such a word.
PERMITTED = ("initialize_agent_*", "register_agent *", "agent_heartbeat *", "update_agent_*", "update_session_*",
             "save_agent_*", "load_agent_*", "list_agent_*", "list_session_*", "list_coordination_*", "send_agent_*",
             "broadcast_agent_*", "get_agent_*", "acknowledge_agent_*", "requeue_agent_*", "create_agent_*",
             "get_session_*", "save_planning_*", "list_planning_*", "validate_planning_*", "complete_*",
             "create_milestone_*", "read_milestone_*", "list_milestones*", "finalize_milestone_*",
             "generate_milestone_*", "detect_interrupted_*", "recover_milestone_*", "resume_*", "briefing *")


# Files of others in which clients look for what concerns them: those that are ever edited.
SHARED_FILES = (".mcp.json", ".claude.json", ".claude/settings.json", ".codex/config.toml", ".codex/hooks.json",
                ".gemini/settings.json", "AGENTS.md", ".codex/AGENTS.md", "GEMINI.md", ".gemini/GEMINI.md",
                "opencode.json", ".config/opencode/opencode.json", ".config/opencode/AGENTS.md")


def entries(client: str, launch: Launch, is_home: bool = False) -> dict[str, Entries]:
    """The entries for JSON files of a client, by their paths in a project, or in the home directory."""
    if client == "claude_code":
        server = server_entry(launch)
        allowed = [f"mcp__{SERVER}", *(f"Bash({pattern})" for pattern in PERMITTED)]
        settings = {("permissions", "allow"): allowed, **hooks(client, launch)}
        if is_home:
            return {".claude.json": {("mcpServers", SERVER): server}, ".claude/settings.json": settings}
        # Else a second dialog asks for the server, after that for the folder, which names it too.
        return {".mcp.json": {("mcpServers", SERVER): server},
                ".claude/settings.json": {**settings, ("enabledMcpjsonServers",): [SERVER]}}
    if client == "codex":
        return {".codex/hooks.json": hooks(client, launch)}
    if client == "opencode":
        file = f"{CLIENTS[client].home}/opencode.json" if is_home else "opencode.json"
        return {file: {("mcp", SERVER): {"type": "local", "command": launch.server()}}}
    trusted = {**server_entry(launch, is_found=True), "trust": True}  # it reads this in the top folder only
    return {".gemini/settings.json": {("mcpServers", SERVER): trusted, **hooks(client, launch)}}


def server_entry(launch: Launch, is_found: bool = False) -> dict[str, Any]:
    """The MCP server's entry in a JSON file."""
    program, *words = launch.server(is_found)
    return {"command": program, "args": words}


def hooks(client: str, launch: Launch) -> Entries:
    """The hooks of a client, by the events at which they run."""
    found: dict[tuple[str, ...], Any] = {}
    for event in EVENTS[client]:
        seconds = 3 if (client, event) == ("codex", "SessionEnd") else 10  # it gives no more, and says so
        hook = {"type": "command", "command": launch.hook_command(client, event), "timeout": seconds}
        group: dict[str, Any] = {"hooks": [hook]}
        if client == "gemini":  # it names hooks when it starts, and counts milliseconds
            group = {"matcher": "*", "hooks": [{"name": SERVER, **hook, "timeout": 10_000}]}
        found["hooks", event] = [group]
    return found


def codex_configuration(launch: Launch) -> str:
    """The entry for Codex' config.toml."""
    import json

    program, *words = (json.dumps(word, ensure_ascii=False) for word in launch.server())  # strings of TOML, too
    return "\n".join([f"[mcp_servers.{SERVER}]", f"command = {program}", f"args = [{', '.join(words)}]",
                      'default_tools_approval_mode = "approve"'])
