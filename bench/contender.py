"""Who is measured, and what with: 100 agents, messages of 200 bytes, values of 1 KB, snapshots of 10 KB."""
from __future__ import annotations

AGENTS = [f"agent-{n:03d}" for n in range(100)]
MESSAGE = {"type": "task", "from": "planner", "title": "implement step 000001", "body": "x" * 108}  # 200 bytes
VALUE = {"n": 1, "items": [{"id": n, "name": f"item-{n:02d}", "ok": True} for n in range(22)]}  # 1 KB as JSON
SNAPSHOT = {"n": 1, "steps": [{"id": n, "name": f"step-{n:03d}", "out": "z" * 60} for n in range(100)]}  # 10 KB


class Contender:
    """Has some of send, take, save, load, heartbeat, checkpoint, send_1000, save_1000; each call is given a number.

    Its constructor raises ImportError where what it needs is not installed.
    """

    name = ""

    def __init__(self, folder, journal, synchronous):
        raise NotImplementedError

    def prepare(self, name):
        """Before takes and loads are measured: something to take, and the keys."""
        if name == "take":
            for n in range(8 if hasattr(self, "send_1000") else 2000):
                getattr(self, "send_1000", self.send)(n)
        if name == "load":
            for n in range(1000):
                self.save(n)

    def close(self):
        """Release what is open."""
