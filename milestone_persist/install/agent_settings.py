"""Claude Code's settings.json: a hook that gives every shell command the functions, and leave to call them."""
from __future__ import annotations

import os

from ..base.errors import StorageError, UsageError
from ..base.found import read_found
from ..base.values import parse_json
from ..registry import all_operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..storage.interface import Row

# Run by `sh` when a session begins. $CLAUDE_ENV_FILE is what Claude Code runs before each shell command.
_HOOK = ('if [ -n "$CLAUDE_ENV_FILE" ]; then . "@TOP@/.claude/shared/milestone/storage-adapter.sh"; '
         'milestone_persist init sh --env-file "$CLAUDE_ENV_FILE"; fi')

# What no agent should do unasked: change settings (one of them is a command to run), move or replace everything,
# write files where it likes, delete, end the work of others, leave a process running.
_ASKED_FIRST = ("set_storage_config", "migrate_storage_backend", "import_tmp_files", "delete_agent_state",
                "delete_milestone_record", "abandon_session", "cleanup_stale_coordination", "cleanup_failed_sessions",
                "start_session_monitor", "stop_session_monitor")
_ASKED_FIRST_GROUPS = ("Backup",)
_ALLOWED, _HOOKED = ("permissions", "allow"), ("hooks", "SessionStart")


def put_in(text: str | None, recorded: Row, file: str) -> tuple[str, Row]:
    """The settings (None: there are none) with our entries, and what was added; UsageError if they cannot be read.

    recorded: what earlier calls added, of which what is not wanted any more is removed
    """
    data = parse(text or "", file)
    made: list[str] = [*recorded.get("made", [])]
    if text is None and "file" not in made:
        made.append("file")
    allowed, groups = _find_list(data, _ALLOWED, made, file), _find_list(data, _HOOKED, made, file)
    ours, wanted = recorded.get("allow", []), list(_permissions())
    allowed[:] = [rule for rule in allowed if rule not in ours or rule in wanted]
    added = [rule for rule in wanted if rule not in allowed]
    allowed += added
    hook, wanted_hook = recorded.get("hook", ""), make_hook(file)
    if hook and hook != wanted_hook:
        _remove_hook(groups, hook)
    if not any(wanted_hook in _commands(group) for group in groups):
        groups.append({"hooks": [{"type": "command", "command": wanted_hook}]})
        hook = wanted_hook
    new = {"made": made, "allow": [rule for rule in wanted if rule in added or rule in ours], "hook": hook}
    return (text if text is not None and parse(text, file) == data else _dump(data, text)), new


def make_hook(file: str) -> str:
    """The command for the settings in `file`: those of a project, or of the user for all projects."""
    top = os.path.dirname(os.path.dirname(os.path.abspath(file)))
    return _HOOK.replace("@TOP@", "$HOME" if is_home(top) else "$CLAUDE_PROJECT_DIR")


def is_home(folder: str) -> bool:
    """Whether a folder is the home directory of the user."""
    return os.path.realpath(folder) == os.path.realpath(os.path.expanduser("~"))


def permits(top: str) -> bool:
    """Whether the settings of a project, or of the user for all projects, let Claude Code call the functions."""
    for folder in (top, os.path.expanduser("~")):
        try:
            settings = read_found(os.path.realpath(os.path.join(folder, ".claude", "settings.json")))
            if b'"Bash(register_agent:*)"' in (settings or b""):
                return True
        except StorageError:
            continue
    return False


def take_out(text: str, recorded: Row, file: str) -> str | None:
    """The settings without what `put_in` added; None if nothing is left of a file that it made."""
    data = parse(text, file)
    made: list[str] = recorded.get("made", [])
    allowed, groups = _find_list(data, _ALLOWED, [], file), _find_list(data, _HOOKED, [], file)
    allowed[:] = [rule for rule in allowed if rule not in recorded.get("allow", [])]
    _remove_hook(groups, recorded.get("hook", ""))
    before = parse(text, file)
    for outer, inner in (_ALLOWED, _HOOKED):
        if not data[outer][inner] and (f"{outer}.{inner}" in made or inner not in before.get(outer, {})):
            del data[outer][inner]
        if not data[outer] and (outer in made or outer not in before):
            del data[outer]
    if not data and "file" in made:
        return None
    return text if data == before else _dump(data, text)


def parse(text: str, file: str) -> dict[str, Any]:
    """Settings as data; UsageError if they are not a JSON object that can be written again without loss."""
    import json

    try:
        data = parse_json(text, object_pairs_hook=_refuse_duplicates) if text.strip() else {}
        text.encode()
        json.dumps(data, ensure_ascii=False).encode()
    except ValueError as error:
        raise UsageError(f"{file} is not valid JSON ({error}): fix it first; nothing was changed") from None
    if not isinstance(data, dict):
        raise UsageError(f"{file} is not a JSON object: fix it first; nothing was changed")
    return data


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _find_list(data: dict[str, Any], keys: tuple[str, str], made: list[str], file: str) -> list[Any]:
    """The list data[outer][inner], made if it is not there; what was made is added to `made`."""
    outer, inner = keys
    if outer not in data:
        made.append(outer)
    section = data.setdefault(outer, {})
    if isinstance(section, dict) and inner not in section:
        made.append(f"{outer}.{inner}")
    found = section.setdefault(inner, []) if isinstance(section, dict) else None
    if not isinstance(found, list):
        raise UsageError(f"{file}: {outer}.{inner} is not a list: fix it first; nothing was changed")
    return found


def _permissions() -> Iterator[str]:
    for op in all_operations():
        if op.shell and op.group not in _ASKED_FIRST_GROUPS and op.name not in _ASKED_FIRST:
            yield f"Bash({op.name}:*)"


def _hooks(group: Any) -> list[Any]:
    """The hooks of one entry under SessionStart; none if it has another form."""
    hooks = group.get("hooks") if isinstance(group, dict) else None
    return hooks if isinstance(hooks, list) else []


def _commands(group: Any) -> list[Any]:
    return [hook.get("command") for hook in _hooks(group) if isinstance(hook, dict)]


def _remove_hook(groups: list[Any], command: str) -> None:
    for group in list(groups):
        if command in _commands(group):
            hooks = _hooks(group)
            hooks[:] = [hook for hook in hooks if not (isinstance(hook, dict) and hook.get("command") == command)]
            if not hooks:
                groups.remove(group)


def _dump(data: dict[str, Any], like: str | None) -> str:
    """Settings as text, in the form in which `like` was written if it is one of the usual ones."""
    import itertools
    import json

    if like and like.strip():
        old, end = json.loads(like), like[len(like.rstrip()):]
        for indent, ascii, separators in itertools.product((2, 4, "\t", None, 3, 8), (False, True), (None, (",", ":"))):
            style: dict[str, Any] = {"indent": indent, "ensure_ascii": ascii, "separators": separators}
            if json.dumps(old, **style) + end == like:
                return json.dumps(data, **style) + end
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
