"""Projects to install into: ones with files of their own for every client, and what is left in one by a call."""
from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from pathlib import Path

import stores  # noqa: F401, which puts the program where it can be imported

from milestone_persist.cli.main import Console, main
from milestone_persist.install.file_changes import NEW
from milestone_persist.install.launch import ADAPTER
from milestone_persist.install.project_files import MANIFEST

CLIENTS = ("--claude-code", "--codex", "--gemini")
FILES = {
    ".claude/settings.json": '{\n  "model": "x",\n  "hooks": {\n    "Stop": []\n  }\n}\n',
    ".mcp.json": '{"mcpServers":   {"other": {"command": "true"}}}\n',  # which cannot be made again from its data
    ".codex/config.toml": 'model = "x"\n\n[mcp_servers.other]\ncommand = "true"\n',
    ".gemini/settings.json": '{"theme": "dark"}',
    "AGENTS.md": "# Ours\n\nBe kind.\n",
    ADAPTER: "# a stranger's\n",
    ".claude/agents/executor.md": f". {ADAPTER}\n",
}


def make_project(folder, files):
    Path(folder).mkdir()
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def make_old(folder):
    """The functions become those of an earlier version."""
    path, manifest = Path(folder, ADAPTER), Path(folder, MANIFEST)
    new = path.read_bytes()
    path.write_bytes(b"# old\n")
    digests = [hashlib.sha256(text).hexdigest() for text in (new, path.read_bytes())]
    manifest.write_text(manifest.read_text().replace(*digests))


def call(*words):
    """Run a command line: status, the data that it gave, and what it said on standard error."""
    console = Console(io.BytesIO(), io.BytesIO(), io.BytesIO(), {"PATH": "/usr/bin:/bin", "HOME": "/none"})
    status = main([*map(str, words), "--json"], console)
    return status, json.loads(console.stdout.getvalue() or "{}"), console.stderr.getvalue().decode()


def read_tree(folder):
    """The bytes of each file, and None for each folder, by their paths."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
            for path in Path(folder).rglob("*")}


def find_difference(before, after, state):
    """The first file that is neither as before nor as after; "" if there is none.

    Beside them, what was about to take the place of one may be there, and one that is kept under another name.
    """
    nothing = object()
    for path in sorted({*before, *after, *state}):
        found = state.get(path, nothing)
        if found not in (before.get(path, nothing), after.get(path, nothing)) and not path.endswith(NEW):
            return f"{path}: " + ("is not there" if found is nothing else repr(found)[:200])
    return ""


def find_faults(folder, untouched, words):
    """What is wrong in a project after a call: whether a check tells the truth, and both calls then work."""
    with tempfile.TemporaryDirectory(dir=Path(folder).parent) as other:
        shutil.copytree(folder, Path(other, "p"), symlinks=True)
        found = find_faults_of_end(Path(other, "p"), untouched)
    status, data, _ = call("install", folder, *CLIENTS, "--check")
    named, before = {row["file"] for row in data["changes"]}, read_tree(folder)
    again, data, said = call("install", folder, *CLIENTS)
    after = read_tree(folder)
    changed = {path for path in {*before, *after} if before.get(path, 0) != after.get(path, 0) and NEW not in path}
    if again:
        found.append(f"the next installation: {said}")
    if bool(named) != bool(status):
        found.append(f"the check names {sorted(named)}, and its status is {status}")
    if {row["file"] for row in data["changes"]} != named or bool(named) < bool(changed):
        found.append(f"the check names {sorted(named)}, and what changes is {sorted(changed)}")
    if call("install", folder, *CLIENTS, "--check")[0]:
        found.append("the check finds something missing after the next installation")
    return found + find_faults_of_end(folder, untouched)


def find_faults_of_end(folder, untouched):
    """Whether taking out leaves what was there before; but for folders that were made before the list of what is ours,
    and go after it."""
    status, _, said = call("uninstall", folder)
    tree, found = read_tree(folder), []
    if status and "nothing was installed" not in said:
        found.append(f"the next end: {said}")
    for path in sorted({*tree, *untouched}):
        if tree.get(path, 0) != untouched.get(path, 0) and not MANIFEST.startswith(path + "/"):
            found.append(f"taken out, {path} is {'left' if path in tree else 'gone'}")
    return found
