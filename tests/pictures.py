"""Makes the pictures of the documents again, from the sample afternoon: `python3 tests/pictures.py`.

docs/pictures/status.svg needs nothing; the screenshots need Chromium and chromedriver, and are left alone without them.
"""
from __future__ import annotations

import html
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from examples.afternoon import SESSION, make_afternoon  # noqa: E402
from milestone_persist.base.invocation import DOCUMENTED  # noqa: E402
from milestone_persist.cli.text.cells import cut, width_of  # noqa: E402
from milestone_persist.cli.text.screen import overview_screen  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
MINUTES = 205  # the second agent that dies has been silent for nine minutes
COLUMNS = 100
CELL, LINE, EDGE = 8.4, 19, 18  # of a terminal, in pixels
COLOURS = {"": "#d7dce2", "bold": "#ffffff", "dim": "#8b95a1", "red": "#ff8f84", "green": "#5cc7b8",
           "yellow": "#e7b45a", "blue": "#8db2f0", "cyan": "#7fd0e6", "head": "#8b95a1", "alarm": "#ff8f84"}


def draw_status():
    """What `status` shows in the middle of the afternoon, as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        store, _ = make_afternoon(folder + "/.milestones", MINUTES)
        data = {**store.status(), "database": "~/shop/.milestones/coordination.db"}
        store.close()
    lines = [[(style, text.replace(DOCUMENTED, "milestone-persist")) for style, text in line]
             for line in overview_screen(data, COLUMNS)]
    return draw_terminal([[("dim", "$ "), ("bold", "milestone-persist status")], *lines])


def draw_terminal(lines):
    """Lines of a terminal as SVG: each part of a line where its first cell is."""
    width, height = COLUMNS * CELL + 2 * EDGE, len(lines) * LINE + 2 * EDGE
    texts = []
    for row, line in enumerate(lines):
        column = 0
        for style, text in line:
            text = cut(text, COLUMNS - column)
            if text.strip():
                weight = ' font-weight="700"' if style in ("bold", "head", "alarm") else ""
                x, y, long = EDGE + column * CELL, EDGE + row * LINE + 14, width_of(text.rstrip()) * CELL
                texts.append(f'<text x="{x:g}" y="{y:g}" fill="{COLOURS[style]}"{weight} textLength="{long:g}" '
                             'xml:space="preserve">'
                             f"{html.escape(text.rstrip())}</text>")
            column += width_of(text)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" '
            f'viewBox="0 0 {width:g} {height}" role="img" '
            'aria-label="The output of status: what needs attention, sessions, agents, events">\n'
            f'<rect width="100%" height="100%" rx="10" fill="#14171a"/>\n<g font-family="ui-monospace, SF Mono, Menlo, '
            'DejaVu Sans Mono, monospace" font-size="13.5">\n' + "\n".join(texts) + "\n</g>\n</svg>\n")


def take_screenshots(folder):
    """The report of the whole afternoon on a desktop, light and dark, and on a phone."""
    from browser import Browser

    store, _ = make_afternoon(str(folder / "store"))
    page = folder / "page.html"
    store.report(SESSION, html=str(page))
    store.close()
    for name, width, height, dark in (("report-light", 1280, 860, False), ("report-dark", 1280, 860, True),
                                      ("report-phone", 390, 844, False)):
        with Browser(width, height, dark) as browser:
            browser.open(page.as_uri())
            (PICTURES / f"{name}.png").write_bytes(browser.screenshot())
            print(f"made: docs/pictures/{name}.png")


def main():
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "status.svg").write_text(draw_status(), encoding="utf-8")
    print("made: docs/pictures/status.svg")
    if shutil.which("chromium") and shutil.which("chromedriver"):
        with tempfile.TemporaryDirectory() as folder:
            take_screenshots(Path(folder))
    else:
        print("left alone: the screenshots, which need chromium and chromedriver")


if __name__ == "__main__":
    main()
