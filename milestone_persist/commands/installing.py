"""Installing: puts the functions file into a project, or gives shells the functions without it."""
from __future__ import annotations

import os

from ..base.errors import Incomplete, UsageError
from ..base.found import read_found
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Installed, InstalledFile
    from ..install.installation import Installation
    from ..install.manifest import Choice
    from ..storage.call import Call

GROUP = "Installing"

_PROGRAMS_MANIFEST = ".milestone_persist.json"  # in a folder of programs
_SHELLS = ("bash", "zsh", "sh", "dash", "ksh", "mksh", "ash", "busybox")


@operation(text="installed", shell=False, existing=True)
def install(call: Call, directory: str | None = None, *, claude_code: bool = False, codex: bool = False,
            gemini: bool = False, opencode: bool = False, functions_only: bool = False, no_mcp: bool = False,
            no_hooks: bool = False, prompts: bool = False, bin: str | None = None, check: bool = False,
            dry_run: bool = False) -> Installed:
    """Prepare a project for the detected clients: the functions, a skill, MCP server, hooks, permissions.

    directory: the project, or the home directory for all projects; the current one, if neither it nor --bin is given
    claude_code: for Claude Code, detected or not, and only for clients named now or earlier
    codex: for Codex, detected or not
    gemini: for the Gemini CLI, detected or not
    opencode: for OpenCode, detected or not
    functions_only: for no client, only the file that agents source
    no_mcp: without the MCP server
    no_hooks: without hooks
    prompts: also put prompts of a coordinator, an executor and a planner where Claude Code finds them
    bin: write programs named as the functions into this folder, for shells that nothing can be sourced into
    check: only tell what is missing, stale or keeps a client from using it; status 1 if anything does
    dry_run: only tell what would be done

    Running it again changes only what is missing or stale. Files of other origin are kept as NAME.orig.
    Example: install . --claude-code --dry-run
    """
    from ..base.packaged import find_program, require_docstrings
    from ..install.checkup import find_problems
    from ..install.next_steps import list_next_steps
    from ..install.project_files import beside

    named = {"claude_code": claude_code, "codex": codex, "gemini": gemini, "opencode": opencode}
    asked = [name for name, given in named.items() if given]
    if functions_only and (asked or prompts):
        raise UsageError("--functions-only is for no client: leave it out, or the clients")
    require_docstrings("the files are")
    data: Installed = {"changes": [], "program": find_program(), "relative": True, "dry_run": dry_run or check,
                       "notes": [], "problems": []}
    for folder, is_bin in _folders(directory, bin, prompts or bool(asked) or functions_only):
        installation = _installation(folder, is_bin, check or dry_run)
        if is_bin:
            changes, here = _install_programs(installation, folder), beside(*os.path.split(folder))
        else:
            before: Choice = {} if functions_only else installation.choice
            choice = _choose(folder, call, asked, before, functions_only, no_mcp, no_hooks, prompts)
            if check:
                data["problems"] += find_problems(folder, choice, installation.choice, call.environ)
            else:
                data["notes"] += list_next_steps(folder, choice, call.environ)
            changes, here = _install_project(installation, folder, choice, prompts), beside(folder)
        data["changes"] += _named(folder, changes)
        data["relative"] = data["relative"] and bool(here)
    if check:
        _refuse_problems(data)
    return data


def _choose(folder: str, call: Call, asked: list[str], before: Choice, functions_only: bool, no_mcp: bool,
            no_hooks: bool, prompts: bool) -> Choice:
    from ..base import __version__
    from ..install.choosing import choose_clients

    choice: Choice = choose_clients(folder, call.environ, asked, before)
    if prompts and "claude_code" not in choice["clients"]:  # who else would read them
        choice["clients"].insert(0, "claude_code")
    if functions_only:
        choice = {"clients": [], "named": True}
    return {**choice, "no_mcp": no_mcp or before.get("no_mcp", False),
            "no_hooks": no_hooks or before.get("no_hooks", False), "version": __version__}


def _refuse_problems(data: Installed) -> None:
    """Incomplete if a check found anything."""
    from ..base.invocation import way_called

    if data["changes"]:
        raise Incomplete(f"not all is installed as it should be: run {way_called()} install without --check", data)
    if data["problems"]:
        raise Incomplete("all is installed, and something keeps a client from using it: do what is said above", data)


def _install_programs(installation: Installation, folder: str) -> list[InstalledFile]:
    from ..install.project_files import executables

    return installation.install(executables(folder))


def _install_project(installation: Installation, folder: str, choice: Choice,
                     prompts_asked: bool) -> list[InstalledFile]:
    from ..install.choosing import find_entries
    from ..install.project_files import PROMPTS, project_files, prompts

    wanted = {**project_files(folder, choice["clients"]), **(prompts(folder) if prompts_asked else {})}
    there = [path for path in PROMPTS if os.path.isfile(os.path.join(folder, path))]
    return installation.install(wanted, find_entries(folder, choice), renewed=prompts(folder, there), choice=choice)


@operation(text="installed", shell=False, existing=True)
def uninstall(call: Call, directory: str | None = None, *, bin: str | None = None, dry_run: bool = False) -> Installed:
    """Remove from a project everything that install added, and restore what it replaced.

    directory: the project; the current directory, if neither it nor --bin is given
    bin: a folder of programs that install --bin made
    dry_run: only tell what would be done

    What was edited since stays, and so does the data directory.
    Example: uninstall . --dry-run
    """
    changes: list[InstalledFile] = []
    for folder, is_bin in _folders(directory, bin, False):
        changes += _named(folder, _installation(folder, is_bin, dry_run).uninstall())
    return {"changes": changes, "dry_run": dry_run, "notes": [], "problems": []}


@operation(text="functions", shell=False)
def init(call: Call, shell: str, *, env_file: str | None = None) -> str:
    """Print the shell functions (18 KB) for eval; to create a store, use initialize_agent_coordination instead.

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
    """Write our block into a file that others also write."""
    from ..install.file_changes import FileChanges

    if not path:
        raise UsageError("--env-file is empty: give it a file, such as $CLAUDE_ENV_FILE")
    if os.path.exists(path) and not os.path.isfile(path):
        raise UsageError(f"{path} is not a file: give --env-file one, such as $CLAUDE_ENV_FILE")
    with FileChanges() as changes:
        old = (read_found(os.path.realpath(path)) or b"").decode("utf-8", "surrogateescape")
        before, begin, rest = old.partition(_BEGIN)
        if begin and _END not in rest:
            raise UsageError(f"{path} has lost the line {_END.strip()!r}: remove our functions from it")
        after = rest.partition(_END)[2]
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
        found += [(folder, True) for folder in _programs_in(found[0][0])]
    if bin is not None:
        found.append((_check_path(bin, "--bin"), True))
    return [*dict.fromkeys(found)]


def _programs_in(folder: str) -> list[str]:
    """The folders of a project, not behind a link out of it, that contain programs from install --bin."""
    import glob

    top, name = os.path.realpath(folder), _PROGRAMS_MANIFEST
    found = [os.path.dirname(path) for places in ("*", "*/*")
             for path in sorted(glob.glob(f"{glob.escape(folder)}/{places}/{name}"))]
    return [path for path in found if os.path.realpath(path).startswith(os.path.join(top, ""))]


def _check_path(path: str, what: str) -> str:
    if not path or "\n" in path:
        raise UsageError(f"{what} must name a directory, without a newline in its name")
    return os.path.abspath(path)


def _installation(folder: str, is_bin: bool, dry_run: bool) -> Installation:
    from ..install.installation import Installation
    from ..install.project_files import MANIFEST

    return Installation(folder, _PROGRAMS_MANIFEST if is_bin else MANIFEST, dry_run)


def _named(folder: str, rows: list[InstalledFile]) -> list[InstalledFile]:
    for row in rows:
        row["folder"] = folder
    return rows
