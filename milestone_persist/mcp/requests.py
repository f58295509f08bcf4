"""Pending requests: each is answered once, or never if the client cancelled it; a batch has one answer."""
from __future__ import annotations

import threading

from .protocol import ProtocolError, dump_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO


class Output:
    """The stream to the client: one message at a time, each a whole line. Calls `on_broken` if the client has gone."""

    def __init__(self, stream: BinaryIO, on_broken: Callable[[], None]) -> None:
        self.stream, self.on_broken = stream, on_broken
        self.is_broken = False
        self._lock = threading.Lock()

    def send(self, message: Any) -> bool:
        """Write a message; returns whether that succeeded."""
        line = dump_message(message)
        with self._lock:
            if self.is_broken:
                return False
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[self.stream.write(rest):]
                return True
            except (OSError, ValueError):  # or closed
                self.is_broken = True
        self.on_broken()
        return False


class Batch:
    """The answers to a batch of requests, sent as one message when all are known."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.open = 1  # what may still add an answer: at first who reads the batch
        self.answers: list[Any] = []
        self._lock = threading.Lock()

    def add_one(self) -> None:
        """Expect one more answer."""
        with self._lock:
            self.open += 1

    def send(self, message: Any) -> bool:
        """Add an answer, or None; returns whether it was accepted."""
        with self._lock:
            self.answers += [] if message is None else [message]
            self.open -= 1
            if self.open:
                return True
        return not self.answers or self.output.send(self.answers)


class Request:
    """One request: its id, method and params, its era, and where to send its answer."""

    __slots__ = ("id", "method", "params", "is_modern", "channel", "is_cancelled", "is_answered")

    def __init__(self, request_id: Any, method: str, params: dict[str, Any], channel: Output | Batch) -> None:
        self.id, self.method, self.params, self.channel = request_id, method, params, channel
        self.is_modern = self.is_cancelled = self.is_answered = False


class Requests:
    """The pending requests, by id."""

    def __init__(self) -> None:
        self._open: dict[Any, Request] = {}
        self._lock = threading.Lock()

    def begin(self, request: Request) -> bool:
        """Add a request; False if one with that id is pending."""
        with self._lock:
            if _key(request.id) in self._open:
                return False
            self._open[_key(request.id)] = request
        if isinstance(request.channel, Batch):
            request.channel.add_one()
        return True

    def cancel(self, request_id: Any) -> None:
        """End a pending request without an answer; an invalid id matches none."""
        if not isinstance(request_id, (str, int)):
            return
        with self._lock:
            request = self._open.pop(_key(request_id), None)
            if request is None:
                return
            request.is_cancelled = True
        if isinstance(request.channel, Batch):
            request.channel.send(None)

    def answer(self, request: Request, result: dict[str, Any] | ProtocolError) -> bool:
        """Answer a request; returns whether the answer was sent: not if it was cancelled, or the client has gone."""
        with self._lock:
            if request.is_cancelled:
                return False
            request.is_answered = True
            self._open.pop(_key(request.id), None)
        message = (result.as_message(request.id) if isinstance(result, ProtocolError) else
                   {"jsonrpc": "2.0", "id": request.id, "result": result})
        return request.channel.send(message)

    def of_method(self, method: str) -> list[Request]:
        """The pending requests of a method."""
        with self._lock:
            return [request for request in self._open.values() if request.method == method]


def _key(request_id: Any) -> tuple[str, Any]:
    """1 and "1" are two ids."""
    return type(request_id).__name__, request_id
