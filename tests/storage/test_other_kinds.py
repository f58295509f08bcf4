"""What is no regular file, in each place of the data directory that is read: nothing hangs, and doctor names it."""
from __future__ import annotations

import contextlib
import os
import shlex
import socket
import stat

import pytest
from conftest import share

PLACES = {
    "hybrid": ["watchers/a", "active/z.yaml", "completed/z.yaml", "logs/storage-events.jsonl",
               "logs/session-monitor.log", "config/backend-in-use.txt", "config/storage-backend.txt",
               "config/being-made", "config/record-swap.txt", "session-monitor.pid", "session-monitor.lock",
               "session-monitor.stop", "coordination.db-queue", "coordination.db-line", "reports/s.html",
               "enterprise.db", ".kept-0", "backups/20260101-000000-00000000.db", "active/z.yaml.0123456789ab.part",
               ".gitignore", "watchers", "backups", "reports", "logs"],
    "file": ["watchers/a", "file-store.json", "file-store.journal", "file-store.lock", "file-store.queue",
             "agent-registry/a.json", "agent-registry/b.json", "agent-state/a=k.json", "agent-messages/00000001.jsonl",
             "agent-messages/acknowledged", "config/settings.jsonl", "config/store-moves.jsonl", "agent-state"],
}
LOOKS = (["status"], ["load-agent-state", "a", "k"], ["list-milestones"], ["get-session-monitor-status"])
WRITES = (["save-agent-state", "a", "k", "w"], ["log-storage-event", "e", "m", "hybrid"], ["backup-coordination"],
          ["create-milestone-record", "n", "title: n\n"], ["start-session-monitor", "--once"], ["report", "s"])


FOLDERS = ("watchers", "backups", "reports", "logs", "agent-state", "agent-messages/acknowledged")
MAY_BE_FOLDERS = ("enterprise.db", "reports/s.html", "backups/20260101-000000-00000000.db")  # of people's own


def make_socket(path):
    """A socket's path may be no longer than a hundred bytes."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


KINDS = {"pipe": os.mkfifo, "socket": make_socket, "folder": os.mkdir,
         "link to a pipe": lambda path: [os.mkfifo(path.parent / "pipe"), path.symlink_to("pipe")],
         "link to itself": lambda path: path.symlink_to(path.name)}
if os.geteuid() == 0:  # only root makes devices
    KINDS["device"] = lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))


@pytest.fixture
def filled(cli):
    for words in (["register-agent", "a", "validation", "m", "s"], ["save-agent-state", "a", "k", "v"],
                  ["send-agent-message", "a", "a", "x-note", "{}"], ["create-milestone-record", "m", "title: m\n"],
                  ["log-storage-event", "e", "m", "hybrid"]):
        assert cli(*words).status == 0


def put(directory, name, kind):
    path = directory / name
    if path.is_dir():
        os.rename(path, directory.parent / "moved away")
    elif path.exists():
        path.unlink()
    path.parent.mkdir(exist_ok=True)
    try:
        KINDS[kind](path)
    except PermissionError:
        pytest.skip("no devices can be made here")
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_what_is_no_file_of_ours_among_the_watchers_is_passed_over_and_named(filled, soon, cli, directory, kind):
    path = put(directory, "watchers/a", kind)
    for words in (["status"], ["status", "--json"], ["save-agent-state", "a", "k", "w"]):
        done = cli(*words)
        assert (done.status, done.err) == (0, ""), (words, done)
    done = cli("doctor")
    assert done.status == (0 if kind == "link to itself" else 3) and str(path) in done.text
    assert "internal error" not in cli("doctor", "--fix").err and os.path.lexists(path)


@pytest.mark.parametrize("backend, name", [(backend, name) for backend, names in PLACES.items() for name in names],
                         indirect=["backend"])
def test_nothing_waits_for_what_is_no_file(filled, soon, cli, directory, name):
    """Each kind in each place that is read: a line and no trace, and doctor names it."""
    for kind in share(KINDS, len(name), 2):
        if kind == "folder" and name in FOLDERS:
            continue
        path = put(directory, name, kind)
        for words in (*LOOKS, *WRITES):
            done = cli(*words)
            assert done.status in (0, 1, 2, 3) and "internal error" not in done.err, (kind, words, done)
            assert "Traceback" not in done.err and "hangs" not in done.err, (kind, words, done)
        done = cli("doctor")
        told = done.text + done.err
        is_there = os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode)  # else it was written again
        assert not is_there or path.name in told or kind == "folder" and name in MAY_BE_FOLDERS, (kind, done)
        if os.path.lexists(path):
            (os.rmdir if path.is_dir() and not path.is_symlink() else os.unlink)(path)
        (path.parent / "pipe").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_what_is_no_file_is_not_called_the_newest_backup(filled, soon, cli, directory, kind):
    backup = shlex.split(cli("backup-coordination").text)[-1]
    put(directory, "backups/20991231-000000-00000000.db", kind)
    (directory / "coordination.db").write_bytes(b"no database" * 1000)
    assert f"restore_coordination {shlex.quote(backup)} brings back" in cli("doctor").err


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_journal_that_goes_while_it_is_looked_at_is_no_other_kind_of_file(cli, directory, monkeypatch):
    """Another process has committed between the listing of the folder and the look at what it names."""
    assert cli("save-agent-state", "a", "k", "v").status == 0
    journal, plain = directory / "coordination.db-journal", os.scandir

    @contextlib.contextmanager
    def list_and_commit(path):
        journal.touch()
        with plain(path) as entries:
            found = list(entries)
        journal.unlink()
        yield iter(found)

    monkeypatch.setattr(os, "scandir", list_and_commit)
    done = cli("save-agent-state", "a", "k", "w")
    assert (done.status, done.err) == (0, "")
