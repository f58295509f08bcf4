"""Coordination for several coding agents on one milestone: registry, messages, state, checkpoints, sessions, recovery.

    from milestone_persist import open_store
    with open_store() as store:
        store.save_agent_state("scope-ms-123", "planning-scope", "a text")
"""
# Any Python must be able to read this, too: after -m it comes before __main__.py, which hands over to a newer one.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .api import Store, open_store
    from .base import __version__
    from .base.errors import MilestoneError, MilestoneWarning, Refused, StorageError, UsageError
    from .storage.call import Clock

__all__ = ["Clock", "MilestoneError", "MilestoneWarning", "Refused", "StorageError", "Store", "UsageError",
           "__version__", "open_store"]

_HOMES = {"open_store": "api", "Store": "api", "Clock": "storage.call", "__version__": "base"}
_HOMES.update(dict.fromkeys(
    ("MilestoneError", "MilestoneWarning", "Refused", "StorageError", "UsageError"), "base.errors"))


def __getattr__(name):  # type: (str) -> object
    """Load the public names when they are first used: a shell call needs none of them."""
    if name not in _HOMES:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    home = __import__(__name__ + "." + _HOMES[name], fromlist=[name])
    return getattr(home, name)
