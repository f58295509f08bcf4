"""The time axis: round times, and finer ones between them where it is enlarged."""
from __future__ import annotations

import re

import pytest

from milestone_persist.view.timeline import ZOOMS, Timeline


def session(begin, end):
    """A session without anything that lasted so long."""
    return {"begin": begin, "end": end, "silent_after": begin, "session": {"status": "active"}, "now": end,
            **{name: [] for name in ("agents", "messages", "checkpoints", "events", "heartbeats")}}


@pytest.mark.parametrize("begin, end, first", [
    ("2026-03-12 13:00:00.000", "2026-03-12 17:30:00.000", "13:30 14:00 14:30 15:00 15:30 16:00 16:30 17:00"),
    ("2026-03-12 13:00:01.000", "2026-03-12 13:00:11.000", "13:00:02 13:00:03 13:00:04 13:00:05 13:00:06 13:00:07 "
                                                           "13:00:08 13:00:09 13:00:10"),
    ("2026-03-12 23:50:00.000", "2026-03-13 00:50:00.000", "00:00 00:10 00:20 00:30 00:40"),
    ("2026-03-01 12:00:00.000", "2026-03-09 12:00:00.000", "03-02 03-03 03-04 03-05 03-06 03-07 03-08 03-09"),
])
def test_times_are_round_and_finer_ones_lie_evenly_between_them(begin, end, first):
    drawn = Timeline(session(begin, end)).draw()
    groups = re.findall(r'<g class="z(\d+)"><line x1="([0-9.]+)%"[^>]*/><text[^>]*>([^<]+)</text>', drawn)
    assert " ".join(label for zoom, _, label in groups if zoom == "1") == first
    for most in ZOOMS:
        places = sorted(float(x) for zoom, x, _ in groups if int(zoom) <= most)
        gaps = {round(after - before, 1) for before, after in zip(places, places[1:])}
        assert max(gaps) - min(gaps) <= 0.11  # they are rounded


def test_a_time_at_either_end_is_not_cut_off():
    drawn = Timeline(session("2026-03-12 12:59:00.000", "2026-03-12 17:01:00.000")).draw()
    sides = dict(re.findall(r'<text x="[0-9.]+%" y="14"(?: class="([a-z]+)")?>(\d\d:00)</text>', drawn))
    assert sides == {"begins": "13:00", "": "16:00", "ends": "17:00"}
