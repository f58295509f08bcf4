"""Files that agents leave in a directory shared by all users: which, their contents, and their state keys."""
from __future__ import annotations

import os

from ..base.errors import Refused
from ..base.found import open_found
from ..base.values import has_controls, is_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

    from ..base.answers import SkippedFile
    from ..storage.interface import Row

# What agents put behind a result's name: the seconds of the epoch, or a date with its time.
DAY, CLOCK = r"[-_.](?:\d{6,}|\d{4}-\d\d-\d\d)", r"[-_T]\d\d[-:.]?\d\d[-:.]?\d\dZ?"


def find_files(directory: str) -> tuple[list[Row], list[SkippedFile]]:
    """The files of a directory that agents may have left, oldest first, and those that are left alone, with why.

    Refused where the directory cannot be read.
    """
    found: list[Row] = []
    skipped: list[SkippedFile] = []
    try:
        names = sorted(name for name in os.listdir(directory) if _is_ours(name))
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
    """One file; Refused if it is not ours. The directory is shared: no link is followed, no pipe waited for."""
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


def _is_ours(name: str) -> bool:
    """Whether a file's name is one of those that agents leave."""
    import re

    stem, ending = os.path.splitext(name)
    words = [word for word in re.split(r"[-_.\s]+", stem.lower()) if word]
    phase = len(words) > 1 and words[0].startswith(("design", "spec", "task", "execut")) and words[1] in (
        "phase", "result", "results")
    return ending == ".json" and (words[:1] in (["milestone"], ["planning"]) or phase)


def key_of(name: str, results: Iterable[str], ids: Iterable[str] = ()) -> str:
    """The state key of a file's name: a result's key only if the name matches exactly, else the whole name.

    Before a result's name may stand `milestone-`, behind it one of the ids, or a time, or both.

    ids: of the session and the milestone whose results they are
    """
    import re

    stem = os.path.splitext(name)[0]
    marks = [re.compile(mark) for mark in (*("[-_.]" + re.escape(known_id) for known_id in ids), DAY, DAY + CLOCK)]
    for result in results:
        for begin in (result, "milestone-" + result):
            if stem.startswith(begin) and _is_made_of(marks, stem, len(begin)):
                return result
    return stem


def _is_made_of(marks: list[re.Pattern[str]], text: str, begin: int) -> bool:
    """Whether a text holds nothing but such marks from there on; however many ways there are, each place counts once.
    """
    reached = {begin}
    for place in range(begin, len(text)):
        if place in reached:
            reached.update(found.end() for mark in marks if (found := mark.match(text, place)))
    return len(text) in reached
