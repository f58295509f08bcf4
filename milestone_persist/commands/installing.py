"""Installing: what agents source is put into their project, or their shells are given the functions without it."""
from __future__ import annotations

import os

from ..base.errors import Incomplete, UsageError
from ..base.found import read_found
from ..base.location import refuse_tilde
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Installed, InstalledFile
    from ..install.installation import Installation
    from ..storage.call import Call

GROUP = "Installing"

_SHELLS = ("bash", "zsh", "sh", "dash", "ksh", "mksh", "ash", "busybox")


@operation(text="installed", shell=False, existing=True)
def install(call: Call, directory: str | None = None, *, claude_code: bool = False, codex: bool = False,
            gemini: bool = False, prompts: bool = False, bin: str | None = None, check: bool = False,
            dry_run: bool = False) -> Installed:
    """Install in a project what its agents source; running it again changes only what is missing or stale.

    directory: the project; the current directory, if neither it nor --bin is given
    claude_code: also give every shell command of Claude Code the functions, and permission for them, in settings.json
    codex: also tell Codex in AGENTS.md how to have the functions
    gemini: also tell the Gemini CLI in GEMINI.md how to have the functions
    prompts: also put prompts of a coordinator, an executor and a planner, and a skill, where Claude Code finds them
    bin: write programs named as the functions into this folder, for shells that nothing can be sourced into
    check: only tell what is missing or stale; status 1 if anything is
    dry_run: only tell what would be done

    Files of other origin are kept as NAME.orig.
    Example: install . --claude-code --dry-run
    """
    from ..base.invocation import way_called
    from ..base.packaged import find_program
    from ..install.project_files import beside

    tools = [name for name, asked in (("claude_code", claude_code), ("codex", codex), ("gemini", gemini)) if asked]
    _refuse_without_docstrings()
    changes, found = [], []
    for folder, is_bin in _folders(directory, bin, prompts or bool(tools)):
        installation = _installation(folder, is_bin, check or dry_run)
        changes += _named(folder, _install_programs(installation, folder) if is_bin else
                          _install_project(installation, folder, tools, prompts))
        found.append(beside(*os.path.split(folder)) if is_bin else beside(folder))
    data: Installed = {"changes": changes, "program": find_program(), "relative": all(found),
                       "dry_run": dry_run or check, "notes": _notes(call, directory, tools, prompts)}
    if check and changes:
        raise Incomplete(f"not all is installed as it should be: run {way_called()} install without --check", data)
    return data


def _install_programs(installation: Installation, folder: str) -> list[InstalledFile]:
    from ..install.project_files import executables

    return installation.install(executables(folder), [])


def _install_project(installation: Installation, folder: str, tools: list[str],
                     prompts_asked: bool) -> list[InstalledFile]:
    from ..install.project_files import PROMPTS, project_files, prompts

    wanted = {**project_files(folder), **(prompts() if prompts_asked else {})}
    there = [path for path in PROMPTS if os.path.isfile(os.path.join(folder, path))]
    return installation.install(wanted, tools, renewed=prompts(there))


@operation(text="installed", shell=False, existing=True)
def uninstall(call: Call, directory: str | None = None, *, bin: str | None = None, dry_run: bool = False) -> Installed:
    """Remove from a project all that install added, and restore what it replaced.

    directory: the project; the current directory, if neither it nor --bin is given
    bin: a folder of programs that install --bin made
    dry_run: only tell what would be done

    What was edited since stays, and so does the data directory.
    Example: uninstall . --dry-run
    """
    changes: list[InstalledFile] = []
    for folder, is_bin in _folders(directory, bin, False):
        changes += _named(folder, _installation(folder, is_bin, dry_run).uninstall())
    return {"changes": changes, "dry_run": dry_run, "notes": []}


@operation(text="functions", shell=False)
def init(call: Call, shell: str, *, env_file: str | None = None) -> str:
    """Print the shell functions (18 KB) for eval; a store is made ready by initialize_agent_coordination instead.

    The paths of this program and this Python are written into them.

    shell: bash, zsh or sh; one text serves all of them
    env_file: write them into this file instead, replacing what an earlier call wrote there; for hooks

    In a shell's start-up file: eval "$(python3 -m milestone_persist init bash)"
    Example: init bash
    """
    import sys

    from ..base.invocation import way_called
    from ..base.packaged import find_program
    from ..generate.adapter import make_adapter

    if shell not in _SHELLS:
        raise UsageError(f"no functions for {shell!r}: use one of {', '.join(_SHELLS)}; install --bin DIR makes "
                         "programs for any other; a store is made ready by initialize_agent_coordination instead")
    line = f"{way_called()} init {shell}"
    text = make_adapter(find_program(), sys.executable, "", line, f'eval "$({line})"')
    if env_file is None:
        return _UNQUOTED + text
    _replace_block(env_file, text)
    return ""


# Two commands that print nothing. Where the quotes of "$( )" are missing, all lines become one: the first command
# prints what follows the second, and the rest is a comment.
_UNQUOTED = """printf '%.0s%b' >&2
: 'milestone_persist: nothing was defined, for the quotes are missing: eval "$(... init SHELL)"\\n'
"""

# Commands that do nothing: a comment at the end of $CLAUDE_ENV_FILE has broken the command behind it.
_BEGIN, _END = ": milestone_persist begins\n", ": milestone_persist ends\n"


def _replace_block(path: str, text: str) -> None:
    """Write our block into a file that others write into, too."""
    from ..install.file_changes import FileChanges

    if not path:
        raise UsageError("--env-file is empty: give it a file, such as $CLAUDE_ENV_FILE")
    refuse_tilde(path, "--env-file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise UsageError(f"{path} is not a file: give --env-file one, such as $CLAUDE_ENV_FILE")
    with FileChanges() as changes:
        old = (read_found(os.path.realpath(path)) or b"").decode("utf-8", "surrogateescape")
        before, begin, rest = old.partition(_BEGIN)
        after = rest.partition(_END)[2] if begin else ""
        gap = "\n" if before and not before.endswith("\n") else ""
        new = before + gap + _BEGIN + text + _END + after
        if new != old:
            changes.write(os.path.realpath(path), new.encode("utf-8", "surrogateescape"), 0o600)


def _folders(directory: str | None, bin: str | None, has_tools: bool) -> list[tuple[str, bool]]:
    """The folders that are meant: absolute paths, and whether each is one of programs."""
    found = []
    if directory is not None or bin is None or has_tools:
        found.append((_check_path("." if directory is None else directory, "DIRECTORY"), False))
        if not os.path.isdir(found[0][0]):
            raise UsageError(f"{found[0][0]} is not a directory: name the top of a project")
    if bin is not None:
        found.append((_check_path(bin, "--bin"), True))
    return found


def _check_path(path: str, what: str) -> str:
    if not path or "\n" in path:
        raise UsageError(f"{what} must name a directory, without a newline in its name")
    refuse_tilde(path, what)
    return os.path.abspath(path)


def _refuse_without_docstrings() -> None:
    if __doc__ is None:
        raise UsageError("the files are made from docstrings: run Python without -OO")


def _installation(folder: str, is_bin: bool, dry_run: bool) -> Installation:
    from ..install.installation import Installation
    from ..install.project_files import SHARED

    return Installation(folder, ".milestone_persist.json" if is_bin else f"{SHARED}/installed.json", dry_run)


def _named(folder: str, rows: list[InstalledFile]) -> list[InstalledFile]:
    for row in rows:
        row["folder"] = folder
    return rows


def _notes(call: Call, directory: str | None, tools: list[str], prompts: bool) -> list[str]:
    """What is left for the user to do: to begin a session, to permit what the prompts say, to open a sandbox."""
    import json

    from ..base.invocation import way_called
    from ..base.location import find_data_directory
    from ..install.agent_settings import permits

    root = os.path.abspath(directory or ".")
    data = find_data_directory(root, call.environ)[0]
    notes = []
    if "claude_code" in tools:
        notes.append("Claude Code: begin a new session, and its shell commands have the functions")
    elif prompts and not permits(root):
        notes.append("Claude Code: it asks before each command of the prompts and knows no function until you run "
                     f"{way_called()} install --claude-code")
    if os.path.commonpath((os.path.realpath(root), os.path.realpath(data))) != os.path.realpath(root):
        path = json.dumps(data, ensure_ascii=False)
        if "codex" in tools:
            notes.append(f"Codex: let its sandbox write the data; in ~/.codex/config.toml under "
                         f"[sandbox_workspace_write]: writable_roots = [{path}]")
        if "claude_code" in tools:
            notes.append(f'Claude Code: if it is sandboxed, in settings.json: "sandbox": {{"filesystem": '
                         f'{{"allowWrite": [{path}]}}}}')
    return notes
