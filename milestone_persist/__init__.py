"""Coordination for several coding agents on one milestone: registry, messages, state, checkpoints, sessions, recovery.

    from milestone_persist import open_store
    with open_store() as store:
        store.save_agent_state("scope-ms-123", "planning-scope", "…")
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .api import Store, open_store
    from .base import __version__
    from .base.errors import MilestoneError, MilestoneWarning, Refused, StorageError, UsageError
    from .storage.call import Clock

__all__ = ["Clock", "MilestoneError", "MilestoneWarning", "Refused", "StorageError", "Store", "UsageError",
           "__version__", "open_store"]

_HOMES = {"open_store": "api", "Store": "api", "Clock": "storage.call", "__version__": "base", **dict.fromkeys(
    ("MilestoneError", "MilestoneWarning", "Refused", "StorageError", "UsageError"), "base.errors")}


def __getattr__(name: str) -> object:
    """Load the public names when they are first used: a shell call needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = __import__(f"{__name__}.{_HOMES[name]}", fromlist=[name])
    return getattr(home, name)
