"""Where the prompts and scripts of a project source the functions from, as the shell that runs them would see it."""
from __future__ import annotations

import itertools
import os
import re

from ..base.errors import StorageError
from ..base.found import read_found
from ..base.packaged import PACKAGE
from ..base.values import has_controls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAMES = ("storage-adapter.sh", "storage-adapter.md", "milestone-recovery.md")
_READ = (".md", ".mdc", ".sh", ".bash", ".zsh")
_HIDDEN = (".claude", ".codex", ".gemini", ".agents", ".github")  # folders in which there may be prompts
_OF_USERS = ("agents", "commands", "skills")  # in ~/.claude, beside what the client keeps there
_SKIPPED = ("node_modules", "__pycache__")
_LARGEST = 1_000_000
_MOST_VALUES, _MOST_STEPS = 5, 100  # of one variable, and in finding out what one word stands for
_MOST_WORDS, _LONGEST = 200, 1000  # of a file, and characters of one: more are not of people

# A word of shell: quoted parts, commands in $( ), and all that ends no word.
_INNER = r"\$\((?:[^()]|\([^()]*\))*\)"
_WORD = rf"""(?:"(?:{_INNER}|(?!\$\()[^"\n])*"|'[^'\n]*'|{_INNER}|\$\{{[^}}\n]{{0,200}}\}}|[^\s;&|()<>"'`])+"""
_QUOTED = re.compile(rf""""((?:{_INNER}|(?!\$\()[^"\n])*)"|'([^'\n]*)'""")
_SOURCE = re.compile(rf"(?:^|[;&|({{`'\"]|\bthen\b|\bdo\b|\belse\b)[ \t]*(?:source|\.)[ \t]+({_WORD})", re.M)
_ASSIGNED = re.compile(rf"(?:^|[;&|({{]|\b(?:export|local|readonly|typeset|declare)\b)[ \t]*(\w+)=({_WORD})", re.M)
_LISTED = re.compile(rf"\bfor[ \t]+(\w+)[ \t]+in((?:[ \t\\\n]+(?!do\b){_WORD})+)", re.M)
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::?[-=]([^}]*))?\}")

# Ways to say "the folder of this file" and "the top of the project", without quotes; what stands for them below.
_SELF = r"(?:\$0|\$\{0\}|\$BASH_SOURCE|\$\{BASH_SOURCE(?:\[0\])?(?::-\$0|:-\$\{0\})?\})"
_HERE = re.compile(rf"\$\(dirname (?:-- )?{_SELF}\)|\$\{{(?:0|BASH_SOURCE(?:\[0\])?)%/\*\}}|\$\{{0(?::[aA])?:h\}}"
                   r"|\$\{\$\{\(%\):-%[xN]\}(?::[aA])?:h\}")
_TOP = re.compile(r"\$\(git rev-parse --show-toplevel[^()]*\)|\$\(pwd\)|\$(?:PWD|CLAUDE_PROJECT_DIR)\b"
                  r"|\$\{(?:PWD|CLAUDE_PROJECT_DIR)(?::?-[^}]*)?\}")
_ENTERED = re.compile(r"\$\(\s*(?:CDPATH= )?cd (?:-P )?(?:-- )?([^()&;>]*?)(?: >\S+)?\s*(?:&&|;)\s*pwd(?: -P)?\s*\)")
_FOLDER_SIGN, _TOP_SIGN = "\1", "\2"


def is_place(path: str) -> bool:
    """Whether we may put something at a path below a folder: not in git's own, and with a printable name."""
    parts = path.lower().split("/")
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return not (os.path.isabs(path) or ".." in parts or ".git" in parts or has_controls(path) or len(path) > _LONGEST)


def find_places(root: str) -> list[str]:
    """The paths in the project, below `root`, from which its files source the functions."""
    found = {place for path in _files(root) for place in _places_in(_read(path), root, os.path.dirname(path))}
    return sorted(found)


def find_places_at_home(home: str) -> list[str]:
    """The paths below ~/.claude from which the user's own prompts there source the functions."""
    files = (path for name in _OF_USERS for path in _files(os.path.join(home, ".claude", name)))
    found = {place for path in files for place in _places_in(_read(path), home, os.path.dirname(path))}
    return sorted(place for place in found if place.startswith(".claude/"))


def _files(root: str) -> Iterator[str]:
    own = os.path.realpath(os.path.dirname(PACKAGE))
    is_checkout = os.path.realpath(root) == own  # of this program: its documents are no prompts
    for folder, folders, files in os.walk(root):
        if is_checkout and folder == root:
            folders[:], files = [name for name in folders if name in _HIDDEN], []
        folders[:] = sorted(name for name in folders if (name in _HIDDEN or name[:1] != ".") and name not in _SKIPPED
                            and not _is_own(os.path.join(folder, name), own))
        yield from (os.path.join(folder, name) for name in sorted(files)
                    if name.endswith(_READ) and name not in NAMES)


def _is_own(folder: str, own: str) -> bool:
    """Whether a folder is this program, or another copy of it: from a clone, or as pip installs it."""
    copies = ("milestone_persist/__main__.py", "registry/table.py")
    return os.path.realpath(folder) == own or any(os.path.isfile(os.path.join(folder, path)) for path in copies)


def _read(path: str) -> str:
    try:
        return (read_found(os.path.realpath(path), _LARGEST) or b"").decode("utf-8", "replace")
    except StorageError:  # what we may not read is not a prompt of ours
        return ""


def _places_in(text: str, root: str, folder: str) -> Iterator[str]:
    if not any(name in text for name in NAMES):
        return
    values: dict[str, list[str]] = {}
    for name, word in _ASSIGNED.findall(text):
        values.setdefault(name, []).extend(_unquote([word]))
    for name, words in _LISTED.findall(text):
        values.setdefault(name, []).extend(_unquote(re.findall(_WORD, words.replace("\\\n", " "))))
    for word in _unquote(_SOURCE.findall(text)):
        for path in _expand(word, values):
            path = path.replace(_FOLDER_SIGN, folder).replace(_TOP_SIGN, root)
            yield from filter(None, (_place(way, root) for way in [path, *_ways_through(path, root)]))


def _unquote(words: Iterable[str]) -> Iterator[str]:
    """Shell words without quotes, with expansions still in them; extremely long ones are skipped."""
    kept = (word for word in dict.fromkeys(words) if len(word) <= _LONGEST)
    for word in itertools.islice(kept, _MOST_WORDS):
        yield _QUOTED.sub(lambda found: found[2] or (found[1] or "").replace('"', ""), word)


def _ways_through(path: str, root: str) -> Iterator[str]:
    """For each folder that a path enters and leaves again by `..`, and that is there for nothing else: a file in it,
    so that it is there in every clone."""
    parts = os.path.join(root, path).split("/")
    for count in range(1, len(parts)):
        folder = "/".join(parts[:count])
        way = f"{folder}/{parts[-1]}"
        if parts[count] == ".." != parts[count - 1] and _place(way, root) and not any(
                {*files} - {*NAMES} for _, _, files in os.walk(folder)):
            yield way


def _expand(word: str, values: dict[str, list[str]]) -> Iterator[str]:
    """What an unquoted shell word may expand to; nothing if only running it could tell."""
    words = [word]
    for word in itertools.islice(words, _MOST_STEPS):  # those that are found on the way too
        word = _ENTERED.sub(r"\1", _TOP.sub(_TOP_SIGN, _HERE.sub(_FOLDER_SIGN, word)))
        match = _VARIABLE.search(word)
        if not match:
            if not re.search(r"[$*`]|\{\{", word):
                yield word
            continue
        name, default = match[1] or match[2], match[3]
        known = [*dict.fromkeys(values.get(name, []))][:_MOST_VALUES]
        if not known and name == "HOME":
            known = [os.path.expanduser("~")]
        elif not known and default is not None:
            known = [default]
        found = (word[:match.start()] + value + word[match.end():] for value in known)
        words += [word for word in found if len(word) <= _LONGEST]


def _place(path: str, root: str) -> str:
    """A path relative to `root`, with links followed; "" if it leads out, or is not one of the names."""
    if os.path.basename(path) not in NAMES:
        return ""
    path = os.path.expanduser(path) if path.startswith("~/") else path
    top, real = os.path.realpath(root), os.path.realpath(os.path.join(root, os.path.dirname(path)))
    inside = os.path.commonpath((top, real)) == top
    if os.path.basename(real) == "shell" and _is_own(os.path.dirname(real), ""):
        return ""  # that of a copy of this program, which has it
    found = os.path.normpath(os.path.join(os.path.relpath(real, top), os.path.basename(path)))
    return found if inside and is_place(found) else ""
