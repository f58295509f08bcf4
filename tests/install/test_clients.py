"""For which clients a project is made ready, and what keeps them from using it."""
from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from building import copy_tree
from conftest import ROOT

from milestone_persist.base import __version__
from milestone_persist.cli.main import Console, main
from milestone_persist.install.client_files import CLIENTS, EVENTS
from milestone_persist.install.codex_trust import find_untrusted
from milestone_persist.install.launch import Launch

FILES = {"claude_code": ".mcp.json", "codex": ".codex/config.toml", "gemini": ".gemini/settings.json",
         "opencode": "opencode.json"}
SIGNS = {".claude/agents/a.md": "claude_code", ".claude/": "claude_code", "~/.codex/": "codex",
         "CLAUDE.md": "claude_code", ".codex/x": "codex", "AGENTS.md": "codex",
         ".gemini/x": "gemini", "GEMINI.md": "gemini", "~/.claude/x": "claude_code", "~/.codex/x": "codex",
         "~/.gemini/x": "gemini", "bin/claude": "claude_code", "bin/codex": "codex", "bin/gemini": "gemini",
         ".opencode/x": "opencode", "opencode.json": "opencode", "opencode.jsonc": "opencode",
         "~/.config/opencode/x": "opencode", "bin/opencode": "opencode"}


@pytest.fixture
def project(tmp_path):
    project = tmp_path / "my project"
    project.mkdir()
    return project


@pytest.fixture
def milestone(project, tmp_path, monkeypatch):
    """Runs a command line in the project; a HOME, and a folder of programs, are beside it."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def milestone(*words):
        console = Console(io.BytesIO(), io.BytesIO(), io.BytesIO(), {"PATH": f"{tmp_path}/bin",
                                                                     "HOME": str(tmp_path / "home")})
        status = main([str(word) for word in words], console)
        out, err = (stream.getvalue().decode() for stream in (console.stdout, console.stderr))
        return subprocess.CompletedProcess(words, status, out, err)

    return milestone


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def clients_of(project):
    return {name for name, file in FILES.items() if (project / file).exists()}


@pytest.mark.parametrize("sign", SIGNS)
def test_a_client_is_found_by(milestone, project, tmp_path, sign):
    path = project / sign if sign[0] not in "~b" else tmp_path / sign.replace("~", "home")
    if sign.endswith("/"):
        path.mkdir(parents=True)
    else:
        write(path)
    done = milestone("install")
    assert (done.returncode, done.stderr) == (0, "")
    assert clients_of(project) == {SIGNS[sign]}
    assert f"{CLIENTS[SIGNS[sign]].title}: begin a new session" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("say to your agent: use the milestone skill; register as ")


def test_what_is_installed_for_one_client_is_no_sign_of_another(milestone, project):
    write(project / ".opencode" / "x")
    for _ in range(2):  # the section in AGENTS.md, which Codex reads, too, is ours
        assert milestone("install").returncode == 0
        assert clients_of(project) == {"opencode"}
    write(project / "AGENTS.md", "# Theirs\n" + (project / "AGENTS.md").read_text())
    milestone("install")
    assert clients_of(project) == {"opencode", "codex"}


def test_without_a_client_only_the_functions_are_installed(milestone, project):
    for _ in range(2):  # what it made itself is no sign of Claude Code
        done = milestone("install")
        assert [path.name for path in project.rglob("*") if path.is_file()] == ["storage-adapter.sh", "installed.json"]
        assert "no client was found (Claude Code, Codex, Gemini CLI, OpenCode): for one that comes " in done.stdout
        assert "say to your agent: source .claude/shared/milestone/storage-adapter.sh in each command" in done.stdout


def test_flags_narrow_it_and_are_remembered(milestone, project, tmp_path):
    for name in ("claude", "codex", "gemini", "opencode"):
        write(tmp_path / "bin" / name)
    for words, expected in ((["--codex"], {"codex"}), ([], {"codex"}), (["--gemini"], {"codex", "gemini"}),
                            (["--opencode"], {"codex", "gemini", "opencode"}),
                            (["--functions-only"], set()), ([], set()), (["--claude-code"], {"claude_code"})):
        assert milestone("install", *words).returncode == 0
        assert clients_of(project) == expected
    milestone("uninstall")
    assert [*project.iterdir()] == []


@pytest.mark.parametrize("without, words", [("no_mcp", "mcpServers mcp_servers enabledMcp mcp__ local"),
                                            ("no_hooks", "hook")])
def test_a_part_is_left_out(milestone, project, without, words):
    option = "--" + without.replace("_", "-")
    milestone("install", "--claude-code", "--codex", "--gemini", "--opencode", option)
    milestone("install")
    assert (project / "opencode.json").exists() == (without != "no_mcp")
    texts = [path.read_text() for path in project.rglob("*") if path.suffix in (".json", ".toml")
             and path.name != "installed.json"]
    assert len(texts) >= 2 and not [word for word in words.split() for text in texts if word in text]
    assert milestone("uninstall").returncode == 0 and [*project.iterdir()] == []


def test_contradicting_flags_are_refused(milestone, project):
    for option in ("--codex", "--prompts"):
        done = milestone("install", "--functions-only", option)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert [*project.iterdir()] == []


def test_prompts_are_for_a_client_that_may_run_them(milestone, project):
    milestone("install", "--prompts")
    assert "Bash(register_agent *)" in (project / ".claude" / "settings.json").read_text()
    assert (project / ".claude" / "agents" / "milestone-executor.md").exists()


def test_in_the_home_directory_the_files_are_those_for_all_projects(milestone, project, tmp_path):
    home = tmp_path / "home"
    write(home / ".claude.json", json.dumps({"projects": {"/p": {"n": 1}}}, indent=2))
    before = (home / ".claude.json").read_bytes()
    assert milestone("install", home, "--claude-code", "--codex", "--gemini", "--opencode").returncode == 0
    made = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert made == {".claude.json", ".claude/settings.json", ".claude/shared/milestone/installed.json",
                    ".claude/shared/milestone/storage-adapter.sh", ".claude/skills/milestone/SKILL.md",
                    ".agents/skills/milestone/SKILL.md", ".codex/AGENTS.md", ".codex/config.toml", ".codex/hooks.json",
                    ".gemini/GEMINI.md", ".gemini/settings.json", ".config/opencode/AGENTS.md",
                    ".config/opencode/opencode.json"}
    assert json.loads((home / ".claude.json").read_text())["mcpServers"]["milestone"]["args"][-1] == "mcp"
    assert 'f="$HOME/.claude/shared' in json.loads((home / ".codex/hooks.json").read_text())["hooks"]["Stop"][0][
        "hooks"][0]["command"]
    assert ". ~/.claude/shared" in (home / ".agents/skills/milestone/SKILL.md").read_text()
    assert milestone("uninstall", home).returncode == 0
    assert [path.name for path in home.rglob("*")] == [".claude.json"]
    assert (home / ".claude.json").read_bytes() == before


def test_a_server_of_others_is_not_replaced(milestone, project):
    text = '{"mcpServers": {"milestone": {"command": "other"}}}'
    write(project / ".mcp.json", text)
    done = milestone("install")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "mcpServers.milestone is there and not ours" in done.stderr
    assert [path.name for path in project.iterdir()] == [".mcp.json"] and (project / ".mcp.json").read_text() == text
    assert milestone("install", "--no-mcp").returncode == 0


def test_a_vendored_program_is_registered_by_its_place(project):
    for name in ("milestone_persist", "agents", "sql"):
        copy_tree(ROOT / name, project / "tools" / name)
    command = [sys.executable, "-I", "-S", project / "tools" / "milestone_persist", "install", "--claude-code"]
    subprocess.run([*command, "--codex", "--opencode"], cwd=project, check=True, stdout=subprocess.DEVNULL)
    server = json.loads((project / ".mcp.json").read_text())["mcpServers"]["milestone"]
    configuration = (project / ".codex" / "config.toml").read_text()
    command, words = (json.loads(value) for value in re.findall("^(?:command|args) = (.*)$", configuration, re.M))
    assert server == {"command": command, "args": words}
    assert json.loads((project / "opencode.json").read_text())["mcp"]["milestone"]["command"] == [command, *words]
    assert "${" not in "".join(words)  # Claude Code puts variables there
    (project / "src" / "a b").mkdir(parents=True)
    for folder in (project, project / "src" / "a b"):  # the folder in which the session began is that of the server
        done = subprocess.run([command, *words], cwd=folder, input='{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n',
                              text=True, capture_output=True, check=False, env={"PATH": os.environ["PATH"]})
        assert (done.returncode, done.stderr, json.loads(done.stdout)["id"]) == (0, "", 1), done
    assert str(project) not in "".join(path.read_text() for path in project.rglob(".*/*") if path.is_file())


def digest(word, group):
    """As Codex 0.171.0 was seen to write it down."""
    hook = {**group["hooks"][0], "async": False}
    hook["timeout"] = min(hook["timeout"], 3 if word == "session_end" else 600)
    text = json.dumps({"event_name": word, "hooks": [hook]}, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


SEEN = "sha256:0408973db4c606ef0b942b13de03431201c09e7746a6fbf2d078370f1af83d68"  # of the hook below


@pytest.mark.parametrize("path, key", [
    ('/a "b"/hooks.json', '"/a \\"b\\"/hooks.json:session_end:0:0"'),
    ('/a "b"/hooks.json', "'/a \"b\"/hooks.json:session_end:0:0'"),
    ("/a\\b/hooks.json", "'/a\\b/hooks.json:session_end:0:0'"), ("/it's/ü", '"/it\'s/ü:session_end:0:0"'),
])
def test_a_path_may_be_quoted_in_either_way(path, key):
    state, group = f'[hooks.state.{key}]\ntrusted_hash = "{SEEN}"\n', {"hooks": [
        {"type": "command", "command": "true", "timeout": 10}]}
    assert [*find_untrusted(state, path, {"SessionEnd": [group]}, "true")] == []
    assert [*find_untrusted(state, path + "2", {"SessionEnd": [group]}, "true")] == ["SessionEnd"]


def test_a_digest_is_that_which_codex_wrote():
    group = {"hooks": [{"type": "command", "command": "true", "timeout": 10}]}
    state = f'[hooks.state."/p/hooks.json:session_end:0:0"]\ntrusted_hash = "{SEEN}"\n'
    assert [*find_untrusted(state, "/p/hooks.json", {"SessionEnd": [group]}, "true")] == []
    for strange in (None, "true", [None], [{"hooks": "true"}], [{"hooks": ["true", {"timeout": "true"}]}]):
        assert [*find_untrusted(state, "/p/hooks.json", {"SessionEnd": strange}, "true")] == []
    group["hooks"][0]["command"] = "true; false"
    assert [*find_untrusted(state, "/p/hooks.json", {"SessionEnd": [group]}, "true")] == ["SessionEnd"]


@pytest.fixture
def check(milestone, project, tmp_path):
    """Makes all clients trust the project, and runs `install --check` in it."""
    home, top = tmp_path / "home", str(project)
    for name in ("claude", "codex", "gemini", "opencode"):
        write(tmp_path / "bin" / name)
    assert milestone("install").returncode == 0
    write(home / ".claude.json", json.dumps({"projects": {top: {"hasTrustDialogAccepted": True}}}))
    hooks = json.loads((project / ".codex" / "hooks.json").read_text())["hooks"]
    words = dict(zip(hooks, ("session_start", "stop", "subagent_stop", "session_end", "pre_compact")))
    trusted = "".join(f'[hooks.state."{top}/.codex/hooks.json:{words[event]}:0:0"]\n'
                      f'trusted_hash = "{digest(words[event], group)}"\n' for event, [group] in hooks.items())
    write(home / ".codex" / "config.toml", f'[projects."{top}"]\ntrust_level = "trusted"\n\n{trusted}')
    write(home / ".gemini" / "trustedFolders.json", json.dumps({str(tmp_path): "TRUST_FOLDER"}))
    return lambda: milestone("install", "--check")


def test_a_project_that_all_clients_can_use_is_fine(check):
    done = check()
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("nothing is missing or stale\n")


PROBLEMS = {
    "Claude Code does not trust it": ("~/.claude.json", "hasTrustDialogAccepted", "x",
                                      "Claude Code does not trust .*: run claude there once and accept, or "),
    "Claude Code trusts a folder above": ("~/.claude.json", 'my project": {"hasTrust', '": {"hasTrust',
                                          "Claude Code does not trust .*: run claude there once"),
    "Codex does not trust it": ("~/.codex/config.toml", '"trusted"', '"untrusted"',
                                "Codex does not trust .*: run codex there once and trust it"),
    "Codex does not trust a hook": ("~/.codex/config.toml", "stop:0", "stop:1", "Codex: nobody has trusted the hooks "
                                    "Stop, SubagentStop as they are, so it skips them: run codex there and trust"),
    "a hook of Codex has changed": (".codex/hooks.json", '"timeout": 3', '"timeout": 2',
                                    "Codex: nobody has trusted the hooks SessionEnd as they are"),
    "Gemini does not trust it": ("~/.gemini/trustedFolders.json", "TRUST_FOLDER", "DO_NOT_TRUST",
                                 "Gemini CLI does not trust .*: run gemini there once and trust it"),
    "OpenCode's server is off": ("opencode.json", '"local",', '"local", "enabled": false,',
                                 'OpenCode: the MCP server milestone of opencode.json is not enabled: remove its'),
    "Claude Code's hooks are off": (".claude/settings.json", '"permissions"', '"disableAllHooks": true, "permissions"',
                                    r"Claude Code: disableAllHooks in \.claude/settings\.json keeps .*: remove it"),
    "Claude Code may not": (".claude/settings.json", '"allow": [', '"deny": ["Read(.env)", "Bash"], "allow": [',
                            r"Claude Code: \.claude/settings\.json denies Bash, which wins .*: take it out of deny"),
    "Claude Code does not read it": (".claude/settings.json", '"allow": [', '"defaultMode": "allowEdits", "allow": [',
                                     r"Claude Code: \.claude/settings\.json has the defaultMode 'allowEdits', which it "
                                     "does not know, so it ignores the whole file: use one of "),
    "an older version": (".claude/shared/milestone/installed.json", f'"version": "{__version__}"', '"version": "0.0.1"',
                         f"version 0.0.1 was installed, and this is {__version__}: run .* install"),
}


@pytest.mark.parametrize("wrong", ["5", "true", "null", "{}", "[5, null]", '"Bash"'])
def test_settings_of_another_kind_are_left_to_the_client(check, project, tmp_path, wrong):
    top, home = json.dumps(str(project)), tmp_path / "home"
    for path, text in ((project / ".claude" / "settings.local.json", '{"permissions": {"deny": WRONG}}'),
                       (project / ".claude" / "settings.local.json", '{"permissions": {"defaultMode": WRONG}}'),
                       (home / ".claude.json", f'{{"projects": {{{top}: {{"disabledMcpjsonServers": WRONG}}}}}}'),
                       (project / "opencode.json", '{"mcp": {"milestone": {"command": WRONG}}}'),
                       (project / ".gemini" / "settings.json", '{"mcpServers": {"milestone": {"args": WRONG}}}')):
        path.write_text(text.replace("WRONG", wrong))
        done = check()
        assert done.returncode in (0, 1) and "internal error" not in done.stderr


@pytest.mark.parametrize("file, old, new, problem", PROBLEMS.values(), ids=PROBLEMS)
def test_what_keeps_a_client_from_using_it_is_told_with_its_remedy(check, project, tmp_path, file, old, new, problem):
    path = tmp_path / "home" / file[2:] if file[0] == "~" else project / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = check()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    lines = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
    assert len(lines) == 1
    assert re.match(f"problem: {problem}", lines[0]), lines


MOVED = {"the program": ("[^\"']+/__main__.py", "/gone/__main__.py", "which is not there: run .* install"),
         "the Python": (None, "/gone/python3", "runs /gone/python3, which is not there: run .* install")}


@pytest.mark.parametrize("what", MOVED)
def test_a_path_that_leads_nowhere_is_told(check, project, what):
    old, new, problem = MOVED[what]
    old = old or re.escape(sys.executable)
    for file in (".mcp.json", ".codex/config.toml", ".gemini/settings.json", "opencode.json",
                 ".claude/shared/milestone/storage-adapter.sh"):
        text = (project / file).read_text()
        assert re.search(old, text) or "storage" in file
        (project / file).write_text(re.sub(old, new, text))
    done = check()
    told = [line for line in done.stdout.splitlines() if re.search(f"^problem: .*{problem}", line)]
    assert done.returncode == 1 and len(told) == (5 if what == "the program" else 4), done.stdout


def test_claude_code_trusts_a_linked_worktree_as_the_main_one(check, milestone, project, tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", project], check=True)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a", "--allow-empty"],
                   cwd=project, check=True)
    tree = tmp_path / "tree"
    subprocess.run(["git", "worktree", "add", "-q", tree], cwd=project, check=True)
    monkeypatch.chdir(tree)
    milestone("install")
    assert "Claude Code does not trust" not in check().stdout
    path = tmp_path / "home" / ".claude.json"
    path.write_text(path.read_text().replace(*(json.dumps(str(folder)) for folder in (project, tree))))
    assert f"Claude Code does not trust {project}, so claude -p" in check().stdout


def test_a_server_that_was_refused_is_told(check, project, tmp_path):
    path = tmp_path / "home" / ".claude.json"
    data = json.loads(path.read_text())
    data["projects"][str(project)]["disabledMcpjsonServers"] = ["milestone"]
    path.write_text(json.dumps(data))
    assert "problem: Claude Code: the MCP server milestone of .mcp.json was refused here: enable it with /mcp" in (
        check().stdout)


def test_clients_that_are_not_on_this_machine_keep_nobody(milestone, project, tmp_path):
    milestone("install", "--claude-code", "--codex", "--gemini")
    assert milestone("install", "--check").returncode == 0
    write(tmp_path / "bin" / "claude")
    assert "Claude Code does not trust" in milestone("install", "--check").stdout


@pytest.mark.parametrize("client", EVENTS)
@pytest.mark.parametrize("event", ["SessionStart", "Stop"])
def test_a_hook_fails_open(milestone, project, client, event):
    """Whatever is not there: it ends with 0, and says one line at most, which the model reads, as a session begins."""
    milestone("install", "--claude-code", "--codex", "--gemini")
    file = {"claude_code": ".claude/settings.json", "codex": ".codex/hooks.json", "gemini": ".gemini/settings.json"}
    event = "AfterAgent" if (client, event) == ("gemini", "Stop") else event
    hooks = json.loads((project / file[client]).read_text())["hooks"]
    command = hooks[event][0]["hooks"][0]["command"]
    adapter = project / ".claude" / "shared" / "milestone" / "storage-adapter.sh"
    text = adapter.read_text()
    for found in (text.replace("milestone_persist/__main__", "gone"), text[:len(text) // 2],
                  f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n", ""):
        adapter.write_text(found) if found else adapter.unlink()
        environ = {name: str(project) for name in ("CLAUDE_PROJECT_DIR", "GEMINI_PROJECT_DIR")}
        environ["PATH"] = os.environ["PATH"]
        done = subprocess.run(["sh", "-c", command], cwd=project, env=environ, input="{}", capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0 and done.stdout.count("\n") == (event == "SessionStart"), done
        assert "install" in done.stdout or event != "SessionStart"


@pytest.mark.parametrize("name", ["a b", "it's", "plain"])
def test_gemini_puts_the_folder_in_place_of_its_name(milestone, project, name):
    """In quotes where a shell needs them; other versions set a variable."""
    milestone("install", "--gemini")
    group, = json.loads((project / ".gemini" / "settings.json").read_text())["hooks"]["SessionStart"]
    top = project.parent / name
    project.rename(top)
    told = group["hooks"][0]["command"]
    for command, more in ((told.replace("$GEMINI_PROJECT_DIR", shlex.quote(str(top))), {}),
                          (told, {"GEMINI_PROJECT_DIR": str(top)})):
        done = subprocess.run(["sh", "-c", command], env={"PATH": os.environ["PATH"], **more}, input="{}", text=True,
                              cwd=top, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_codex_finds_the_functions_from_a_folder_below(milestone, project, shell, need):
    """It names no top of a project to its hooks."""
    milestone("install", "--codex")
    (project / "a b" / "c").mkdir(parents=True)
    group, = json.loads((project / ".codex" / "hooks.json").read_text())["hooks"]["SessionStart"]
    missing = "milestone_persist: there is no "
    for folder, said in ((project, ""), (project / "a b" / "c", ""), (project.parent, missing)):
        done = subprocess.run([need(shell), "-c", group["hooks"][0]["command"]], cwd=folder, input="{}", text=True,
                              env={"PATH": os.environ["PATH"]}, capture_output=True, check=False)
        assert (done.returncode, done.stderr, bool(done.stdout)) == (0, "", bool(said)), done
        assert done.stdout.startswith(said)


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
@pytest.mark.parametrize("status, said", [(0, '{"answer": "{}"}\n'), (3, "what is wrong\n")])
def test_an_answer_of_a_hook_is_not_mixed_with_complaints(project, need, shell, status, said):
    adapter = project / ".claude" / "shared" / "milestone" / "storage-adapter.sh"
    answer = """milestone_persist() { printf '{"answer": "%s"}\\n' "$(cat)"; echo a warning >&2; }"""
    write(adapter, answer if not status else "milestone_persist() { echo what is wrong >&2; return 3; }")
    command = Launch().hook_command("claude_code", "SessionStart")
    done = subprocess.run([need(shell), "-c", command], env={"PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": "."},
                          cwd=project, input="{}", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_the_hooks_of_codex_stay_as_their_users_have_trusted_them():
    """One that is changed is skipped without a word until it is trusted again, by each user: so not without need."""
    commands = [Launch(is_home=is_home).hook_command("codex", event) for is_home in (False, True)
                for event in EVENTS["codex"]]
    assert hashlib.sha256("\n".join(commands).encode()).hexdigest() == (
        "b031fa7531a991786206bb0dbd97ef4225b6fe64b14a687aac6719127ff892ab")
