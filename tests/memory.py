"""A directory in memory: the tests write and sync far more than they prove of disks. And names that are no words."""
from __future__ import annotations

import os
import random

PLACE, ROOM = "/dev/shm", 2 << 30
LETTERS = "bkqvwxz"  # or, one day, a test meets the word that it looks for in a name that was made at random


def find_memory():
    """A file system in memory that has room for the tests and runs programs: its path, or None."""
    try:
        found = os.statvfs(PLACE)
    except OSError:
        return None
    fits = found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & getattr(os, "ST_NOEXEC", 0)
    return PLACE if fits and os.access(PLACE, os.W_OK) else None


def invent_name(kind):
    """A name that nothing has yet: `kind`, and letters that make no word."""
    return f"{kind}_{''.join(random.SystemRandom().choices(LETTERS, k=12))}"
