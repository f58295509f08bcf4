"""The checkout's functions and a vendored copy's, where agents run: odd homes, umasks, paths, a sandbox."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from building import run
from conftest import ADAPTER, ROOT, SHELLS

CALLS = """set -eu
. "$ADAPTER"
initialize_agent_coordination >/dev/null
register_agent a milestone-planner ms-1 planning-1 >/dev/null
long=$(head -c 200000 /dev/zero | tr '\\0' a)
save_agent_state a long "$long"
load_agent_state a long | wc -c | tr -d ' '
backup_coordination backup.db >/dev/null
"""
NOBODY = "65534"
# Everything is made read-only but the project, in a namespace of its own; device files can be written all the same.
READ_ONLY = """mount --make-rprivate / && mount --bind "$PROJECT" "$PROJECT" || exit
while read -r device place more; do
  case $place in "$PROJECT" | /proc | /proc/*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null ;; esac
done </proc/self/mounts
cd "$PROJECT" && exec "$@" """


@pytest.fixture(scope="session")
def vendored(work):
    run([sys.executable, ROOT / "milestone_persist", "vendor", work / "surroundings"], work)
    return work / "surroundings"


@pytest.fixture(params=["checkout", "vendored"])
def form(request):
    return request.param


@pytest.fixture
def public():
    """A directory that every user can reach."""
    path = Path(tempfile.mkdtemp()).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["bash", "dash"])
def use(request, form, vendored, need):
    """Makes the calls in a project, perhaps under another program; they must succeed and tell of nothing else."""
    def use(project, *under, **variables):
        need(SHELLS[request.param][0])
        if form == "vendored" and not (project / "tools").exists():
            shutil.copytree(vendored, project / "tools")
        environ = {"PATH": os.environ["PATH"], "HOME": str(project.parent), "MILESTONE_PYTHON": sys.executable,
                   "ADAPTER": "./tools/shell/storage-adapter.sh" if form == "vendored" else str(ADAPTER), **variables}
        done = subprocess.run([*under, *SHELLS[request.param], "-c", CALLS], cwd=project, text=True, check=False,
                              env={name: value for name, value in environ.items() if value is not None},
                              capture_output=True, timeout=300)
        assert (done.returncode, done.stdout, done.stderr) == (0, "200000\n", "")
        assert (project / "backup.db").exists() and (project / ".milestones" / "coordination.db").exists()

    return use


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def test_commands_work_without_a_home(use, project):
    use(project, HOME=None)


def test_commands_work_with_a_home_that_is_not_there(use, project):
    use(project, HOME="/nowhere")


def test_a_part_of_the_program_that_cannot_be_read_is_not_called_missing(tmp_path, vendored):
    """As where a process may open no more files: installing once more would not help."""
    copy = shutil.copytree(vendored, tmp_path / "tools")
    schema = copy / "sql" / "milestone-coordination.sql"
    schema.unlink()
    schema.mkdir()
    done = subprocess.run([sys.executable, copy / "milestone_persist", "save-agent-state", "a", "k", "v"], cwd=tmp_path,
                          env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, f"milestone_persist: Is a directory: {schema}\n")


def test_with_a_home_that_cannot_be_written(use, tmp_path, need):
    home, project = tmp_path / "home", tmp_path / "home" / "project"
    project.mkdir(parents=True)
    home.chmod(0o555)
    under = []
    if os.geteuid() == 0:  # who may write everywhere, unless that right is dropped
        under = [need("setpriv"), "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
    use(project, *under, HOME=str(home), XDG_CACHE_HOME=None)
    assert os.listdir(home) == ["project"]


@pytest.mark.parametrize("mask", ["077", "000"])
def test_under_any_umask_all_that_is_kept_is_private(use, project, mask):
    use(project, "sh", "-c", f'umask {mask}; exec "$@"', "sh")
    kept = [project / "backup.db", project / ".milestones", *(project / ".milestones").rglob("*")]
    assert {path.name: oct(path.stat().st_mode) for path in kept if path.stat().st_mode & 0o077} == {}


def test_through_a_link_to_the_project(use, project):
    link = project.with_name("link")
    link.symlink_to(project)
    use(link, PWD=str(link))
    assert (project / ".milestones").is_dir()


@pytest.mark.parametrize("name", ["it's \"quoted\" $HOME", "-n", "é 日本\t*?[a]", "a\\nb %s"])
def test_in_a_folder_with_an_odd_name(use, tmp_path, name):
    (tmp_path / name).mkdir()
    use(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {name}


@pytest.fixture
def sandbox(public):
    """The project, and the words before a command for which nothing but the project can be written.

    Where that can be done, it has no network and a pid namespace for each call, too.
    """
    project, outside = public / "project", public / "outside"
    project.mkdir()
    outside.mkdir()
    mount = ["--mount", "sh", "-c", READ_ONLY, "sh"]
    candidates = [["unshare", "--net", "--pid", "--fork", "--kill-child", *mount], ["unshare", *mount],
                  ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]]
    os.environ["PROJECT"] = str(project)
    for words in candidates:
        if os.geteuid() == 0 and shutil.which(words[0]):
            if words[0] == "setpriv":
                os.chown(project, int(NOBODY), int(NOBODY))
            commands = (["sh", "-c", 'exec "$0" -c pass', sys.executable], ["cat", ADAPTER],
                        ["touch", project / "inside"], ["touch", outside / "file"])
            can = [subprocess.run([*words, *command], capture_output=True, check=False,
                                  env={**os.environ, "PROJECT": str(project)}).returncode == 0 for command in commands]
            if can == [True, True, True, False]:
                return project, words
    if os.environ.get("CI") == "true":
        pytest.fail("no sandbox can be made, and CI=true wants every part")
    return pytest.skip("neither unshare nor setpriv makes a sandbox here: both need root")


def test_in_a_sandbox_that_forbids_writing_outside_the_project(use, sandbox):
    project, words = sandbox
    home = project.parent / "outside"  # it may not be written either
    use(project, *words, PROJECT=str(project), HOME=str(home), TMPDIR="/tmp")
    assert [*home.iterdir()] == []
    made = [path for folder in ("/tmp", "/var/tmp", "/dev/shm") if os.path.isdir(folder)
            for path in Path(folder).iterdir() if words[0] == "setpriv" and path.lstat().st_uid == int(NOBODY)]
    assert made == []


@pytest.fixture
def backend():
    return "hybrid"


@pytest.fixture
def in_no_directory(run_shell, tmp_path):
    """Runs a text in a current directory that was deleted, the data elsewhere."""
    def in_no_directory(text, **variables):
        variables = {"MILESTONE_DIR": str(tmp_path / "data"), "SCRATCH": str(tmp_path / "scratch"), **variables}
        return run_shell("dash", 'mkdir "$SCRATCH"; cd "$SCRATCH"; rmdir "$SCRATCH"; ' + text, **variables)

    return in_no_directory


def test_a_current_directory_that_is_gone_is_not_asked_for(in_no_directory, tmp_path):
    done = in_no_directory("save_agent_state a k v; load_agent_state a k; milestone_persist where; "
                           "milestone_persist whoami; milestone_persist doctor")
    assert (done.status, done.err) == (0, "")
    assert f"v{tmp_path}/data\nwhy: MILESTONE_DIR is set\n" in done.text
    assert f"\ndata: {tmp_path}/data, MILESTONE_DIR is set\n" in done.text
    done = in_no_directory(f"milestone_persist --dir {tmp_path}/data where", MILESTONE_DIR="relative")
    assert (done.status, done.err) == (0, "") and "\nwhy: it was named by the caller\n" in done.text


@pytest.mark.parametrize("call", ["milestone_persist whoami", "save_agent_state a k v", "get_agent_messages a"])
@pytest.mark.parametrize("named", ["relative", None])
def test_a_current_directory_that_is_gone_is_told_of(in_no_directory, call, named):
    done = in_no_directory(call, MILESTONE_DIR=named)
    assert (done.status, done.text) == (3, "")
    assert done.err == "milestone_persist: the current directory is gone: cd to one that is there\n"


@pytest.mark.parametrize("call", ["backup_coordination b.db", "export_coordination e.jsonl",
                                  "restore_coordination b.db", "milestone_persist install",
                                  "milestone_persist vendor v"])
def test_a_file_named_below_a_directory_that_is_gone_is_refused(in_no_directory, call):
    done = in_no_directory(f"save_agent_state a k v; {call}")
    assert done.status in (1, 2, 3) and done.text == "" and done.err.count("\n") == 1
    assert "the current directory is gone: cd to one that is there" in done.err
