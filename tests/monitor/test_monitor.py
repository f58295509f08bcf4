"""The session monitor as a process of its own, with real shells."""
from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from milestone_persist import Refused
from milestone_persist.monitor.files import LOCK, LOG, PID, STOP, append_log, find_monitor
from milestone_persist.monitor.process import background_command

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
def test_a_monitor_ends_with_its_data_directory(background, program, directory):
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
        background, run, directory, need, shell):
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
def test_a_monitor_outlives_the_terminal_of_its_caller(background, run, tmp_path):
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
def test_a_call_in_a_sandbox_finds_the_monitor_that_runs_outside(background, run, program, need):
    sandbox = pid_namespace(need)
    program("start-session-monitor")
    done = run([*sandbox, "sh", "-c", f'. "{ADAPTER}"; start_session_monitor'], MILESTONE_PYTHON=sys.executable)
    assert done.status == 0 and done.text.startswith("already running")


@on_one_backend
def test_in_a_container_whose_first_process_lives_on_a_monitor_is_started(background, run, need):
    agent = ("import subprocess, sys\n"
             "call = lambda *words: subprocess.run(['sh', '-c', sys.argv[1] + '; ' + words[0]])\n"
             "call('start_session_monitor')\n"
             "call('get_session_monitor_status; stop_session_monitor')\n")
    done = run([*pid_namespace(need), sys.executable, "-c", agent, f'. "{ADAPTER}"'], MILESTONE_PYTHON=sys.executable)
    assert [line.split(":")[0] for line in done.text.splitlines() if "session monitor" in line] == [
        "started", "running", "stopped"], done
