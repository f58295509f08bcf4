"""The environment of this process: what is set and taken away while a program runs counts at once."""
from __future__ import annotations

import os

import pytest

from milestone_persist.base.environment import live_environment

NAME = "MILESTONE_TESTED"


@pytest.fixture(params=["usual", "without what is private to CPython"])
def variables(request, monkeypatch):
    if request.param != "usual":
        monkeypatch.setattr(os, "environ", {"HOME": "/home/someone"})
    found = live_environment()
    assert (found is os.environ) == (request.param != "usual")
    return found


def test_it_is_what_is_set_at_each_look(variables):
    assert variables.get(NAME) is None and variables.get(NAME, "else") == "else" and NAME not in variables
    os.environ[NAME] = "a\udcffü"
    try:
        assert variables.get(NAME) == variables.get(NAME, "else") == variables[NAME] == "a\udcffü"
        assert dict(variables) == {**variables} == dict(os.environ) and len(variables) == len(os.environ)
    finally:
        del os.environ[NAME]
    assert variables.get(NAME, "") == "" and variables.get("HOME") == os.environ.get("HOME")
    with pytest.raises(KeyError, match=NAME):
        variables[NAME]
