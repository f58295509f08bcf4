"""Installing into a project: what its agents source is there, what was there is kept, and all of it goes again."""
from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import MADE, ROOT, SHELLS

from milestone_persist.base.errors import Refused, StorageError
from milestone_persist.install import installation as install_module
from milestone_persist.install.file_changes import FileChanges
from milestone_persist.install.manifest import Item

PROGRAM = ROOT / "milestone_persist" / "__main__.py"
NAMES = ["storage-adapter.md", "storage-adapter.sh", "milestone-recovery.md"]
SHARED = ".claude/shared/milestone"
PLACES = [".claude/skills/milestone/_shared", ".claude/commands/milestone/_shared", SHARED, "skills/milestone/_shared"]
ADAPTER = f"{PLACES[0]}/storage-adapter.md"
SOURCED = [*(f"{PLACES[0]}/{name}" for name in NAMES), f"{PLACES[1]}/storage-adapter.md",
           f"{SHARED}/storage-adapter.sh", f"{PLACES[3]}/storage-adapter.md"]
PROMPT = "src/plan.md"
USE = "\nsave_agent_state a k 'it''s'\nload_agent_state a k"


class Done:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, MADE.sub("", done.stderr)

    def __repr__(self):
        return f"status {self.status}\nout: {self.out}\nerr: {self.err}"


@pytest.fixture
def project(tmp_path):
    """A git repository with a hostile name and some files of its own."""
    project = tmp_path / "it's \"quoted\" $HOME"
    (project / "src").mkdir(parents=True)
    (project / PROMPT).write_text("# Plan\n\n" + "".join(f"    . {path}\n" for path in SOURCED))
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
    return project


def git(project, *words):
    return subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def call(tmp_path, project):
    """Runs any command in the project, without what the tests themselves have in their environment."""
    def call(*command, cwd=project, **variables):
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MILESTONE_PYTHON": sys.executable, **variables}
        environ = {name: value for name, value in environ.items() if value is not None}
        return Done(subprocess.run([str(word) for word in command], cwd=cwd, env=environ, text=True, check=False,
                                   capture_output=True, stdin=subprocess.DEVNULL, timeout=300))

    return call


@pytest.fixture
def milestone(call):
    """Runs the program in the project: milestone("install", "--check")."""
    return lambda *words, program=PROGRAM, **options: call(sys.executable, "-I", "-S", program, *words, **options)


@pytest.fixture
def shell(call, need):
    def shell(name, text, **options):
        need(SHELLS[name][0])
        return call(*SHELLS[name], "-c", text, **options)

    return shell


def tree(folder):
    """Every path below a folder with what it is: mode, content and time of the last change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name, state = str(path.relative_to(folder)), path.lstat()
        if name.split("/")[0] not in (".git", ".milestones") and "__pycache__" not in name:
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[name] = (state.st_mode, content, None if path.is_dir() else state.st_mtime_ns)
    return found


@pytest.fixture
def vendored(project):
    """The package inside of the project."""
    for folder in ("milestone_persist", "sql", "agents"):
        shutil.copytree(ROOT / folder, project / "tools" / "it's" / folder,
                        ignore=shutil.ignore_patterns("__pycache__"))
    return project / "tools" / "it's" / "milestone_persist" / "__main__.py"


def files(project):
    return {path for path, (_, content, _) in tree(project).items() if content is not None} - {PROMPT}


def test_install_puts_the_files_into_their_places(milestone, project):
    done = milestone("install", "--functions-only")
    assert (done.status, done.err) == (0, "")
    assert files(project) == {*SOURCED, f"{SHARED}/installed.json"}
    assert str(PROGRAM) in done.out and "in clones elsewhere, run install again" in done.out


@pytest.mark.parametrize("name", NAMES)
def test_the_functions_work_in_every_shell(milestone, shell, project, name):
    milestone("install")
    for sh in SHELLS:
        done = shell(sh, f"set -eu\n. ./{PLACES[0]}/{name}{USE}")
        assert (done.status, done.out, done.err) == (0, "its", ""), f"{sh}: {done}"


@pytest.mark.parametrize("name", ["storage-adapter.md", "milestone-recovery.md"])
def test_markdown_is_headings_and_code(milestone, project, name):
    milestone("install")
    lines = (project / PLACES[0] / name).read_text().splitlines()
    assert [line for line in lines if line and not line.startswith(("# ", "## ", "    "))] == []
    assert lines[0].startswith("# ") and "## Messages" in lines


def test_a_vendored_program_is_found_from_a_moved_clone(milestone, shell, project, vendored, tmp_path):
    done = milestone("install", program=vendored)
    assert "in every clone" in done.out
    contents = [content for _, content, _ in tree(project).values() if isinstance(content, bytes)]
    assert not [content for content in contents if str(tmp_path).encode() in content]
    clone = project.rename(tmp_path / "another clone")
    (tmp_path / "link").symlink_to(clone)
    for sh, path in [*((sh, ADAPTER) for sh in SHELLS), *(("dash", path) for path in SOURCED)]:
        done = shell(sh, f"set -eu\n. ./{path}{USE}", cwd=tmp_path / "link", HOME=None)
        assert (done.status, done.out, done.err) == (0, "its", ""), f"{sh}: {done}"


def test_installing_again_changes_nothing(milestone, project, tmp_path):
    words = ("install", "--claude-code", "--codex", "--gemini", "--bin", str(tmp_path / "bin"))
    milestone(*words)
    before = tree(tmp_path)
    done = milestone(*words)
    assert done.out.startswith("nothing is missing or stale\n")
    assert tree(tmp_path) == before
    (tmp_path / "link").symlink_to(project)
    milestone("install", tmp_path / "link")
    (tmp_path / "link").unlink()
    assert tree(tmp_path) == before


def test_uninstall_leaves_the_project_as_it_was(milestone, project):
    (project / "AGENTS.md").write_text("# Ours\nwithout a newline at the end")
    (project / ADAPTER).parent.mkdir(parents=True)
    (project / ADAPTER).write_text("a file of other origin\n")
    (project / ADAPTER).chmod(0o640)
    (project / PLACES[1]).parent.mkdir(parents=True)
    (project / PLACES[1]).symlink_to(f"../../../{PLACES[0]}")
    (project / SHARED).mkdir(parents=True)
    (project / SHARED / "storage-adapter.sh").symlink_to("nowhere")
    before, status = tree(project), git(project, "status", "--porcelain")
    done = milestone("install", "--claude-code", "--codex", "--gemini")
    assert f"kept: {ADAPTER} is now {ADAPTER}.orig" in done.out
    assert (project / f"{ADAPTER}.orig").read_text() == "a file of other origin\n"
    assert milestone("install", "--check").status == 0
    assert milestone("save-agent-state", "a", "k", "v").status == 0
    done = milestone("uninstall")
    assert (done.status, done.err) == (0, "")
    after = tree(project)
    assert after.pop("AGENTS.md")[:2] == before.pop("AGENTS.md")[:2]
    assert after == before
    assert git(project, "status", "--porcelain") == status


def test_no_two_installations_run_at_once(project, monkeypatch):
    seen, write = [], FileChanges.write

    def look_and_write(changes, path, *rest, **more):
        descriptor = os.open(project, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        seen.append(path)
        write(changes, path, *rest, **more)

    monkeypatch.setattr(FileChanges, "write", look_and_write)
    install_module.Installation(str(project), "m.json").install({"a": Item(b"1")})
    assert len(seen) == 2


def test_shellcheck_finds_nothing(milestone, call, need, project):
    milestone("install", ".", "--bin", "bin")
    for dialect in ("dash", "bash"):
        done = call(need("shellcheck"), "-s", dialect, f"{PLACES[0]}/storage-adapter.sh", "bin/milestone_persist")
        assert (done.status, done.out) == (0, "")


def test_uninstall_keeps_what_was_edited_or_added(milestone, project):
    milestone("install")
    (project / ADAPTER).write_text("edited\n")
    (project / SHARED / "notes.md").write_text("added\n")
    done = milestone("uninstall")
    assert "left, for it was edited in" in done.out
    assert files(project) == {ADAPTER, f"{SHARED}/notes.md"}
    assert milestone("uninstall").status == 1


def test_an_edited_file_is_kept_when_it_is_replaced(milestone, project):
    milestone("install")
    wanted = (project / ADAPTER).read_text()
    (project / ADAPTER).write_text("edited\n")
    (project / f"{ADAPTER}.orig").write_text("in the way\n")
    milestone("install")
    assert (project / ADAPTER).read_text() == wanted
    assert (project / f"{ADAPTER}.orig").read_text() == "in the way\n"
    assert (project / f"{ADAPTER}.orig.1").read_text() == "edited\n"


def test_upgrade_over_an_older_version(milestone, project, vendored):
    (project / ADAPTER).parent.mkdir(parents=True)
    (project / ADAPTER).write_text("a file of other origin\n")
    before = tree(project)
    adapter = vendored.parent / "generate" / "adapter.template.sh"
    server = vendored.parent / "install" / "client_files.py"
    new = adapter.read_text(), server.read_text()
    adapter.write_text(new[0].replace("# Shell functions of", "# Older shell functions of"))
    server.write_text(new[1].replace('"milestone"', '"old-name"'))
    assert milestone("install", "--claude-code", program=vendored).status == 0
    assert (project / ".claude" / "skills" / "old-name" / "SKILL.md").exists()
    adapter.write_text(new[0])
    server.write_text(new[1])
    done = milestone("install", "--check", program=vendored)
    assert done.status == 1 and f"stale in {project}/{PLACES[0]}: milestone-recovery.md, storage-" in done.out
    milestone("install", program=vendored)
    assert milestone("install", "--check", program=vendored).status == 0
    assert "old-name" not in (project / ".mcp.json").read_text()
    assert not list(project.rglob("*old-name*")) and len(list(project.rglob("*.orig"))) == 1
    milestone("uninstall", program=vendored)
    assert set(tree(project)) == set(before) and tree(project)[ADAPTER] == before[ADAPTER]


def test_check_and_dry_run_tell_and_change_nothing(milestone, project):
    before = tree(project)
    done = milestone("install", "--check", "--codex", "--bin", "bin")
    assert done.status == 1 and done.err.count("\n") == 1
    assert f"missing in {project}: AGENTS.md" in done.out
    done = milestone("install", "--dry-run", "--codex", "--bin", "bin")
    assert done.status == 0 and f"missing in {project}: AGENTS.md" in done.out
    assert tree(project) == before
    milestone("install")
    (project / ADAPTER).unlink()
    (project / PLACES[0] / "storage-adapter.sh").write_text("other\n")
    before = tree(project)
    done, place = milestone("install", "--check"), project / PLACES[0]
    assert (done.status, done.out.splitlines()[:2]) == (1, [
        f"missing in {place}: storage-adapter.md", f"foreign in {place}: storage-adapter.sh"])
    assert milestone("uninstall", "--dry-run").status == 0
    assert tree(project) == before


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
    import json

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
        assert done.err.count("a store is made ready by initialize_agent_coordination") == 1


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


def test_executables_do_what_the_functions_do(milestone, call, project, tmp_path):
    done = milestone("install", "--bin", "a bin")
    assert (done.status, done.err) == (0, "")
    assert not (project / ".claude").exists()
    path = f"{project}/a bin:{os.environ['PATH']}"
    text = """set -eu
      printf '%s' "$VALUE" | save_agent_state a piped -
      save_agent_state a given "$VALUE"
      printf 'one\\ntwo\\n' | while read -r word; do save_agent_state a "$word" v; done
      list_agent_state a | grep -c ""; load_agent_state a piped; load_agent_state a given"""
    value = "--help 'it' \"$(x)\" \\n 🙂\n\nend"
    done = call("sh", "-c", text, PATH=path, VALUE=value)
    assert (done.status, done.out, done.err) == (0, f"5\n{value}{value}", "")
    assert call(sys.executable, "-c", "import subprocess as s; s.run(['load_agent_state', 'a', 'none'])",
                PATH=path).err.count("\n") == 1
    assert call(project / "a bin" / "load_agent_state", "a", "none").status == 1
    assert call("sh", "load_agent_state", "a", "one", cwd=project / "a bin", MILESTONE_DIR=f"{project}/.milestones"
                ).out == "v"
    (tmp_path / "elsewhere").symlink_to(project / "a bin" / "load_agent_state")
    assert call("milestone_persist", "load_agent_state", "a", "one", PATH=path).out == "v"
    assert milestone("install", "--check", "--bin", "a bin").status == 0
    assert milestone("uninstall", "--bin", "a bin").status == 0
    assert not (project / "a bin").exists()


def test_programs_in_a_project_are_renewed_and_removed_with_it(milestone, project, tmp_path):
    (project / "tools").mkdir()
    before = tree(project)
    for words in (["install", "--functions-only"], ["install", "--bin", "bin"], ["install", "--bin", "tools/bin"]):
        assert milestone(*words).status == 0
    (project / "bin" / "register_agent").unlink()
    assert f"missing in {project}/bin: register_agent" in milestone("install", "--check").out
    milestone("install")
    assert (project / "bin" / "register_agent").is_symlink()
    milestone("install", "--bin", tmp_path / "outside")
    (project / "link").symlink_to(tmp_path / "outside")
    assert milestone("uninstall").status == 0
    (project / "link").unlink()
    assert tree(project) == before and (tmp_path / "outside" / "register_agent").exists()


def test_executables_beside_a_vendored_program_move_with_it(milestone, call, project, vendored, tmp_path):
    milestone("install", "--bin", "bin", program=vendored)
    moved = project.rename(tmp_path / "moved")
    assert call("bin/save_agent_state", "a", "k", "v", cwd=moved).status == 0
    done = call("../bin/load_agent_state", "a", "k", cwd=moved / "src")
    assert (done.status, done.out, done.err) == (0, "v", "")


@pytest.mark.parametrize("kind", ["folder", "zipapp"])
@pytest.mark.parametrize("given", [[], ["--dry-run"], ["--json"]])
def test_executables_that_call_uninstall_take_themselves_out(milestone, call, project, vendored, kind, given):
    program = vendored
    if kind == "zipapp":
        program = project / "tools.pyz"
        assert milestone("vendor", "--zipapp", program).status == 0
    milestone("install", "--bin", "a bin", program=program)
    done = call("a bin/milestone_persist", "uninstall", "--bin", "a bin", *given)
    assert (done.status, done.err) == (0, "") and "abandon_session" in done.out
    assert (project / "a bin").exists() == (given == ["--dry-run"])


@pytest.mark.parametrize("umask, mode", [(0o000, 0o644), (0o077, 0o600)])
def test_modes_follow_the_umask_but_let_nobody_else_write(milestone, call, project, umask, mode):
    code = f"import os, subprocess, sys; os.umask({umask}); sys.exit(subprocess.call(sys.argv[1:]))"
    assert call(sys.executable, "-c", code, sys.executable, PROGRAM, "install", ".", "--bin", "bin").status == 0
    assert (project / ADAPTER).stat().st_mode & 0o777 == mode
    assert (project / "bin" / "milestone_persist").stat().st_mode & 0o777 == mode | (0o111 & ~umask)
    assert milestone("uninstall", ".", "--bin", "bin").status == 0


def as_user(need):
    """Words before a command that make it obey permissions even if the tests run as root."""
    return [] if os.geteuid() else [need("setpriv"), "--inh-caps=-all", "--bounding-set=-dac_override"]


def test_a_read_only_home_and_none_at_all(milestone, call, need, tmp_path, project):
    home = tmp_path / "home"
    home.mkdir(0o500)
    for value in (str(home), None):
        done = call(*as_user(need), sys.executable, PROGRAM, "install", "--claude-code", HOME=value)
        assert (done.status, done.err) == (0, "")


def test_a_place_that_cannot_be_written_leaves_nothing_half_done(call, need, project):
    (project / PLACES[3]).mkdir(parents=True)
    (project / PLACES[3]).chmod(0o500)
    (project / ADAPTER).parent.mkdir(parents=True)
    (project / ADAPTER).write_text("a file of other origin\n")
    before = tree(project)
    done = call(*as_user(need), sys.executable, PROGRAM, "install", "--claude-code", "--codex")
    assert (done.status, done.out, done.err.count("\n")) == (3, "", 1)
    assert PLACES[3] in done.err and "nothing was changed" in done.err
    assert tree(project) == before
    (project / PLACES[3]).chmod(0o700)


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


class Killed(BaseException):
    """Not an error that anything catches: as if the process were killed."""


@pytest.mark.parametrize("kind", [OSError(28, "No space left on device", "x"), Killed()], ids=["full", "killed"])
def test_an_installation_that_ends_at_any_write(project, monkeypatch, kind):
    """A failure takes everything back; after a kill, the next installation and its end leave nothing behind."""
    (project / "b").mkdir()
    (project / "b" / "storage-adapter.sh").write_text("mine\n")
    before = tree(project)
    wanted = {"a/milestone_persist": Item(b"1"), "b/storage-adapter.sh": Item(b"2"),
              "link": Item(target="milestone_persist")}
    real, count, times = os.replace, 0, 0

    def replace(old, new):
        nonlocal count
        count -= 1
        if count < 0:
            raise kind
        real(old, new)

    while True:
        count, times = times, times + 1
        monkeypatch.setattr(os, "replace", replace)
        if isinstance(kind, Killed):
            monkeypatch.setattr(FileChanges, "take_back", lambda self: [])
        try:
            install_module.Installation(str(project), "m.json").install(wanted, {"AGENTS.md": "text"})
            break
        except (StorageError, Killed):
            monkeypatch.setattr(os, "replace", real)
            if not isinstance(kind, Killed):
                assert {path: what[:2] for path, what in tree(project).items()} == {
                    path: what[:2] for path, what in before.items()}
                continue
            assert (project / "b" / "storage-adapter.sh").exists()
            shutil.rmtree(project.parent / "copy", ignore_errors=True)
            shutil.copytree(project, project.parent / "copy", symlinks=True)
            end(project.parent / "copy")
            assert [*tree(project.parent / "copy")] == [*before]
            install_module.Installation(str(project), "m.json").install(wanted, {"AGENTS.md": "text"})
            assert (project / "b" / "storage-adapter.sh").read_text() == "2"
            install_module.Installation(str(project), "m.json").uninstall()
            assert tree(project) == before
    assert times > 4
    assert Path(project / "b" / "storage-adapter.sh").read_text() == "2"


def end(project):
    try:
        install_module.Installation(str(project), "m.json").uninstall()
    except Refused as error:
        assert "nothing was installed" in str(error)


def test_an_end_that_is_killed_at_any_change_is_completed_by_the_next(project, monkeypatch):
    (project / "storage-adapter.sh").write_text("mine\n")
    (project / "AGENTS.md").write_text("mine\n")
    (project / ".mcp.json").write_text('{"a":   1}')
    before, reals, times = tree(project), {name: getattr(os, name) for name in ("unlink", "rmdir", "replace")}, 0
    monkeypatch.setattr(FileChanges, "take_back", lambda self: [])
    while True:
        install_module.Installation(str(project), "m.json").install(
            {"a/b/milestone_persist": Item(b"1"), "storage-adapter.sh": Item(b"2")},
            {"AGENTS.md": "text", ".mcp.json": {("mcpServers", "milestone"): {"command": "x"}}})
        left = times

        def die(name):
            def call(*given):
                nonlocal left
                left -= 1
                if left < 0:
                    raise Killed
                reals[name](*given)
            return call

        for name in reals:
            monkeypatch.setattr(os, name, die(name))
        try:
            end(project)
            break
        except Killed:
            times += 1
        finally:
            for name, real in reals.items():
                monkeypatch.setattr(os, name, real)
        assert (project / "storage-adapter.sh").read_text() in ("mine\n", "2")
        end(project)
        assert {path: what[:2] for path, what in tree(project).items()} == {
            path: what[:2] for path, what in before.items()}
    assert times > 8
