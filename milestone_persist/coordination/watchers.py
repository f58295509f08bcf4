"""Watchers: processes that notify an agent of messages; each holds a file in watchers/ as long as it lives."""
from __future__ import annotations

import os

from ..base.errors import StorageError
from ..base.filenames import file_name_of
from ..base.quoting import command_on
from ..base.vocabulary import GOING_ON, any_of
from ..storage.files import make_folder
from ..storage.findings import NOTE, SOUND, finding
from ..storage.held_file import read_held, remove_held, say_in, try_holding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..base.answers import Finding, Watcher
    from ..storage.call import Call
    from ..storage.interface import Storage

FOLDER = "watchers"
TRIES = 10  # who asks whether a watcher lives holds its file for an instant


def list_watchers(directory: str) -> list[Watcher]:
    """The watchers, including dead ones, which are not `alive`."""
    found = []
    for path in _files(directory):
        try:
            held = read_held(path)
        except StorageError:  # none of ours: doctor names it
            continue
        if held:
            about = held[1]
            found.append({"agent_id": str(about.get("agent_id") or ""), "alive": held[0], "pid": about.get("pid"),
                          "host": about.get("host"), "started_at": about.get("started_at")})
    return found  # type: ignore[return-value]  # as their holders wrote it


def _files(directory: str) -> list[str]:
    """The regular files there: anything else is not ours."""
    try:
        with os.scandir(os.path.join(directory, FOLDER)) as entries:
            return sorted(entry.path for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:  # no folder, or none that can be read: doctor tells which
        return []


def enter_watcher(call: Call, agent_id: str) -> tuple[int, str] | None:
    """Become the watcher of an agent: the descriptor and the path of its file; None if one is already alive.

    StorageError or OSError where such a file cannot be made.
    """
    path = path_of(call.directory, agent_id)
    make_folder(os.path.dirname(path))
    for _ in range(TRIES):
        descriptor = try_holding(path)
        if descriptor is not None:
            say_in(descriptor, {"agent_id": agent_id, "pid": os.getpid(), "host": os.uname().nodename,
                                "started_at": call.now()})
            return descriptor, path
        call.clock.sleep(0.02)
    return None


def leave_watcher(held: tuple[int, str]) -> None:
    """Report that a watcher has ended."""
    remove_held(*held)


def path_of(directory: str, agent_id: str) -> str:
    """The file of an agent's watcher."""
    return os.path.join(directory, FOLDER, file_name_of(agent_id))


def describe_watcher(watcher: Watcher) -> str:
    """Which process a watcher is."""
    return f"pid {watcher['pid']} on {watcher['host']} since {watcher['started_at']}"


def inspect_watchers(store: Storage) -> list[Finding]:
    """Which agents are watched, and which have a dead watcher."""
    return list(_inspect(store))


def _inspect(store: Storage) -> Iterator[Finding]:
    going_on = {row["agent_id"] for row in store.execute(
        f"SELECT agent_id FROM agent_registry WHERE status IN {any_of(GOING_ON)}")}
    for watcher in list_watchers(store.directory):
        agent_id, which = watcher["agent_id"], describe_watcher(watcher)
        if watcher["alive"]:
            yield finding("watchers", f"the watcher of {agent_id} is alive: {which}", severity=SOUND)
        elif agent_id in going_on:
            again = command_on("milestone_persist", ["watch"], ["--agent", agent_id])
            yield finding("watchers", f"the watcher of {agent_id} has died: {which}", f"{again} starts it again, and "
                          "until then nothing calls that agent to its mail", NOTE, fixable=True)


def remove_dead(store: Storage) -> list[Finding]:
    """Remove the files of dead watchers; returns what was done."""
    from ..storage.findings import FIXED

    done = []
    for path in _files(store.directory):
        try:
            descriptor = try_holding(path)
        except StorageError:  # none of ours
            continue
        if descriptor is not None:
            remove_held(descriptor, path)
            done.append(finding(path, "a watcher that died had left it: removed", severity=FIXED))
    return done
