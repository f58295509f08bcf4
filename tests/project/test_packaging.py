"""The package in every form it is used in: checkout, installed, editable, wheel as a zip, copied, read-only, zipapp."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from building import need_plugins, run
from conftest import ROOT
from forms import PLACE, check_adapter, check_command

from milestone_persist import __version__
from milestone_persist.generate import files as generated
from milestone_persist.install import plugins

CLIENT = '''
from milestone_persist import MilestoneError, Refused, Store, open_store


def use(store: Store) -> None:
    row = store.register_agent("a", "milestone-planner", "ms-1", "planning-1", ["planning"])
    session: str = row["session_id"]
    store.save_agent_state(agent_id="a", state_key="k", value="v", ttl_seconds=60)
    text: str = store.load_agent_state("a", "k", "default")
    version: int = store.load_agent_state("a", "k", full=True)["version"]
    one: str = store.get_storage_config("strict_agents")
    settings: dict[str, str] = store.get_storage_config()
    store.send_agent_message("a", "a", "task_assignment", {"phase": "design"}, priority=8)
    payloads = [message["payload"] for message in store.get_agent_messages("a", True)]
    print(session, text, version, one, len(settings), payloads)
    try:
        store.load_agent_state("a", "missing")
    except Refused as error:
        refused: MilestoneError = error
        print(refused.status)


def misuse(store: Store) -> None:
    store.save_agent_state("a", "k", 5)  # type: ignore[arg-type]
    store.save_agent_state("a", "k")  # type: ignore[call-arg]
    store.save_agent_state("a", "k", "v", if_versoin=1)  # type: ignore[call-arg]
    store.no_such_operation()  # type: ignore[attr-defined]
    number: int = store.load_agent_state("a", "k")  # type: ignore[assignment]


with open_store() as opened:
    use(opened)
'''


@pytest.fixture
def project(tmp_path):
    """A user's project to work in."""
    made = tmp_path / "project"
    made.mkdir()
    return made


@pytest.fixture
def unpacked(wheel, tmp_path):
    """A folder that holds the package as the wheel installs it, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / PLACE)
    return tmp_path / PLACE


@pytest.fixture
def install(python, project):
    """Installs with pip; what was installed is removed at the end."""
    def pip(*words):
        subprocess.run([python, "-m", "pip", "--disable-pip-version-check", *map(str, words)], cwd=project,
                       capture_output=True, check=True)

    yield lambda *words: pip("install", "--no-build-isolation", "--no-deps", *words)
    pip("uninstall", "--yes", "milestone-persist")


def test_a_checkout_works(project):
    check_command([sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py"], project)
    check_command([sys.executable, "-m", "milestone_persist"], project, PYTHONPATH=str(ROOT))
    check_command([sys.executable, "-m", "milestone_persist", "--dir", project / ".milestones"], ROOT)
    shutil.rmtree(project / ".milestones")
    check_adapter(ROOT / "shell" / "storage-adapter.sh", project)


def test_pip_install(install, python, source, project):
    install(source)
    check_command([python, "-m", "milestone_persist"], project)
    check_command([python.parent / "milestone-persist"], project)


def test_editable_install(install, python, source, project):
    install("--editable", source)
    check_command([python, "-m", "milestone_persist"], project)
    check_command([python.parent / "milestone-persist"], project)
    assert run([python, "-c", "import milestone_persist as m; print(m.__file__)"], project).startswith(
        str(source).encode())


def test_installed_wheel(install, python, wheel, project):
    install(wheel)
    check_command([python, "-m", "milestone_persist"], project)
    check_command([python, "-I", "-m", "milestone_persist"], project)
    shutil.rmtree(project / ".milestones")
    home = run([python, "-c", "import milestone_persist as m; print(m.__path__[0])"], project).decode().strip()
    check_adapter(f"{home}/shell/storage-adapter.sh", project)


def test_wheel_as_a_zip(wheel, project):
    check_command([sys.executable, "-S", "-m", "milestone_persist"], project, PYTHONPATH=str(wheel))


def test_copied_package(unpacked, project):
    copy = Path(shutil.copytree(unpacked / "milestone_persist", unpacked.parent / "vendored" / PLACE))
    shutil.rmtree(unpacked)
    moved = copy.rename(copy.parent / "milestone_persist")
    check_command([sys.executable, "-I", "-S", moved / "__main__.py"], project)
    shutil.rmtree(project / ".milestones")
    check_adapter(moved / "shell" / "storage-adapter.sh", project)


def test_copied_checkout(source, project, tmp_path):
    copy = Path(shutil.copytree(source, tmp_path / PLACE))
    check_command([sys.executable, "-I", "-S", copy / "milestone_persist" / "__main__.py"], project)
    check_command([sys.executable, "-m", "milestone_persist"], project, PYTHONPATH=str(copy))
    shutil.rmtree(project / ".milestones")
    check_adapter(copy / "shell" / "storage-adapter.sh", project)


def test_read_only_package(unpacked, project, need):
    for path in [unpacked, *unpacked.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    as_others = []
    if os.geteuid() == 0:  # who may write everywhere, unless that right is dropped
        as_others = [need("setpriv"), "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
    try:
        check_command([*as_others, sys.executable, unpacked / "milestone_persist" / "__main__.py"], project)
        assert not list(unpacked.rglob("__pycache__"))
    finally:
        for path in [unpacked, *unpacked.rglob("*")]:
            path.chmod(0o755)


@pytest.mark.parametrize("flags", [[], ["-I", "-S"], ["-OO"]], ids=lambda flags: " ".join(flags) or "plain")
def test_a_zipapp_works(unpacked, project, flags):
    made = unpacked.parent / f"{PLACE}.pyz"
    run([sys.executable, "-m", "zipapp", unpacked, "-m", "milestone_persist.cli.process:run", "-o", made], project)
    shutil.rmtree(unpacked)
    check_command([sys.executable, *flags, made], project)


def test_zipapp_of_a_checkout(source, project, tmp_path):
    made = tmp_path / "x.pyz"
    run([sys.executable, "-m", "zipapp", source, "-m", "milestone_persist.cli.process:run", "-o", made], project)
    check_command([sys.executable, "-I", "-S", made], project)


@pytest.mark.parametrize("flag", ["-O", "-OO", "-b", "-E", "-X dev"])
def test_the_program_runs_under_flags_of_the_interpreter(flag, project):
    check_command([sys.executable, *flag.split(), ROOT / "milestone_persist" / "__main__.py"], project)


def test_every_module_can_be_imported_without_a_warning(project):
    paths = (ROOT / "milestone_persist").rglob("*.py")
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    wanted = [name for name in names if not name.endswith("__main__")]
    assert len(wanted) > 20
    for flags in (["-W", "error", "-X", "warn_default_encoding"], ["-OO"]):
        run([sys.executable, *flags, "-c", code, *wanted], project, PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1")


def test_wheel_holds_the_package_and_nothing_else(wheel, source):
    wanted = {str(path.relative_to(source)) for path in (source / "milestone_persist").rglob("*")
              if path.is_file() and path.suffix != ".pyc"}
    wanted |= {f"milestone_persist/{path.relative_to(source)}" for files in ("sql/*.sql", "shell/*.sh", "agents/*.md")
               for path in source.glob(files)}
    wanted.add(f"milestone_persist-{__version__}.data/data/share/man/man1/milestone-persist.1")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
        scripts = archive.read(next(name for name in names if name.endswith("/entry_points.txt"))).decode()
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert {"milestone_persist/py.typed", "milestone_persist/methods.pyi"} <= wanted
    assert f"\nVersion: {__version__}\n" in metadata
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line] == []
    assert "milestone-persist = milestone_persist.__main__:run" in scripts
    assert any(name.endswith("/LICENSE") for name in names)


def test_sdist_holds_every_file_of_the_project(sdist, need):
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    tracked = subprocess.run([need("git"), "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    links = {*plugins.make_links(), *(name for name in plugins.FILES if name.startswith(plugins.CLAUDE))}
    assert {name for name in tracked.stdout.split("\0") if name and (ROOT / name).exists()} - links <= packed
    assert not any(name.startswith("plugins") for name in packed), "the program would be there twice"


@pytest.mark.parametrize("words", ["generate", "mcp", "help send_agent_message", "help messages", "status --help"])
def test_what_is_made_of_docstrings_is_refused_without_them(project, words):
    command = [sys.executable, "-OO", ROOT / "milestone_persist" / "__main__.py", *words.split()]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "made from docstrings: run Python without -OO and PYTHONOPTIMIZE" in done.stderr


FILES = {**generated.FILES, **plugins.FILES}
NEW = "run: python3 -m milestone_persist generate"


@pytest.mark.parametrize("name", FILES)
def test_generated_files_are_current(name):
    if name.startswith(plugins.CLAUDE):
        need_plugins()
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](), NEW
    assert os.access(ROOT / name, os.X_OK) == (name == plugins.EXECUTABLE)


def test_generated_links_are_current():
    need_plugins()
    links = plugins.make_links()
    assert {name: os.readlink(ROOT / name) for name in links} == links, NEW
    assert [name for name in links if not (ROOT / name).exists()] == []
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "plugins").glob("*/*/*") if path.is_symlink()}
    assert there | {"plugins/claude/skills"} == {*links}, NEW


def test_types_of_an_installed_package(install, python, wheel, project, need):
    install(wheel)
    (project / "client.py").write_text(CLIENT)
    assert b"planning-1 v 1 false" in run([python, "client.py"], project)
    mypy = [need("mypy"), "--strict", "--python-executable", python, "--python-version", "3.13"]
    assert run([*mypy, "client.py"], project, PYTHONWARNINGS="") == b"Success: no issues found in 1 source file\n"
