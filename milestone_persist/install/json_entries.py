"""Our entries in a JSON file of others: added to its lists, set as its values, and removed without a trace."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.values import dump_json, parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..storage.interface import Row
    from .client_files import Entries

    Json = dict[str, Any]


def put_in(text: str | None, recorded: Row, file: str, wanted: Entries) -> tuple[str, Row]:
    """The file's text (None: there is no file) with our entries, and what was added; UsageError if it cannot be read.

    recorded: what earlier calls added, of which what is not wanted any more is removed
    """
    data, ours = parse(text or "", file), _read_record(recorded)
    made, lists, values = list(ours["made"]), {}, {}
    if text is None and "file" not in made:
        made.append("file")
    elif text is not None and take_out(text, recorded, file) == text:  # somebody has put another in its place
        made = []
    places = {}
    for keys, items in _lists_of(ours):
        stale = [item for item in items if item not in wanted.get(keys, ())]
        places[keys] = _drop(_look(data, keys), stale)
    for keys, value in _values_of(ours):
        if keys not in wanted and _look(data, keys) == value:
            del _look(data, keys[:-1])[keys[-1]]
    for keys, value in wanted.items():
        parent, name = _find_parent(data, keys, made, file), ".".join(keys)
        if isinstance(value, list):
            lists[name] = _extend(parent, keys, value, ours["lists"].get(name, []), places.get(keys), made, file)
        elif _set(parent, keys, value, ours["values"].get(name), file):
            values[name] = value
    _drop_empty(data, [name for name in made if tuple(name.split(".")) not in wanted])
    new = {"made": made, "lists": lists, "values": values}
    return (text if text is not None and parse(text, file) == data else _dump(data, text)), new


def take_out(text: str, recorded: Row, file: str) -> str | None:
    """The text without what `put_in` added; None if nothing is left of a file that it created."""
    data, ours = parse(text, file), _read_record(recorded)
    for keys, items in _lists_of(ours):
        _drop(_look(data, keys), items)
    for keys, value in _values_of(ours):
        if _look(data, keys) == value:
            del _look(data, keys[:-1])[keys[-1]]
    if data == parse(text, file):
        return text
    _drop_empty(data, ours["made"])
    if {*data} <= {"$schema"} and "file" in ours["made"]:  # which OpenCode adds to each of its files
        return None
    return _dump(data, text)


def parse(text: str, file: str) -> Json:
    """A JSON file as data; UsageError if it is not an object that can be written again without loss."""
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


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _read_record(recorded: Row) -> Json:
    """What earlier calls added; version 0.1 recorded it in another form."""
    lists = dict(recorded.get("lists", {}))
    if recorded.get("allow"):
        lists["permissions.allow"] = recorded["allow"]
    if recorded.get("hook"):
        lists["hooks.SessionStart"] = [{"hooks": [{"type": "command", "command": recorded["hook"]}]}]
    made = recorded.get("made", [])
    return {"made": made if isinstance(made, list) else [], "lists": lists, "values": recorded.get("values", {})}


def _lists_of(ours: Json) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    for name, items in ours["lists"].items():
        yield tuple(name.split(".")), items


def _values_of(ours: Json) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in ours["values"].items():
        if value is not None:  # which stands for nothing being there
            yield tuple(name.split(".")), value


def _look(data: Any, keys: tuple[str, ...]) -> Any:
    """The value at the end of the keys; None if there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _find_parent(data: Json, keys: tuple[str, ...], made: list[str], file: str) -> Json:
    """The object that contains the last key, created if necessary."""
    for count, key in enumerate(keys[:-1], 1):
        if key not in data:
            data[key] = {}
            _note(made, keys[:count])
        data = data[key]
        if not isinstance(data, dict):
            raise UsageError(f"{file}: {'.'.join(keys[:count])} is not an object: fix it first; nothing was changed")
    return data


def _note(made: list[str], keys: tuple[str, ...]) -> None:
    if ".".join(keys) not in made:
        made.append(".".join(keys))


def _extend(parent: Json, keys: tuple[str, ...], items: list[Any], ours: list[Any], place: int | None, made: list[str],
            file: str) -> list[Any]:
    """Add to a list, at a place or its end, what it lacks of the items; those that are ours."""
    if keys[-1] not in parent:
        parent[keys[-1]] = []
        _note(made, keys)
    there = parent[keys[-1]]
    if not isinstance(there, list):
        raise UsageError(f"{file}: {'.'.join(keys)} is not a list: fix it first; nothing was changed")
    added = [item for item in items if not _holds(there, item)]
    place = len(there) if place is None else place
    there[place:place] = added
    return [item for item in items if item in added or item in ours]


def _set(parent: Json, keys: tuple[str, ...], value: Any, ours: Any, file: str) -> bool:
    """Set a value; returns whether it is ours. A value of ours that was edited since is kept."""
    there = parent.get(keys[-1])
    if there is not None and there != ours:
        if there != value and ours is None:
            raise UsageError(f"{file}: {'.'.join(keys)} is there and not ours: remove or rename it first; nothing "
                             "was changed")
        return ours is not None
    parent[keys[-1]] = value
    return True


def _holds(there: list[Any], item: Any) -> bool:
    """Whether a list has an item; of a group of hooks, whether one group has all of its hooks."""
    return item in there or bool(_hooks(item)) and any(
        all(hook in _hooks(group) for hook in _hooks(item)) for group in there)


def _hooks(group: Any) -> list[Any]:
    """The hooks of one entry below an event; none if it has another form."""
    hooks = group.get("hooks") if isinstance(group, dict) else None
    return hooks if isinstance(hooks, list) else []


def _drop(there: Any, items: list[Any]) -> int | None:
    """Remove items from a list; of a group of hooks to which others have added theirs, only our hooks. Where the first
    one was, for what comes in its place: Codex trusts the hooks behind it by their number."""
    if not isinstance(there, list):
        return None
    gone, left, first = {dump_json(item, sort_keys=True): item for item in items}, [], None
    for place, each in enumerate(there):
        key = dump_json(each, sort_keys=True)
        if key in gone:
            del gone[key]
            first = place if first is None else first
        else:
            left.append(each)
    hooks = {dump_json(hook, sort_keys=True) for item in gone.values() for hook in _hooks(item)}
    there[:] = [group for group in left if not _take_hooks(group, hooks)]
    return first


def _take_hooks(group: Any, hooks: set[str]) -> bool:
    """Remove hooks from a group; returns whether none is left."""
    there = _hooks(group)
    left = [hook for hook in there if dump_json(hook, sort_keys=True) not in hooks]
    has_changed, there[:] = len(left) < len(there), left
    return has_changed and not left


def _drop_empty(data: Json, made: list[str]) -> None:
    """Remove the objects and lists that we created and that are empty, the innermost first."""
    for keys in sorted((tuple(name.split(".")) for name in made), key=len, reverse=True):
        if _look(data, keys) in ([], {}):
            del _look(data, keys[:-1])[keys[-1]]


def _dump(data: Json, like: str | None) -> str:
    """Data as text, in the form in which `like` was written if it is one of the usual ones, and with its line ends."""
    import itertools
    import json

    newline = "\r\n" if like and "\r\n" in like else "\n"
    if like and like.strip():
        old, end = json.loads(like), like[len(like.rstrip()):]
        for indent, ascii, separators in itertools.product((2, 4, "\t", None, 3, 8), (False, True), (None, (",", ":"))):
            style: Json = {"indent": indent, "ensure_ascii": ascii, "separators": separators}
            if json.dumps(old, **style).replace("\n", newline) + end == like:
                return json.dumps(data, **style).replace("\n", newline) + end
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").replace("\n", newline)
