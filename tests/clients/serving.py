"""A server on loopback for as long as a context lasts."""
from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer


class Serving:
    """A context that answers HTTP on a free port with a class of handlers, and ends.

    shared: attributes of that class, for all its handlers
    """

    def __init__(self, handler, **shared):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), shared))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
