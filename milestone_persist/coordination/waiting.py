"""Waiting for another process: wakes soon after its commit, without reading rows meanwhile."""
from __future__ import annotations

from ..base.errors import Busy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..storage.interface import Storage

RECHECK_SECONDS = 1.0  # after which rows are read again though nothing was committed: a lease may have run out


class Changes:
    """Tells a waiting caller when to read a store again.

    poll_seconds: how long it may take to see that; never less than the store's own
    recheck_seconds: after which it is time though nothing was committed
    """

    def __init__(self, store: Storage, poll_seconds: float = 0, recheck_seconds: float = RECHECK_SECONDS) -> None:
        self._store, self._clock = store, store.clock
        self._poll_seconds, self._recheck_seconds = max(poll_seconds, store.poll_seconds), recheck_seconds
        self._seen: object = self  # as no store's stamp: what has changed before the first look counts as well

    def wait(self, until: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Return once the store may have changed, recheck_seconds have passed, or it is `until` (monotonic).

        is_over: asked often whether to return at once
        """
        until = min(until, self._clock.monotonic() + self._recheck_seconds)
        while not self._has_changed() and not is_over():
            left = until - self._clock.monotonic()
            if left <= 0:
                return
            self._clock.sleep(min(self._poll_seconds, left))
            if self._seen is None:  # nothing tells: each look is one at the rows
                return

    def _has_changed(self) -> bool:
        """Whether the store has changed since the last call; if another process holds it, asks again."""
        try:
            stamp = self._store.change_stamp()
        except Busy:
            return False
        changed = stamp is not None and stamp != self._seen
        self._seen = stamp
        return changed
