"""The plugins of the clients in this repository: what they start is there, wherever a client has put them."""
from __future__ import annotations

import json
import shutil

import pytest
from building import need_plugins
from conftest import ROOT

from milestone_persist import __version__
from milestone_persist.install import plugins

CODEX, CLAUDE, GEMINI = ".codex-plugin/plugin.json", f"{plugins.CLAUDE}/.claude-plugin/plugin.json", "hooks/hooks.json"


def read(name):
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture
def claude_plugin(tmp_path):
    """The plugin as Claude Code installs it: a copy without the repository, links followed."""
    need_plugins()
    shutil.copytree(ROOT / plugins.CLAUDE, tmp_path / "cache", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "cache"


@pytest.fixture
def backend():
    return "hybrid"


def test_what_the_catalogs_name_is_there():
    need_plugins()
    [entry] = read(".claude-plugin/marketplace.json")["plugins"]
    manifest = json.loads((ROOT / entry["source"] / ".claude-plugin" / "plugin.json").read_text())
    [codex] = read(".agents/plugins/marketplace.json")["plugins"]
    assert codex["source"]["path"] == "./"  # where .codex-plugin/ is
    given = [manifest, read(CODEX), read("gemini-extension.json")]
    assert [(each["name"], each["version"]) for each in given] == [(entry["name"], __version__)] * 3
    assert codex["name"] == entry["name"] and read(CODEX)["skills"] == "./skills/"


def test_the_programs_of_the_plugin_work_without_the_repository(claude_plugin, run, directory):
    path = f"{claude_plugin / 'bin'}:/usr/bin:/bin"
    done = run(["sh", "-c", "save_agent_state a k 'v w' && load_agent_state a k"], PATH=path)
    assert (done.status, done.text, done.err) == (0, "v w", "") and directory.exists()
    said = run(["sh", "-c", "milestone_persist init sh"], PATH=path).text
    assert str(claude_plugin / "program" / "milestone_persist" / "__main__.py") in said and str(ROOT) not in said


def hooks_of(name):
    found = read(name)["hooks"]
    found = found.get("hooks", found)
    return {event: hook["command"] for event, [group] in found.items() for hook in group["hooks"]}


@pytest.mark.parametrize("name, variable", [(CLAUDE, "CLAUDE_PLUGIN_ROOT"), (CODEX, "PLUGIN_ROOT"),
                                            (GEMINI, "extensionPath")])
def test_hooks_run_the_program_of_the_plugin_and_end_with_0_whatever_is_missing(name, variable, run, program, tmp_path):
    if name == CLAUDE:
        need_plugins()
    program("register-agent", "exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    root = ROOT / plugins.CLAUDE if name == CLAUDE else ROOT
    commands = hooks_of(name)
    assert {"SessionStart", "SessionEnd"} < {*commands}
    for event, command in commands.items():
        done = run(["sh", "-c", command], stdin=b'{"session_id": "s-1"}', **{variable: str(root)})
        assert (done.status, done.err) == (0, "") and ("execution-ms-1" in done.text) == (event == "SessionStart")
        assert run(["sh", "-c", command], stdin=b"{}", **{variable: str(tmp_path / "gone")}).status == 0


def test_codex_finds_the_server_where_it_puts_the_plugin(run, tmp_path):
    server = read(CODEX)["mcpServers"]["milestone"]
    place = tmp_path / ".codex" / "plugins" / "cache" / plugins.CATALOG / "milestone"
    place.mkdir(parents=True)
    (place / __version__).symlink_to(ROOT)
    assert server["args"][1].endswith(" mcp")
    words = [server["command"], server["args"][0], server["args"][1].replace(" mcp", " where")]
    for variables in ({}, {"CODEX_HOME": str(tmp_path / ".codex"), "HOME": "/nowhere"}):
        assert run(words, **variables).text.startswith(f"{tmp_path / '.milestones'} (not made yet)\n")


def test_the_server_of_the_others_is_named_by_their_variable():
    need_plugins()
    assert read(CLAUDE)["mcpServers"]["milestone"]["args"][2:] == [
        "${CLAUDE_PLUGIN_ROOT}/program/milestone_persist/__main__.py", "mcp"]
    assert read("gemini-extension.json")["mcpServers"]["milestone"]["args"][2:] == [
        "${extensionPath}/milestone_persist/__main__.py", "mcp"]
