"""The pictures of the documents are what the program shows."""
from __future__ import annotations

import pytest
from pictures import PICTURES, draw_status

SHOTS = ("report-light.png", "report-dark.png", "report-phone.png")


def test_the_picture_of_status_is_current():
    assert (PICTURES / "status.svg").read_text(encoding="utf-8") == draw_status(), "run: python3 tests/pictures.py"


@pytest.mark.parametrize("name", SHOTS)
def test_the_screenshots_are_there_and_not_large(name):
    data = (PICTURES / name).read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) < 400_000
