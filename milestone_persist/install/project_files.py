"""What is installed: the files that agents source, the executables, and how all of them find the program."""
from __future__ import annotations

import os

from ..base.errors import StorageError
from ..base.found import read_found
from ..base.location import is_top
from ..base.packaged import find_program, read_packaged
from ..generate.adapter import make_adapter, make_executable, make_markdown_adapter, make_recovery_document
from ..registry import all_operations
from .agent_settings import is_home
from .manifest import Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COMMAND = "milestone_persist install"
SHARED = ".claude/shared/milestone"  # here is the manifest, too
# Scripts in .claude/agents/ look in ../../skills. Those under templates/ are for projects that have such a folder.
_COMMANDS = "commands/milestone/_shared"
_SKILLS = "skills/milestone/_shared"
_FOLDERS = (f".claude/{_SKILLS}", f".claude/{_COMMANDS}", SHARED, _SKILLS)
_TEMPLATE_FOLDERS = (f"templates/{_SKILLS}", f"templates/{_COMMANDS}", "templates/shared/milestone")
_UNREAD = ("_shared", "node_modules", "__pycache__")  # folders in which no prompts are kept
# Where Claude Code looks for what lies in the folder agents/ here.
PROMPTS = {".claude/skills/milestone/SKILL.md": "SKILL.md",
           **{f".claude/agents/milestone-{part}.md": f"milestone-{part}.md"
              for part in ("coordinator", "executor", "planner")}}


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


def project_files(root: str) -> dict[str, Item]:
    """The files of a project, by their paths in it."""
    folders = _FOLDERS + (_TEMPLATE_FOLDERS if os.path.isdir(os.path.join(root, "templates")) else ())
    if is_home(root) and not os.path.isdir(os.path.join(root, "skills")):
        folders = tuple(folder for folder in folders if folder != _SKILLS)
    real = {os.path.realpath(os.path.join(root, folder)): folder for folder in reversed(folders)}  # links
    return {f"{folder}/{name}": Item(text.encode()) for folder in folders if folder in real.values()
            for name, text in _sourced_files(root, folder) if not _is_taken_for_a_command(root, folder, name)}


def _is_taken_for_a_command(root: str, folder: str, name: str) -> bool:
    """Whether a file would only be one more command to Claude Code: one in Markdown that nothing here sources."""
    return folder == f".claude/{_COMMANDS}" and name.endswith(".md") and not _is_named(root, f"{_COMMANDS}/{name}")


def _is_named(root: str, path: str) -> bool:
    """Whether a prompt or a script of the project names this path; in a home directory, one of Claude Code's own."""
    for folder, folders, files in os.walk(os.path.join(root, ".claude") if is_home(root) else root):
        folders[:] = [name for name in folders if name == ".claude" or name not in _UNREAD and name[:1] != "."]
        for file in files:
            if file.endswith((".md", ".sh")) and path.encode() in _read_prompt(os.path.join(folder, file)):
                return True
    return False


def _read_prompt(path: str) -> bytes:
    try:
        return read_found(os.path.realpath(path)) or b""
    except StorageError:  # what we may not read is not a prompt of ours
        return b""


def _sourced_files(root: str, folder: str) -> Iterator[tuple[str, str]]:
    found = beside(root, folder)
    program = "" if found else find_program()

    def adapter(name: str) -> str:
        return make_adapter(program, "", found, COMMAND, f". {folder}/{name}")

    yield "storage-adapter.sh", adapter("storage-adapter.sh")
    yield "storage-adapter.md", make_markdown_adapter(adapter("storage-adapter.md"))
    yield "milestone-recovery.md", make_recovery_document(adapter("milestone-recovery.md"))


def prompts(paths: Iterable[str] = PROMPTS) -> dict[str, Item]:
    """The agents' prompts and the skill that teaches the functions, by their paths in a project."""
    return {path: Item(read_packaged("agents", PROMPTS[path]).encode()) for path in paths}


def executables(folder: str) -> dict[str, Item]:
    """A program for /bin/sh, and a link to it for each function: it does what its name says."""
    found = beside(*os.path.split(folder))
    text = make_executable(f"{COMMAND} --bin", "" if found else find_program(), found)
    links = {op.name: Item(target="milestone_persist") for op in all_operations() if op.shell}
    return {"milestone_persist": Item(text.encode(), 0o755), **links}
