"""What installing adds to the settings and documents of coding agents, and takes out again."""
from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from milestone_persist.base.errors import UsageError
from milestone_persist.install import json_entries, sections, toml_section
from milestone_persist.install.launch import Launch

SETTINGS = ".claude/settings.json"
HOOK = Launch().hook_command("claude_code", "SessionStart")


@pytest.fixture
def milestone(tmp_path):
    """Runs the program in the test's directory; gives the status and what it printed."""
    def milestone(*words, **variables):
        done = subprocess.run([sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py", *words],
                              cwd=tmp_path, env={"PATH": os.environ["PATH"], **variables}, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=300, check=False)
        return done.returncode, done.stdout, done.stderr

    return milestone


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / SETTINGS
    path.parent.mkdir()
    return path


FOREIGN = {
    "model": "x", "permissions": {"deny": ["Read(.env)"], "allow": ["Bash(ls:*)", "Bash(register_agent:*)"]},
    "hooks": {"SessionStart": [{"matcher": "startup", "hooks": [{"type": "command", "command": "true"}]}], "Stop": []},
    "env": {"é": "ü \u2028", "n": 1.5, "big": 12345678901234567890},
}
FORMS = {
    "claude": json.dumps(FOREIGN, indent=2, ensure_ascii=False), "four": json.dumps(FOREIGN, indent=4) + "\n",
    "tabs": json.dumps(FOREIGN, indent="\t", ensure_ascii=False) + "\n", "compact": json.dumps(FOREIGN),
    "tight": json.dumps(FOREIGN, separators=(",", ":")) + "\n\n", "empty object": "{}", "empty lists":
    '{\n  "permissions": {\n    "allow": []\n  },\n  "hooks": {}\n}\n',
    "by hand": '{"permissions":\n   {"allow": [ "Bash(ls:*)" ]},\n\n "env": {"a": 1e3}}\n',
    "crlf": '{\r\n  "a": 1\r\n}\r\n', "empty": "",
}


@pytest.mark.parametrize("form", FORMS)
def test_settings_are_merged_and_come_back_byte_for_byte(milestone, settings, form):
    before = FORMS[form].encode()
    settings.write_bytes(before)
    settings.chmod(0o600)
    assert milestone("install", "--claude-code")[0] == 0
    merged = json.loads(settings.read_text(encoding="utf-8"))
    assert merged["hooks"]["SessionStart"][-1]["hooks"][0]["command"] == HOOK
    assert {"mcp__milestone", "Bash(register_agent *)"} < {*merged["permissions"]["allow"]}
    old = json.loads(FORMS[form] or "{}")
    assert {key: merged[key] for key in old if key not in ("hooks", "permissions")} == {
        key: value for key, value in old.items() if key not in ("hooks", "permissions")}
    kept = settings.with_suffix(".json.orig")
    assert kept.exists() == (form in ("by hand", "empty"))
    assert not kept.exists() or kept.read_bytes() == before
    text = settings.read_bytes()
    assert milestone("install")[1].startswith("nothing is missing")
    assert settings.read_bytes() == text
    assert milestone("uninstall")[0] == 0
    assert settings.read_bytes() == before and settings.stat().st_mode & 0o777 == 0o600
    assert not kept.exists()


def test_what_was_added_meanwhile_stays(milestone, settings):
    settings.write_text(FORMS["by hand"])
    milestone("install", "--claude-code")
    data = json.loads(settings.read_text())
    data["permissions"]["allow"].insert(0, "Bash(make:*)")
    data["hooks"]["SessionStart"][0]["hooks"].append({"type": "command", "command": "mine"})
    settings.write_text(json.dumps(data, indent=1))
    before = settings.read_text()
    assert milestone("install", "--claude-code")[1].startswith("nothing is missing")
    assert settings.read_text() == before
    told = milestone("uninstall")[1]
    assert ("kept: .claude/settings.json.orig, as .claude/settings.json was before install: that was changed since; "
            "remove the copy when nothing of it is missed\n") in told and settings.with_suffix(".json.orig").exists()
    assert json.loads(settings.read_text()) == {
        "permissions": {"allow": ["Bash(make:*)", "Bash(ls:*)"]}, "env": {"a": 1000.0},
        "hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "mine"}]}]}}


def test_settings_behind_a_link_are_written_where_they_are(milestone, settings, tmp_path):
    (tmp_path / "dotfiles.json").write_text("{}")
    settings.symlink_to("../dotfiles.json")
    milestone("install", "--claude-code")
    assert settings.is_symlink() and "SessionStart" in (tmp_path / "dotfiles.json").read_text()
    milestone("uninstall")
    assert settings.is_symlink() and settings.read_text() == "{}"


BROKEN = {"comment": b"{} // no", "half": b'{"a": ', "list": b"[]", "twice": b'{"a": 1, "a": 2}',
          "bom": b"\xef\xbb\xbf{}",
          "bytes": b'{"a": "\xff"}', "surrogate": b'{"a": "\\ud800"}', "hooks": b'{"hooks": []}',
          "allow": b'{"permissions": {"allow": "Bash"}}', "deep": b"[" * 100000,
          "too large": b'{"a": 1e400}', "too small": b'{"a": [-1E999]}', "no number": b'{"a": NaN}',
          "infinite": b'{"a": -Infinity}'}


@pytest.mark.parametrize("kind", BROKEN)
def test_settings_that_cannot_be_read_are_left_alone(milestone, settings, tmp_path, kind):
    settings.write_bytes(BROKEN[kind])
    status, out, err = milestone("install", "--claude-code")
    assert (status, out, err.count("\n")) == (2, "", 1) and str(settings) in err
    assert settings.read_bytes() == BROKEN[kind]
    assert os.listdir(tmp_path) == [".claude"] and os.listdir(settings.parent) == ["settings.json"]


def test_hooks_of_unknown_forms_are_left_alone(milestone, settings):
    groups = ["x", {"hooks": "y"}, {"hooks": ["z", {"command": 1}]}, None]
    text = json.dumps({"hooks": {"SessionStart": groups}}, indent=2)
    settings.write_text(text)
    milestone("install", "--claude-code")
    milestone("uninstall")
    assert settings.read_text() == text


ENTRIES = {("permissions", "allow"): ["a", "b"], ("servers", "milestone"): {"command": "x"},
           ("hooks", "Stop"): [{"hooks": [{"type": "command", "command": "y"}]}]}


def test_entries_of_an_earlier_version_are_replaced():
    text, recorded = json_entries.put_in("{}", {}, "f", ENTRIES)
    newer = {("permissions", "allow"): ["b", "c"], ("servers", "milestone"): {"command": "z"},
             ("hooks", "Start"): ENTRIES["hooks", "Stop"]}
    new, again = json_entries.put_in(text, recorded, "f", newer)
    assert json.loads(new) == {"permissions": {"allow": ["c", "b"]}, "servers": {"milestone": {"command": "z"}},
                               "hooks": {"Start": ENTRIES["hooks", "Stop"]}}
    assert json.loads(json_entries.take_out(new, again, "f")) == {}


def test_the_entries_of_version_0_1_are_replaced():
    """It kept in mind one hook and a list of permissions."""
    old = {"made": ["file", "permissions", "permissions.allow", "hooks", "hooks.SessionStart"], "allow": ["a", "old"],
           "hook": "older"}
    text = json.dumps({"permissions": {"allow": ["a", "old"]}, "hooks": {"SessionStart": [
        {"hooks": [{"type": "command", "command": "older"}]}]}})
    new, again = json_entries.put_in(text, old, "f", ENTRIES)
    assert json.loads(new) == {"permissions": {"allow": ["a", "b"]}, "hooks": {"Stop": ENTRIES["hooks", "Stop"]},
                               "servers": {"milestone": {"command": "x"}}}
    assert json_entries.take_out(new, again, "f") is None


def test_a_value_of_others_is_not_replaced_and_one_edited_since_stays():
    with pytest.raises(UsageError, match="servers.milestone is there and not ours"):
        json_entries.put_in('{"servers": {"milestone": 1}}', {}, "f", ENTRIES)
    text, recorded = json_entries.put_in('{"servers": {"other": 1}}', {}, "f", ENTRIES)
    edited = text.replace('"x"', '"mine"')
    assert json_entries.put_in(edited, recorded, "f", ENTRIES) == (edited, recorded)
    assert json.loads(json_entries.take_out(edited, recorded, "f")) == {
        "servers": {"other": 1, "milestone": {"command": "mine"}}}


@pytest.mark.parametrize("text", ["", "# A", "# A\n", "# A\n\n\n", "# A\r\nb\r\n", None])
def test_a_section_goes_without_a_trace(text):
    edited, recorded = sections.put_in(text, {}, "AGENTS.md", "first\nlast")
    assert edited.startswith(text or "<!-- mile") and "first" in edited
    assert ("\r\n" in edited) == ("\r" in (text or "")) and edited.count("\r") in (0, edited.count("\n"))
    assert sections.put_in(edited, recorded, "AGENTS.md", "first\nlast") == (edited, recorded)
    assert sections.take_out(edited, recorded, "AGENTS.md") == text
    more = edited + "more\n"
    assert sections.take_out(more, recorded, "AGENTS.md") == (text or "") + "more\n"


def test_half_a_section_is_refused():
    edited, recorded = sections.put_in("# A\n", {}, "AGENTS.md", "text")
    for text in (edited.replace("<!-- milestone_persist: end -->", ""), edited.partition("-->")[2]):
        with pytest.raises(UsageError, match="AGENTS.md has lost"):
            sections.put_in(text, recorded, "AGENTS.md", "text")
        with pytest.raises(UsageError, match="AGENTS.md has lost"):
            sections.take_out(text, recorded, "AGENTS.md")


TABLE = '[mcp_servers.milestone]\ncommand = "x"'


@pytest.mark.parametrize("text", ['[mcp_servers.milestone]\nurl = "y"\n', '[mcp_servers]\nmilestone = {}\n',
                                  'mcp_servers.milestone.command = "y"\n',
                                  '[mcp_servers."milestone"]\n', "[mcp_servers.milestone.env]\nA = '1'\n"])
def test_tables_of_others_with_our_name_are_not_replaced(text):
    with pytest.raises(UsageError, match="config.toml: mcp_servers.milestone is there and not ours"):
        toml_section.put_in(text, {}, "config.toml", TABLE)


CONFIGURATIONS = ['model = "x"\n', "[mcp_servers.other]\ncommand = 'y'", "[mcp_servers]\n", None, "", "# A\n\n\n",
                  "# [mcp_servers.milestone]\n[other]\nmilestone = 1\n", "a = 1\r\n[b]\r\n"]


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_table_is_added_and_goes_without_a_trace(text):
    edited, recorded = toml_section.put_in(text, {}, "config.toml", TABLE)
    assert edited.startswith(text or "# milestone_persist") and TABLE in edited.replace("\r", "")
    assert ("\r\n" in edited) == ("\r" in (text or "")) and edited.count("\r") in (0, edited.count("\n"))
    assert toml_section.put_in(edited, recorded, "config.toml", TABLE) == (edited, recorded)
    assert toml_section.take_out(edited, recorded, "config.toml") == text


THEIRS = '\n# mine\n[projects."/p"]\ntrust_level = "trusted"\n\n[hooks.state]\n'  # as Codex adds its own


@pytest.mark.parametrize("text", CONFIGURATIONS)
@pytest.mark.parametrize("theirs", [THEIRS, THEIRS.lstrip("\n"), THEIRS.rstrip("\n")])
def test_what_codex_adds_behind_our_table_stays(text, theirs):
    edited, recorded = toml_section.put_in(text, {}, "config.toml", TABLE)
    edited += theirs
    assert toml_section.put_in(edited, recorded, "config.toml", TABLE) == (edited, recorded)
    newer = toml_section.put_in(edited, recorded, "config.toml", TABLE.replace("x", "z"))[0]
    assert newer.endswith(theirs) and '"z"' in newer and '"x"\n' not in newer.replace('model = "x"\n', "")
    left = toml_section.take_out(newer, recorded, "config.toml")
    assert left in ((text or "") + theirs, (text or "") + "\n" + theirs)


def test_what_is_added_to_our_table_stays_until_it_goes(text='[a]\nb = 1\n'):
    edited, recorded = toml_section.put_in(text, {}, "config.toml", TABLE)
    more = edited + 'enabled = false\n\n[mcp_servers.milestone.tools.x]\napproval_mode = "approve"\n\n[c]\nd = 1\n'
    more = more.replace("# milestone_persist", "# another comment")
    assert "enabled" not in toml_section.put_in(more, recorded, "config.toml", TABLE)[0]  # without our comment
    marked = more.replace("# another comment", "# milestone_persist")
    assert toml_section.put_in(marked, recorded, "config.toml", TABLE) == (marked, recorded)
    left = toml_section.take_out(marked, recorded, "config.toml")
    assert left.split("\n\n")[0] + "\n" == text and left.endswith("\n[c]\nd = 1\n") and "milestone" not in left


def test_tables_are_not_added_to_what_is_not_toml():
    """Where Python reads TOML; before, the client will say so."""
    if sys.version_info >= (3, 11):
        with pytest.raises(UsageError, match="config.toml is not valid TOML .*: fix it first; nothing was changed"):
            toml_section.put_in('a = """\n', {}, "config.toml", TABLE)


def test_two_documents_that_are_one_file_get_one_section(milestone, tmp_path):
    (tmp_path / "AGENTS.md").write_text("# Ours\n")
    (tmp_path / "GEMINI.md").symlink_to("AGENTS.md")
    milestone("install", "--codex", "--gemini")
    assert (tmp_path / "AGENTS.md").read_text().count("## Coordination with other agents") == 1
    milestone("uninstall")
    assert (tmp_path / "AGENTS.md").read_text() == "# Ours\n" and (tmp_path / "GEMINI.md").is_symlink()


def test_the_commands_in_the_section_work(milestone, tmp_path, need):
    milestone("install", "--codex")
    command = (tmp_path / "AGENTS.md").read_text().partition("```sh\n")[2].partition("```")[0].replace("--wait 8", "")
    (tmp_path / "src" / "deep").mkdir(parents=True)
    for folder, text in ((tmp_path, command), (tmp_path / "src" / "deep", command.replace(".claude", "../../.claude"))):
        done = subprocess.run([need("dash"), "-c", f"set -e\n{text}"], cwd=folder, env={"PATH": os.environ["PATH"]},
                              capture_output=True, text=True, check=False)
        expected = ("made the data directory", "was heard from")
        complaints = [line for line in done.stderr.splitlines() if not any(word in line for word in expected)]
        assert (done.returncode, complaints) == (0, [])
        assert done.stdout.startswith("registered executor-ms-123-1 ") and done.stdout.endswith("[]\n")


def test_sandboxes_are_told_of_data_outside_the_project(milestone, tmp_path):
    outside = str(tmp_path.parent / "it's data")
    out = milestone("install", ".", "--codex", "--claude-code", "--dry-run", MILESTONE_DIR=outside)[1]
    assert f'writable_roots = ["{outside}"]' in out and f'"allowWrite": ["{outside}"]' in out
    assert "writable_roots" not in milestone("install", ".", "--codex", "--dry-run")[1]


def test_the_hook_of_a_user_serves_every_project(milestone, settings, tmp_path):
    (tmp_path / "project").mkdir()
    milestone("install", "--claude-code", HOME=str(tmp_path))
    hook = json.loads(settings.read_text())["hooks"]["SessionStart"][0]["hooks"][0]["command"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CLAUDE_PROJECT_DIR": str(tmp_path / "project"),
               "CLAUDE_ENV_FILE": str(tmp_path / "env")}
    done = subprocess.run(["sh", "-c", hook], cwd="/", env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert "save_agent_state()" in (tmp_path / "env").read_text()


def test_a_schema_that_a_client_has_added_keeps_no_file_of_ours():
    wanted = {("mcp", "milestone"): {"type": "local"}}
    text, added = json_entries.put_in(None, {}, "opencode.json", wanted)
    text = json.dumps({"$schema": "https://opencode.ai/config.json", **json.loads(text)})  # as OpenCode does
    assert json_entries.take_out(text, added, "opencode.json") is None
    theirs = '{"$schema": "https://opencode.ai/config.json"}'
    text, added = json_entries.put_in(theirs, {}, "opencode.json", wanted)
    assert json_entries.take_out(text, added, "opencode.json") == theirs
