"""The session monitor: what a check does, the loop with a clock moved by hand, and the process with real shells."""
from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT

from milestone_persist import Refused, StorageError, UsageError
from milestone_persist.monitor.files import LOCK, LOG, PID, STOP, append_log, find_monitor
from milestone_persist.monitor.loop import Monitor
from milestone_persist.monitor.process import background_command
from milestone_persist.storage.call import Clock
from milestone_persist.storage.held_file import try_holding

SHELLS = ("sh", "bash", "zsh")
ADAPTER = ROOT / "shell" / "storage-adapter.sh"


def log_of(directory):
    """The lines of the log without their times."""
    path = directory / LOG
    return [line[24:] for line in path.read_text().splitlines()] if path.exists() else []


def wait_until(condition, what):
    """Wait for a real process; a condition that never comes true fails the test."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.025)
    pytest.fail(f"in vain: {what}")


# What a check does, on every backend.

def agent_with_taken_message(store, agent_id="exec-1", session="execution-ms-1"):
    store.register_agent(agent_id, "milestone-executor", "ms-1", session)
    message = store.send_agent_message("boss", agent_id, "task_assignment", {})["id"]
    store.get_agent_messages(agent_id, True)
    return message


@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
def test_a_check_marks_silent_agents_failed_and_puts_back_what_they_took(store, clock, dump):
    store.register_agent("boss", "milestone-coordinator", "ms-1", "execution-ms-1")
    message = agent_with_taken_message(store)
    clock.advance(1801)
    store.agent_heartbeat("boss")
    checked = store.start_session_monitor(once=True)
    [failed] = checked["failed"]
    assert (failed["agent_id"], failed["returned"], failed["dead_lettered"]) == ("exec-1", 1, 0)
    assert checked["interrupted"] == ["execution-ms-1"]
    assert checked["unresponsive"] == ["exec-1"]
    [health] = dump()["agent_health_log"]
    assert "'unresponsive'" in health and "'exec-1'" in health
    store.register_agent("exec-2", "milestone-executor", "ms-1", "execution-ms-1")
    [back] = store.get_agent_messages("exec-1")
    assert (back["id"], back["retry_count"]) == (message, 1)


def test_a_second_check_finds_nothing_more_to_do(store, clock, dump):
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    clock.advance(1801)
    store.start_session_monitor(once=True)
    before = dump()
    assert store.start_session_monitor(once=True)["failed"] == []
    assert dump() == before


def test_the_thresholds_are_the_settings(store, clock):
    store.set_storage_config("session_timeout", "60")
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    clock.advance(59)
    assert store.start_session_monitor(once=True)["failed"] == []
    clock.advance(1)
    assert [row["agent_id"] for row in store.start_session_monitor(once=True)["failed"]] == ["exec-1"]


def test_an_agent_that_reports_its_health_is_noted_once_for_each_silence(store, clock):
    for agent_id in ("reports", "never-did"):
        store.register_agent(agent_id, "milestone-executor", "ms-1", "execution-ms-1")
    store.agent_heartbeat("reports", "healthy")

    def noted_after(seconds):
        clock.advance(seconds)
        return store.start_session_monitor(once=True)["unresponsive"]

    assert noted_after(59) == []
    assert noted_after(1) == ["reports"]
    assert noted_after(60) == []
    store.agent_heartbeat("reports")
    assert noted_after(60) == ["reports"]
    store.set_storage_config("health_check_interval", "600")
    store.agent_heartbeat("reports")
    assert noted_after(60) == []


def test_an_agent_marked_failed_that_is_heard_of_again_is_active_again(store, clock):
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    clock.advance(1801)
    store.start_session_monitor(once=True)
    clock.advance(1)
    store.agent_heartbeat("exec-1")
    store.start_session_monitor(once=True)
    assert store.update_agent_status("exec-1")["status"] == "active"


def test_a_single_check_prints_and_logs_what_it_did(cli, clock, directory):
    cli("register-agent", "exec\u200b1", "milestone-executor", "ms-1", "execution-ms-1")
    assert cli("start-session-monitor", "--once").text == "checked: nothing to do\n"
    clock.advance(1800)
    done = cli("start-session-monitor", "--once")
    line = "checked: failed: exec\\u200b1 (30 min silent); unresponsive: exec\\u200b1; interrupted: execution-ms-1"
    assert (done.status, done.text) == (0, f"{line}\nnext: recover_milestone_session execution-ms-1\n")
    assert log_of(directory) == ["checked: nothing to do", line]


def test_a_single_check_counts_dead_letters(cli, store, clock):
    store.set_storage_config("message_retry_limit", "0")
    agent_with_taken_message(store)
    clock.advance(1800)
    assert "dead letters: 1; " in cli("start-session-monitor", "--once").text


def test_once_without_a_data_directory_leaves_no_trace(unmade, cli, directory):
    done = cli("start-session-monitor", "--once")
    assert (done.status, done.text) == (0, "checked: there is no storage to check\n")
    assert not directory.exists()


@pytest.mark.parametrize("words", [["0"], ["86401"], ["1.5"], ["soon"], ["--once", "--foreground"], ["-5"]])
def test_bad_usage_starts_nothing(cli, directory, words):
    done = cli("start-session-monitor", *words)
    assert (done.status, done.text, done.err.count("\n")) == (2, "", 1)
    assert not directory.exists()


def test_what_others_say_about_an_agent_is_no_heartbeat(store, clock, dump):
    before = store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")["last_heartbeat"]
    clock.advance(60)
    assert store.agent_heartbeat("exec-1", "unresponsive")["last_heartbeat"] == before
    assert len(dump()["agent_health_log"]) == 1
    with pytest.raises(Refused):
        store.agent_heartbeat("nobody", "unresponsive")
    with pytest.raises(UsageError):
        store.agent_heartbeat("exec-1", "healthy", response_ms=float("nan"))


# Without a monitor, the calls of other agents do what a check does.

@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
@pytest.mark.parametrize("call", [("get-agent-messages", "boss", "true"),
                                  ("register-agent", "new", "milestone-planner", "ms-1", "execution-ms-1")])
def test_silent_agents_are_marked_by_the_calls_of_others(store, cli, clock, dump, call, backend):
    store.register_agent("boss", "milestone-coordinator", "ms-1", "execution-ms-1")
    message = agent_with_taken_message(store)
    clock.advance(1801)
    store.agent_heartbeat("boss")
    assert cli(*call).err == "" and len(dump()["agent_health_log"]) == 1
    clock.advance(59)
    assert cli("get-agent-messages", "boss", "true").err == "" and len(dump()["agent_health_log"]) == 1
    if backend == "file":  # one of all calls in 15 seconds looks: the one before has
        clock.advance(14)
        assert cli("get-agent-messages", "boss", "true").err == "" and len(dump()["agent_health_log"]) == 1
    clock.advance(1)
    before = dump()["agent_registry"]
    assert cli("get-agent-messages", "boss").err == ""
    assert [row for row in dump()["agent_registry"] if "exec-1" in row] == [row for row in before if "exec-1" in row]
    done = cli(*call)
    assert done.status == 0 and done.err.splitlines(keepends=True)[0] == (
        "milestone_persist: silent for more than 30 min, and marked failed: exec-1 (messages requeued: 1); "
        "detect_interrupted_sessions tells what to do\n")
    assert store.update_agent_status("exec-1")["status"] == "failed"
    [back] = store.get_agent_messages("exec-1")
    assert (back["id"], back["retry_count"]) == (message, 1)
    assert "silent" not in cli(*call).err


def test_after_a_sleep_of_the_machine_the_calls_of_others_give_an_agent_time_to_be_heard(store, cli, clock):
    store.register_agent("boss", "milestone-coordinator", "ms-1", "execution-ms-1")
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    clock.advance(7200)
    cli("get-agent-messages", "boss", "true")
    clock.advance(59)
    store.agent_heartbeat("exec-1")
    clock.advance(60)
    assert cli("get-agent-messages", "boss", "true").err == ""
    assert store.update_agent_status("exec-1")["status"] == "active"


def test_an_agent_does_not_mark_itself(store, cli, clock):
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    for _ in range(3):
        clock.advance(1801)
        assert cli("get-agent-messages", "exec-1", "true").err == ""
    assert store.update_agent_status("exec-1")["status"] == "active"


# The loop, in this process, with time moved by hand.

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


# The storage in trouble during a check.

@pytest.fixture
def check_line(cli, directory):
    """Runs one check as the monitor does, and gives its line in the log or its error."""
    def check_line():
        done = cli("start-session-monitor", "--once")
        return done.text.strip() or done.err.strip()

    return check_line


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_locked_database_is_an_error_of_one_check(check_line, store, directory, monkeypatch):
    monkeypatch.setattr("milestone_persist.storage.sqlite.embedded.BUSY_SECONDS", 0.01)
    other = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "is busy" in check_line()
    other.execute("ROLLBACK")
    other.close()
    assert check_line() == "checked: nothing to do"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_missing_database_is_not_made_and_one_put_in_its_place_is_checked(check_line, store, directory, clock):
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    store.close()
    kept = directory / "kept.db"
    (directory / "coordination.db").rename(kept)
    assert "coordination.db is missing" in check_line()
    assert not (directory / "coordination.db").exists()
    kept.rename(directory / "coordination.db")
    clock.advance(1800)
    assert "failed: exec-1" in check_line()


# The process.

@pytest.fixture
def background(request, environ, directory, program):
    """The test may start real monitors of its directory; none of them outlives it."""
    yield
    if directory.exists():
        program("stop-session-monitor")
        assert find_monitor(str(directory)) is None


on_one_backend = pytest.mark.parametrize("backend", ["hybrid"], indirect=True)


def is_running(directory):
    return find_monitor(str(directory)) is not None


def test_a_monitor_starts_tells_its_status_and_stops(background, program, directory):
    begun = program("start-session-monitor", "1")
    assert (begun.status, begun.err) == (0, "")
    assert begun.text.startswith("started: session monitor, pid ")
    about = find_monitor(str(directory))
    assert (directory / PID).read_text() == f"{about['pid']}\n"
    wait_until(lambda: log_of(directory).count("checked: nothing to do") >= 2, "two checks")
    assert program("get-session-monitor-status").text.startswith(f"running: session monitor, pid {about['pid']} on ")
    again = program("start-session-monitor", "5")
    assert (again.status, again.text.startswith("already running")) == (0, True)
    assert find_monitor(str(directory)) == about
    done = program("stop-session-monitor")
    assert (done.status, done.text.startswith("stopped: ")) == (0, True)
    assert not is_running(directory)
    assert log_of(directory)[-1] == "ended: asked to stop"
    again = program("stop-session-monitor")
    assert (again.status, again.text, again.err.count("\n")) == (1, "", 1)
    assert "nothing to stop" in again.err
    assert program("get-session-monitor-status").text.startswith("not running: start_session_monitor")
    assert sorted(set(os.listdir(directory)) & {PID, STOP}) == []


@on_one_backend
def test_of_eight_starts_at_once_exactly_one_starts_a_monitor(background, directory, environ, tmp_path):
    command = [sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py", "start-session-monitor"]
    started = [subprocess.Popen(command, env=environ, cwd=tmp_path, stdout=subprocess.PIPE) for _ in range(8)]
    words = sorted(process.communicate()[0].split(b":")[0].split(b" ")[0] for process in started)
    assert [process.returncode for process in started] == [0] * 8
    assert words == [b"already"] * 7 + [b"started"]
    assert sum(line.startswith("started") for line in log_of(directory)) == 1


@on_one_backend
def test_after_a_monitor_was_killed_the_next_one_starts(background, program, directory):
    program("start-session-monitor")
    first = find_monitor(str(directory))
    os.kill(first["pid"], signal.SIGKILL)
    wait_until(lambda: not is_running(directory), "the lock to be free")
    assert program("get-session-monitor-status").text.startswith("not running")
    assert program("start-session-monitor").text.startswith("started")
    assert find_monitor(str(directory))["token"] != first["token"]


@on_one_backend
def test_a_pid_file_never_gets_another_process_killed(background, program, directory):
    innocent = subprocess.Popen(["sleep", "600"])
    try:
        directory.mkdir()
        (directory / PID).write_text(f"{innocent.pid}\n")
        assert program("stop-session-monitor").status == 1
        program("start-session-monitor")
        (directory / PID).write_text(f"{innocent.pid}\n")
        assert program("stop-session-monitor").status == 0
        assert not is_running(directory)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@on_one_backend
def test_a_monitor_stops_while_a_check_waits_for_a_locked_database(background, program, directory):
    program("initialize-agent-coordination")
    other = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert program("start-session-monitor").text.startswith("started")
    assert program("stop-session-monitor").status == 0
    assert [line.split(":")[0] for line in log_of(directory)] == ["started", "ended"]
    other.close()


@on_one_backend
def test_a_monitor_survives_a_corrupt_database_and_stops_nevertheless(background, program, directory):
    program("start-session-monitor", "1")
    wait_until(lambda: "checked: nothing to do" in log_of(directory), "a check")
    (directory / "coordination.db").write_bytes(b"not a database" * 1000)
    wait_until(lambda: any("error: " in line for line in log_of(directory)), "an error in the log")
    os.unlink(directory / "coordination.db")
    wait_until(lambda: any("coordination.db is missing" in line for line in log_of(directory)), "a check without it")
    os.unlink(directory / "config" / "backend-in-use.txt")
    wait_until(lambda: "checked: there is no storage to check" in log_of(directory), "a check without a database")
    assert program("initialize-agent-coordination").status == 0
    program("stop-session-monitor")
    assert not is_running(directory)


@on_one_backend
def test_a_monitor_ends_with_its_data_directory(background, program, directory, tmp_path):
    program("start-session-monitor")
    wait_until(lambda: "checked: nothing to do" in log_of(directory), "a check")
    pid = find_monitor(str(directory))["pid"]
    shutil.rmtree(directory)
    wait_until(lambda: not is_alive(pid), "the process to end")
    assert not directory.exists()


def is_alive(pid):
    try:
        os.kill(pid, 0)
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False).stdout
    except ProcessLookupError:
        return False
    return not state.strip().startswith(b"Z")  # in a container, nobody may wait for it


@on_one_backend
@pytest.mark.parametrize("shell", SHELLS)
def test_a_monitor_starts_inside_a_command_substitution_and_holds_nothing_of_the_caller(
        background, run, directory, need, shell, tmp_path):
    script = f'set -eu; . "{ADAPTER}"; exec 9>held; said=$(start_session_monitor 300); printf "%s" "$said"'
    done = run([need(shell), "-c", script])
    assert done.status == 0 and done.text.startswith("started: session monitor")
    about = find_monitor(str(directory))
    if os.path.isdir("/proc/self/fd"):
        wait_until(lambda: "checked: nothing to do" in log_of(directory), "a check")
        wait_until(lambda: sorted(open_files(about["pid"])) == ["/dev/null"] * 3 + [str(directory / LOCK)],
                   f"only its lock to be open: {open_files(about['pid'])}")
        assert os.readlink(f"/proc/{about['pid']}/cwd") == "/"
    assert run([need(shell), "-c", f'. "{ADAPTER}"; stop_session_monitor && ! stop_session_monitor']).status == 0


def open_files(pid):
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    return found


@on_one_backend
def test_a_monitor_outlives_the_terminal_of_its_caller(background, run, directory, tmp_path):
    terminal = ("import os, pty, signal, sys\n"
                "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # which nohup has put aside
                "pid, screen = pty.fork()\n"
                "if pid == 0: os.execvp('sh', ['sh', '-c', sys.argv[1]])\n"
                "said = b''\n"
                "while b'done' not in said: said += os.read(screen, 1000)\n"
                "os.close(screen)\n"
                "os.waitpid(pid, 0)\n")
    script = (f'. "{ADAPTER}"; start_session_monitor >said; '
              'ps -o tty= -p "$(cat .milestones/session-monitor.pid)" >tty; echo done; while :; do sleep 1; done')
    done = run([sys.executable, "-c", terminal, script])
    assert done.status == 0, done
    assert (tmp_path / "tty").read_text().strip("? \n") == ""
    assert run(["sh", "-c", f'. "{ADAPTER}"; get_session_monitor_status']).text.startswith("running")


def foreground(environ, tmp_path):
    command = [sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py", "start-session-monitor",
               "--foreground"]
    return subprocess.Popen(command, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@on_one_backend
@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "stop-session-monitor"])
def test_a_monitor_in_the_foreground_prints_its_log_and_ends_in_good_order(environ, tmp_path, program, directory, how):
    process = foreground(environ, tmp_path)
    assert process.stdout.readline().endswith(b" started: pid %d, every 300 s\n" % process.pid)
    assert process.stdout.readline().endswith(b" checked: nothing to do\n")
    assert program("start-session-monitor", "--foreground").status == 1
    if how.startswith("SIG"):
        process.send_signal(getattr(signal, how))
    else:
        assert program(how).status == 0
    out, err = process.communicate(timeout=60)
    reason = how.replace("stop-session-monitor", "asked to stop")
    made = f"milestone_persist: made the data directory {directory} (backend {environ['MILESTONE_BACKEND']})"
    assert process.returncode == 0 and err.decode().startswith(made) and err.count(b"\n") == 1
    assert out.decode().endswith(f" ended: {reason}\n")
    assert not is_running(directory)


@on_one_backend
def test_a_start_that_fails_says_so(program, directory):
    (directory / LOCK).mkdir(parents=True)
    done = program("start-session-monitor")
    assert (done.status, done.text, done.err.count("\n")) == (3, "", 1)
    assert LOCK in done.err


@on_one_backend
def test_a_monitor_does_not_stay_when_whoever_started_it_has_gone(program, directory, environ):
    program("initialize-agent-coordination")
    reader, writer = os.pipe()
    os.close(reader)
    command = background_command("milestone_persist.commands.monitoring", str(directory), 300)
    subprocess.run(command, env=environ, stdout=writer, check=False)
    os.close(writer)
    wait_until(lambda: log_of(directory)[-1:] == ["ended: the caller did not wait for it to start"], "the end")
    assert not is_running(directory)


@on_one_backend
def test_a_program_starts_a_monitor_through_the_api(background, directory, environ):
    from milestone_persist import open_store

    with open_store(directory, environ=environ) as store:
        begun = store.start_session_monitor(60)
        assert (begun["started"], begun["seconds"]) == (True, 60)
        assert store.get_session_monitor_status()["pid"] == begun["pid"]
        assert store.start_session_monitor()["started"] is False
        assert store.stop_session_monitor()["pid"] == begun["pid"]
        with pytest.raises(Refused, match="nothing to stop"):
            store.stop_session_monitor()


@on_one_backend
def test_a_monitor_starts_from_a_zipped_package_in_a_path_with_spaces(background, run, directory, tmp_path):
    import zipfile

    home = tmp_path / "a b'c"
    home.mkdir()
    with zipfile.ZipFile(home / "tool.pyz", "w") as archive:
        archive.writestr("__main__.py", "from milestone_persist.cli.process import run\nrun()\n")
        for folder in ("milestone_persist", "sql"):
            for path in sorted((ROOT / folder).rglob("*")):
                if path.suffix in (".py", ".sql"):
                    archive.write(path, path.relative_to(ROOT))
    done = run([sys.executable, "-I", "-S", home / "tool.pyz", "start-session-monitor"])
    assert done.status == 0 and done.text.startswith("started"), done
    wait_until(lambda: "checked: nothing to do" in log_of(directory), "a check")


def test_a_torn_line_of_the_monitor_stands_by_itself(directory):
    (directory / "logs").mkdir(parents=True)
    (directory / LOG).write_text("torn")
    append_log(str(directory), "whole")
    assert (directory / LOG).read_text() == "torn\nwhole\n"


# Sandboxes that end every process of a call with it.

def pid_namespace(need):
    """The words before a command that run it in a pid namespace of its own, which ends with it."""
    words = [need("unshare"), "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid():
        words[1:1] = ["--user", "--map-current-user"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare is not permitted to make a pid namespace here")
    return words


MONITORED = [sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py"]
NOT_STARTED = ("milestone_persist: no session monitor was started: this sandbox ends every process with the call (its "
               "first is {0}); one check was done instead, and calls of other agents mark silent agents as well; start "
               "it outside the sandbox, or with --foreground & if {0} lives on\n")


@on_one_backend
@pytest.mark.parametrize("proc", ["its own", "the outer one"])
def test_where_no_process_outlives_the_call_none_is_said_to_be_started(background, run, program, need, directory, proc):
    sandbox = [word for word in pid_namespace(need) if proc == "its own" or word != "--mount-proc"]
    program("initialize-agent-coordination")
    script = f'. "{ADAPTER}"; start_session_monitor 300; echo "status $?"'
    done = run([*sandbox, "sh", "-c", script], MILESTONE_PYTHON=sys.executable)
    assert done.text == "checked: nothing to do\nstatus 1\n" and done.err == NOT_STARTED.format("sh")
    assert log_of(directory) == ["checked: nothing to do"] and not is_running(directory)
    done = run([*sandbox, "sh", "-c", f'. "{ADAPTER}"; get_session_monitor_status'], MILESTONE_PYTHON=sys.executable)
    assert done.text.startswith("not running, and none can stay in this sandbox: calls of agents mark silent ones\n")
    done = run([*sandbox, *MONITORED, "start-session-monitor"])
    assert (done.status, done.err) == (1, NOT_STARTED.format(os.path.basename(sys.executable)[:15]))


@on_one_backend
def test_a_call_in_a_sandbox_finds_the_monitor_that_runs_outside(background, run, program, need, directory):
    sandbox = pid_namespace(need)
    program("start-session-monitor")
    done = run([*sandbox, "sh", "-c", f'. "{ADAPTER}"; start_session_monitor'], MILESTONE_PYTHON=sys.executable)
    assert done.status == 0 and done.text.startswith("already running")


@on_one_backend
def test_in_a_container_whose_first_process_lives_on_a_monitor_is_started(background, run, need, tmp_path):
    agent = ("import subprocess, sys\n"
             "call = lambda *words: subprocess.run(['sh', '-c', sys.argv[1] + '; ' + words[0]])\n"
             "call('start_session_monitor')\n"
             "call('get_session_monitor_status; stop_session_monitor')\n")
    done = run([*pid_namespace(need), sys.executable, "-c", agent, f'. "{ADAPTER}"'], MILESTONE_PYTHON=sys.executable)
    assert [line.split(":")[0] for line in done.text.splitlines() if "session monitor" in line] == [
        "started", "running", "stopped"], done
