"""Problems that prevent clients from using their installation, each with its remedy."""
from __future__ import annotations

import os
import re

from ..base import __version__
from ..base.errors import StorageError, UsageError
from ..base.found import read_found
from ..base.invocation import way_called
from ..base.location import main_worktree
from . import json_entries
from .client_files import CLIENTS, SERVER, entries
from .codex_trust import find_untrusted, trusts_folder
from .detection import is_on_this_machine
from .launch import ADAPTER, Launch
from .project_files import is_home, repository_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .manifest import Choice


_MODES = ("default", "acceptEdits", "auto", "bypassPermissions", "dontAsk", "plan")  # that Claude Code 2.1.332 knows


def find_problems(root: str, choice: Choice, before: Choice, environ: Mapping[str, str]) -> list[str]:
    """A line for each problem.

    choice: the clients that are to use it
    before: what was chosen when it was installed; empty if nothing is
    """
    found, home = [*_version(before), *_adapter(root)], environ.get("HOME", "")
    for name in choice.get("clients", []):
        if not is_on_this_machine(CLIENTS[name], environ):
            continue
        find = {"claude_code": _claude_code, "codex": _codex, "gemini": _gemini, "opencode": _opencode}[name]
        found += find(root, home, environ)
    return found


def _version(before: Choice) -> Iterator[str]:
    there = before.get("version", __version__)
    if there != __version__:
        yield f"version {there} was installed, and this is {__version__}: run {way_called()} install"


def _adapter(root: str) -> Iterator[str]:
    """The program that the functions run may have been moved or removed, or be on another machine."""
    match = re.search(r"^ *milestone_program='([^\n]+)'$", _read(os.path.join(root, ADAPTER)), re.M)
    program = match[1].replace("'\\''", "'") if match else ""
    if program and not os.path.exists(program):
        yield f"{ADAPTER} runs {program}, which is not there: {_again()}"


def _claude_code(root: str, home: str, environ: Mapping[str, str]) -> Iterator[str]:
    own = _read_json(os.path.join(environ.get("CLAUDE_CONFIG_DIR") or home, ".claude.json"))
    projects, top = _section(own, "projects"), os.path.realpath(root)
    top = main_worktree(top) or top  # whose trust is that of its linked worktrees, which have none of their own
    if not is_home(root) and not _section(projects, top).get("hasTrustDialogAccepted"):  # that of a parent is none
        yield (f"Claude Code does not trust {top}, so claude -p ignores its permissions and hooks: run claude there "
               f"once and accept, or {way_called()} install ~ for all projects")
    file = ".claude.json" if is_home(root) else ".mcp.json"
    if SERVER in _list(_section(projects, top), "disabledMcpjsonServers"):
        yield f"Claude Code: the MCP server {SERVER} of {file} was refused here: enable it with /mcp"
    for settings in (".claude/settings.json", ".claude/settings.local.json"):
        yield from _claude_settings(settings, _read_json(os.path.join(root, settings)))
    yield from _server(root, file, _section(_read_json(os.path.join(root, file)), "mcpServers").get(SERVER), environ)


def _claude_settings(file: str, settings: dict[str, Any]) -> Iterator[str]:
    """What in a file of settings takes away what ours give."""
    permissions = _section(settings, "permissions")
    denied = [name for name in ("Bash", f"mcp__{SERVER}") if name in _list(permissions, "deny")]
    mode = permissions.get("defaultMode", _MODES[0])
    if settings.get("disableAllHooks") is True:
        yield f"Claude Code: disableAllHooks in {file} keeps the hooks from running: remove it"
    if denied:
        yield f"Claude Code: {file} denies {', '.join(denied)}, which wins over what is allowed: take it out of deny"
    if mode not in _MODES:
        yield (f"Claude Code: {file} has the defaultMode {mode!r}, which it does not know, so it ignores the whole "
               f"file: use one of {', '.join(_MODES)}")


def _codex(root: str, home: str, environ: Mapping[str, str]) -> Iterator[str]:
    folder, top = environ.get("CODEX_HOME") or os.path.join(home, ".codex"), os.path.realpath(root)
    text = _read(os.path.join(folder, "config.toml"))
    repository = repository_of(top)
    if not is_home(root) and not any(trusts_folder(text, path) for path in (
            top, repository, main_worktree(repository) if repository else "")):
        yield (f"Codex does not trust {top}, so it ignores its MCP server and hooks: run codex there once and "
               "trust it")
    file = os.path.join(root, ".codex/hooks.json")
    untrusted = [*find_untrusted(text, file, _section(_read_json(file), "hooks"), "milestone_persist hook ")]
    if untrusted:
        yield (f"Codex: nobody has trusted the hooks {', '.join(untrusted)} as they are, so it skips them: run "
               "codex there and trust them when it asks, or in /hooks")
    text = _read(os.path.join(root, ".codex/config.toml"))
    table = re.search(rf"^\[mcp_servers\.{SERVER}\]\n((?:(?!\[).*\n?)*)", text, re.M)
    if table:
        yield from _server(root, ".codex/config.toml", _read_table(table[1]), environ)


def _gemini(root: str, home: str, environ: Mapping[str, str]) -> Iterator[str]:
    folder, top = os.path.join(home, ".gemini"), os.path.realpath(root)
    trust = _section(_section(_read_json(os.path.join(folder, "settings.json")), "security"), "folderTrust")
    trusted = _read_json(os.path.join(folder, "trustedFolders.json"))
    if trust.get("enabled", True) and not is_home(root) and not any(
            str(trusted.get(path, "")).startswith("TRUST_") for path in [top, *_folders_above(top)]):
        yield (f"Gemini CLI does not trust {top}, so it ignores its settings: run gemini there once and trust it")
    file = ".gemini/settings.json"
    yield from _server(root, file, _section(_read_json(os.path.join(root, file)), "mcpServers").get(SERVER), environ)


def _opencode(root: str, home: str, environ: Mapping[str, str]) -> Iterator[str]:
    [file] = entries("opencode", Launch(), is_home(root))
    server = _section(_section(_read_json(os.path.join(root, file)), "mcp"), SERVER)
    if server.get("enabled") is False:
        yield f"OpenCode: the MCP server {SERVER} of {file} is not enabled: remove its \"enabled\": false"
    command = server.get("command")
    if isinstance(command, list) and command:
        yield from _server(root, file, {"command": command[0], "args": command[1:]}, environ)


def _server(root: str, file: str, server: Any, environ: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the command of an MCP server; a missing one is reported elsewhere."""
    import shutil

    if not isinstance(server, dict):
        return
    command, arguments = str(server.get("command", "")), list(map(str, _list(server, "args")))
    if not shutil.which(command, path=environ.get("PATH", "")):
        yield f"{file} runs {command}, which is not there: {_again()}"
    for word in arguments:
        path = os.path.join(root, word)
        if word.endswith((".py", ".pyz")) and not os.path.exists(path):
            yield f"{file} runs {path}, which is not there: {_again()}"


def _again() -> str:
    return f"run {way_called()} install"


def _folders_above(folder: str) -> Iterator[str]:
    while os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
        yield folder


def _read_table(text: str) -> dict[str, Any]:
    """The values of a table that we wrote: strings and lists of them, each in a line."""
    import json

    found = {}
    for key, value in re.findall(r"^(\w+) = (.*)$", text, re.M):
        try:
            found[key] = json.loads(value)
        except ValueError:  # somebody has edited it
            continue
    return found


def _section(data: Any, key: str) -> dict[str, Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _list(data: dict[str, Any], key: str) -> list[Any]:
    found = data.get(key)
    return found if isinstance(found, list) else []


def _read_json(path: str) -> dict[str, Any]:
    """A JSON file as data; nothing if it cannot be read, which the client itself reports."""
    try:
        return json_entries.parse(_read(path), path)
    except UsageError:
        return {}


def _read(path: str) -> str:
    try:
        return (read_found(os.path.realpath(path)) or b"").decode("utf-8", "replace")
    except StorageError:
        return ""
