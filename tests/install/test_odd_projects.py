"""Projects whose files have other forms and places than ours: links, line ends, files that took the place of ours."""
from __future__ import annotations

import io
import json
import os

import pytest

from milestone_persist.base.errors import UsageError
from milestone_persist.cli.main import Console, main
from milestone_persist.install import json_entries, sections, toml_section

ALL = ("--claude-code", "--codex", "--gemini", "--opencode", "--prompts")
SKILL = "skills/milestone/SKILL.md"


@pytest.fixture
def milestone(tmp_path, monkeypatch):
    """Runs a command line in the project; its status, what it printed and what it complained of."""
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    (project / ".git" / "HEAD").touch()
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path))

    def milestone(*words):
        console = Console(io.BytesIO(), io.BytesIO(), io.BytesIO(), {"PATH": "", "HOME": str(tmp_path)})
        status = main([*words], console)
        return status, *(stream.getvalue().decode() for stream in (console.stdout, console.stderr))

    milestone.project = project
    return milestone


def tree(project):
    return {str(path.relative_to(project)): os.readlink(path) if path.is_symlink() else
            path.read_bytes() if path.is_file() else None for path in project.rglob("*")}


def make(project, files):
    """files: what is in each; of a link its target behind ->"""
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(text[2:]) if text[:2] == "->" else path.write_bytes(text.encode())


TWO_NAMES = {
    ".claude is a link": {"dot/claude/settings.json": "{}", ".claude": "->dot/claude"},
    "its skill is theirs": {f"dot/{SKILL}": "theirs", ".claude": "->dot"},
    "skills are a link": {f".agents/{SKILL}": "theirs", ".claude/skills": "->../.agents/skills"},
    ".agents is a link": {f".claude/{SKILL}": "theirs", ".agents": "->.claude"},
    "one folder for all": {".claude/agents/x.md": "theirs",
                           **dict.fromkeys((".codex", ".gemini", ".agents"), "->.claude")},
    "one settings file": {".claude/settings.json": '{"hooks": {}}', ".gemini": "->.claude"},
    "a file that is not there": {"AGENTS.md": "->CLAUDE.md", "GEMINI.md": "->CLAUDE.md"},
}


@pytest.mark.parametrize("files", TWO_NAMES.values(), ids=TWO_NAMES)
def test_what_has_two_names_is_installed_once(milestone, files):
    make(milestone.project, files)
    before = tree(milestone.project)
    status, told, err = milestone("install", *ALL)
    assert (status, err) == (0, "")
    installed = tree(milestone.project)
    kept = [name for name, text in installed.items() if name not in before and text == b"theirs"]
    assert len(kept) == ("theirs" in [text for name, text in files.items() if name.endswith("SKILL.md")])
    assert all(os.path.basename(name) in told for name in kept)
    assert milestone("install")[1].startswith("nothing is missing") and tree(milestone.project) == installed
    assert milestone("uninstall")[0] == 0 and tree(milestone.project) == before


def test_what_an_earlier_version_installed_under_two_names_stays_where_it_is(milestone):
    make(milestone.project, {"dot/x": "theirs", ".claude": "->dot"})
    before = tree(milestone.project)
    milestone("install", "--claude-code")
    path = milestone.project / "dot/shared/milestone/installed.json"
    manifest = json.loads(path.read_text())
    name = ".claude/shared/milestone/storage-adapter.sh"
    manifest["files"][name.replace(".claude", "dot")] = manifest["files"][name]
    path.write_text(json.dumps(manifest))
    assert milestone("install")[0] == 0 and (milestone.project / name).exists()
    assert milestone("uninstall")[0] == 0 and tree(milestone.project) == before


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("file, text", [(".claude/settings.json", "{}\n"), (".mcp.json", '{"mcpServers": {}}'),
                                        ("opencode.json", '{"$schema": "https://opencode.ai/config.json"}\n')])
def test_a_file_that_took_the_place_of_ours_stays(milestone, file, text, again):
    milestone("install", *ALL)
    (milestone.project / file).write_text(text)
    if again:
        milestone("install")
        assert "milestone" in (milestone.project / file).read_text()
    assert milestone("uninstall")[0] == 0
    assert {name: content for name, content in tree(milestone.project).items() if content is not None
            and not name.startswith(".git/")} == {file: text.encode()}


@pytest.mark.parametrize("text", ['{\r\n  "a": [\r\n    1\r\n  ]\r\n}\r\n', '{\r\n\t"b": "\\r\\n"\r\n}', "{}\r\n"])
def test_a_json_file_keeps_its_line_ends(text):
    entries = {("permissions", "allow"): ["a"], ("mcpServers", "milestone"): {"command": "x"}}
    edited, added = json_entries.put_in(text, {}, "f", entries)
    assert edited.count("\n") == edited.count("\r\n") > 6
    assert json_entries.put_in(edited, added, "f", entries) == (edited, added)
    assert json_entries.take_out(edited, added, "f") == text


@pytest.mark.parametrize("text", ["# x\rmore\r", "a\r\nb\n", "a\nb\r\n", "\r"])
def test_a_section_is_written_twice_alike_whatever_the_line_ends(text):
    edited, added = sections.put_in(text, {}, "f", "ours\nmore")
    assert sections.put_in(edited, added, "f", "ours\nmore") == (edited, added)
    assert sections.take_out(edited, added, "f") == text


@pytest.mark.parametrize("file", [".claude", ".agents", ".gemini", ".claude/skills/milestone", ".codex"])
def test_a_file_in_the_place_of_a_folder_is_told(milestone, file):
    make(milestone.project, {file: "theirs"})
    before = tree(milestone.project)
    status, out, err = milestone("install", *ALL)
    path = milestone.project / file
    assert (status, out) == (2, "")
    assert err.endswith(f": {path} is in the way and no folder: move it away first; nothing was changed\n")
    assert tree(milestone.project) == before


@pytest.mark.parametrize("text", ['mcp_servers = { x = { command = "y" } }\n', '"mcp_servers" = {}\n'])
def test_a_table_that_cannot_be_added_to_is_told(text):
    with pytest.raises(UsageError, match=r"f: mcp_servers is written as a value, .* write it as \[mcp_servers\.NAME\]"):
        toml_section.put_in(text, {}, "f", "[mcp_servers.milestone]")


def test_a_hook_of_ours_that_changes_keeps_its_place_among_those_of_others():
    def group(command):
        return {"hooks": [{"type": "command", "command": command}]}

    text, added = json_entries.put_in(None, {}, "f", {("hooks", "Stop"): [group("ours")]})
    data = json.loads(text)
    data["hooks"]["Stop"].append(group("theirs"))
    edited, added = json_entries.put_in(json.dumps(data), added, "f", {("hooks", "Stop"): [group("newer")]})
    assert json.loads(edited)["hooks"]["Stop"] == [group("newer"), group("theirs")]
    assert json.loads(json_entries.take_out(edited, added, "f")) == {"hooks": {"Stop": [group("theirs")]}}
