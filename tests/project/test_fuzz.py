"""A bounded run of tests/fuzz.py: status 0 to 3 and one line, whatever comes in. It runs long on request."""
from __future__ import annotations

import subprocess
import sys

import fuzz
import pytest
from conftest import ROOT, size

from milestone_persist.view import markup

COUNTS = {"cli": size(150, 1500), "import": size(25, 150), "shell": size(5, 25), "mcp": size(30, 300),
          "html": size(25, 300)}


@pytest.mark.parametrize("surface", fuzz.SURFACES)
def test_whatever_comes_in_ends_as_it_must(need, surface):
    for shell in fuzz.SHELLS if surface == "shell" else ():
        need(shell[0])
    assert fuzz.fuzz(sys.version_info[1], surface, COUNTS[surface]) >= COUNTS[surface]


def test_a_failure_names_its_seed(monkeypatch):
    monkeypatch.setattr(fuzz, "main", lambda words, console: 7)
    with pytest.raises(fuzz.Failed, match="--seed 5 --count 3 cli: status 7\n  after 1 calls: "):
        fuzz.fuzz(5, "cli", 3)


@pytest.mark.parametrize("said", ["no line of ours\n", "milestone_persist: no end", "milestone_persist: \x1b[2J\n", ""])
def test_what_may_not_be_said_is_found(tmp_path, said):
    with pytest.raises(fuzz.Failed):
        fuzz.Fuzz(1, tmp_path).judge(1, said)


def test_it_runs_as_a_program():
    done = subprocess.run([sys.executable, ROOT / "tests" / "fuzz.py", "--seed", "1", "--count", "2", "cli"],
                          capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout == "seed 1, cli: 3 inputs tried\n"


def test_a_page_in_which_a_value_is_markup_is_found(monkeypatch):
    monkeypatch.setattr(markup.html, "escape", lambda text: text)
    with pytest.raises(fuzz.Failed, match="html: the page has"):
        fuzz.fuzz(1, "html", 100)
