"""The clients' plugins in the repository, generated from what `install` writes into projects.

Codex and Gemini CLI take the whole repository for the plugin, and so have the program in it. Claude Code would read the
hooks of Gemini CLI there: it gets a folder of its own, with links to the program, which it follows when it installs it.
"""
from __future__ import annotations

from ..base import __version__
from ..base.packaged import read_packaged
from ..generate.adapter import make_executable
from ..registry import all_operations
from .client_files import SERVER, hooks, server_entry
from .launch import Launch
from .project_files import PROMPTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CLAUDE, CATALOG = "plugins/claude", "milestone-persist"  # the folder for Claude Code; the name of both marketplaces
_PROGRAM = "milestone_persist/__main__.py"
_DESCRIPTION = ("Several coding agents on one milestone: who they are, messages, state, checkpoints, sessions, and "
                "recovery when some of them die.")
_COMMAND = "python3 -m milestone_persist generate"
_ABOUT = {"name": SERVER, "version": __version__, "description": _DESCRIPTION, "license": "MIT",
          "keywords": ["agents", "coordination", "messages", "recovery"], "author": {"name": CATALOG}}
# Codex tells a server nothing of where its plugin lies, but a plugin's place is known; its folder is the version.
_CODEX_PROGRAM = f'"${{CODEX_HOME:-$HOME/.codex}}"/plugins/cache/{CATALOG}/{SERVER}/*/{_PROGRAM}'


class PluginLaunch(Launch):
    """How the files of a plugin start the program in it.

    root: what the client puts the folder of the plugin in place of
    """

    def __init__(self, root: str, folder: str = "") -> None:
        super().__init__(f"{root}/{folder}{_PROGRAM}")

    def hook_command(self, client: str, event: str) -> str:
        """The command for sh that handles an event; it always ends with 0."""
        return f'python3 -I -S "{self.program}" hook {event} || :'


def _claude() -> str:
    launch = PluginLaunch("${CLAUDE_PLUGIN_ROOT}", "program/")
    return _json({**_ABOUT, "hooks": _hooks("claude_code", launch),
                  "mcpServers": {SERVER: server_entry(launch, is_found=True)}})


def _claude_catalog() -> str:
    entry = {"name": SERVER, "source": f"./{CLAUDE}", "description": _DESCRIPTION}
    return _json({"name": CATALOG, "owner": {"name": CATALOG}, "description": _DESCRIPTION, "plugins": [entry]})


def _codex() -> str:
    server = {"command": "sh", "args": ["-c", f"exec python3 -I -S {_CODEX_PROGRAM} mcp"], "env_vars": ["CODEX_HOME"],
              "default_tools_approval_mode": "approve"}
    return _json({**_ABOUT, "skills": "./skills/", "mcpServers": {SERVER: server},
                  "hooks": {"hooks": _hooks("codex", PluginLaunch("${PLUGIN_ROOT}"))}})


def _codex_catalog() -> str:
    entry = {"name": SERVER, "source": {"source": "local", "path": "./"}, "category": "Coding",
             "policy": {"installation": "AVAILABLE", "authentication": "ON_INSTALL"}}
    return _json({"name": CATALOG, "interface": {"displayName": CATALOG}, "plugins": [entry]})


def _gemini() -> str:
    launch = PluginLaunch("${extensionPath}")
    return _json({"name": SERVER, "version": __version__, "description": _DESCRIPTION,
                  "mcpServers": {SERVER: server_entry(launch, is_found=True)}})


def _gemini_hooks() -> str:
    return _json({"hooks": _hooks("gemini", PluginLaunch("${extensionPath}"))})


def _skill() -> str:
    return read_packaged("agents", "SKILL.md")


def _programs() -> str:
    return make_executable(_COMMAND, beside=f"../program/{_PROGRAM}")


def _hooks(client: str, launch: Launch) -> dict[str, Any]:
    return {event: groups for (_, event), groups in hooks(client, launch).items()}


def _json(data: Any) -> str:
    import json

    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


EXECUTABLE = f"{CLAUDE}/bin/milestone_persist"
FILES: dict[str, Callable[[], str]] = {
    ".claude-plugin/marketplace.json": _claude_catalog,
    f"{CLAUDE}/.claude-plugin/plugin.json": _claude,
    EXECUTABLE: _programs,
    ".agents/plugins/marketplace.json": _codex_catalog,
    ".codex-plugin/plugin.json": _codex,
    "gemini-extension.json": _gemini,
    "hooks/hooks.json": _gemini_hooks,
    f"skills/{SERVER}/SKILL.md": _skill,
}


def make_links() -> dict[str, str]:
    """The links of the plugin for Claude Code, by their paths: to the program, the prompts, and a name a function."""
    links = {f"{CLAUDE}/program/{name}": f"../../../{name}" for name in ("milestone_persist", "sql", "agents", "shell")}
    links[f"{CLAUDE}/skills"] = "../../skills"
    for path in PROMPTS:
        if path.startswith(".claude/agents/"):
            name = path.rpartition("/")[2]
            links[f"{CLAUDE}/agents/{name}"] = f"../../../agents/{name}"
    return {**links, **{f"{CLAUDE}/bin/{op.name}": "milestone_persist" for op in all_operations() if op.shell}}
