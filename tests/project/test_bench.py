"""The measuring programs run, and what does not depend on the machine is not more than it was."""
from __future__ import annotations

import importlib
import json
import sys

import pytest
from conftest import ROOT


@pytest.fixture
def bench(monkeypatch):
    """Imports a program of bench/; another folder may have one of that name."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "bench"), *sys.path])
    for file in (ROOT / "bench").glob("*.py"):
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
    return importlib.import_module


@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
def test_no_operation_runs_more_statements_than_it_did(bench, tmp_path):
    counts = bench("counts")
    found = {"statements": counts.count_statements(str(tmp_path / "a")),
             "bytes": counts.count_bytes(str(tmp_path / "b"))}
    assert counts.compare(found) == []
    kept = json.loads((ROOT / "bench" / "counts.json").read_text(encoding="utf-8"))
    assert {what: set(numbers) for what, numbers in found.items()} == {what: set(kept[what]) for what in found}
    assert min(found["statements"].values()) > 0


@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
def test_more_statements_would_be_noticed(bench, tmp_path, monkeypatch):
    counts = bench("counts")
    monkeypatch.setitem(counts.CALLS, "load", lambda s: [s.load_agent_state("a", "k"), s.agent_heartbeat("a")])
    assert any(line.startswith("statements of load: ") for line in
               counts.compare({"statements": counts.count_statements(str(tmp_path))}))


@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
def test_the_programs_run(bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENCH_DIR", str(tmp_path))
    run = bench("run")
    run.main(["--quick", "--only", "statements,growth,postgresql", "--json", str(tmp_path / "told.json")])
    told = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    assert "milestone_persist" in told["statements"]["WAL, synchronous normal"]["send_1000"]
    assert "skipped" in told["postgresql"] or told["postgresql"]["send"]["trips"] == 2
    assert "detect" in told["growth"]["sqlite"]["calls"] and "take" in told["growth"]["files"]["calls"]
    assert "send_1000" in capsys.readouterr().out
