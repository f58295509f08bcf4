"""Checks a store, and repairs what can be repaired without loss."""
from __future__ import annotations

import os

from ..base.errors import Busy, Refused, StorageError, Unsound
from ..base.invocation import way_called
from ..base.location import can_write
from ..coordination.diagnosis import inspect_rows
from ..coordination.watchers import inspect_watchers, remove_dead
from ..records.files import remove_parts
from ..records.index import inspect_records
from ..records.undo import stamp
from ..registry import operation
from ..storage.filesystem import filesystem_of, is_network
from ..storage.findings import NOTE, SOUND, UNWRITABLE, finding, is_unsound, line_of
from ..storage.remedies import advise_restoring, how_to_write
from ..storage.surroundings import find_earlier, fix_rights, fix_surroundings, inspect_surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base.answers import Finding
    from ..storage.interface import Storage

GROUP = "Looking"
SHOWN = 5  # findings that the error names; all are in the answer


@operation(text="doctor", shell=False, existing="fix")
def doctor(store: Storage, *, fix: bool = False) -> list[Finding]:
    """Check that the storage is sound and writable; status 3 and what is wrong if not, 1 if there is none.

    fix: repair what can be repaired without loss; what is taken out or replaced is kept below backups/

    Looking changes nothing. Every finding says what, where, how bad it is (unsound, unwritable, note) and what to do.
    Example: doctor
    """
    if not store.describe()["exists"]:
        earlier = "".join(f"; {found['where']} {found['what']}" for found in find_earlier(store.directory))
        raise Refused(f"no store at {store.directory}: initialize_agent_coordination makes one{earlier}")
    done = _fix(store) if fix else []
    store.warn = _say_nothing  # for every warning is a finding too
    with store.hurry():
        wrong = _diagnose(store)
        told = {each["what"] for each in wrong}
        obstacles = [line for line in _find_obstacles(store) if line not in told]
    found = [*done, *wrong, *(finding(store.directory, line, severity=UNWRITABLE) for line in obstacles)]
    unsound = [each for each in wrong if is_unsound(each)]
    if unsound or obstacles:
        raise Unsound(_say(store, unsound, obstacles, bool(done)), found)
    return [_describe(store), *found]


def _say_nothing(text: str) -> None:
    """Warn of nothing."""


def _describe(store: Storage) -> Finding:
    about, kind = store.describe(), filesystem_of(store.directory)
    journal = f", journal {about['journal_mode']}" if about.get("journal_mode") else ""
    return finding(about["database"], f"{about['engine']}{journal}{f', on {kind}' if kind else ''}", severity=SOUND)


def _say(store: Storage, unsound: list[Finding], obstacles: list[str], is_changed: bool) -> str:
    if not unsound:
        return f"{store.directory} is sound, but cannot be written: " + "; ".join(obstacles)
    text = f"{store.directory} is damaged: " + "; ".join([*map(line_of, unsound[:SHOWN]), *obstacles])
    if all(each["fixable"] for each in unsound):
        text += f"; {way_called()} doctor --fix repairs it"
    if store.FILES and not all(each["do"] for each in unsound) and "restore_coordination" not in text:
        text += f"; {'' if is_changed else 'everything was left as it is: '}{advise_restoring(store.directory)}"
    return text


def _diagnose(store: Storage) -> list[Finding]:
    found = _ask(store, store.inspect)
    if not any(is_unsound(each) for each in found):  # else the rows may not be asked
        found += _ask(store, lambda: _at_one_instant(store, inspect_rows)) + _ask(store, lambda: inspect_records(store))
        found += _ask(store, lambda: inspect_watchers(store))
    found += _ask(store, lambda: inspect_surroundings(store))
    if is_network(store.directory):
        kind = filesystem_of(store.directory)
        found.append(finding(store.directory, f"is on {kind}, whose locks cannot be trusted between machines",
                             "use it from one machine only, or PostgreSQL (MILESTONE_DATABASE_URL)", NOTE))
    return found


def _at_one_instant(store: Storage, inspect: Callable[[Storage], list[Finding]]) -> list[Finding]:
    with store.snapshot():  # on files one wait for a writer, not one for each query
        return inspect(store)


def _ask(store: Storage, inspect: Callable[[], list[Finding]]) -> list[Finding]:
    """The findings of an inspection, or one finding if it is not possible. Busy if other processes prevent it."""
    try:
        return inspect()
    except Busy:
        raise
    except StorageError as error:
        return [finding(store.directory, str(error))]


def _find_obstacles(store: Storage) -> list[str]:
    """Why this caller cannot write, one line each: folders without permission, then the result of an attempt."""
    closed = [folder for folder, _, _ in os.walk(store.directory) if not can_write(folder)]
    if closed:
        return [f"{closed[0]} is not writable: {how_to_write(closed[0])}"]
    try:
        store.try_writing()
    except StorageError as error:
        return [str(error)]
    return []


def _fix(store: Storage) -> list[Finding]:
    """Repair what can be repaired; returns what was done."""
    done = fix_rights(store)
    folder = os.path.join(store.directory, "backups", stamp(store) + "-doctor")
    done += store.fix(folder) + remove_dead(store)
    with store.transaction():
        if store.backend.records_are_files:
            remove_parts(store)
        return done + fix_surroundings(store, folder)
