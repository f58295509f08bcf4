"""The installed files: those that agents source, the executables, and how they find the program."""
from __future__ import annotations

import os

from ..base.location import is_top
from ..base.packaged import find_program, read_packaged
from ..generate.adapter import make_adapter, make_executable, make_markdown_adapter, make_recovery_document
from ..registry import all_operations
from .client_files import CLIENTS, SERVER
from .launch import ADAPTER
from .manifest import Item
from .sourced_places import find_places, find_places_at_home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

COMMAND = "milestone_persist install"
MANIFEST = f"{os.path.dirname(ADAPTER)}/installed.json"
# Where Claude Code looks for prompts of agents, and what lies in the folder agents/ here.
PROMPTS = {f".claude/agents/milestone-{part}.md": f"milestone-{part}.md"
           for part in ("coordinator", "executor", "planner")}


def beside(root: str, folder: str = ".") -> str:
    """Where the program lies as seen from `folder` in the folder `root`, if both are in the same repository or the
    program is in `root`; else ""."""
    top, program, start = (os.path.realpath(path) for path in (root, find_program(), os.path.join(root, folder)))
    top = repository_of(top) or top
    inside = [os.path.commonpath((top, path)) == top for path in (program, start)]
    return os.path.relpath(program, start) if all(inside) else ""


def repository_of(folder: str) -> str:
    """The nearest folder from here upward that is the top of a git repository; "" if there is none."""
    while not is_top(folder):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return ""
    return folder


def is_home(folder: str) -> bool:
    """Whether a folder is the home directory of the user."""
    return os.path.realpath(folder) == os.path.realpath(os.path.expanduser("~"))


def project_files(root: str, clients: Iterable[str] = ()) -> dict[str, Item]:
    """The files of a project, by their paths in it: the functions where its own files source them from, else in one
    place, which is also there for clients; and for these the skill."""
    chosen = [*clients]
    places = find_places_at_home(root) if is_home(root) else find_places(root)
    if chosen or not places:
        places.append(ADAPTER)
    found = {place: Item(_sourced_file(root, place).encode()) for place in places}
    return {**found, **{f"{CLIENTS[name].skills}/{SERVER}/SKILL.md": _read_item(root, "SKILL.md") for name in chosen}}


def _sourced_file(root: str, place: str) -> str:
    folder, name = os.path.split(place)
    found = beside(root, folder)
    text = make_adapter("" if found else find_program(), "", found, COMMAND, f". {place}")
    if name.endswith(".sh"):
        return text
    return make_markdown_adapter(text) if name == "storage-adapter.md" else make_recovery_document(text)


def prompts(root: str, paths: Iterable[str] = PROMPTS) -> dict[str, Item]:
    """The prompts of agents, by their paths in a project."""
    return {path: _read_item(root, PROMPTS[path]) for path in paths}


def _read_item(root: str, name: str) -> Item:
    """A prompt or the skill; in the home directory it names the functions by a path that is valid everywhere."""
    text = read_packaged("agents", name)
    return Item((text.replace(f". {ADAPTER}", f". ~/{ADAPTER}") if is_home(root) else text).encode())


def executables(folder: str) -> dict[str, Item]:
    """A program for /bin/sh, and a link to it for each function, which its name selects."""
    found = beside(*os.path.split(folder))
    text = make_executable(f"{COMMAND} --bin", "" if found else find_program(), found)
    links = {op.name: Item(target="milestone_persist") for op in all_operations() if op.shell}
    return {"milestone_persist": Item(text.encode(), 0o755), **links}
