"""Where the functions are put: where the prompts and scripts of a project source them from."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest
from building import copy_tree
from conftest import ROOT

from milestone_persist.install.sourced_places import find_places, find_places_at_home

SKILLS = "skills/milestone/_shared/storage-adapter.md"
# The file in which a text stands, the text, and the places that are found. The first five are those of real agents.
FORMS = {
    "two folders up": (".claude/agents/a.md", f'source "$(dirname "$0")/../../{SKILLS}"', [SKILLS]),
    "one folder up": ("templates/agents/a.md", f'source "$(dirname "$0")/../{SKILLS}"', [f"templates/{SKILLS}"]),
    "from a folder of agents": (".claude/agents/team/a.md", f'  source "$(dirname "$0")/../../{SKILLS}"',
                                [f".claude/{SKILLS}"]),
    "from the top": ("a.md", 'source "templates/commands/milestone/_shared/storage-adapter.md"',
                     ["templates/commands/milestone/_shared/storage-adapter.md"]),
    "through another folder": ("a.md", 'source "templates/skills/x/../../shared/milestone/storage-adapter.md"',
                               ["templates/shared/milestone/storage-adapter.md",
                                "templates/skills/x/storage-adapter.md"]),
    "bash": ("s/a.sh", '. "${BASH_SOURCE[0]%/*}/b/storage-adapter.sh"', ["s/b/storage-adapter.sh"]),
    "a variable": ("s/a.sh", 'D="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"\n[ -d / ] && . "$D/storage-adapter.sh"',
                   ["s/storage-adapter.sh"]),
    "two variables": ("s/a.sh", 'D=$(cd "$(dirname "$0")/.." && pwd)\nexport A="${D}/b"; . "$A/storage-adapter.md"',
                      ["b/storage-adapter.md"]),
    "zsh": ("s/a.zsh", "source ${0:A:h}/b/storage-adapter.sh", ["s/b/storage-adapter.sh"]),
    "git": ("s/a.sh", 'R=$(git rev-parse --show-toplevel 2>/dev/null)\n. "$R/b/storage-adapter.sh"',
            ["b/storage-adapter.sh"]),
    "a project's variable": ("s/a.md", '. "${CLAUDE_PROJECT_DIR:-.}/b/storage-adapter.sh"', ["b/storage-adapter.sh"]),
    "the working directory": ("s/a.sh", 'source "$(pwd)/b/storage-adapter.sh"; . "$PWD/c/storage-adapter.sh"',
                              ["b/storage-adapter.sh", "c/storage-adapter.sh"]),
    "a default": ("a.sh", '. "${ADAPTER:-b/storage-adapter.sh}"', ["b/storage-adapter.sh"]),
    "a list": ("s/a.sh", 'for f in b/storage-adapter.md \\\n  "$(dirname "$0")/storage-adapter.md"; do . "$f"; done',
               ["b/storage-adapter.md", "s/storage-adapter.md"]),
    "in a command": ("a.md", "bash -c '. b/storage-adapter.md && ls'", ["b/storage-adapter.md"]),
    "in a sentence": ("a.md", "First run `source b/storage-adapter.md`.", ["b/storage-adapter.md"]),
    "in a condition": ("a.sh", "if true; then . ./b/storage-adapter.sh; fi", ["b/storage-adapter.sh"]),
    "a space": ("a b/c d.sh", '. "$(dirname -- "$0")/it\'s/storage-adapter.sh"', None),
    "recovery": ("a.md", "source b/milestone-recovery.md", ["b/milestone-recovery.md"]),
    "only named": ("a.md", "[storage](contracts/storage-adapter.md), see b. contracts/storage-adapter.md", []),
    "outside": ("a.sh", ". ../storage-adapter.sh; . /etc/storage-adapter.sh; . ~/storage-adapter.sh", []),
    "unknown": ("a.sh", '. "$X/storage-adapter.sh"; . {{TOP}}/storage-adapter.sh; . */storage-adapter.sh', []),
    "in circles": ("a.sh", 'A=$B; B=$A; . "$A/storage-adapter.sh"', []),
    "another name": ("a.sh", ". b/adapter.sh", []), "no prompt": ("a.py", "# . b/storage-adapter.sh", []),
    "hidden": (".cache/a.md", ". b/storage-adapter.sh", []), "too many quotes": ("a.sh", '. "' + '$(a)' * 5000, []),
    "in git's own": ("a.sh", ". .git/refs/heads/storage-adapter.sh; . a/.Git/storage-adapter.sh", []),
    "a name that is not text": ("a\udcff/a.sh", '. "${0%/*}/storage-adapter.sh"; . ./storage-adapter.sh',
                                ["storage-adapter.sh"]),
    "a name with an escape": ("a\x1b[2J\n/a.sh", '. "${0%/*}/storage-adapter.sh"', []),
    "blanks without end": ("a.sh", '. "$(cd ' + " " * 90_000 + ')/storage-adapter.sh"', []),
    "braces without end": ("a.sh", ". storage-adapter.sh; . " + "${" * 100_000, ["storage-adapter.sh"]),
    "defaults without end": ("a.sh", ". " + "${a:-" * 900 + "}" * 900, []),
    "values without end": ("a.sh", "".join(f"{a}={'${b}${c}' * 50}{n}\n" for a in "abcde" for n in range(5)) + "".join(
        f". $a$a/{n}/storage-adapter.sh\n" for n in range(20_000)), []),
}


@pytest.fixture
def project(tmp_path):
    project = tmp_path / 'a "project" it\'s'
    project.mkdir()
    return project


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


@pytest.fixture
def install(project, tmp_path):
    def install(*words):
        done = subprocess.run([sys.executable, "-I", "-S", ROOT / "milestone_persist", *words], cwd=project, text=True,
                              env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return install


@pytest.mark.parametrize("file, text, places", [form for form in FORMS.values() if form[2] is not None],
                         ids=[name for name in FORMS if FORMS[name][2] is not None])
def test_a_form_of_sourcing(project, file, text, places):
    write(project / file, f"# A prompt\n\n```bash\n{text}\n```" if file.endswith(".md") else text)
    assert find_places(str(project)) == places


SCRIPTS = {name: form for name, form in FORMS.items()
           if form[0].endswith(("s/a.sh", "d.sh", ".zsh")) and name != "a list"}


def test_scripts_find_what_is_installed_for_them(project, install, need):
    """All forms of scripts in one project, each run from its top by a shell that knows the form."""
    for number, (file, text, _) in enumerate(SCRIPTS.values()):
        folder, name = os.path.split(file)
        write(project / str(number) / folder / name, f"{text}\nlist_agent_state a-ms-1-1")
    subprocess.run([need("git"), "init", "--quiet"], cwd=project, check=True)
    install("install", "--functions-only")
    for number, (file, _, _) in enumerate(SCRIPTS.values()):
        shell = need("zsh" if file.endswith(".zsh") else "bash")
        done = subprocess.run([shell, f"{number}/{file}"], cwd=project, capture_output=True, text=True, check=False,
                              env={"PATH": os.environ["PATH"], "HOME": str(project)})
        assert (done.returncode, done.stderr) == (0, ""), (file, done.stderr)


def test_prompts_find_what_is_installed_for_them(project, install, need):
    for name in ("from the top", "through another folder", "in a sentence"):
        write(project / f"{name}.md", FORMS[name][1])
    install("install", "--functions-only")
    for name in ("from the top", "through another folder"):
        text = f"{FORMS[name][1]}; list_agent_state a-ms-1-1"
        done = subprocess.run([need("bash"), "-c", text], cwd=project, env={"PATH": os.environ["PATH"]}, text=True,
                              capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert not (project / ".claude" / "shared" / "milestone" / "storage-adapter.sh").exists()
    assert install("install").startswith("nothing is missing or stale")
    install("uninstall")
    assert sorted(path.name for path in project.rglob("*")) == [
        "from the top.md", "in a sentence.md", "through another folder.md"]


def test_without_a_form_there_is_one_place(project, install):
    install("install", "--functions-only")
    assert sorted(str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()) == [
        ".claude/shared/milestone/installed.json", ".claude/shared/milestone/storage-adapter.sh"]


def test_a_place_that_is_not_sourced_any_more_is_left(project, install):
    prompt = project / "a.md"
    for folder in ("one", "two"):
        write(prompt, f". {folder}/storage-adapter.sh")
        install("install", "--functions-only")
        assert [path.parent.name for path in project.rglob("storage-adapter.*")] == [folder]
    assert not (project / "one").exists()
    install("uninstall")
    assert [path.name for path in project.iterdir()] == ["a.md"]


def test_copies_of_the_program_and_what_they_have_are_left_alone(project, install):
    for name in ("milestone_persist", "agents", "shell"):
        copy_tree(ROOT / name, project / "tools" / name)
    write(project / "tools" / "README.md", ". junk/storage-adapter.sh")
    write(project / "a.sh", ". tools/shell/storage-adapter.sh")
    assert find_places(str(project)) == []


def test_a_user_s_own_prompts_count_at_home(project):
    write(project / ".claude" / "agents" / "a.md", f'. "$HOME/x.md"; source "$(dirname "$0")/../{SKILLS}"')
    for file in ("work/a.md", ".claude/plugins/x/a.md", ".claude/agents/b.md"):
        write(project / file, ". b/storage-adapter.sh")
    assert find_places_at_home(str(project)) == [f".claude/{SKILLS}"]
