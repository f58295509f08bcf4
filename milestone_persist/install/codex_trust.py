"""What Codex trusts, according to its config.toml: folders, and each hook in the form that was trusted."""
from __future__ import annotations

import json
import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_DEFAULT_TIMEOUT, _LONGEST_END = 600, 3  # seconds: of a hook that says nothing, and of one at the end of a session


def trusts_folder(configuration: str, folder: str) -> bool:
    """Whether a configuration trusts a folder."""
    names = "|".join(map(re.escape, _spellings(folder)))
    table = re.search(rf"^\[projects\.(?:{names})\][ \t\r]*\n((?:(?!\[).*\n?)*)", configuration, re.M)
    return bool(table and re.search(r'^[ \t]*trust_level[ \t]*=[ \t]*"trusted"', table[1], re.M))


def find_untrusted(configuration: str, path: str, hooks: dict[str, Any], word: str) -> Iterator[str]:
    """The events of hooks that are not trusted in their present form.

    path: of hooks.json; hooks: what is in it
    word: what the commands of the hooks that count have in them
    """
    for event, groups in hooks.items():
        name = re.sub("(?<=[a-z])(?=[A-Z])", "_", event).lower()
        for place, group in enumerate(groups if isinstance(groups, list) else []):
            handlers = group.get("hooks") if isinstance(group, dict) else None
            for number, hook in enumerate(handlers if isinstance(handlers, list) else []):
                if isinstance(hook, dict) and word in str(hook.get("command")):
                    keys = _spellings(f"{os.path.realpath(path)}:{name}:{place}:{number}")
                    digest, text = _digest(name, group, hook), configuration.replace("\r\n", "\n")
                    if not any(f'[hooks.state.{key}]\ntrusted_hash = "{digest}"' in text for key in keys):
                        yield event


def _digest(name: str, group: dict[str, Any], hook: dict[str, Any]) -> str:
    """What Codex 0.171.0 writes down of a hook: a digest of what it is and when it runs."""
    import hashlib

    timeout = hook.get("timeout", _DEFAULT_TIMEOUT)
    if name == "session_end" and isinstance(timeout, int):
        timeout = min(timeout, _LONGEST_END)
    kept = {"type": "command", "command": hook.get("command"), "async": False, "timeout": timeout}
    identity = {"event_name": name, "hooks": [kept], **({"matcher": group["matcher"]} if "matcher" in group else {})}
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _spellings(key: str) -> tuple[str, str]:
    """The key of a table as TOML may have it: the second where there is a quote or a backslash in it."""
    return json.dumps(key, ensure_ascii=False), f"'{key}'"
