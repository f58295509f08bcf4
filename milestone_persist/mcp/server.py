"""The server: lines in, answers out, until the client closes the stream.

One thread reads and answers at once what needs no store. One runs the calls in the order in which they came, so that
a client that does not wait for answers finds what it wrote; a call that may wait runs in a thread of its own.
"""
from __future__ import annotations

import queue
import threading
import time

from ..cli.process import explain_failure
from .arguments import waits
from .calling import Cancelled, RequestClock, start_thread
from .methods import AT_ONCE_LEGACY, AT_ONCE_MODERN, STORED, end_subscription
from .protocol import (
    BATCHES,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    LONGEST_LINE,
    METHOD_NOT_FOUND,
    ProtocolError,
    check_message,
    is_modern,
    read_id,
    read_line,
)
from .requests import Batch, Output, Request, Requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO

    from ..registry import Operation
    from .calling import Surroundings

MOST_WAITING = 64  # calls that wait at once
LINGER = 5.0  # seconds that what is running has at the end, where the client did not only close the stream


class Server:
    """Serves one client on a pair of streams, with some operations as tools.

    revision: the one that initialize has chosen; "" as long as it has not
    """

    def __init__(self, source: BinaryIO, target: BinaryIO, tools: Sequence[Operation],
                 surroundings: Surroundings) -> None:
        self.source, self.tools, self.surroundings = source, {op.name: op for op in tools}, surroundings
        self.output = Output(target, self.stop)
        self.requests = Requests()
        self.revision = ""
        self._jobs: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._waiting: list[threading.Thread] = []
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()  # no Event: a signal may come within its wait
        self._is_stopping = self._is_closing = False

    def serve(self) -> None:
        """Serve until the client closes the stream, or `stop` is called; earlier requests are answered."""
        start_thread(self._read)
        worker = start_thread(self._work)
        self._ended.get()
        self._is_closing = True
        until = time.monotonic() + LINGER
        for thread in [worker, *self._waiting]:
            thread.join(max(0.0, until - time.monotonic()))
        for request in self.requests.of_method("subscriptions/listen"):
            self.requests.answer(request, end_subscription(request))

    def stop(self) -> None:
        """End soon: finish running requests, start no waiting ones. Signal handlers may call it."""
        self._is_stopping = True
        self._jobs.put(None)
        self._ended.put(None)

    def _read(self) -> None:
        """Read lines until the end; answers requests that need no store."""
        try:
            while not self._is_stopping:
                line = self.source.readline(LONGEST_LINE + 1)
                if not line:
                    break
                if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                    self._skip_line()
                elif line.strip():
                    self._take_line(line)
        except (OSError, ValueError):  # the stream is closed
            pass
        finally:
            self._jobs.put(None)

    def _skip_line(self) -> None:
        while True:
            rest = self.source.readline(1024 * 1024)
            if not rest or rest.endswith(b"\n"):
                break
        self.output.send(ProtocolError(INVALID_REQUEST, f"a message has {LONGEST_LINE} bytes at most: it was ignored")
                         .as_message(None))

    def _take_line(self, line: bytes) -> None:
        try:
            message = read_line(line)
        except ProtocolError as error:
            self.output.send(error.as_message(None))
            return
        if isinstance(message, list) and self.revision in BATCHES and message:
            batch = Batch(self.output)
            for each in message:
                self._take_message(each, batch)
            batch.send(None)
        elif isinstance(message, list):
            self.output.send(ProtocolError(
                INVALID_REQUEST, "an empty batch" if not message else
                f"batches are of revision {', '.join(BATCHES)} alone: send one message a line").as_message(None))
        else:
            self._take_message(message, self.output)

    def _take_message(self, message: Any, channel: Output | Batch) -> None:
        try:
            if not check_message(message):
                return
        except ProtocolError as error:
            if isinstance(channel, Batch):
                channel.add_one()
            channel.send(error.as_message(read_id(message)))
            return
        method, params = message["method"], message.get("params") or {}
        if "id" not in message:
            if method == "notifications/cancelled":
                self.requests.cancel(params.get("requestId"))
            return
        self._take_request(Request(message["id"], method, params, channel))

    def _take_request(self, request: Request) -> None:
        if not self.requests.begin(request):
            refusal = ProtocolError(INVALID_REQUEST, "a request of this id is under way: nothing was done")
            if isinstance(request.channel, Batch):
                request.channel.add_one()
            request.channel.send(refusal.as_message(request.id))
            return
        try:
            request.is_modern = is_modern(request.method, request.params, self.revision)
            if request.method in STORED:
                self._jobs.put(request)
                return
            handler = (AT_ONCE_MODERN if request.is_modern else AT_ONCE_LEGACY).get(request.method)
            if handler is None:
                raise ProtocolError(METHOD_NOT_FOUND, f"Method not found: {request.method}")
            result = handler(self, request)
        except ProtocolError as error:
            self.requests.answer(request, error)
        except Exception as failure:
            self.requests.answer(request, ProtocolError(INTERNAL_ERROR, explain_failure(failure)))
        else:
            if result is not None:
                self.requests.answer(request, result)

    def _work(self) -> None:
        """Handle requests that need a store, in the order of arrival."""
        while True:
            request = self._jobs.get()
            if request is None or self._is_stopping:
                break
            if self._may_wait(request):
                self._wait_apart(request)
            else:
                self._carry_out(request)
        self._ended.put(None)

    def _may_wait(self, request: Request) -> bool:
        arguments, name = request.params.get("arguments"), request.params.get("name")
        op = self.tools.get(name) if request.method == "tools/call" and isinstance(name, str) else None
        if op is None or not isinstance(arguments, dict):
            return False
        given = {"wait": arguments["wait"]} if arguments.get("wait") is not None else {}
        try:
            return waits(op, given) > 0
        except (TypeError, ValueError):  # no number: the call is refused
            return False

    def _wait_apart(self, request: Request) -> None:
        self._waiting = [thread for thread in self._waiting if thread.is_alive()]
        if len(self._waiting) >= MOST_WAITING:
            self.requests.answer(request, ProtocolError(
                INTERNAL_ERROR, f"{MOST_WAITING} calls are waiting: nothing was done; cancel one, or try again later"))
        else:
            self._waiting.append(start_thread(lambda: self._carry_out(request)))

    def _carry_out(self, request: Request) -> None:
        """Answer a request that needs a store, whatever happens."""
        if request.is_cancelled:
            return
        try:
            result = STORED[request.method](self, request)
            if result is not None:
                self.requests.answer(request, result)
        except ProtocolError as error:
            self.requests.answer(request, error)
        except Cancelled:
            self.requests.answer(request, ProtocolError(INTERNAL_ERROR, "the server is ending: nothing was done"))
        except Exception as failure:
            self.requests.answer(request, ProtocolError(INTERNAL_ERROR, explain_failure(failure)))

    def clock_of(self, request: Request) -> RequestClock:
        """The clock of a request, whose waiting ends when it is cancelled or the server closes."""
        return RequestClock(self.surroundings.clock, lambda: request.is_cancelled or self._is_closing)
