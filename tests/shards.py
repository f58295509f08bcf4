"""Runs pytest on all cores: python tests/shards.py [ARGUMENTS OF PYTEST]

This process collects the tests and reports on them as pytest does; copies of it, one for each core, run them.
TEST_PROCESSES says how many there shall be. With -s, -x and a debugger nothing is shared out: pytest runs as ever."""
from __future__ import annotations

import os
import signal
import sys
import traceback
from collections import deque
from multiprocessing.connection import Pipe, wait

import pytest


def count_processes():
    """How many workers there shall be: TEST_PROCESSES, or one more than there are cores that this process may use, as
    many a test waits: for a lock, a process, a clock."""
    given = os.environ.get("TEST_PROCESSES")
    if given:
        if not given.isdecimal() or not int(given):
            raise pytest.UsageError(f"TEST_PROCESSES is {given!r}: set it to a number from 1 on, or unset it")
        return int(given)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # a container's share: microseconds of so many
            share, period = map(int, file.read().split())
    except (OSError, ValueError):  # there is none, or it is "max"
        return cores + 1
    return max(1, min(cores, round(share / period))) + 1


def find_kind(item):
    """What is dear to make and shared by tests: 0 for the PostgreSQL server, 2 for the project built, 1 for nothing."""
    names = item.fixturenames
    if "python" in names or "[wheel" in item.nodeid:
        return 2
    return 0 if "postgresql" in names or "postgresql" in item.nodeid else 1


def find_fellows(item, number):
    """Which tests go to one process: those that need the project, and those of a file that share a fixture of it."""
    if find_kind(item) == 2:
        return "project"
    definitions = (found[-1] for found in item._fixtureinfo.name2fixturedefs.values())
    return item.path if any(each.scope == "module" for each in definitions) else number


def cut_into_units(items):
    """The numbers of the tests that are handed out at once, by kind: most of them alone."""
    units = {}
    for number, item in enumerate(items):
        units.setdefault((find_kind(item), find_fellows(item, number)), []).append(number)
    return deque(units[key] for key in sorted(units, key=lambda key: key[0]))


class Muted:
    """The terminal as a worker has it: pytest asks its writer how to colour an explanation, and nobody writes to it."""

    def __init__(self, writer):
        self._tw = writer


class Worker:
    """A copy of this process that runs tests: the pipe to it, and the tests that were handed to it and have not ended;
    `is_last` when it was told that there are no more, `status` as os.waitpid() gives it."""

    def __init__(self, pid, pipe):
        self.pid, self.pipe, self.pending, self.is_last, self.status = pid, pipe, deque(), False, None

    def has_ended(self, wait=False):
        if self.status is None:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def describe_end(self):
        if os.WIFSIGNALED(self.status):
            return f"was killed by {signal.Signals(os.WTERMSIG(self.status)).name}"
        return f"ended with status {os.WEXITSTATUS(self.status)}"


class Shards:
    """The plugin. In the first process `workers` are those that run; in a worker `pipe` leads to the first process."""

    def __init__(self):
        self.workers, self.pipe, self.executed = [], None, 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        option = session.config.option
        as_ever = option.usepdb or option.trace or option.maxfail or option.collectonly or option.capture == "no"
        if as_ever or session.testsfailed:
            return None
        self.session, self.units = session, cut_into_units(session.items)
        session.config._tmp_path_factory.getbasetemp()  # once, as making it empties it
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter and reporter.verbosity == 0:
            reporter.showfspath = False  # the files take turns
        try:
            for _ in range(min(count_processes(), len(self.units))):
                self.start_worker()
            while self.workers:
                self.attend_workers()
        finally:
            self.stop_workers()
        return True

    def start_worker(self):
        sys.stdout.flush()
        sys.stderr.flush()
        here, there = Pipe()
        pid = os.fork()
        if not pid:
            status = 3
            try:
                for pipe in (here, *(worker.pipe for worker in self.workers)):
                    pipe.close()
                self.pipe = there
                status = self.work()
            finally:
                os._exit(status)
        there.close()
        self.workers.append(Worker(pid, here))
        self.feed(self.workers[-1])

    def feed(self, worker):
        """Hand out tests before a worker is through: what a test has made is kept if the next one needs it too.
        The first worker takes from the front and the others from the back, so that few start a server of their own."""
        take = self.units.popleft if worker is self.workers[0] else self.units.pop
        while len(worker.pending) < 2 and not worker.is_last:
            unit = take() if self.units else []
            worker.is_last = not unit
            worker.pending.extend(unit)
            try:
                worker.pipe.send(unit)
            except OSError:
                return  # it has died, which attend_workers() finds

    def attend_workers(self):
        wait([worker.pipe for worker in self.workers], timeout=1)  # what a dead one has started may hold its pipe
        for worker in list(self.workers):
            ended = worker.has_ended()  # asked first: all that it has sent is there then
            try:
                while worker.pipe.poll():
                    self.take_report(worker, worker.pipe.recv())
            except (EOFError, OSError):
                ended = worker.has_ended(wait=True)
            if ended:
                self.bury(worker)

    def take_report(self, worker, data):
        session, hook = self.session, self.session.config.hook
        report = hook.pytest_report_from_serializable(config=session.config, data=data)
        hook.pytest_runtest_logreport(report=report)
        if report.when == "teardown":
            worker.pending.popleft()
            self.feed(worker)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)

    def bury(self, worker):
        """A worker that dies fails the test that it ran; another one runs what else was handed to it."""
        self.workers.remove(worker)
        worker.pipe.close()
        if worker.pending or worker.status:
            item = self.session.items[worker.pending.popleft()] if worker.pending else None
            name, place = (item.nodeid, item.location) if item else ("after the last test", ("", None, ""))
            self.session.config.hook.pytest_runtest_logreport(report=pytest.TestReport(
                name, place, {}, "failed", f"{name}: its process {worker.describe_end()}", "call"))
        if worker.pending:
            self.units.append(list(worker.pending))
        if self.units:
            self.start_worker()

    def stop_workers(self):
        """End those that still run because something cut the run short."""
        for worker in self.workers:
            if not worker.has_ended():
                os.kill(worker.pid, signal.SIGTERM)
            worker.pipe.close()
        for worker in self.workers:
            worker.has_ended(wait=True)

    def work(self):
        """What a worker does; returns its exit status."""
        plugins, items = self.session.config.pluginmanager, self.session.items
        muted = Muted(self.session.config.get_terminal_writer())
        plugins.unregister(name="terminalreporter")
        plugins.register(muted, "terminalreporter")
        capture = plugins.get_plugin("capturemanager")  # its files are the first process's
        capture.stop_global_capturing()
        capture.start_global_capturing()
        capture.suspend_global_capture()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            for number, following in self.receive_numbers():
                items[number].config.hook.pytest_runtest_protocol(
                    item=items[number], nextitem=None if following is None else items[following])
            return 0
        except (EOFError, BrokenPipeError, KeyboardInterrupt):
            return 130  # the first process has ended, or wants this one to
        except BaseException:
            traceback.print_exc()
            return 3
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):  # the terminal's and the first process's may both come
                signal.signal(number, signal.SIG_IGN)
            plugins.get_plugin("runner").pytest_sessionfinish(self.session)  # what fixtures have begun ends

    def receive_numbers(self):
        """The number of each test to run, with the one after it, None after the last."""
        numbers, is_last = deque(), False
        while numbers or not is_last:
            while len(numbers) < 2 and not is_last:
                unit = self.pipe.recv()
                is_last = not unit
                numbers.extend(unit)
            if numbers:
                yield numbers.popleft(), numbers[0] if numbers else None

    def pytest_runtest_logreport(self, report):
        self.executed += not report.skipped and (report.when == "call" or report.failed)
        if self.pipe:
            config = self.session.config
            self.pipe.send(config.hook.pytest_report_to_serializable(config=config, report=report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session, exitstatus):
        if exitstatus == 0 and not self.executed and not session.config.option.collectonly:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED  # skipped tests alone show nothing


if __name__ == "__main__":
    sys.exit(pytest.main(plugins=[Shards()]))
