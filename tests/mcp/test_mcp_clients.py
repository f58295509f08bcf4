"""The server under the official client and the conformance suite, both of which .ci/run installs."""
from __future__ import annotations

import json
import os
import sys

import pytest
from conftest import FULL_SIZE, ROOT
from mcp_over_http import Shim

from milestone_persist.mcp.tools import CORE

INSTALLED = ROOT / ".venv-mcp"
SERVER = [sys.executable, "-I", "-S", str(ROOT / "milestone_persist" / "__main__.py"), "mcp"]
# What the suite wants of a server that is made for it: tools of its own, and parts of the protocol that are optional.
NOT_OURS = ("Not testable: server does not list", "Method not found: prompts/list")
SCENARIOS = {
    "2025-11-25": ("server-initialize", "tools-list"),
    "2026-07-28": ("server-stateless", "tools-list", "resources-list", "caching", "sep-2164-resource-not-found"),
}
if os.environ.get("CI") == "true" and not FULL_SIZE:
    pytestmark = [pytest.mark.optional, pytest.mark.skip(reason="one Python is enough for what others have made")]


@pytest.fixture
def backend():
    return "hybrid"


@pytest.fixture(scope="module")
def official():
    """The Python that has the official client."""
    python = INSTALLED / "bin" / "python"
    return python if python.exists() else pytest.skip("the official client of MCP is not installed: see .ci/run")


@pytest.fixture(scope="module")
def conformance():
    """The command of the conformance suite."""
    node = sorted(INSTALLED.glob("npm/node_modules/node-*/bin/node"))
    suite = INSTALLED / "npm" / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    return [node[0], suite] if node and suite.exists() else pytest.skip(
        "the conformance suite of MCP is not installed: see .ci/run")


def test_the_official_client_works_in_each_of_its_modes(official, run):
    done = run([official, ROOT / "tests" / "mcp" / "official_client.py", *SERVER])
    assert done.status == 0, done
    seen = json.loads(done.text)
    assert {mode: got["version"] for mode, got in seen.items()} == {
        "auto": "2026-07-28", "legacy": "2025-11-25", "2026-07-28": "2026-07-28"}
    for mode, got in seen.items():
        assert {*got["tools"]} == {*CORE} and got["templates"] == 2
        assert got["instructions"] is (mode != got["version"])  # pinned to a version, it asks for none
        assert got["registered"].startswith("registered exec-ms-1-1") and got["taken"] == {"phase": "design"}
        assert got["sent"]["result"]["to_agent"] == "exec-ms-1-1"
        assert got["missing"][0] is True and "no state 'none'" in got["missing"][1]
        assert got["resources"][0] == "milestone://sessions" and got["report"].startswith("# execution-ms-1-1")


@pytest.mark.parametrize("version, scenario", [(version, name) for version in SCENARIOS for name in SCENARIOS[version]])
def test_the_conformance_suite_finds_nothing(conformance, run, tmp_path, environ, version, scenario):
    (tmp_path / "store").mkdir()
    shim = Shim(SERVER, tmp_path / "store", environ)
    try:
        done = run([*conformance, "server", "--url", shim.url, "--scenario", scenario, "--spec-version", version,
                    "-o", tmp_path / "results"])
    finally:
        shim.finish()
    files = [*(tmp_path / "results").rglob("checks.json")]
    assert files, done
    checks = [check for file in files for check in json.loads(file.read_text())]
    wrong = [check for check in checks if check["status"] in ("FAILURE", "WARNING")
             and not any(words in check.get("errorMessage", "") for words in NOT_OURS)]
    assert [(check["id"], check.get("errorMessage")) for check in wrong] == []
    assert [check for check in checks if check["status"] == "SUCCESS"]
    assert scenario == "server-stateless" or "wire-schema-valid" in {check["id"] for check in checks}
