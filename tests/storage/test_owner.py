"""A data directory of another user: refused unless it is named as shared; root leaves everything to its owner."""
from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import urllib.parse  # noqa: F401  the program needs it where another user may not read this Python
from pathlib import Path

import pytest

NOBODY, OTHER = 65534, 65533
CALLS = [["initialize-storage-system"], ["register-agent", "a", "validation", "m", "s"],
         ["save-agent-state", "a", "k", "v"],
         ["create-milestone-record", "ms-1", "title: x"], ["log-milestone-event", "done"], ["backup-coordination"],
         ["export-coordination"], ["generate-milestone-report", "s"], ["start-session-monitor", "--once"]]
LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)


@pytest.fixture
def home():
    """A directory that every user can reach, and that root can give to others."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a directory of another user")
    path = Path(tempfile.mkdtemp()).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def directory(home):
    return home / "project" / ".milestones"


@contextlib.contextmanager
def acting_as(user, group=None):
    os.setegid(user if group is None else group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def all_below(directory):
    return [directory, *directory.rglob("*")]


def give(directory, user, mode=0o700):
    """Make a data directory, and the folder it lies in, a user's."""
    directory.mkdir(parents=True)
    for path in (directory.parent, directory):
        os.chown(path, user, user)
    directory.chmod(mode)


@LOCAL
@pytest.mark.parametrize("mode", [0o777, 0o755, 0o700])
def test_a_data_directory_of_another_user_is_refused(cli, directory, mode):
    cli("where")  # every module is loaded while all can be read
    give(directory, NOBODY, mode)
    with acting_as(OTHER):
        for words in [*CALLS, ["where"], ["doctor"], ["get-session-monitor-status"], ["stop-session-monitor"]]:
            done = cli(*words)
            assert (done.status, done.text) == (3, "") and done.err.count("\n") == 1
            assert f"{directory} belongs to another user (uid {NOBODY})" in done.err
            assert f"MILESTONE_SHARED_DIRS={directory}" in done.err
    assert all_below(directory) == [directory] and stat.S_IMODE(directory.stat().st_mode) == mode


@LOCAL
def test_root_uses_none_that_somebody_put_into_a_folder_of_others(cli, directory):
    directory.mkdir(parents=True, mode=0o700)
    os.chown(directory, NOBODY, NOBODY)  # the folder it lies in is root's
    for words in CALLS:
        assert cli(*words).status == 3
    assert all_below(directory) == [directory]
    assert cli("save-agent-state", "a", "k", "v", MILESTONE_SHARED_DIRS=f"/nowhere:{directory}").status == 0


@LOCAL
@pytest.mark.parametrize("is_there", [True, False])
def test_what_root_makes_in_a_users_project_is_the_users(cli, directory, is_there):
    if is_there:
        give(directory, NOBODY)
    else:
        directory.parent.mkdir()
        os.chown(directory.parent, NOBODY, NOBODY)
    for words in CALLS:
        assert cli(*words).status == 0
    assert {path.stat().st_uid for path in all_below(directory)} == {NOBODY}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in all_below(directory)} == {0}
    with acting_as(NOBODY):
        for words in CALLS[1:3] + CALLS[4:]:
            assert cli(*words).status == 0
        assert cli("doctor").status == 0


@LOCAL
def test_what_root_makes_elsewhere_stays_roots(cli, home):
    cli("save-agent-state", "a", "k", "v")
    folder = home / "user"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    cli("backup-coordination", folder / "b.db")
    assert ((folder / "b.db").stat().st_uid, stat.S_IMODE((folder / "b.db").stat().st_mode)) == (0, 0o600)


@LOCAL
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o702])
def test_lax_modes_of_ones_own_are_tightened(cli, directory, mode):
    directory.mkdir(parents=True)
    directory.chmod(mode)
    assert cli("save-agent-state", "a", "k", "v").status == 0
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@LOCAL
def test_a_group_shares_a_data_directory_that_is_named(cli, directory, home):
    cli("where")
    directory.mkdir(parents=True)
    os.chown(directory, NOBODY, 4242)
    directory.chmod(0o2770)
    for user in (OTHER, NOBODY, OTHER):
        with acting_as(user, 4242):
            for words in CALLS:
                done = cli(*words, MILESTONE_SHARED_DIRS=str(directory))
                assert done.status == 0 or words[0] == "create-milestone-record"
            assert cli("doctor", MILESTONE_SHARED_DIRS=str(directory)).status == 0
    assert {path.stat().st_gid for path in all_below(directory)} == {4242}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o007 for path in all_below(directory)} == {0}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o2770
