"""Serving: the operations as tools of a client that starts this program."""
from __future__ import annotations

from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.call import Call

GROUP = "Serving"


@operation(text="nothing", shell=False)
def mcp(call: Call, *, tools: str = "core", structured: bool = False) -> None:
    """Serve a client that speaks the Model Context Protocol on standard input and output, until it closes them.

    tools: core, all, or names of functions with commas between them
    structured: every result has its data as structuredContent too, for clients that are programs

    The client starts it; docs/mcp.md says how it is told to. Revisions 2024-11-05 to 2026-07-28 are spoken.
    Example: mcp --tools core,broadcast_agent_message
    """
    from ..base.packaged import require_docstrings
    from ..mcp.calling import Surroundings
    from ..mcp.server import Server
    from ..mcp.streams import on_signals, own_streams
    from ..mcp.tools import choose_tools
    from ..opening.place import begin_call

    require_docstrings("the descriptions of the tools are")
    chosen = choose_tools(tools)
    is_found = begin_call("", call.environ, call.clock).directory == call.directory
    surroundings = Surroundings("" if is_found else call.directory, call.environ, call.clock, structured)
    with own_streams() as (source, target):
        server = Server(source, target, chosen, surroundings)
        with on_signals(server.stop):
            server.serve()
