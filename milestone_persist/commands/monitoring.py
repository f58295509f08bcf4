"""Recovery: the session monitor, which only marks silent agents failed and requeues their messages."""
from __future__ import annotations

import os

from ..base.errors import Incomplete, UsageError
from ..base.values import check_range
from ..base.vocabulary import AT_WORK, any_of
from ..coordination.liveness import heard_before, interrupted_sessions, log_health, mark_stale_agents
from ..coordination.settings import read_count
from ..opening.place import begin_call, describe_new, make_store
from ..registry import operation
from ..storage.directory import require_usable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.call import Call
    from ..storage.interface import Row, Storage

GROUP = "Recovery"


@operation(text="monitor_started", existing=True)
def start_session_monitor(call: Call, seconds: int = 300, *, once: bool = False, foreground: bool = False) -> Row:
    """Watch the sessions in the background: mark silent agents failed, requeue their messages, log each check.

    seconds: from one check to the next, 1 to 86400
    once: do a single check now, print what it did and end; for cron and hooks
    foreground: stay in the foreground until a signal or stop_session_monitor; for systemd, launchd and containers

    Starting it again changes nothing: each data directory has one. Agents are silent after session_timeout seconds.
    In a sandbox that ends all processes of a call with it, it checks once and none is started (status 1).
    Example: start_session_monitor 300
    """
    check_range(seconds, 1, 86400, "SECONDS")
    if once and foreground:
        raise UsageError("--once and --foreground exclude each other: use one of them")
    if once:
        return _check_now(call)
    from ..monitor.files import find_monitor
    from ..monitor.loop import Monitor
    from ..monitor.process import run_in_foreground, start_in_background
    from ..monitor.sandbox import find_sandbox_of_call

    found = None if foreground else find_monitor(call.directory)
    if found is not None:
        return _shown(call, {"started": False, **found})
    sandbox = "" if foreground else find_sandbox_of_call()
    if sandbox:
        raise Incomplete(_cannot_live(sandbox), _check_now(call))
    made = make_store(call)
    if made.is_new:
        call.tell(describe_new(made))
    if foreground:
        monitor = Monitor(call.directory, seconds, call.clock, lambda: _check_for_log(call), _tell)
        return {"ended": run_in_foreground(monitor)}
    return _shown(call, start_in_background(__name__, call.directory, seconds, call.environ))


@operation(text="monitor_stopped", existing=True)
def stop_session_monitor(call: Call) -> Row:
    """Ask the session monitor to end and wait until it has; status 1 if none is running.

    Example: stop_session_monitor
    """
    from ..monitor.process import stop_monitor

    require_usable(call.directory, call.environ)
    return _shown(call, stop_monitor(call.directory))


@operation(text="monitor_status")
def get_session_monitor_status(call: Call) -> Row:
    """Print whether the session monitor is running, since when, and the end of its log.

    Example: get_session_monitor_status
    """
    from ..monitor.files import find_monitor, last_line
    from ..monitor.sandbox import find_sandbox_of_call

    require_usable(call.directory, call.environ)
    found = find_monitor(call.directory)
    return {"running": found is not None, "can_start": bool(found) or not find_sandbox_of_call(),
            **_shown(call, found or {}), "last_line": last_line(call.directory)}


def _shown(call: Call, about: Row) -> Row:
    """What is shown of a monitor: everything except the token that ends it."""
    from ..monitor.files import LOG

    return {**{key: value for key, value in about.items() if key != "token"},
            "log": os.path.join(call.directory, LOG)}


def _cannot_live(sandbox: str) -> str:
    return (f"no session monitor was started: this sandbox ends every process with the call (its first is {sandbox}); "
            "one check was done instead, and calls of other agents mark silent agents as well; start it outside the "
            f"sandbox, or with --foreground & if {sandbox} lives on")


def _tell(line: str) -> None:
    """A line of the log, printed in the foreground."""
    try:
        os.write(1, (line + "\n").encode("utf-8", "backslashreplace"))
    except OSError:  # there is no reader
        pass


def _check_now(call: Call) -> Row:
    """A single check, and its line in the log."""
    from ..cli.text.monitoring import check_line
    from ..monitor.files import append_log

    checked = check_sessions(call)
    try:
        append_log(call.directory, f"{call.now()} {check_line(checked)}")
    except FileNotFoundError:  # no data directory: there was nothing to check
        pass
    except OSError as error:
        call.warn(f"the check was done, but not logged: {error.filename}: {error.strerror}")
    return checked


def _check_for_log(call: Call) -> str:
    from ..cli.text.monitoring import check_line

    return check_line(check_sessions(call))


def check_sessions(call: Call) -> Row:
    """One check of a storage opened for it: what it marked failed, noted as unresponsive and requeued.

    Gives found (whether there is a storage), failed (as mark_stale_agents), unresponsive (agent ids), interrupted
    (session ids).
    """
    from ..running import look

    checked: Row = look(call, _check, in_use=True)
    return checked


def _check(opened: Storage) -> Row:
    with opened.transaction("agents"):
        failed = mark_stale_agents(opened)
        unresponsive = _note_unresponsive(opened, [row["agent_id"] for row in failed if row["marked"]])
    return {"found": opened.describe()["exists"], "failed": failed, "unresponsive": unresponsive,
            "interrupted": interrupted_sessions(opened)}


def _note_unresponsive(store: Storage, failed: list[str]) -> list[str]:
    """Write into the health log, once for each silence: agents that just failed, and agents that used to report their
    health and have been silent for `health_check_interval` seconds."""
    silent = store.execute(
        f"SELECT a.agent_id FROM agent_registry a WHERE a.status IN {any_of(AT_WORK)} AND "
        "a.last_heartbeat <= :limit AND EXISTS (SELECT 1 FROM agent_health_log h WHERE h.agent_id = a.agent_id "
        "AND h.health_status <> 'unresponsive') ORDER BY a.agent_id",
        {"limit": heard_before(store, read_count(store, "health_check_interval"))})
    noted = []
    for agent_id in [*failed, *(row["agent_id"] for row in silent)]:
        if not store.execute(
                "SELECT 1 AS noted FROM agent_health_log h JOIN agent_registry a ON a.agent_id = h.agent_id "
                "WHERE h.agent_id = :id AND h.health_status = 'unresponsive' AND h.timestamp > a.last_heartbeat "
                "LIMIT 1", {"id": agent_id}):
            log_health(store, agent_id, "unresponsive")
            noted.append(agent_id)
    return noted


def run_in_background(directory: str, seconds: str) -> None:
    """The life of the process that start_session_monitor starts."""
    from ..monitor.loop import Monitor
    from ..monitor.process import serve_in_background

    call = begin_call(directory, os.environ)
    serve_in_background(Monitor(call.directory, int(seconds), call.clock, lambda: _check_for_log(call)))
