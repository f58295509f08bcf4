"""The loop of the session monitor, in this process, with a clock moved by hand."""
from __future__ import annotations

import errno
import os
import shutil
import threading

import pytest
from test_monitor import log_of

from milestone_persist import StorageError
from milestone_persist.monitor.files import LOCK, LOG, PID, STOP, append_log, find_monitor
from milestone_persist.monitor.loop import Monitor
from milestone_persist.storage.call import Clock
from milestone_persist.storage.held_file import try_holding


def at_once(action):
    """A check that is over when the loop goes on."""
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()
    return thread


@pytest.fixture
def monitor(directory, clock):
    """Makes a monitor of the test's directory and lets it run: the check is called with its number, from 1."""
    directory.mkdir(exist_ok=True)
    made = []

    def monitor(check, seconds=300, begin=at_once, until=3, clock=clock):
        calls = []

        def counted():
            calls.append(clock.time())
            if len(calls) == until:
                made[-1].signal = "the test is over"
            return check(len(calls))

        made.append(Monitor(str(directory), seconds, clock, counted, begin=begin))
        assert made[-1].enter()
        made[-1].leave(made[-1].run())
        return [called - calls[0] for called in calls]

    return monitor


def test_the_loop_checks_at_once_and_then_at_its_interval(monitor, directory):
    assert monitor(lambda number: f"check {number}") == [0, 300, 600]
    assert log_of(directory) == [f"started: pid {os.getpid()}, every 300 s", "check 1", "check 2", "check 3",
                                 "ended: the test is over"]
    assert not (directory / PID).exists()


def test_the_loop_survives_whatever_a_check_raises(monitor, directory):
    def check(number):
        raise [StorageError("the database is\nbusy"), RuntimeError("a bug"), OSError("a full disk")][number - 1]

    assert len(monitor(check)) == 3
    assert log_of(directory)[1:4] == ["error: the database is\\nbusy", "error: RuntimeError: a bug",
                                      "error: OSError: a full disk"]


def test_no_check_begins_while_another_is_under_way(monitor):
    class Busy:
        left = 3

        def is_alive(self):
            self.left -= 1
            return self.left > 0

        def join(self, seconds):
            pass

    def begin(action):
        action()
        return Busy()

    assert monitor(lambda number: "", seconds=1, begin=begin) == [0, 1.5, 3]


def test_after_a_sleep_of_the_machine_agents_have_until_the_next_check(monitor, directory, clock):
    class Sleeper(Clock):
        asleep = 0

        def time(self):
            return clock.time() + self.asleep

        def monotonic(self):
            return clock.monotonic()

        def sleep(self, seconds):
            clock.sleep(seconds)

    sleeper = Sleeper()

    def check(number):
        sleeper.asleep += 7200 if number == 1 else 0
        return f"check {number}"

    assert monitor(check, until=2, clock=sleeper) == [0, 7200 + 600]
    assert log_of(directory)[1:4] == [
        "check 1", "the clock leapt 7200 s ahead: not checked, agents have until the next check to report", "check 2"]


def test_the_loop_ends_when_the_data_directory_is_gone(monitor, directory):
    assert monitor(lambda number: shutil.rmtree(directory) or "", until=9) == [0]
    assert not directory.exists()


def test_only_a_request_to_this_very_monitor_ends_it(monitor, directory):
    def check(number):
        token = find_monitor(str(directory))["token"]
        (directory / STOP).write_text("of one before" if number == 1 else token)
        return ""

    assert monitor(check, until=9) == [0, 300]
    assert log_of(directory)[-1] == "ended: asked to stop"
    assert not (directory / STOP).exists()


def test_a_lock_file_that_was_removed_is_taken_again(monitor, directory):
    def check(number):
        if number == 1:
            (directory / LOCK).unlink()
        else:
            assert find_monitor(str(directory))["pid"] == os.getpid()
        return f"check {number}"

    monitor(check, until=2)
    assert "check 2" in log_of(directory)


def test_the_loop_ends_when_another_monitor_took_over(monitor, directory):
    taken = []

    def check(number):
        (directory / LOCK).unlink()
        taken.append(try_holding(str(directory / LOCK)))
        return ""

    try:
        assert monitor(check, until=9) == [0]
    finally:
        os.close(taken[0])
    assert log_of(directory)[-1] == "ended: another monitor took over"
    assert (directory / PID).exists()  # it is the other one's


def test_a_directory_that_is_being_deleted_gets_no_new_lock_file(directory, clock):
    directory.mkdir()
    monitor = Monitor(str(directory), 300, clock, str, begin=at_once)
    assert monitor.enter()
    (directory / LOCK).unlink()
    left = []
    clock.during_sleep = lambda: (left.extend(os.listdir(directory)), shutil.rmtree(directory))
    assert monitor.run() == "the data directory is gone"
    assert LOCK not in left
    monitor.leave("the data directory is gone")


def test_the_log_keeps_one_old_copy(directory):
    directory.mkdir()
    for number in range(1, 8):
        append_log(str(directory), f"line {number}", limit=14)
    assert (directory / LOG).read_text() == "line 7\n"
    assert (directory / (LOG + ".1")).read_text() == "line 5\nline 6\n"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_file_system_without_locks_is_told(cli, monkeypatch):
    import fcntl

    def no_locks(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for words in (["start-session-monitor", "--foreground"], ["get-session-monitor-status"]):
        done = cli(*words)
        assert (done.status, done.text, done.err.count("\n")) == (3, "", 1)
        assert LOCK in done.err and os.strerror(errno.ENOLCK) in done.err
        assert "no locks" in done.err and "able" not in done.err.partition(")")[2]  # rights have nothing to do with it
