"""The prompts and the skill in agents/: each shell block runs as an agent runs it, in a shell of its own."""
from __future__ import annotations

import re

import pytest
from conftest import ADAPTER, ROOT

from milestone_persist import open_store
from milestone_persist.base.vocabulary import MESSAGE_TYPES
from milestone_persist.coordination.deliverables import PLANNERS, WEIGHTS, results_of
from milestone_persist.install import project_files
from milestone_persist.registry import all_operations

DOCUMENTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "agents").glob("*.md"))}
PLACE = ".claude/shared/milestone/storage-adapter.sh"  # what the documents source
OTHERS_RESULTS = """
for phase in spec task execute; do save_agent_state executor-ms-123-1 "$phase-phase-results" '{"done": 1}'; done
"""


def blocks_of(name):
    """The bash blocks of a document by section (its number, or title)."""
    found, section = {}, ""
    for heading, text in re.findall(r"^## (\d+|[^\n:]+)|^```bash\n(.*?)^```$", DOCUMENTS[name], re.M | re.S):
        section = heading or section
        if text:
            found.setdefault(section, []).append(text)
    return found


@pytest.fixture(params=["bash", "zsh"])
def play(request, run_shell, tmp_path):
    """Runs the blocks of sections of a document, each in a new shell; what it says.

    with_functions: the shell has the functions already, as a hook gives them; else it begins as the document says
    """
    (tmp_path / PLACE).parent.mkdir(parents=True)
    (tmp_path / PLACE).symlink_to(ADAPTER)
    (tmp_path / "README.md").write_text("# A project\n")
    played = []

    def play(name, *sections, with_functions=False):
        said, begin = [], "" if with_functions else f". {PLACE} &&\n"
        for section in sections:
            played.append((name, section))
            for text in blocks_of(name)[section]:
                done = run_shell(request.param, f"set -e\n{begin}{text}", source=with_functions, MILESTONE_BACKEND=None)
                expected = (" is kept for it", " unread message", " was heard from ", "this acknowledged what ")
                complaints = [line for line in done.err.splitlines() if not any(word in line for word in expected)]
                assert (done.status, complaints) == (0, []), f"{text}\n{done}"
                said.append(done.text)
        return "".join(said)

    play.shell = lambda text: run_shell(request.param, text, MILESTONE_BACKEND=None)
    play.played = played
    return play


def test_a_milestone_from_beginning_to_end(play):
    """Coordinator, planner and executor do all that their prompts say, in the order in which it would happen."""
    assert "no interrupted sessions" in play("milestone-coordinator", "1")
    assert "none yet" in play("milestone-coordinator", "2", "3")
    assert '"artifacts"' in play("milestone-planner", "1", "2", "3", "4", with_functions=True)
    play("milestone-planner", "5")
    assert '"artifacts"' in play("milestone-planner", "1", "2")  # given back when it failed
    play("milestone-planner", "6")
    said = play("milestone-coordinator", "4", "5")
    assert said.count('"message_type":"completion_notification"') == 1
    assert "nothing is missing" in said and "milestone ms-123 created" in said

    play("milestone-coordinator", "6")
    assert '"phase":"design"' in play("milestone-executor", "1", "2", "3", "4")
    play("milestone-executor", "5")
    assert "Work orders" in play("milestone-coordinator", "8")
    assert '"phase":"design"' in play("milestone-executor", "1", "2")
    play.shell(OTHERS_RESULTS)
    play("milestone-executor", "6")
    assert "session execution-ms-123-1 is completed" in play("milestone-coordinator", "7")
    assert {*play.played} == {(name, section) for name in DOCUMENTS if name != "SKILL"
                              for section in blocks_of(name)}
    done = play.shell("update_agent_status coordinator-ms-123-1; update_agent_status executor-ms-123-1;"
                      "read_milestone_record ms-123")
    assert done.text.startswith("completed\ncompleted\n") and "planning-risks" in done.text


def test_the_commands_of_the_skill_work(play):
    play.shell("register_agent coordinator-ms-123-1 milestone-coordinator ms-123 execution-ms-123-1;"
               "send_agent_message coordinator-ms-123-1 executor-ms-123-1 task_assignment '{}'")
    said = play("SKILL", *blocks_of("SKILL"))
    assert "registered executor-ms-123-1 (milestone-executor) in session execution-ms-123-1" in said
    assert '{"summary": "any size, byte for byte"}' in said and "present: design (15 %)" in said


def count_tokens(text):
    """More than any tokenizer makes of such a text: none is allowed here. That of Claude 2 makes 3.5 bytes a token
    of these documents; here it is 3, or at most seven letters, three digits or one other character."""
    pieces = re.findall(r"[A-Za-z]{1,7}|\d{1,3}|[^\sA-Za-z\d]|\n", text)
    return max(len(pieces), len(text.encode()) / 3)


def test_the_skill_is_cheap_to_read():
    assert count_tokens(DOCUMENTS["SKILL"]) < 1500


def test_installing_puts_the_prompts_where_the_functions_are(tmp_path):
    with open_store(tmp_path / ".milestones") as store:
        store.install(str(tmp_path), claude_code=True, prompts=True)
        assert (tmp_path / PLACE).exists()
        for name, text in DOCUMENTS.items():
            place = ".claude/skills/milestone/SKILL.md" if name == "SKILL" else f".claude/agents/{name}.md"
            assert (tmp_path / place).read_text(encoding="utf-8") == text and f"`. {PLACE} &&`" in text
        planner = tmp_path / ".claude" / "agents" / "milestone-planner.md"
        planner.write_text("a prompt of my own")
        told = store.install(str(tmp_path), claude_code=True)["changes"]
        assert [(row["file"], row["change"]) for row in told] == [(".claude/agents/milestone-planner.md", "edited")]
        assert store.install(str(tmp_path), claude_code=True)["changes"] == []
        store.uninstall(str(tmp_path))
        assert sorted(path.name for path in tmp_path.rglob("*.md")) == ["milestone-planner.md"]
        assert planner.read_text() == "a prompt of my own"


def test_without_being_asked_installing_brings_no_prompts_but_renews_its_own(tmp_path, monkeypatch):
    own = tmp_path / ".claude" / "agents" / "milestone-planner.md"
    own.parent.mkdir(parents=True)
    own.write_text("a prompt of my own")
    with open_store(tmp_path / ".milestones") as store:
        store.install(str(tmp_path), claude_code=True)
        assert [path.name for path in own.parent.iterdir()] == [own.name] and own.read_text() == "a prompt of my own"
        store.install(str(tmp_path), prompts=True)
        assert own.with_name(own.name + ".orig").read_text() == "a prompt of my own"
        monkeypatch.setattr(project_files, "read_packaged", lambda folder, name: "of a later version")
        store.install(str(tmp_path))
        assert own.read_text() == "of a later version"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_has_its_front_matter(name):
    _, front, text = DOCUMENTS[name].split("---\n", 2)
    fields = dict(line.split(": ") for line in front.splitlines())
    assert fields["name"] == ("milestone" if name == "SKILL" else name)
    assert fields["description"].endswith(".") and len(fields["description"]) < 1024
    assert text.startswith("\n# ") and ("tools" in fields) == (name != "SKILL")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_names_nothing_that_is_not_there(name):
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)", DOCUMENTS[name]))
    assert named - {op.name for op in all_operations() if op.shell} - {*MESSAGE_TYPES} == set()


def test_phases_and_keys_are_those_of_recovery():
    for name in ("milestone-executor", "SKILL"):
        rows = re.findall(r"^\| (\w+) \| `(\S+)` \| (\d+) \| (\d+) \|$", DOCUMENTS[name], re.M)
        done = [sum([*WEIGHTS.values()][:place]) for place in range(1, 5)]
        assert rows == [(phase, results_of(phase), str(weight), str(after))
                        for (phase, weight), after in zip(WEIGHTS.items(), done)]
    rows = re.findall(r"^\| (\S+) \| `(\S+)` \|", DOCUMENTS["milestone-planner"], re.M)
    assert {key: kind for kind, key in rows} == PLANNERS
