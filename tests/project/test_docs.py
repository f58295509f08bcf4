"""The documents: what they tell people to run runs, what they show is what comes out, their links lead somewhere."""
from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from building import copy_tree
from conftest import ROOT, share

from milestone_persist.generate import files as generated
from milestone_persist.registry import all_operations
from milestone_persist.registry.manual import example_of

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOR_DEVELOPERS = [ROOT / "CONTRIBUTING.md", ROOT / "AGENTS.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


def blocks_of(document):
    """The fenced blocks of a document: (language, text) each."""
    return FENCE.findall(document.read_text(encoding="utf-8"))


def squeeze(text):
    """The text in whole lines and with single spaces: how wide a column is depends on what stands in it."""
    return "".join(re.sub(r" {2,}", " ", line).rstrip() + "\n" for line in text.splitlines())


def is_shown(expected, output):
    """Whether a text block shows this output: … is anything in a line, a line of … alone is any lines."""
    lines = [r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
             for line in squeeze(expected).splitlines()]
    return re.fullmatch("".join(lines), squeeze(output)) is not None


@pytest.fixture
def clone(tmp_path):
    """What a clone of the project holds, in a directory with a space in its name."""
    clone = tmp_path / "a clone"
    for name in ("milestone_persist", "shell", "sql", "agents", "examples"):
        copy_tree(ROOT / name, clone / name)
    for name in ("README.md", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    return clone


@pytest.fixture
def run_script(clone, tmp_path):
    """Runs a script of an agent, as .claude/agents/agent.sh of the clone; its standard output block by block."""
    def run_script(command, texts):
        script = clone / ".claude" / "agents" / "agent.sh"
        script.parent.mkdir(parents=True)
        (tmp_path / "tmp").mkdir()
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "date").write_text("#!/bin/sh\necho 1640995200\n")  # the time in the documents' ids
        (tmp_path / "bin" / "date").chmod(0o755)
        parts = [f"printf '\\001{place}\\n'\n{text}" for place, text in enumerate(texts)]
        # The documents write to /tmp where they show how it was done before.
        script.write_text("set -e\n" + "\n".join(parts).replace('"/tmp/', f'"{tmp_path}/tmp/'), encoding="utf-8")
        path = os.pathsep.join((str(tmp_path / "bin"), os.path.dirname(sys.executable), os.environ["PATH"]))
        environ = {"PATH": path, "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp"), "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*command, str(script)], cwd=clone, env=environ, capture_output=True, encoding="utf-8",
                              stdin=subprocess.DEVNULL, timeout=300, check=False)
        outputs = [part.partition("\n")[2] for part in done.stdout.split("\001")[1:]]
        assert done.returncode == 0, f"this fails:\n{texts[len(outputs) - 1]}\n{outputs[-1]}{done.stderr}"
        return outputs

    return run_script


def check_document(document, language, command, run_script):
    """Run the document's blocks of a language in one process, and compare with the text blocks right behind them."""
    blocks = blocks_of(document)
    texts = [text for kind, text in blocks if kind == language]
    if not texts:
        return
    outputs = iter(run_script(command, texts))
    for (kind, text), (following, expected) in zip(blocks, [*blocks[1:], ("", "")]):
        output = next(outputs) if kind == language else ""
        if kind == language and following == "text":
            assert is_shown(expected, output), f"{text}\nshould print\n{expected}\nbut prints\n{output}"


@pytest.mark.parametrize("document, shell", [(document, shell) for place, shell in enumerate(("bash", "zsh"))
                                             for document in share(DOCUMENTS, place, 2)],
                         ids=lambda value: getattr(value, "name", value))
def test_commands_of_documents_run(document, shell, need, run_script):
    for program in ("jq", "sqlite3"):
        need(program)
    check_document(document, "bash", [need(shell)], run_script)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_of_documents_runs(document, run_script, clone):
    texts = [text for kind, text in blocks_of(document) if kind == "python"]
    if texts:
        (clone / "program.py").write_text("import warnings\nwarnings.simplefilter('error')\n" + "\n".join(texts))
        run_script(["sh"], [f"{shlex.quote(sys.executable)} program.py"])


def test_a_command_that_fails_is_noticed(tmp_path, run_script):
    (tmp_path / "bad.md").write_text("```bash\ntrue\n```\n\n```bash\nfalse\n```\n")
    with pytest.raises(AssertionError, match="this fails:\n *false"):
        check_document(tmp_path / "bad.md", "bash", ["bash"], run_script)


def test_an_output_that_differs_is_noticed(tmp_path, run_script):
    (tmp_path / "bad.md").write_text("```bash\necho one two\n```\n\n```text\none … three\n```\n")
    with pytest.raises(AssertionError, match="should print"):
        check_document(tmp_path / "bad.md", "bash", ["bash"], run_script)


@pytest.mark.parametrize("document", [*DOCUMENTS, *FOR_DEVELOPERS, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_links_lead_to_files(document):
    links = LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8")))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("name", ["docs/functions.md", "docs/milestone-persist.1", "docs/llms.txt"])
def test_generated_tables_are_current(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == generated.FILES[name](), "run: python3 -m milestone_persist generate"
    plain = text.replace("\\-", "-")
    assert [op.name for op in all_operations() if f"`{op.name}" not in plain and op.command not in plain] == []


def test_the_shell_document_names_every_variable_of_the_shell_file():
    document = (ROOT / "docs" / "shell.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\b(?:MILESTONE|DATABASE)_[A-Z]+\b", (ROOT / "shell" / "storage-adapter.sh").read_text()))
    assert {"MILESTONE_DIR", "DATABASE_URL"} <= used
    assert [name for name in sorted(used) if name not in document] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, *FOR_DEVELOPERS, *sorted((ROOT / "agents").glob("*.md"))],
                         ids=lambda path: path.name)
def test_no_comment_follows_a_command(document):
    """At the prompt of zsh it is a command: `messages=$(get_agent_messages a true)  # …` takes and loses them."""
    shell = False
    for line in document.read_text().splitlines():
        if line.startswith("```"):
            shell = not shell and line.strip("` ") in ("bash", "sh", "zsh", "shell")
        assert not shell or not re.search(r"\S\s+# ", line), line


PROMPTS = sorted((ROOT / "agents").rglob("*.md"))


@pytest.mark.parametrize("document", [*DOCUMENTS, *PROMPTS, ROOT / "milestone_persist" / "__init__.py", None],
                         ids=lambda path: path.name if path else "help")
def test_the_ids_of_examples_contain_their_milestone(document):
    """An id such as executor-1 invites a second agent of that name; what stands in quotes is quoted from elsewhere."""
    text = document.read_text() if document else "\n".join(map(example_of, all_operations()))
    registered = re.findall(r'register_agent ([\w-]+) [\w-]+ ([\w-]+)', text)
    registered += re.findall(r'register_agent\("([\w-]+)", "[\w-]+", "([\w-]+)"', text)
    assert [agent for agent, milestone in registered if milestone not in agent and agent.islower()] == []
    kinds = "coord|coordinator|exec|executor|planner|scope|risk|estimation|worker"
    assert re.findall(rf"\b(?:{kinds})-\d\b", text) == []
