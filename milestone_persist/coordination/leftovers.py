"""Files that agents leave in a directory all users share: which they are, what they hold, which key they stand for."""
from __future__ import annotations

import os

from ..base.errors import Refused
from ..base.values import has_controls, is_json
from ..base.vocabulary import PHASES
from ..storage.directory import open_found
from .artifacts import PLAN
from .deliverables import results_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import SkippedFile
    from ..storage.interface import Row

# How a word of a file's name begins, and the state key that it means; the first that fits counts.
KEYS = {"scope": "planning-scope", "estimat": "planning-estimates", "risk": "planning-risks", "kiro": "planning-kiro",
        "plan": PLAN, **{word: results_of(phase) for word, phase in zip(("design", "spec", "task", "execut"), PHASES)}}


def find_files(directory: str) -> tuple[list[Row], list[SkippedFile]]:
    """The files of a directory that agents may have left, oldest first, and those that are left alone, with why."""
    found: list[Row] = []
    skipped: list[SkippedFile] = []
    try:
        names = sorted(name for name in os.listdir(directory) if _words_of(name))
    except OSError as error:
        raise Refused(f"cannot read the directory {directory!r} ({error.strerror}): name another") from None
    for name in names:
        try:
            found.append(_read(directory, name))
        except Refused as why:
            skipped.append({"file": name, "why": str(why), "failed": False})
        except OSError as error:
            skipped.append({"file": name, "why": error.strerror, "failed": True})
        except ValueError:
            skipped.append({"file": name, "why": "not UTF-8 text", "failed": True})
    return sorted(found, key=lambda file: (file["stat"].st_mtime_ns, file["file"])), skipped


def _read(directory: str, name: str) -> Row:
    """One file; Refused if it is not ours to take. The directory is shared: no link is followed, no pipe waited for."""
    import stat

    path = os.path.join(directory, name)
    if os.path.islink(path):
        raise Refused("a link")
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise Refused("no regular file")
    if status.st_uid != os.geteuid():
        raise Refused("of another user")
    if has_controls(name):
        raise Refused("a control character in its name")
    with open_found(path) as opened:
        if not os.path.samestat(status, os.fstat(opened.fileno())):
            raise Refused("changed while it was read")
        text = opened.read().decode()
    if not text:
        raise Refused("empty")
    if "\0" in text:
        raise ValueError
    return {"file": name, "stat": status, "text": text, "is_json": is_json(text)}


def _words_of(name: str, without: str = "") -> list[str]:
    """The words of a file's name without numbers and an id; none if it is not one of those that agents leave."""
    import re

    stem, ending = os.path.splitext(name)
    words = [word for word in re.split(r"[-_.\s]+", stem.lower()) if word]
    phase = any(words[0].startswith(key) for key in ("design", "spec", "task", "execut")) if len(words) > 1 else False
    ours = words[:1] in (["milestone"], ["planning"]) or phase and words[1] in ("phase", "result", "results")
    if ending != ".json" or not ours:
        return []
    if without:
        words = [word for word in re.split(r"[-_.\s]+", stem.replace(without, "-").lower()) if word]
    return [word for word in words if not word.isdigit()] or ["milestone"]


def key_of(name: str, known_id: str = "") -> str:
    """The state key that a file's name stands for."""
    words = _words_of(name, known_id)
    for beginning, key in KEYS.items():
        if any(word.startswith(beginning) and word != "planning" for word in words):
            return key
    return "-".join(words)
