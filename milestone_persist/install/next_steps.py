"""The next steps after installing: for the user in each client, and what to tell an agent."""
from __future__ import annotations

import os

from ..base.invocation import way_called
from ..base.location import find_data_directory
from .client_files import CLIENTS, SERVER
from .launch import ADAPTER
from .project_files import is_home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .manifest import Choice

_STEPS = {
    "claude_code": "Claude Code: begin a new session{place}{trust}",
    "codex": "Codex: begin a new session{place}{trust}; trust the hooks when it asks, for else it skips them without a "
             "word",
    "gemini": "Gemini CLI: begin a new session{place}{trust}",
    "opencode": "OpenCode: begin a new session{place}",
}
_SAY = ("register as executor-ms-123-1, type milestone-executor, for milestone ms-123 in session execution-ms-123-1, "
        "take your messages and do what they ask")


def list_next_steps(root: str, choice: Choice, environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each step; the last one is what to tell an agent."""
    clients = choice.get("clients", [])
    place, trust = ("", "") if is_home(root) else (" in this folder", ", and trust it")
    yield from (_STEPS[name].format(place=place, trust=trust) for name in clients)
    yield from _sandbox_lines(root, clients, environ)
    if not clients:
        options = ", ".join("--" + name.replace("_", "-") for name in CLIENTS)
        yield (f"no client was found ({', '.join(client.title for client in CLIENTS.values())}): for one that comes "
               f"later run {way_called()} install again, or with {options}")
    begin = f"use the {SERVER} skill" if clients else f"source {ADAPTER} in each command"
    yield f"say to your agent: {begin}; {_SAY}"


def _sandbox_lines(root: str, clients: list[str], environ: Mapping[str, str]) -> Iterator[str]:
    """The settings that allow sandboxes to write data outside the project."""
    import json

    data = find_data_directory(root, environ)[0]
    if os.path.commonpath((os.path.realpath(root), os.path.realpath(data))) == os.path.realpath(root):
        return
    path = json.dumps(data, ensure_ascii=False)
    if "codex" in clients:
        yield ("Codex: let shell commands in its sandbox write the data; in ~/.codex/config.toml under "
               f"[sandbox_workspace_write]: writable_roots = [{path}]")
    if "claude_code" in clients:
        yield ('Claude Code: if it is sandboxed, in settings.json: "sandbox": {"filesystem": {"allowWrite": '
               f"[{path}]}}}}")
