"""How the program comes into a project: each way of the README, from an empty project to a command of an agent.

And how it names itself in help and advice: as it was called.
"""
from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from building import copy_tree
from conftest import ROOT

from milestone_persist.base.invocation import way_called

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("\n## Install\n")[2].partition("\n## ")[0]
*WAYS, AGENT = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.M | re.S)
FORMS = {"pip, no HOME": (0, None), "vendored, an empty HOME": (1, ""), "clone, no HOME": (2, None),
         "clone, an empty HOME": (2, "")}


@pytest.fixture
def clone(source, tmp_path):
    """A clone of the project, beside the project of a user; both in a folder with a space in its name."""
    clone = tmp_path / "two words" / "milestone_persist"
    copy_tree(source, clone)
    return clone


@pytest.fixture
def project(clone):
    """A user's project, in which a module of the standard library seems to lie."""
    project = clone.parent / "my project"
    project.mkdir()
    (project / "json.py").write_text("raise RuntimeError('this is the module of a user')\n")
    return project


@pytest.fixture
def type_in(project):
    """Runs a text in the project, with a HOME or none; what it prints. It must succeed and warn of nothing."""
    def type_in(text, shell="sh", home=None, **variables):
        path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
        environ = {"PATH": path, "LC_ALL": "C.UTF-8", **variables, **({} if home is None else {"HOME": home})}
        done = subprocess.run([shell, "-ec", text], cwd=project, env=environ, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=300, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert not re.search("warning|Traceback", done.stderr), f"{text}\n{done.stderr}"
        return done.stdout

    return type_in


@pytest.fixture
def offline(request):
    """The commands as they are, but for pip: that builds with the setuptools that are there, and asks no index."""
    def offline(text):
        if "pip install" not in text:
            return text
        command = [request.getfixturevalue("python"), "-c", "import setuptools; print(setuptools.__path__[0])"]
        site = os.path.dirname(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        return text.replace("pip install", f"PYTHONPATH='{site}' pip --disable-pip-version-check install --quiet "
                            "--no-cache-dir --no-index --no-build-isolation")

    return offline


@pytest.mark.parametrize("way, home", FORMS.values(), ids=FORMS)
def test_a_way_into_a_project_ends_in_a_command_of_an_agent(way, home, type_in, offline, need):
    out = type_in(offline(WAYS[way]), home=home)
    assert "written in " in out and "/my project/.claude/shared/milestone: storage-adapter.sh" in out
    assert out.splitlines()[-1].startswith("say to your agent: ")
    for shell in ("sh", need("bash"), need("zsh")):
        assert type_in(AGENT, shell, home).endswith('{"files": 12}')


@pytest.mark.parametrize("call", ["../milestone_persist/milestone_persist", "../milestone.pyz"])
def test_another_version_that_is_installed_does_not_take_its_place(call, type_in, clone):
    type_in("python3 ../milestone_persist/milestone_persist vendor --zipapp ../milestone.pyz")
    other = clone.parent / "other" / "milestone_persist"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('this is another version')\n")
    assert type_in(f"python3 {call} --version", PYTHONPATH=str(other.parent)).startswith("milestone_persist ")


CALLS = {"a folder": "python3 ../milestone_persist/milestone_persist",
         "a file": "python3 ../milestone_persist/milestone_persist/__main__.py",
         "a path with a space": "python3 '../../two words/milestone_persist/milestone_persist'",
         "a module": "python3 -m milestone_persist", "a zipapp": "python3 tools/milestone.pyz",
         "the functions": "milestone_persist", "pip, found on PATH": "milestone-persist",
         "pip, by its path": "../bin/milestone-persist"}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_help_and_advice_name_the_way_it_was_called(call, type_in, clone):
    """And that way works: what `init` says of itself can be run."""
    (clone.parent / "bin").mkdir()
    script = clone.parent / "bin" / "milestone-persist"  # as pip writes it
    script.write_text(f"#!{sys.executable}\nimport sys\n"
                      "from milestone_persist.cli.process import run\nsys.exit(run())\n")
    script.chmod(0o755)
    if "pyz" in call:
        type_in("python3 ../milestone_persist/milestone_persist vendor --zipapp tools/milestone.pyz")
    begin = ". ../milestone_persist/shell/storage-adapter.sh\n" if call == "milestone_persist" else ""
    path = os.pathsep.join((str(script.parent), os.path.dirname(sys.executable), os.environ["PATH"]))
    variables = {"PATH": path if call == "milestone-persist" else path.partition(os.pathsep)[2]}
    if "-persist" in call or "-m" in call:
        variables["PYTHONPATH"] = str(clone)

    def said(words):
        return type_in(f"{begin}{call} {words} 2>&1 || echo \"status $?\"", **variables)

    assert f"\nUsage: {call} [--dir DIR]" in said("--help")
    assert said("help doctor").startswith(f"Usage: {call} doctor [--fix]\n")
    assert said("help where").endswith(f": {call} help looking\n")
    assert f'eval "$({call} init bash)"' in said("help init")
    assert f'#   eval "$({call} init bash)"\n' in said("init bash")
    assert f'eval "$({call} completion zsh)"' in said("completion zsh")
    assert f": run {call} install without --check\nstatus 1\n" in said("install --check")
    assert said("where ms-1").endswith("\nstatus 2\n")
    text = said("init")
    assert text.startswith(f"milestone_persist: SHELL is missing: {call} init SHELL ") and text.endswith("\nstatus 2\n")
    assert "for eval" in text and text.count("\n") == 2
    type_in(f'{begin}eval "$({call} init sh)"\nsave_agent_state a k v', **variables)


def test_a_program_that_imports_the_package_is_not_taken_for_it():
    assert way_called() == "python3 -m milestone_persist"
