"""The methods of the protocol, and the answer to each."""
from __future__ import annotations

from ..base import __version__
from ..base.invocation import way_called
from ..base.suggestions import offer, suggest_names
from ..registry import find_operation
from .calling import ToolCall
from .instructions import INSTRUCTIONS
from .protocol import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    LEGACY,
    MODERN,
    RESOURCE_NOT_FOUND,
    SERVER_INFO,
    SUBSCRIPTION,
    ProtocolError,
)
from .requests import Batch
from .resources import TEMPLATES, list_resources, read_resource
from .tools import describe_tool, is_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..registry import Operation
    from .requests import Request
    from .server import Server

    Handler = Callable[[Server, Request], "dict[str, Any] | None"]  # None: the answer comes later, or is given already

SERVER = {"name": "milestone", "title": "Milestone coordination", "version": __version__}
CAPABILITIES: dict[str, Any] = {"tools": {}, "resources": {}}
LONGEST_URI = 8000  # characters: an id may have many that are written as three
HOUR, FRESH = {"ttlMs": 3_600_000, "cacheScope": "public"}, {"ttlMs": 0, "cacheScope": "private"}


def initialize(server: Server, request: Request) -> dict[str, Any]:
    """Choose the revision: what the client asks for if it is known, else the newest that has this method.

    ProtocolError where it names none, and in a batch.
    """
    asked = request.params.get("protocolVersion")
    if not isinstance(asked, str):
        raise ProtocolError(INVALID_PARAMS, "protocolVersion is a text such as " + LEGACY[-1])
    if isinstance(request.channel, Batch):
        raise ProtocolError(INVALID_REQUEST, "initialize is no part of a batch")
    server.revision = asked if asked in LEGACY else LEGACY[-1]
    return {"protocolVersion": server.revision, "capabilities": CAPABILITIES, "serverInfo": SERVER,
            "instructions": INSTRUCTIONS}


def ping(server: Server, request: Request) -> dict[str, Any]:
    """Answer a ping."""
    return {}


def discover(server: Server, request: Request) -> dict[str, Any]:
    """The server's description, for clients that send no initialize."""
    return _complete({"supportedVersions": [*MODERN], "capabilities": CAPABILITIES, "instructions": INSTRUCTIONS}, HOUR)


def list_tools(server: Server, request: Request) -> dict[str, Any]:
    """All tools, on one page."""
    _refuse_cursor(request)
    return _in_era(request, {"tools": [describe_tool(op, server.surroundings.environ)
                                       for op in server.tools.values()]}, HOUR)


def list_templates(server: Server, request: Request) -> dict[str, Any]:
    """The forms of the URIs of resources."""
    _refuse_cursor(request)
    return _in_era(request, {"resourceTemplates": TEMPLATES}, HOUR)


def listen(server: Server, request: Request) -> None:
    """Open a stream of notifications. There are none to be had here, which the acknowledgement says.

    ProtocolError where none are named.
    """
    if not isinstance(request.params.get("notifications"), dict):
        raise ProtocolError(INVALID_PARAMS, "notifications is an object")
    server.output.send({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                        "params": {"_meta": {SUBSCRIPTION: request.id}, "notifications": {}}})


def end_subscription(request: Request) -> dict[str, Any]:
    """The final answer to a stream of notifications."""
    return _complete({"_meta": {SUBSCRIPTION: request.id}})


def call_tool(server: Server, request: Request) -> None:
    """Run an operation and answer. If the answer does not go out, what it handed out is taken back.

    ProtocolError for a tool that is not served.
    """
    name, arguments = request.params.get("name"), request.params.get("arguments")
    op = server.tools.get(name) if isinstance(name, str) else None
    if op is None:
        raise ProtocolError(INVALID_PARAMS, f"Unknown tool: {name}{_how_to_have(name, server.tools)}")
    if arguments is not None and not isinstance(arguments, dict):
        raise ProtocolError(INVALID_PARAMS, "arguments is an object")
    call = ToolCall(op, server.surroundings.in_thread(request.params.get("_meta")), server.clock_of(request),
                    server.tools)
    if not server.requests.answer(request, _in_era(request, call.run(arguments or {}))):
        call.take_back()


def list_all_resources(server: Server, request: Request) -> dict[str, Any]:
    """The resources there are now, on one page."""
    _refuse_cursor(request)
    return _in_era(request, {"resources": list_resources(server.surroundings, server.clock_of(request))}, FRESH)


def read(server: Server, request: Request) -> dict[str, Any]:
    """What a resource holds; ProtocolError if there is none with that URI."""
    uri = request.params.get("uri")
    if not isinstance(uri, str):
        raise ProtocolError(INVALID_PARAMS, "uri is a text")
    if len(uri) > LONGEST_URI:
        raise ProtocolError(INVALID_PARAMS, f"a uri has {LONGEST_URI} characters at most")
    missing = INVALID_PARAMS if request.is_modern else RESOURCE_NOT_FOUND
    found = read_resource(uri, server.surroundings, server.clock_of(request), missing)
    return _in_era(request, {"contents": [found]}, FRESH)


def _in_era(request: Request, result: dict[str, Any], caching: dict[str, Any] = {}) -> dict[str, Any]:
    return _complete(result, caching) if request.is_modern else result


def _complete(result: dict[str, Any], caching: dict[str, Any] = {}) -> dict[str, Any]:
    """A result in the form of the revisions without initialize."""
    meta = {SERVER_INFO: SERVER, **result.get("_meta", {})}
    return {"resultType": "complete", **result, **caching, "_meta": meta}


def _refuse_cursor(request: Request) -> None:
    if request.params.get("cursor") is not None:
        raise ProtocolError(INVALID_PARAMS, "no such cursor: the list has one page")


def _how_to_have(name: Any, offered: Mapping[str, Operation]) -> str:
    """For a tool that the client was not offered: which one is meant, or how to enable it."""
    from re import sub

    name = sub("(?<=[a-z])(?=[A-Z])", "_", name.rpartition("__")[2]).lower() if isinstance(name, str) else ""
    found = find_operation(name)
    near = [found.name] if found and found.name in offered else [] if found else suggest_names(name, tuple(offered))
    if near or not found:
        return ": " + offer(near, "tools/list names those there are")
    if is_tool(found):
        return f" (the server offers it if it is started with: mcp --tools core,{found.name})"
    return f": it is no tool but a command: {way_called()} {found.command}"


_LISTS: dict[str, Handler] = {"tools/list": list_tools, "resources/templates/list": list_templates}
# Answered as soon as they are read, by era.
AT_ONCE_LEGACY: dict[str, Handler] = {"initialize": initialize, "ping": ping, **_LISTS}
AT_ONCE_MODERN: dict[str, Handler] = {"server/discover": discover, "subscriptions/listen": listen, **_LISTS}
# Answered in their order, for they open a store.
STORED: dict[str, Handler] = {"tools/call": call_tool, "resources/list": list_all_resources, "resources/read": read}
