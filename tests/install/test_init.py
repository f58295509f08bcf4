"""The functions without a file: init, the usual line of agents, the hook and the file of an environment."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import MADE, ROOT, SHELLS
from install_project import USE

LINE = 'source "$(dirname "$0")/../../skills/milestone/_shared/storage-adapter.md"'


@pytest.mark.parametrize("sh", ["bash", "zsh"])
def test_the_usual_line_in_a_script_of_an_agent(milestone, shell, call, need, project, sh):
    milestone("install")
    for folder in (".claude/agents", ".claude/agents/milestone"):
        script = project / folder / "agent.sh"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(f"set -eu\n{LINE}{USE}")
        for cwd, path in ((project, f"{folder}/agent.sh"), (script.parent, "./agent.sh"), (project / "src", script)):
            done = call(need(sh), path, cwd=cwd)
            assert (done.status, done.out, done.err) == (0, "its", "")


@pytest.mark.parametrize("sh", ["bash", "zsh"])
@pytest.mark.parametrize("how", ["init", "hook"])
def test_the_usual_line_works_where_its_path_cannot_exist(milestone, shell, call, project, tmp_path, sh, how):
    milestone("install", "--claude-code")
    if how == "init":
        given = f'eval "$({sys.executable} -m milestone_persist init {sh})"'
    else:
        run_hook(project, call, tmp_path / "env")
        given = f'. "{tmp_path}/env"'
    done = shell(sh, f"{given}\n{LINE}{USE}", PYTHONPATH=str(ROOT))
    assert (done.status, done.out) == (0, "its")
    assert "no such file" in done.err.lower() and done.err.count("\n") == 1, done
    assert shell(sh, f"{given}\n{LINE} 2>/dev/null || true{USE}", PYTHONPATH=str(ROOT)).err == ""


def test_the_hook_finds_a_vendored_program(milestone, shell, call, need, project, vendored, tmp_path):
    need("dash")
    milestone("install", "--claude-code", program=vendored)
    run_hook(project.rename(tmp_path / "moved"), call, tmp_path / "env")
    done = shell("bash", f'. "{tmp_path}/env"{USE}', cwd=tmp_path)
    assert (done.status, done.out, done.err) == (0, "its", "")


def run_hook(project, call, env_file):
    """What Claude Code does when a session begins."""

    settings = json.loads((project / ".claude" / "settings.json").read_text())
    (group,) = settings["hooks"]["SessionStart"]
    (hook,) = group["hooks"]
    done = call("sh", "-c", hook["command"], cwd=project / "src", CLAUDE_PROJECT_DIR=str(project),
                CLAUDE_ENV_FILE=str(env_file))
    assert (done.status, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize("sh", SHELLS)
def test_init_gives_the_functions_without_a_file(milestone, shell, project, vendored, sh):
    text = milestone("init", "sh", program=vendored).out
    (project / ".zshrc").write_text('eval "$TEXT"\n')
    done = shell(sh, 'set -eu; eval "$TEXT"\nunset MILESTONE_PYTHON' + USE, TEXT=text, HOME=None)
    assert (done.status, done.out, done.err) == (0, "its", "")
    assert sys.executable in text and str(project) not in text or vendored.exists()


def test_init_in_the_start_up_file_of_an_interactive_zsh(call, need, project):
    (project / ".zshrc").write_text(f'eval "$({sys.executable} -m milestone_persist init zsh)"\n')
    done = call(need("zsh"), "-i", "-c", USE, ZDOTDIR=str(project), PYTHONPATH=str(ROOT))
    assert (done.status, done.out, done.err) == (0, "its", "")


def test_init_from_a_zipapp(call, shell, project, tmp_path):
    made = tmp_path / "it's $one.pyz"
    call(sys.executable, "-m", "zipapp", ROOT, "-m", "milestone_persist.cli.process:run", "-o", made)
    done = shell("dash", f'set -eu; eval "$({sys.executable} "$PYZ" init sh)"{USE}', PYZ=str(made))
    assert (done.status, done.out, done.err) == (0, "its", "")
    done = call(sys.executable, "-c", f"import sys; sys.path.insert(0, {str(made)!r}); "
                "import milestone_persist.base.packaged as p; print(p.find_program())")
    assert done.out == f"{made}\n"


def test_what_cannot_be_run_by_a_path_is_refused(call, project, tmp_path):
    made = tmp_path / "package.whl"
    shutil.make_archive(str(tmp_path / "package"), "zip", ROOT, "milestone_persist")
    (tmp_path / "package.zip").rename(made)
    done = call(sys.executable, "-m", "milestone_persist", "install", PYTHONPATH=str(made))
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "zipapp" in done.err and not (project / ".claude").exists()


@pytest.mark.parametrize("sh", [*SHELLS])
def test_init_without_the_quotes_says_so(shell, sh):
    given = f'eval $({sys.executable} -m milestone_persist init sh); command -v milestone_persist; echo "$?"'
    done = shell(sh, given, PYTHONPATH=str(ROOT))
    assert done.out.strip() != "0" and "the quotes are missing: eval" in done.err and done.err.count("\n") == 1


@pytest.mark.parametrize("start", [".zshrc", "prompt"])
@pytest.mark.parametrize("quote", ['"', ""])
def test_init_in_an_interactive_zsh_says_so_too(call, need, project, tmp_path, start, quote):
    given = f"eval {quote}$({sys.executable} -m milestone_persist init zsh){quote}\n"
    (project / ".zshrc").write_text(given if start == ".zshrc" else "")
    text = (given if start == "prompt" else "") + USE + "\n"
    done = subprocess.run([need("zsh"), "-i"], input=text, capture_output=True, text=True, check=False, cwd=project,
                          env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ZDOTDIR": str(project),
                               "PYTHONPATH": str(ROOT)})
    assert ("its" in done.stdout) == bool(quote)
    said = MADE.sub("", done.stderr.replace("# ", ""))
    assert ("milestone_persist: nothing" in said or "parse error" in said) != bool(quote), done.stderr


def test_init_without_a_shell_says_what_it_is_for(milestone):
    for words in (["init"], ["init", "ms-1"]):
        done = milestone(*words)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert done.err.count("initialize_agent_coordination instead") == 1


def test_init_of_another_shell_is_refused(milestone):
    done = milestone("init", "fish")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "install --bin" in done.err


def test_an_env_file_is_written_once_and_keeps_what_others_wrote(milestone, shell, tmp_path):
    env = tmp_path / "env"
    env.write_text("export OTHER=1")
    for _ in range(2):
        assert (milestone("init", "sh", "--env-file", env).out) == ""
        assert env.read_text().count("save_agent_state()") == 1
        with env.open("a") as file:
            file.write("export AFTER=2\n")
    assert not env.read_text().splitlines()[-3].startswith("#")
    done = shell("bash", f'source "{env}" && echo "$OTHER$AFTER" && {USE.strip()}')
    assert (done.status, done.out, done.err) == (0, "12\nits", "")
    assert env.read_text().count("AFTER") == 2
    assert milestone("init", "sh", "--env-file", "").status == 2
    assert milestone("init", "sh", "--env-file", tmp_path).status == 2
    assert milestone("init", "sh", "--env-file", os.devnull).status == 2 and not os.path.isfile(os.devnull)


def test_an_env_file_that_has_lost_the_end_of_our_block_loses_nothing_else(milestone, tmp_path):
    file = tmp_path / "env"
    file.write_text(text := "export A=1\n: milestone_persist begins\nexport B=2\n")
    done = milestone("init", "sh", "--env-file", file)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1) and file.read_text() == text
