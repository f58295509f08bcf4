"""What install meets in a project of strangers: nothing is followed out of it, and nothing in it is lost."""
from __future__ import annotations

import json
import shutil
import sys

import pytest
from install_project import ADAPTER, PROMPT, SHARED, git, tree

from milestone_persist.install.manifest import Item


@pytest.mark.parametrize("words, status", [
    (["install", "nowhere"], 2), (["install", PROMPT], 2), (["install", ""], 2), (["install", "a\nb"], 2),
    (["install", "--bin", ""], 2), (["install", "--bin", PROMPT], 2), (["uninstall"], 1),
    (["uninstall", "nowhere"], 2), (["uninstall", "--bin", "nowhere"], 1), (["install", ".", "more"], 2)])
def test_bad_input_changes_nothing(milestone, project, words, status):
    before = tree(project)
    done = milestone(*words)
    assert (done.status, done.out, done.err.count("\n")) == (status, "", 1)
    assert tree(project) == before


@pytest.mark.parametrize("path, text", [(f"{SHARED}/installed.json", "{"), (f"{SHARED}/installed.json", "[]"),
                                        (ADAPTER, None), (".claude", "a file")])
def test_what_is_in_the_way_is_left_alone(milestone, project, path, text):
    if text is None:
        (project / path).mkdir(parents=True)
    else:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    before = tree(project)
    done = milestone("install")
    assert done.status in (2, 3) and done.err.count("\n") == 1 and str(project) in done.err
    assert tree(project) == before


def test_a_manifest_that_leads_out_of_the_project_is_refused(milestone, project, tmp_path):
    milestone("install")
    manifest = project / SHARED / "installed.json"
    manifest.write_text(manifest.read_text().replace(f'"{ADAPTER}"', '"../outside.md"'))
    (tmp_path / "outside.md").write_text("mine")
    assert milestone("uninstall").status == 2
    assert (tmp_path / "outside.md").exists()


DAMAGED = ['"files": 1', '"files": {"a": 1}', '"shared": {"AGENTS.md": 1}', '"shared": {"AGENTS.md": {"before": 1}}',
           '"shared": {".mcp.json": {"lists": {"a": 1}}}', '"shared": {".mcp.json": {"made": [1]}}', '"choice": []',
           '"choice": {"clients": [[]]}', '"choice": {"clients": {}}', '"choice": {"version": 1}', '"choice": {"x": 1}',
           '"directories": [1]', '"kept": {"a": 1}', '"files": {".git/HEAD": ["HEAD"]}',
           '"files": {"src/plan.md": ["PLAN"]}',
           '"files": {"src/plan.md": []}', '"files": {"src/plan.md": ["link to milestone_persist", "PLAN"]}',
           f'"kept": {{"{ADAPTER}": "src/plan.md"}}', f'"kept": {{"{ADAPTER}": "{ADAPTER}.orig/../../x"}}',
           '"directories": ["a\\u0000b"]', '"directories": ["\\ud800"]', '"files": {".Git/storage-adapter.sh": ["x"]}',
           f'"directories": ["{"x/" * 5000}"]', '"kept": {"a\\u0000": "a\\u0000.orig"}',
           '"shared": {"AGENTS.md": {"before": "# Ours"}}', '"shared": {".codex/config.toml": {"table": "features"}}']
STRANGE = ['{".mcp.json": {"made": true, "values": {"mcpServers": null, "x.y": null}}, "AGENTS.md": {"made": []}}',
           '{".mcp.json": {"made": ["", "a.b"], "lists": {"mcpServers.x": [1]}}, ".codex/config.toml": {}}',
           '{".mcp.json": {"made": [], "lists": {"permissions.deny": ["Bash(rm *)"], "hooks.PreToolUse": [{"hooks": '
           '[{"command": "guard"}]}]}, "values": {"theirs": "x"}}}']
OTHERS = ('{"mcpServers": {}, "x": {}, "permissions": {"deny": ["Bash(rm *)"]}, "theirs": "x", "hooks": {"PreToolUse": '
          '[{"hooks": [{"command": "guard"}]}]}}')


@pytest.mark.parametrize("text", DAMAGED)
def test_a_manifest_of_another_form_is_called_damaged(milestone, project, text):
    (project / SHARED).mkdir(parents=True)
    whole = '"files": {}, "kept": {}, "directories": [], "shared": {}'
    for name, path in (("HEAD", project / ".git" / "HEAD"), ("PLAN", project / PROMPT)):
        text = text.replace(f'"{name}"', f'"{Item(path.read_bytes()).digest}"')
    (project / SHARED / "installed.json").write_text(f"{{{whole}, {text}}}")
    before = tree(project)
    for words in ("install", "--codex"), ("uninstall",):
        done = milestone(*words)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1) and "is damaged" in done.err, done
    assert tree(project) == before and (project / ".git" / "HEAD").exists()


@pytest.mark.parametrize("shared", STRANGE)
def test_a_manifest_of_a_stranger_does_no_harm(milestone, project, shared):
    (project / SHARED).mkdir(parents=True)
    for file, text in ((".mcp.json", OTHERS), ("AGENTS.md", "# A\n"), ("c.toml", "")):
        (project / file).write_text(text)
    before = tree(project)
    (project / SHARED / "installed.json").write_text(
        f'{{"files": {{}}, "kept": {{}}, "directories": [], "shared": {shared}}}')
    done = milestone("uninstall")
    assert (done.status, done.err) == (0, "") and {**before, **tree(project)} == tree(project)


def test_a_manifest_of_a_stranger_removes_no_folder_and_nothing_outside(milestone, project, tmp_path):
    outside, empty = tmp_path / "x.orig.milestone-new", project / "theirs" / "empty"
    outside.write_text("mine")
    (project / "out").symlink_to(tmp_path)
    milestone("install", "--codex")
    manifest = project / SHARED / "installed.json"
    made = '["theirs/empty", "theirs", ".agents", ".codex"]'
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "directories": json.loads(made),
                                    "kept": {"out/x": "out/x.orig"}}))
    empty.mkdir(parents=True)
    for words in ("install", "--codex"), ("uninstall",):
        done = milestone(*words)
        assert (done.status, done.err) == (0, ""), done
        assert empty.is_dir() and outside.read_text() == "mine"
    assert not (project / ".codex").exists()


MANY = 60_000  # so many times so many comparisons would take minutes


def test_lists_without_end_hold_nobody_up(milestone, project):
    milestone("install", "--claude-code")
    for file, keys, word in ((".claude/settings.json", ("permissions", "allow"), "a"),
                             (f"{SHARED}/installed.json", ("shared", ".claude/settings.json", "lists"), "b")):
        data = json.loads((project / file).read_text())
        inner = data
        for key in keys[:-1]:
            inner = inner[key]
        rows = [f"Bash({word}{number})" for number in range(MANY)]
        inner[keys[-1]] = {"permissions.allow": rows} if word == "b" else inner[keys[-1]] + rows
        (project / file).write_text(json.dumps(data))
    for words in ("install",), ("uninstall",):
        done = milestone(*words)
        assert done.status in (0, 2) and done.err.count("\n") <= 1, done


@pytest.mark.parametrize("text", ["\n" * MANY + "a = 1\n", "a = 1" + " " * MANY + "\n", " \n" * MANY + " " * MANY,
                                  "[mcp_servers]\n" + "\n" * MANY],
                         ids=["before", "behind", "nothing else", "after a heading"])
def test_blanks_without_end_in_a_config_hold_nobody_up(milestone, project, text):
    path = project / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text(text)
    assert milestone("install", "--codex").err == ""
    with path.open("a") as file:
        file.write("[mcp_servers.milestone.tools]\na = 1\n" + "\n" * MANY + "# a\n[theirs]\n")
    assert milestone("uninstall").status == 0
    assert "milestone" not in path.read_text() and "[theirs]" in path.read_text()


@pytest.mark.parametrize("words", [
    ["install", "~/none"], ["install", "--bin=~/bin"], ["install", "--bin", "~"], ["uninstall", "--bin=~/bin"],
    ["vendor", "~/copy"], ["vendor", "--zipapp=~/m.pyz"], ["init", "sh", "--env-file=~/env"],
    ["backup-coordination", "~/b.db"], ["export-coordination", "~/b.jsonl"]])
def test_a_tilde_that_no_shell_expanded_makes_no_folder_of_that_name(milestone, project, words):
    milestone("save-agent-state", "a", "k", "v")
    before = tree(project)
    done = milestone(*words)
    assert done.status == 2 and done.err.count("\n") == 1 and "write $HOME" in done.err, done
    assert tree(project) == before and not (project / "~").exists()


@pytest.mark.parametrize("link", [".claude", "AGENTS.md", ".agents", ".mcp.json", ".codex", "GEMINI.md",
                                  ".claude/settings.json", ".claude/shared", ".claude/agents",
                                  ".claude/shared/milestone/installed.json"])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_out_of_a_cloned_project_is_not_followed(milestone, project, tmp_path, link, there):
    outside, path = tmp_path / "outside", project / link
    outside.mkdir()
    target = outside / "x"
    if there:
        target.write_text("{}") if "." in link[1:] else target.mkdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    before = tree(project), tree(outside)
    for words in (["install", "--claude-code", "--codex", "--gemini", "--prompts"], ["uninstall"]):
        done = milestone(*words)
        assert done.err.count("\n") == 1 and (tree(project), tree(outside)) == before
        if words[0] == "install":
            assert done.status == 3 and f"cannot use {path}: it is a symbolic link that leads out" in done.err, done


@pytest.mark.parametrize("link, target", [("AGENTS.md", ".git/config"), (".claude", ".git"), (".codex", "./.git/x/..")])
def test_a_link_into_the_folder_of_git_is_not_followed(milestone, project, link, target):
    (project / link).symlink_to(target)
    before = git(project, "status", "--porcelain"), {*(project / ".git").rglob("*")}
    done = milestone("install", "--claude-code", "--codex")
    assert (done.status, done.out, done.err.count("\n")) == (3, "", 1) and "leads into" in done.err, done
    assert (git(project, "status", "--porcelain"), {*(project / ".git").rglob("*")}) == before


@pytest.mark.parametrize("file", [".mcp.json", "AGENTS.md", ".claude/settings.json", ".codex/config.toml", ADAPTER,
                                  f"{SHARED}/installed.json"])
def test_a_file_that_is_too_large_is_not_read(milestone, project, file):
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    with open(project / file, "wb") as sparse:
        sparse.truncate(1 << 40)
    done = milestone("install", "--claude-code", "--codex")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1) and str(project / file) in done.err, done


def test_a_config_that_is_nested_too_deeply_is_refused(milestone, project):
    (project / ".codex").mkdir()
    (project / ".codex" / "config.toml").write_text(f"a = {'[' * 100_000}\n")
    before = tree(project)
    done = milestone("install", "--codex")
    if sys.version_info >= (3, 11):  # which reads it
        assert (done.status, done.err.count("\n")) == (2, 1) and "not valid TOML" in done.err
        assert tree(project) == before


@pytest.mark.parametrize("more", [0, 1])
def test_a_line_of_the_section_that_is_there_twice_takes_no_text_of_others(milestone, project, more):
    milestone("install", "--codex")
    file = project / "AGENTS.md"
    begin, end = (line for line in file.read_text().splitlines() if line.startswith("<!-- milestone_persist"))
    file.write_text([f"{begin}\nmine\n{file.read_text()}", f"{file.read_text()}mine\n{end}\n"][more])
    before = file.read_text()
    for words in ("install",), ("uninstall",):
        done = milestone(*words)
        assert (done.status, done.err.count("\n")) == (2, 1) and file.read_text() == before, done


def test_what_is_installed_through_a_link_that_came_later_stays(milestone, project, tmp_path):
    milestone("install")
    shutil.move(project / ".claude", tmp_path / "moved")
    (project / ".claude").symlink_to(tmp_path / "moved")
    before = tree(tmp_path / "moved")
    assert milestone("uninstall").status == 3 and tree(tmp_path / "moved") == before


def test_links_inside_the_project_are_followed(milestone, project):
    (project / "AGENTS.md").write_text("# Ours\n")
    (project / "GEMINI.md").symlink_to("AGENTS.md")
    (project / "tools").mkdir()
    (project / ".claude").symlink_to("tools")
    assert milestone("install", "--codex", "--gemini", "--claude-code").status == 0
    assert "milestone" in (project / "AGENTS.md").read_text() and (project / "tools" / "settings.json").exists()
    assert milestone("uninstall").status == 0 and (project / "AGENTS.md").read_text() == "# Ours\n"
