"""Chooses the clients to install for, and the entries for their files in a folder."""
from __future__ import annotations

from . import client_files
from .agents_document import make_section
from .client_files import CLIENTS
from .detection import find_clients
from .launch import Launch
from .project_files import beside, is_home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .manifest import Choice


def choose_clients(root: str, environ: Mapping[str, str], asked: Sequence[str], before: Choice) -> Choice:
    """The clients requested by name, with those of earlier calls; else the detected ones.

    before: what earlier calls chose
    """
    named, clients = bool(asked or before.get("named")), {*asked, *before.get("clients", [])}
    if not named:
        clients |= {*find_clients(root, environ)}
    return {"clients": [name for name in CLIENTS if name in clients], "named": named}


def choice_of_entries(shared: Sequence[str]) -> Choice:
    """The clients chosen by calls of version 0.1, which recorded only the files that they had edited."""
    signs = {"claude_code": ".claude/settings.json", "codex": "AGENTS.md", "gemini": "GEMINI.md"}
    return {"clients": [name for name, file in signs.items() if file in shared], "named": True}


def find_entries(root: str, choice: Choice) -> dict[str, Any]:
    """The entries for files of others in the folder `root`, by their paths in it."""
    home = is_home(root)
    launch = Launch("" if home else beside(root), home)
    found: dict[str, Any] = {}
    for name in choice.get("clients", []):
        found.update(client_files.entries(name, launch, home))
        if CLIENTS[name].document[home]:
            found[CLIENTS[name].document[home]] = make_section(home)
        if name == "codex":
            found[".codex/config.toml"] = client_files.codex_configuration(launch)
    return {path: _without(wanted, choice) for path, wanted in found.items() if _without(wanted, choice)}


def _without(wanted: Any, choice: Choice) -> Any:
    """The entries without the unwanted ones."""
    if isinstance(wanted, str):
        return "" if choice.get("no_mcp") and wanted.startswith("[mcp_servers") else wanted
    without_mcp = choice.get("no_mcp", False)
    left_out = {"hooks": choice.get("no_hooks"),
                **dict.fromkeys(("mcpServers", "enabledMcpjsonServers", "mcp"), without_mcp)}
    found = {keys: value for keys, value in wanted.items() if not left_out.get(keys[0])}
    permissions = ("permissions", "allow")
    if without_mcp and permissions in found:
        found[permissions] = [rule for rule in found[permissions] if not rule.startswith("mcp__")]
    return found
