"""Requests under way: each is answered once, or never if the client withdrew it; a batch is answered as one."""
from __future__ import annotations

import threading

from .protocol import ProtocolError, dump_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO


class Output:
    """The stream to the client: a message at a time, each a whole line. `on_broken` is called when nobody reads it."""

    def __init__(self, stream: BinaryIO, on_broken: Callable[[], None]) -> None:
        self.stream, self.on_broken = stream, on_broken
        self.is_broken = False
        self._lock = threading.Lock()

    def send(self, message: Any) -> bool:
        """Write a message; whether it could be."""
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
    """The answers to requests that came together; sent as one message when the last of them is known."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.open = 1  # what may still add an answer: at first who reads the batch
        self.answers: list[Any] = []
        self._lock = threading.Lock()

    def add_one(self) -> None:
        """One more answer is to come."""
        with self._lock:
            self.open += 1

    def send(self, message: Any) -> bool:
        """An answer, or None where there is none; whether it was taken."""
        with self._lock:
            self.answers += [] if message is None else [message]
            self.open -= 1
            if self.open:
                return True
        return not self.answers or self.output.send(self.answers)


class Request:
    """One request: its id, its method and params, its era, and where its answer goes."""

    __slots__ = ("id", "method", "params", "is_modern", "channel", "is_cancelled", "is_answered")

    def __init__(self, request_id: Any, method: str, params: dict[str, Any], channel: Output | Batch) -> None:
        self.id, self.method, self.params, self.channel = request_id, method, params, channel
        self.is_modern = self.is_cancelled = self.is_answered = False


class Requests:
    """Those under way, by id."""

    def __init__(self) -> None:
        self._open: dict[Any, Request] = {}
        self._lock = threading.Lock()

    def begin(self, request: Request) -> bool:
        """Note a request; False if one of that id is under way."""
        with self._lock:
            if _key(request.id) in self._open:
                return False
            self._open[_key(request.id)] = request
        if isinstance(request.channel, Batch):
            request.channel.add_one()
        return True

    def cancel(self, request_id: Any) -> None:
        """Let a request end without an answer, if it is under way; what is no id names none."""
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
        """Answer a request; whether the answer went out: not if it was withdrawn, or nobody reads."""
        with self._lock:
            if request.is_cancelled:
                return False
            request.is_answered = True
            self._open.pop(_key(request.id), None)
        message = (result.as_message(request.id) if isinstance(result, ProtocolError) else
                   {"jsonrpc": "2.0", "id": request.id, "result": result})
        return request.channel.send(message)

    def of_method(self, method: str) -> list[Request]:
        """The requests of a method that are under way."""
        with self._lock:
            return [request for request in self._open.values() if request.method == method]


def _key(request_id: Any) -> tuple[str, Any]:
    """1 and "1" are two ids."""
    return type(request_id).__name__, request_id
