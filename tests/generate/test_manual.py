"""The manual page and llms.txt: nothing in a help text becomes markup, and every function and document is in them."""
from __future__ import annotations

import re
import subprocess

import pytest
from conftest import ROOT

from milestone_persist.generate.manual import make_llms, make_manual
from milestone_persist.registry import all_operations

REQUESTS = {".TH", ".SH", ".TP", ".B", ".br", '.\\"'}


def test_only_known_requests_begin_a_line_of_the_manual_page():
    lines = make_manual().splitlines()
    assert {line.split()[0] for line in lines if line[:1] in (".", "'")} == REQUESTS
    assert all(re.fullmatch(r"(?:[^\\]|\\(?:e|-|&|f[BIR]|\"))*", line) for line in lines)
    assert len([line for line in lines if line == ".TP"]) == len(all_operations()) + 3


def test_groff_has_nothing_to_say_of_the_manual_page(need):
    done = subprocess.run([need("groff"), "-man", "-ww", "-Tascii", "-P-c"], input=make_manual(), capture_output=True,
                          text=True, timeout=60, check=True)
    assert done.stderr == ""
    for op in all_operations():
        assert op.command in re.sub(r"-\n *", "-", done.stdout)


@pytest.mark.parametrize("make, told", [(make_manual, "but for (.*?), a shell function"),
                                        (make_llms, r"only in that way (.*?)\. ")])
def test_it_is_told_which_operations_are_no_shell_functions(make, told):
    names = re.search(told, make()).group(1).replace("\\", "")
    assert re.split(", | and ", names) == [op.command for op in all_operations() if not op.shell]


def test_llms_txt_names_every_function_and_leads_to_every_document():
    text = make_llms()
    assert [op.name for op in all_operations() if f"- `{op.name}" not in text] == []
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert sorted(links) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert max(map(len, text.splitlines())) < 400
