"""The tables in docs/reliability.md that runs write: a row for each thing that was tried, which stays until it is tried
again."""
from __future__ import annotations

import re

from stores import ROOT

DOCUMENT = ROOT / "docs" / "reliability.md"
PROOFS, MUTATIONS = "tests/proof/run.py --write", "tests/proof/mutations.py --write"


def pattern(maker):
    """The rows of the table that a command makes, behind its comment and its two lines of headings."""
    return re.compile(rf"(<!-- made by {re.escape(maker)} -->\n\|.*\n\|.*\n)((?:\|.*\n)*)")


def read(maker):
    """The rows by their first cells: lists of the other cells."""
    rows = pattern(maker).search(DOCUMENT.read_text())[2].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return {first: rest for first, *rest in cells}


def note(maker, found, order):
    """Write rows, in this order; those of what is not in it go."""
    rows = {**read(maker), **found}
    lines = "".join(f"| {' | '.join([name, *rows[name]])} |\n" for name in order if name in rows)
    DOCUMENT.write_text(pattern(maker).sub(lambda match: match[1] + lines, DOCUMENT.read_text()))
