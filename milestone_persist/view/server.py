"""The live page's server: only for this machine, only with the token, and read-only."""
from __future__ import annotations

import hmac
import secrets
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from ..base.errors import MilestoneError, Refused
from ..base.values import dump_json
from .page import policy
from .plain import tell_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .source import Source

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")  # by which a browser of this machine may call it
READ_SECONDS = 15  # for a request to come in
PING_SECONDS = 10.0  # after which a stream says that it is still there, and finds out whether its reader is
LEAST_SECONDS, COST = 0.25, 4  # between two updates: at least so long, and so many times what the last one took
MOST_STREAMS = 32
MOST_CONNECTIONS = 96  # at once, those of streams included
HEADERS = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": "camera=(), geolocation=(), microphone=()"}


class Server(ThreadingHTTPServer):
    """Serves the pages of a source at `url` until it is shut down. OSError if the port is not available."""

    daemon_threads, block_on_close = True, False

    def __init__(self, source: Source, port: int = 0) -> None:
        self.source, self.token = source, secrets.token_urlsafe(24)
        self.streams = threading.BoundedSemaphore(MOST_STREAMS)
        self._connections = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((HOST, port), Handler)
        self.port = self.server_address[1]
        self.url = f"http://{HOST}:{self.port}/{self.token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; a connection over the limit is refused."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be had
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that has gone is no error."""


class Handler(BaseHTTPRequestHandler):
    """One request: from another site, under another host name or without the token it gets nothing."""

    server: Server
    timeout = READ_SECONDS
    server_version, sys_version = "milestone_persist", ""

    def setup(self) -> None:
        """A request has to arrive within a time limit: each byte of it restarts `timeout`, but not this limit."""
        super().setup()
        self._deadline = threading.Timer(READ_SECONDS, self._give_up)
        self._deadline.daemon = True
        self._deadline.start()

    def _give_up(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RD)
        except OSError:  # it is closed
            pass

    def finish(self) -> None:
        self._deadline.cancel()
        super().finish()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Errors of the parser are answered like any other: nothing of the request is repeated."""
        self.request_version = self.protocol_version  # else one that could not be read gets no headers
        self._refuse(HTTPStatus(code))

    def do_GET(self) -> None:
        self._deadline.cancel()
        try:
            path = urlsplit(self.path)
        except ValueError:
            return self._refuse(HTTPStatus.BAD_REQUEST)
        words = path.path.split("/")
        if not self._is_local():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif len(words) != 3 or not hmac.compare_digest(words[1].encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            session_id = parse_qs(path.query).get("session", [""])[0]
            answers = {"": self._answer_page, "data": self._answer_data, "changes": self._answer_changes}
            answers.get(words[2], self._answer_nothing)(session_id)

    do_HEAD = do_GET

    def _is_local(self) -> bool:
        """Whether our page or a person asks: not another site, even one whose name resolves to this machine."""
        names = [f"{name}:{self.server.port}" for name in NAMES]
        origin = self.headers.get("Origin")
        return (self.headers.get("Host") in names and (origin is None or origin in [f"http://{name}" for name in names])
                and (self.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin") or self._is_visit()))

    def _is_visit(self) -> bool:
        """Whether a person follows a link to the page as a top-level page: the other site sees nothing of it."""
        return (self.headers.get("Sec-Fetch-Mode"), self.headers.get("Sec-Fetch-Dest")) == ("navigate", "document")

    def _refuse(self, status: HTTPStatus) -> None:
        self._answer(f"{status.value} {status.phrase}\n".encode(), "text/plain; charset=utf-8", status)

    def _answer(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._begin(kind, status, {"Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, kind: str, status: HTTPStatus, more: dict[str, str]) -> None:
        self.send_response(status)
        rules = f"{policy(True)}; frame-ancestors 'none'"
        for name, value in {"Content-Type": kind, "Content-Security-Policy": rules, **HEADERS, **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def _answer_nothing(self, session_id: str) -> None:
        self._refuse(HTTPStatus.NOT_FOUND)

    def _answer_page(self, session_id: str) -> None:
        try:
            text, status = self.server.source.page(session_id), HTTPStatus.OK
        except MilestoneError as error:
            missing = isinstance(error, Refused)
            text, status = tell_error(str(error)), HTTPStatus.NOT_FOUND if missing else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(text.encode(), "text/html; charset=utf-8", status)

    def _answer_data(self, session_id: str) -> None:
        try:
            body = self.server.source.update(session_id)
        except MilestoneError as error:
            body = dump_json({"error": str(error)}).encode()
        self._answer(body, "application/json")

    def _answer_changes(self, session_id: str) -> None:
        """Send a line for each change: the page then requests the data."""
        if not self.server.streams.acquire(blocking=False):
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            self._begin("text/event-stream", HTTPStatus.OK, {"Connection": "close"})
            if self.command != "HEAD":
                self._stream(self.server.source)
        finally:
            self.server.streams.release()

    def _stream(self, source: Source) -> None:
        version = source.version
        self._send(b"data: begin\n\n")  # what changed while the page came is in the first update
        while not source.is_over:
            found = source.wait(version, PING_SECONDS)
            if source.is_over:
                break
            self._send(b"data: changed\n\n" if found != version else b": here\n\n")
            version = found
            time.sleep(max(LEAST_SECONDS, COST * source.cost))

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: every line would contain the token."""
