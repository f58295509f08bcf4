"""The scenarios in the real clients, which run on request only: they can be started, and the documents name them."""
from __future__ import annotations

import re
import subprocess
import sys

from conftest import ROOT

RUN = ROOT / "tests" / "clients" / "run.py"


def test_the_scenarios_are_listed():
    done = subprocess.run([sys.executable, RUN, "--list"], capture_output=True, text=True, check=True)
    names = re.findall(r"^(\S+) +\S.*\.$", done.stdout, re.M)
    assert len(names) == len(done.stdout.splitlines()) > 10 and done.stderr == ""


def test_the_documents_name_every_file_of_them():
    text = (RUN.parent / "README.md").read_text(encoding="utf-8")
    named = {*re.findall(r"`(\w+(?:\.py)?)`", text)}
    assert {path.name for path in RUN.parent.glob("*.py")} <= named
    assert {path.stem for path in RUN.parent.glob("scenarios/[a-z]*.py")} <= named


def test_the_table_is_of_the_clients_that_the_documents_say_to_install():
    versions = re.findall(r"[\w-]@(\d[\d.]+)", (RUN.parent / "README.md").read_text(encoding="utf-8"))
    table = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8").partition("<!-- table of tests/clients")[2]
    assert len(versions) == 4 and re.findall(r" ([\d.]+\d) \|", table.partition("| ---")[0]) == versions
