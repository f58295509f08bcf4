"""The text of the session monitor: of a check, and of the monitor itself."""
from __future__ import annotations

from ...base.quoting import command
from .forms import LONGEST_DETAIL, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...storage.interface import Row


def check_line(data: Row) -> str:
    """What one check of the session monitor did, as a line."""
    if not data["found"]:
        return "checked: there is no storage to check"
    failed, put_back = data["failed"], sum(row["returned"] for row in data["failed"])
    dead = sum(row["dead_lettered"] for row in data["failed"])
    parts = [
        _some("failed", [f"{plain(row['agent_id'])} ({row['minutes_silent']:.0f} min silent)" for row in failed
                         if row["marked"]]),
        f"messages requeued: {put_back}" if put_back else "",
        f"dead letters: {dead}" if dead else "",
        _some("unresponsive", [plain(name) for name in data["unresponsive"]]),
        _some("interrupted", [plain(name) for name in data["interrupted"]]),
    ]
    return "checked: " + ("; ".join(part for part in parts if part) or "nothing to do")


def _some(what: str, names: list[str], most: int = 20) -> str:
    """The names after their label, as many as a line can hold."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{what}: {', '.join(names[:most])}{more}" if names else ""


def monitor_started(data: Row) -> str:
    if "found" in data:
        lines = [check_line(data)]
        if data["interrupted"]:
            lines.append("next: " + command(["recover_milestone_session", data["interrupted"][0]]))
        return "\n".join(lines) + "\n"
    if "ended" in data:
        return ""
    how = "started" if data["started"] else "already running (stop_session_monitor first to change it)"
    return f"{how}: session monitor, {_monitor(data)}\nlog: {plain(data['log'])}\n"


def _monitor(data: Row) -> str:
    pid, host, seconds, since = (plain(data[name]) for name in ("pid", "host", "seconds", "started_at"))
    return f"pid {pid} on {host}, every {seconds} s since {since}"


def monitor_stopped(data: Row) -> str:
    return f"stopped: session monitor, {_monitor(data)}\n"


def monitor_status(data: Row) -> str:
    what = f"running: session monitor, {_monitor(data)}" if data["running"] else (
        "not running: start_session_monitor starts the session monitor" if data["can_start"] else
        "not running, and none can stay in this sandbox: calls of agents mark silent ones")
    last = data["last_line"] and f"\nlast line of {plain(data['log'])}: {plain(data['last_line'][:LONGEST_DETAIL])}"
    return f"{what}{last or ''}\n"
