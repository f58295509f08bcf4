"""JSON-RPC and the revisions of MCP: parsing the client's lines, the revision to answer with, the errors.

Up to 2025-11-25 `initialize` chooses the revision for the process. From 2026-07-28 on each request names it in `_meta`.
"""
from __future__ import annotations

from ..cli.main import shorten_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")  # begun by initialize
MODERN = ("2026-07-28",)  # named in every request
BATCHES = ("2025-03-26",)  # the one revision that has them

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
RESOURCE_NOT_FOUND = -32002  # until 2025-11-25
UNSUPPORTED_VERSION = -32022

PREFIX = "io.modelcontextprotocol/"
VERSION, CAPABILITIES = PREFIX + "protocolVersion", PREFIX + "clientCapabilities"
SERVER_INFO, SUBSCRIPTION = PREFIX + "serverInfo", PREFIX + "subscriptionId"

LONGEST_LINE = 64 * 1024 * 1024  # bytes of one message


class ProtocolError(Exception):
    """The error answer to a request: code, text and data."""

    def __init__(self, code: int, text: str, data: Any = None) -> None:
        super().__init__(text)
        self.code, self.data = code, data

    def as_message(self, request_id: Any) -> dict[str, Any]:
        """The error as an answer; without an id if none could be read."""
        error = {"code": self.code, "message": shorten_line(str(self))}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", **({} if request_id is None else {"id": request_id}), "error": error}


def read_line(line: bytes) -> Any:
    """The value of one line; ProtocolError if it is not JSON."""
    import json

    try:
        return json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ProtocolError(PARSE_ERROR, f"a line from the client is not JSON ({why[:200]}): it was ignored") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def dump_message(message: Any) -> bytes:
    """A message as one line. A half character, which JSON can express and UTF-8 cannot, stays an escape."""
    import json

    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def read_id(message: Any) -> Any:
    """The id of a request, if it is valid: a text or a whole number; else None."""
    found = message.get("id") if isinstance(message, dict) else None
    return found if isinstance(found, (str, int)) and not isinstance(found, bool) else None


def check_message(message: Any) -> bool:
    """Whether a message is a request or a notification, rather than an answer; ProtocolError if it is neither."""
    if not isinstance(message, dict):
        raise ProtocolError(INVALID_REQUEST, f"a message is a JSON object, not {type(message).__name__}")
    if message.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, 'a message has "jsonrpc": "2.0"')
    if "method" not in message and ("result" in message or "error" in message):
        return False
    if not isinstance(message.get("method"), str):
        raise ProtocolError(INVALID_REQUEST, "a request names its method")
    if "id" in message and read_id(message) is None:
        raise ProtocolError(INVALID_REQUEST, "the id of a request is a text or a whole number")
    if message.get("params") is not None and not isinstance(message["params"], dict):
        raise ProtocolError(INVALID_PARAMS, "params is an object")
    return True


def is_modern(method: str, params: dict[str, Any], legacy: str) -> bool:
    """Whether a request is of a revision without `initialize`; ProtocolError for an unknown revision.

    legacy: the revision that `initialize` has chosen before; "" if there was none
    """
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        raise ProtocolError(INVALID_PARAMS, "_meta is an object")
    if VERSION not in meta:
        if legacy or method in ("initialize", "ping"):
            return False
        raise ProtocolError(INVALID_PARAMS, f"_meta of the request has no {VERSION}: it must name the revision, "
                            f"{' or '.join(MODERN)}; a client of an earlier one sends initialize first")
    version = meta[VERSION]
    if not isinstance(version, str):
        raise ProtocolError(INVALID_PARAMS, f"{VERSION} is a text")
    if version not in MODERN:
        raise ProtocolError(UNSUPPORTED_VERSION, "Unsupported protocol version",
                            {"supported": [*MODERN], "requested": shorten_line(version)})
    if not isinstance(meta.get(CAPABILITIES), dict):
        raise ProtocolError(INVALID_PARAMS, f"_meta of the request has no {CAPABILITIES}: it must be an object")
    return True
