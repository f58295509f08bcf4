"""Hooks: called by agents' clients when a conversation starts, stops, ends or is compacted."""
from __future__ import annotations

from ..base.errors import MilestoneError, UsageError
from ..base.values import check_id, check_range
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import HookAnswer, WatchEnd
    from ..hooks.occasion import Occasion
    from ..storage.call import Call

GROUP = "Hooks"


@operation(text="hook_answer", stdin="payload", shell=False, existing=True, fails_open=True)
def hook(call: Call, event: str, payload: str = "-") -> HookAnswer:
    """Answer a hook of Claude Code, Codex or Gemini CLI; status 0 whatever fails, and never creates a store.

    event: SessionStart, Stop, SubagentStop, SessionEnd, PreCompact; of Gemini CLI AfterAgent, PreCompress, BeforeAgent
    payload: the client's JSON; - reads standard input, as does leaving it out

    SessionStart briefs the agent (and gives Claude Code's shell the functions), Stop sends it back once to unread
    mail, SubagentStop and SessionEnd end it, PreCompact makes a checkpoint.
    Example: hook SessionStart '{"session_id": "s-1", "source": "startup"}'
    """
    from ..hooks.occasion import BEGIN, read_occasion

    occasion = read_occasion(event, payload)
    wrong = _give_functions(call) if occasion.kind == BEGIN else ""
    given = _answer(call, occasion) if occasion.kind else {}
    if wrong:
        call.warn(wrong)
    return given


def _give_functions(call: Call) -> str:
    """Write the shell functions into the file that Claude Code runs before each shell command; returns any error."""
    path = call.environ.get("CLAUDE_ENV_FILE")
    if not path:
        return ""
    from .installing import init

    try:
        init(call, "sh", env_file=path)
    except (MilestoneError, OSError) as error:  # the agent is briefed all the same
        return f"the shell functions could not be written for Claude Code: {error}"
    return ""


def _answer(call: Call, occasion: Occasion) -> HookAnswer:
    from ..opening.presence import require_present_version
    from ..storage.selection import backend_in_use

    backend = backend_in_use(call.directory)
    if backend is None:
        return {}
    require_present_version(call.directory, backend)
    from ..hooks.answering import answer
    from ..running import look

    given: HookAnswer = look(call, lambda store: answer(store, occasion), in_use=True)
    return given


@operation(text="nothing", shell=False)
def watch(call: Call, *, agent: str = "", all: bool = False, seconds: float | None = None) -> WatchEnd:
    """Print a line for each new message to an agent: type, sender, id and the command that reads it, never its text.

    agent: the agent; without it $AGENT_ID
    all: also for broadcasts with priority 5 or less; without it only for direct and urgent messages
    seconds: end after so many; without it, run until it is ended

    While messages are unread it repeats the line after 5, 15 and then every 60 minutes. It ends when the agent has
    completed, its reader has gone, or on SIGINT and SIGTERM. doctor lists live and dead watchers.
    Example: watch --agent exec-ms-123 --seconds 0
    """
    from ..hooks.watching import Watch

    agent_id = agent or call.environ.get("AGENT_ID", "")
    if not agent_id:
        raise UsageError("whose mail is to be watched? --agent ID, or set AGENT_ID")
    check_id(agent_id, "--agent")
    if seconds is not None:
        check_range(seconds, 0, 10 ** 9, "--seconds")
    watching = Watch(call, agent_id, all, seconds)
    reason = watching.run()
    return {"agent_id": agent_id, "calls": watching.calls, "ended": reason}
