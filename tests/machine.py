"""Command lines on a data directory, as tests of moves between backends run them."""
from __future__ import annotations

import io
import os
import re

from milestone_persist.cli.main import Console, main

LATE = re.compile('late|milestone_updated|"id":"MS-1"')  # what is done after the kill


class Machine:
    """Runs command lines on a directory of its own; what does not end with status 0 fails."""

    def __init__(self, directory, clock, environ):
        self.directory, self.clock, self.environ = directory, clock, environ

    def call(self, *words):
        status, out, err = self.attempt(*words)
        assert status == 0, err
        return out

    def attempt(self, *words, **environ):
        """Status, what was printed, what was said on standard error."""
        out, err = io.BytesIO(), io.BytesIO()
        given = {"PATH": os.environ["PATH"], **self.environ, **environ, "MILESTONE_DIR": str(self.directory)}
        status = main(list(words), Console(io.BytesIO(), out, err, given, self.clock))
        return status, out.getvalue().decode(), err.getvalue().decode()

    def export(self):
        """The rows of an export, but for what the agent `late` and its session have done, and the record changed."""
        path = self.directory.parent / f"{os.urandom(4).hex()}.jsonl"
        self.call("export-coordination", str(path))
        *rows, counts = path.read_text().splitlines()
        assert "last_numbers" in counts  # which count what is late, too
        return [line for line in rows if not LATE.search(line)]

    def words(self):
        """What the settings say is fixed, and in use."""
        return [path.read_text().split()[0] if path.exists() else "" for path in (
            self.directory / "config" / name for name in ("storage-backend.txt", "backend-in-use.txt"))]
