"""Watches an inbox: a line for each new message, repeated at long intervals while it is unread."""
from __future__ import annotations

from ..base.errors import Busy, Refused, StorageError
from ..base.quoting import command_on
from ..base.signals import note_signals, restore_signals
from ..base.times import since
from ..base.vocabulary import MOST_NAMED
from ..cli.text.briefing import list_messages
from ..cli.text.forms import count
from ..coordination.inbox import list_unread, sum_unread
from ..coordination.membership import warn_of_slip
from ..coordination.message_states import RINGS
from ..coordination.waiting import Changes
from ..coordination.watchers import describe_watcher, enter_watcher, leave_watcher, list_watchers
from ..running import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base.answers import Notice
    from ..storage.call import Call
    from ..storage.interface import Storage

AGAIN_SECONDS = (300, 900, 3600)  # from one call for unread mail to the next; the last again and again
REOPEN_SECONDS = 3600  # after which the store is opened again, so that nothing holds it for days
POLL_SECONDS, RECHECK_SECONDS = 0.1, 10.0  # a watcher lives for hours: it looks less often than one who waits
MOST_KNOWN = 500  # unread messages that are told apart: the newest
NEVER = float("inf")


class Watch:
    """Notifies one agent of messages: `run` continues until something ends it, and returns what.

    calls_for_all: whether it calls for broadcasts of the usual priority too
    seconds: how long; None: until it is ended
    """

    def __init__(self, call: Call, agent_id: str, calls_for_all: bool, seconds: float | None) -> None:
        self.call, self.clock, self.agent_id = call, call.clock, agent_id
        self.which = "1 = 1" if calls_for_all else RINGS
        self.until = NEVER if seconds is None else self.clock.monotonic() + seconds
        self.signal, self.calls = "", 0
        self._told: set[int] = set()  # unread, and called for
        self._due, self._times = NEVER, 0  # when to call again for what is unread, and how often that was done

    def run(self) -> str:
        """Watch until it ends; returns why. Refused if another process watches for that agent."""
        if not look(self.call, lambda store: store.describe()["exists"], in_use=True):
            raise Refused(f"no store at {self.call.directory}: there is nothing to watch")
        before, held = note_signals(self._end_on), None
        try:
            held = self._enter()
            reason = ""
            while not reason:
                reason = look(self.call, self._watch, in_use=True)
            return reason
        finally:
            if held:
                leave_watcher(held)
            restore_signals(before)

    def _end_on(self, signal: str) -> None:
        self.signal = signal

    def _enter(self) -> tuple[int, str] | None:
        try:
            held = enter_watcher(self.call, self.agent_id)
        except (StorageError, OSError) as error:
            self.call.warn(f"doctor will not show this watcher, for it cannot leave a file: {error}")
            return None
        if held is None:
            others = [other for other in list_watchers(self.call.directory) if other["agent_id"] == self.agent_id]
            which = f": {describe_watcher(others[0])}" if others else ""
            raise Refused(f"a watcher of {self.agent_id!r} is alive{which}: it calls already")
        return held

    def _watch(self, store: Storage) -> str:
        """Watch one open store; "" if it has to be reopened."""
        changes = Changes(store, POLL_SECONDS, RECHECK_SECONDS)
        until = min(self.until, self.clock.monotonic() + REOPEN_SECONDS)
        warn_of_slip(store, self.agent_id, "there may never be mail for it")
        while True:
            changes.wait(min(until, self._due), lambda: bool(self.signal) or not self.call.is_heard())
            try:
                self._look(store)
                reason = self._reason_to_end(store)
            except Busy:  # another process is writing: the next look tells
                reason = self.signal
            if reason or self.clock.monotonic() >= until:
                return reason

    def _reason_to_end(self, store: Storage) -> str:
        if self.signal:
            return self.signal
        if self.clock.monotonic() >= self.until:
            return "the time is over"
        if not self.call.is_heard():
            return "the reader has gone"
        rows = store.execute("SELECT 1 AS done FROM agent_registry WHERE agent_id = :id AND status = 'completed'",
                             {"id": self.agent_id})
        return "the agent has completed" if rows else ""

    def _look(self, store: Storage) -> None:
        """Report new messages, and unread ones when due."""
        unread = list_unread(store, self.agent_id, MOST_KNOWN, self.which, newest_first=True)[::-1]
        new = [message for message in unread if message["id"] not in self._told]
        # What is read is forgotten, for it may come back; not what is only too old to be among the newest.
        oldest = unread[0]["id"] if len(unread) == MOST_KNOWN else 0
        self._told = {number for number in self._told if number < oldest}.union(message["id"] for message in unread)
        if new:
            self._call_for_new(sorted(new, key=lambda message: (-message["priority"], message["id"])))
            self._times = 0
        elif not unread:
            self._due = NEVER
            return
        elif self.clock.monotonic() >= self._due:
            self._call_again(store)
            self._times += 1
        else:
            return
        self._due = self.clock.monotonic() + AGAIN_SECONDS[min(self._times, len(AGAIN_SECONDS) - 1)]

    @property
    def _command(self) -> str:
        return command_on("get_agent_messages", [self.agent_id, "true"])

    def _call_for_new(self, new: list[Notice]) -> None:
        for message in new[:MOST_NAMED]:
            self._say("message", f"message {list_messages([message])}: {self._command}", **message)
        if len(new) > MOST_NAMED:
            more = len(new) - MOST_NAMED
            self._say("more", f"{more} more messages to {self.agent_id}: {self._command}", number=more)

    def _call_again(self, store: Storage) -> None:
        unread, most = sum_unread(store, self.agent_id, self.which), MOST_NAMED
        number, age = unread["number"], since(unread["since"] or store.now(), store.now())
        first = list_messages(list_unread(store, self.agent_id, most, self.which), number)
        self._say("unread", f"still unread, the oldest for {age}: {count(number, 'message')} to {self.agent_id} "
                  f"({first}): {self._command}", number=number)

    def _say(self, what: str, text: str, **more: Any) -> None:
        self.calls += 1
        self.call.emit({"call": what, "agent_id": self.agent_id, **more, "command": self._command}, text)
