"""A live page of the sessions, served to the browsers of this machine."""
from __future__ import annotations

import os

from ..base.errors import MilestoneError, Refused
from ..base.values import check_range
from ..coordination.waiting import Changes
from ..registry import operation
from ..running import look
from ..storage.directory import require_usable
from ..view.reading import list_session_ids, read_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.call import Call
    from ..storage.interface import Row, Storage
    from ..view.server import Server
    from ..view.source import Source

GROUP = "Looking"
REOPEN_SECONDS = 2.0  # after which the store is opened again: another may be in its place
RETRY_SECONDS = 0.5  # after a look at the store that failed
# What is another after whatever a page shows has changed, where nothing else tells.
FINGERPRINT = ("SELECT (SELECT max(id) FROM events) AS event, (SELECT max(id) FROM agent_messages) AS message, "
               "(SELECT max(last_heartbeat) FROM agent_registry) AS heard, "
               "(SELECT max(updated_at) FROM agent_state) AS saved, "
               "(SELECT max(last_activity) FROM coordination_sessions) AS active, "
               "(SELECT count(*) FROM coordination_sessions) AS sessions")


@operation(text="dashboard_ended", shell=False, existing=True)
def dashboard(call: Call, *, port: int = 0, open: bool = False) -> Row:
    """Serve a live page of the sessions to the browsers of this machine until Ctrl-C; prints its address first.

    port: the port of 127.0.0.1; without it, a free one
    open: open the page in a browser

    Only people with the address, which contains a secret, can see it; nothing can be changed there.
    Example: dashboard --port 8142
    """
    from ..view.server import Server
    from ..view.source import Source

    check_range(port, 0, 65535, "--port")
    require_usable(call.directory, call.environ)
    source = Source(lambda session_id: _read(call, session_id))
    try:
        server = Server(source, port)
    except OSError as error:
        raise Refused(f"port {port} cannot be used ({error.strerror}): name another, or none for a free one") from None
    _tell(f"{server.url}\nCtrl-C ends it")
    link = _open_browser(server.url) if open else ""
    try:
        _serve(call, server, source)
    finally:
        if os.path.exists(link):
            os.unlink(link)
    return {"ended": True, "port": server.port}


def _open_browser(url: str) -> str:
    """Open the page through a private file, whose path it returns: all users can see a program's command line."""
    import tempfile
    import webbrowser

    from ..view.plain import make_link

    descriptor, path = tempfile.mkstemp(prefix="milestone-", suffix=".html")
    os.write(descriptor, make_link(url).encode())
    os.close(descriptor)
    webbrowser.open(f"file://{path}")
    return path


def _serve(call: Call, server: Server, source: Source) -> None:
    """Answer requests until a signal."""
    import signal
    import threading

    def end(number: int, frame: object) -> None:
        threading.Thread(target=server.shutdown).start()  # which waits for the loop that this interrupts

    before = [(number, signal.signal(number, end)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    watcher = threading.Thread(target=_watch, args=(call, source), daemon=True)
    watcher.start()
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        source.end()
        server.server_close()
        for number, action in before:
            signal.signal(number, action)


def _read(call: Call, session_id: str) -> tuple[Row | None, list[Row]]:
    def read(store: Storage) -> tuple[Row | None, list[Row]]:
        store.refuse_altered()
        sessions = list_session_ids(store)
        shown = session_id or (sessions[0]["session_id"] if sessions else "")
        return (read_session(store, shown) if shown else None), sessions

    found: tuple[Row | None, list[Row]] = look(call, read, in_use=True)
    return found


def _watch(call: Call, source: Source) -> None:
    """Notify the source of every change, wherever the store is by then."""
    watched = Watched(source)
    while not source.is_over:
        try:
            look(call, watched.watch, in_use=True)
        except (MilestoneError, OSError):  # a page that asks is told
            watched.note("error")
            call.clock.sleep(RETRY_SECONDS)


class Watched:
    """What was last seen of the store; None before the first look."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.seen: object = None

    def watch(self, store: Storage) -> None:
        """Watch the store for a while, and notice immediately when another process has committed something."""
        store.refuse_altered()
        until, changes, stamp = store.clock.monotonic() + REOPEN_SECONDS, Changes(store), store.change_stamp()
        self.note(store.execute(FINGERPRINT))
        while not self.source.is_over and store.clock.monotonic() < until:
            changes.wait(until, lambda: self.source.is_over)
            before, stamp = stamp, store.change_stamp()
            if stamp is not None and stamp != before:
                self.source.note_change()
                self.seen = store.execute(FINGERPRINT)
            elif stamp is None:
                self.note(store.execute(FINGERPRINT))

    def note(self, fingerprint: object) -> None:
        """Take note of a fingerprint, and tell the source where it is another than before."""
        before, self.seen = self.seen, fingerprint
        if before not in (None, fingerprint):
            self.source.note_change()


def _tell(line: str) -> None:
    try:
        os.write(1, (line + "\n").encode("utf-8", "backslashreplace"))
    except OSError:  # there is no reader
        pass
