"""Work orders: which agents of a session to start, and the command that may start them."""
from __future__ import annotations

import os

from ..base.quoting import quote
from ..base.tables import LIVE
from ..base.values import dump_json
from ..base.vocabulary import AT_WORK, any_of
from ..storage.events import record_event
from .deliverables import WEIGHTS, made_by, maker_id, results_of
from .lives import enter_agent, set_agent_status
from .membership import find_agent
from .session_view import RECOVERABLE, milestone_id_for, put_off, survey_session
from .sessions import find_session
from .settings import read_setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..base.answers import AgentToStart, Deliverable, Order, Survey, SurveyedAgent
    from ..storage.interface import Storage

SPAWN_SECONDS = 60
RELEASED = "not needed any more: "


def make_orders(store: Storage, session_id: str, wanted: Sequence[str] | None = None) -> list[Order]:
    """Decide which agents to start, within the caller's transaction; those no longer needed are released.

    wanted: names of the deliverables to work on now; None: whatever comes next
    Returns for each which agent to start, why, what it makes and what it finds.
    """
    view = survey_session(store, session_id)
    wanted = view["next"] if wanted is None else wanted
    pieces = {item["name"]: item for item in view["deliverables"]}
    covered = {made_by(agent, view["deliverables"]) for agent in view["agents"] if agent["condition"] == "alive"}
    orders = []
    for agent in sorted(view["agents"], key=lambda row: row["last_heartbeat"], reverse=True):
        if agent["condition"] not in RECOVERABLE:
            continue
        piece = made_by(agent, view["deliverables"])
        due = piece in wanted and piece not in covered
        if due or agent["unread_messages"] or (piece is None and agent["agent_type"] != "unregistered"):
            orders.append(_order(store, view, agent, piece if due else None))
            covered.add(piece)
        else:
            _dismiss(store, agent, pieces.get(str(piece)), piece in covered)
    orders += [_order(store, view, _newcomer(view, pieces[name]), name) for name in wanted if name not in covered]
    return sorted(orders, key=lambda order: ([*pieces].index(order["makes"]) if order["makes"] else -1))


def _dismiss(store: Storage, agent: SurveyedAgent, piece: Deliverable | None, is_covered: bool) -> None:
    """End an agent that should not be started now; it may be started later if its work is still to come."""
    if piece and not piece["saved"] and not is_covered:
        why = put_off(agent["error_info"])
    else:
        why = RELEASED + ("nothing waits for it" if not piece else "its work is there" if piece["saved"]
                          else "another agent makes it")
    if agent["error_info"] != why:
        set_agent_status(store, agent["agent_id"], "terminated", why)


def _newcomer(view: Survey, piece: Deliverable) -> AgentToStart:
    """The agent for a deliverable without an agent: the last of its type in the session, else a new one."""
    before = [agent for agent in view["agents"] if made_by(agent, view["deliverables"]) == piece["name"]]
    return before[-1] if before else {"agent_id": maker_id(piece, view["session_id"]), "condition": "new",
                                      "agent_type": piece["agent_type"], "unread_messages": 0, "at_least": [],
                                      "error_info": None}


def _order(store: Storage, view: Survey, agent: AgentToStart, piece: str | None) -> Order:
    given = {"agent": agent["agent_id"], "session": view["session_id"], "now": store.now()}
    keys = store.execute("SELECT state_key FROM agent_state WHERE agent_id = :agent AND saved_in = :session "
                         f"AND {LIVE} ORDER BY updated_at, state_key", given)
    checkpoints = store.execute("SELECT checkpoint_id FROM agent_checkpoints WHERE agent_id = :agent "
                                "AND session_id = :session ORDER BY created_at DESC, checkpoint_id DESC LIMIT 1", given)
    kinds = {item["name"]: item["agent_type"] for item in view["deliverables"]}
    return {
        "agent_id": agent["agent_id"],
        "agent_type": kinds[piece] if piece and agent["agent_type"] == "unregistered" else agent["agent_type"],
        "session_id": view["session_id"], "milestone_id": milestone_id_for(view),
        "why": _why(agent, piece), "makes": piece,
        "save_as": results_of(piece) if piece in WEIGHTS else piece,
        "state_keys": [row["state_key"] for row in keys],
        "checkpoint": checkpoints[0]["checkpoint_id"] if checkpoints else None,
        "unread_messages": agent["unread_messages"], "at_least": agent["at_least"],
        "results_of_others": [{"agent_id": row["agent_id"], "state_key": row["state_key"]}
                              for item in view["deliverables"] for row in item["saved"]
                              if row["agent_id"] != agent["agent_id"]],
    }


def _why(agent: AgentToStart, piece: str | None) -> str:
    if agent["condition"] in RECOVERABLE:
        return str(agent["error_info"] or agent["condition"])
    return f"{piece} is missing and no agent makes it"


def spawn_command(store: Storage) -> str:
    """The setting agent_spawn_command, if $MILESTONE_SPAWN_DIRS names the data directory; else "".

    The setting alone is not enough: it may have come with a cloned repository, or from others who share the database.
    """
    command = read_setting(store, "agent_spawn_command")
    allowed = store.environ.get("MILESTONE_SPAWN_DIRS", "").split(os.pathsep)
    if command and os.path.realpath(store.directory) not in (os.path.realpath(path) for path in allowed if path):
        store.warn("agent_spawn_command is set, but not run: read it (get_storage_config agent_spawn_command), then "
                   f"export MILESTONE_SPAWN_DIRS={quote(store.directory)}")
        return ""
    return command


def run_orders(store: Storage, orders: list[Order], command: str) -> None:
    """Run the command for each order, outside any transaction; each order gets its `result`, failures are recorded."""
    for order in orders:
        hindrance = _claim(store, order)
        if hindrance:
            order["result"], order["failed"] = f"not run: {hindrance}", False
            continue
        order["result"], failed = run_command(store, command, order)
        with store.transaction("agent:" + order["agent_id"]):
            if failed and find_agent(store, order["agent_id"])["status"] == "spawning":
                set_agent_status(store, order["agent_id"], "failed", f"agent_spawn_command: {order['result']}")
            record_event(store, "spawn_command_failed" if failed else "spawn_command_ran", order["session_id"],
                         order["agent_id"], order["milestone_id"], order["result"])
        order["failed"] = failed


def _claim(store: Storage, order: Order) -> str:
    """Record the agent as spawning before its start, so that no other process starts it; why not, or ""."""
    with store.transaction("session:" + order["session_id"]):
        session = find_session(store, order["session_id"])
        if session["status"] != "active":
            return f"the session is {session['status']} by now"
        if store.execute("SELECT 1 AS there FROM agent_registry WHERE agent_id = :id "
                         f"AND status IN {any_of(AT_WORK)}", {"id": order["agent_id"]}):
            return "another process is starting it, or it is at work again"
        enter_agent(store, order["agent_id"], order["agent_type"], session, None, order["milestone_id"])
        set_agent_status(store, order["agent_id"], "spawning")
        return ""


def run_command(store: Storage, command: str, order: Order) -> tuple[str, bool]:
    """Run the command with the order on its standard input: (the result, whether it failed)."""
    import signal
    import subprocess
    import tempfile

    names = {"MILESTONE_DIR": store.directory, "SESSION_ID": order["session_id"], "AGENT_ID": order["agent_id"],
             "AGENT_TYPE": order["agent_type"], "MILESTONE_ID": order["milestone_id"]}
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as given:
        given.write(dump_json(order).encode())
        given.seek(0)
        try:
            # Files, not pipes: an agent the command leaves in the background must not hold us.
            child = subprocess.Popen(["/bin/sh", "-c", command], stdin=given, stdout=subprocess.DEVNULL, stderr=said,
                                     env={**os.environ, **names}, cwd=os.path.dirname(store.directory),
                                     start_new_session=True)
        except (OSError, ValueError) as error:
            return f"could not be run: {error}", True
        try:
            status = child.wait(SPAWN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return f"was stopped: not done after {SPAWN_SECONDS} s", True
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return f"exit status {status}" + (f": {lines[-1]}" if status and lines else ""), status != 0
