"""The proofs that run on request (tests/proof), each in its small form, and that what they break is still there."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.append(str(ROOT / "tests" / "proof"))

import faults  # noqa: E402
import mutations  # noqa: E402
import power  # noqa: E402
import run  # noqa: E402
import storm  # noqa: E402
import tables  # noqa: E402

LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid"])


@pytest.mark.parametrize("mutation", mutations.MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_mutation_breaks_is_there_once(mutation):
    assert mutation.find()[2] == 1
    assert all(Path(ROOT, test).exists() for test in mutation.tests)


def test_the_document_names_for_each_mutation_a_test_that_there_is():
    noted = mutations.read_outcomes()
    assert [*noted] == [mutation.name for mutation in mutations.MUTATIONS]
    assert [name for name, test in noted.items() if not mutations.has_test(test)] == []


def test_the_document_has_figures_of_every_part():
    assert [*tables.read(tables.PROOFS)] == run.PARTS
    assert {cells[2] for cells in tables.read(tables.PROOFS).values()} == {run.list_words(run.NOTHING)}


@LOCAL
@pytest.mark.parametrize("name", ["save", "update record", "export"])
def test_a_power_cut_at_any_sync_leaves_the_state_before_or_after(need, backend, name):
    need("strace")
    tally = power.cut_call(backend, name, tries=2)
    assert tally.injected > 10 and tally.after
    assert (tally.pretended, tally.wrong) == ([], [])


@LOCAL
@pytest.mark.parametrize("name, step", [("send", 11), ("update record", 13)])
def test_a_system_call_that_fails_leaves_the_state_before_or_after(need, backend, name, step):
    need("strace")
    tally = faults.break_call(backend, name, step)
    assert tally.injected > 5
    assert (tally.pretended, tally.wrong) == ([], [])


@pytest.mark.parametrize("name", ["install", "uninstall"])
def test_a_power_cut_while_a_project_is_changed_leaves_each_file_as_before_or_after(need, name):
    need("strace")
    tally = power.cut_call("", name, tries=0)
    assert tally.injected > 10 and tally.after
    assert (tally.pretended, tally.wrong) == ([], [])


@pytest.mark.parametrize("name", ["install", "uninstall"])
def test_a_system_call_that_fails_while_a_project_is_changed_leaves_each_file_as_before_or_after(need, name):
    """And a check names what is missing; the next call completes it, and taking out leaves what was there before."""
    need("strace")
    tally = faults.break_call("", name, 35)
    assert tally.injected > 5
    assert (tally.pretended, tally.wrong) == ([], [])


@LOCAL
def test_what_was_confirmed_to_killed_processes_is_there(backend):
    found = storm.run_crowd(backend, senders=4, takers=3, count=8, kills=3)
    assert found["confirmed"] >= 32 and found["killed"]  # some may be done before they are to be killed
    assert {name: found[name] for name in ("lost", "doubled", "repeated_ids", "errors", "unsound")} == {
        "lost": 0, "doubled": 0, "repeated_ids": 0, "errors": [], "unsound": []}


@pytest.mark.parametrize("backend", ["file", "hybrid", "database"])
def test_a_directory_that_many_make_at_once_is_made_once(backend):
    errors, kept = storm.open_at_once(backend, processes=12)
    assert (errors, kept) == ([], 12)
