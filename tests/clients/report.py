"""What was seen: a row for each thing that was tried, a column for each client; printed, and put into the docs."""
from __future__ import annotations

import sys

BEGIN = "<!-- table of tests/clients: written by run.py --write -->"
END = "<!-- table of tests/clients: end -->"
WAYS = ("plain shell", "sandbox", "skill", "MCP", "hook", "sub-agents", "crowded", "killed", "at once",
        "install", "vendored", "plugin")


class Report:
    """Cells, by way, what was tried and client. A cell says yes or no, and perhaps more."""

    def __init__(self):
        self.cells = {}
        self.failed = 0

    def check(self, way, what, client, is_so, more="", expected=True):
        """Note what was seen, and print it at once.

        expected: whether it should be so; a cell that is not as expected fails the run
        """
        word = ("yes" if is_so else "no") + (f": {more}" if more else "")
        self.cells.setdefault((way, what), {})[client.name] = word
        wrong = bool(is_so) != expected
        self.failed += wrong
        print(f"{'NOT EXPECTED' if wrong else 'as expected '} {client.name:8} {way:12} {what}: {word}", flush=True)

    def add(self, other):
        """Add what another has noted."""
        self.failed += other.failed
        for row, cells in other.cells.items():
            self.cells.setdefault(row, {}).update(cells)

    @property
    def count(self):
        """How many cells there are."""
        return sum(map(len, self.cells.values()))

    def table(self, clients):
        """The table in Markdown."""
        heads = [f"{client.title} {client.version}" for client in clients]
        rows = sorted(self.cells.items(), key=lambda item: WAYS.index(item[0][0]))
        lines = [["way", "what", *heads], ["---"] * (2 + len(heads)),
                 *([way, what, *(cells.get(client.name, "–") for client in clients)] for (way, what), cells in rows)]
        return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def put_in(path, table):
    """Put a table between the two markers of a document."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{path} has lost the lines {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{begin}\n\n{table}\n{end}{after}", encoding="utf-8")
