"""A data directory that came with somebody else's repository: it leads nowhere outside and runs nothing."""
from __future__ import annotations

import json
import os

import pytest
from conftest import FakeClock

from milestone_persist import StorageError, open_store
from milestone_persist.monitor_files import LOCK, LOG, STOP
from milestone_persist.storage.journal import JOURNAL

SECRET = "mine\n"


@pytest.fixture
def outside(tmp_path):
    """A file of the user's outside the data directory, which must stay as it is."""
    path = tmp_path / "outside" / "profile"
    path.parent.mkdir()
    path.write_text(SECRET)
    yield path
    assert path.read_text() == SECRET
    assert os.listdir(path.parent) == ["profile"]


@pytest.mark.parametrize("name", [f"{JOURNAL}.part", "file-store.1.part"])
@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_the_file_store_writes_through_no_link(store, directory, outside, name):
    (directory / name).symlink_to(outside)
    with pytest.raises(StorageError, match=f"{name}: it is a symbolic link"):
        store.save_agent_state("a", "k", "v")


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_nor_do_the_logs(store, directory, outside):
    (directory / "logs").mkdir()
    (directory / "logs" / "milestone-events.jsonl").symlink_to(outside)
    with pytest.raises(StorageError, match="milestone-events.jsonl: it is a symbolic link"):
        store.log_milestone_event("done")


@pytest.mark.parametrize("name", [LOG, LOCK, "session-monitor.pid", STOP])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_nor_does_the_monitor(store, directory, outside, name, program):
    (directory / "logs").mkdir()
    (directory / name).symlink_to(outside)
    program("start-session-monitor", "--once")
    program("start-session-monitor", "1")
    program("stop-session-monitor")


@pytest.mark.parametrize("link, name", [("agent-messages/acknowledged", "agent-messages/acknowledged/x"),
                                        ("agent-state", "agent-state/x.json"), ("x", "x/y/z"), ("x", "x/y")])
@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_a_journal_is_carried_out_inside_only(directory, outside, environ, link, name):
    (directory / link).parent.mkdir(parents=True)
    (directory / link).symlink_to(outside.parent)
    (directory / JOURNAL).write_text(json.dumps({name: "theirs"}))
    with pytest.raises(StorageError, match="cannot be read"), \
            open_store(directory, clock=FakeClock(), environ=environ) as store:
        store.save_agent_state("a", "k", "v")
