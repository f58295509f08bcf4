"""What a model reads of a call: how long the commonest answers are, ids whole, the next command on the last line."""
from __future__ import annotations

import re
import shlex

import pytest

SESSION = "execution-ms-123-1"
COORDINATOR, EXECUTOR, DESIGNER = "coordinator-ms-123", "executor-ms-123", "design-ms-123"


@pytest.fixture
def backend():
    """What is printed does not depend on it."""
    return "hybrid"


@pytest.fixture
def team(store):
    """Three agents, one result, and one message that is not read."""
    for agent, kind in ((COORDINATOR, "milestone-coordinator"), (EXECUTOR, "milestone-executor"),
                        (DESIGNER, "design-phase")):
        store.register_agent(agent, kind, "ms-123", SESSION)
    store.save_agent_state(DESIGNER, "design-phase-results", '{"files": 12}')
    store.send_agent_message(COORDINATOR, EXECUTOR, "task_assignment", {"path": "src"})
    return store


def count_tokens(text):
    """No less than what a model's tokenizer makes of it: every word, and every other character, is one."""
    return len(re.findall(r"\w+|[^\w\s]", text))


# What is called, minutes after the last call, the most tokens of standard output and error together, and the ids that
# are in it. The bounds are what was measured, with the path of the data directory as one word.
ANSWERS = {
    "register": ("register_agent spec-ms-123 spec-phase ms-123 " + SESSION, 0, 20, ["spec-ms-123", SESSION]),
    "register again": (f"register_agent {EXECUTOR} milestone-executor ms-123 {SESSION}", 40, 32, [EXECUTOR, SESSION]),
    "save": (f"save_agent_state {EXECUTOR} notes text", 0, 0, []),
    "load what is not there": (f"load_agent_state {DESIGNER} design-results", 0, 29, ["design-phase-results"]),
    "send": (f"send_agent_message {COORDINATOR} {EXECUTOR} progress_update {{}}", 0, 1, []),
    "take one message": (f"get_agent_messages {EXECUTOR} true", 0, 119, [SESSION, COORDINATOR, EXECUTOR]),
    "status of three agents": (f"get_session_status {SESSION}", 0, 82, [SESSION, COORDINATOR, EXECUTOR, DESIGNER]),
    # 70 of them are the line of dashes, which is the one thing here that only looks; the seed has it.
    "detect one": ("detect_interrupted_sessions", 40, 142, [SESSION]),
    "recover": (f"recover_milestone_session {SESSION}", 40, 207, [SESSION, COORDINATOR, EXECUTOR, DESIGNER]),
    "a slip in an id": ("update_agent_status executor-ms-124 completed", 0, 23, [EXECUTOR]),
    "a slip in a word": (f"send_agent_message {COORDINATOR} {EXECUTOR} task_asignment x", 0, 20, ["task_assignment"]),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_no_longer_than_what_it_says(team, cli, clock, directory, name):
    words, minutes, most, ids = ANSWERS[name]
    clock.advance(60 * minutes)
    done = cli("--from-shell", *shlex.split(words))
    text = (done.text + done.err).replace(str(directory), "PATH")
    assert count_tokens(text) <= most, f"{count_tokens(text)} tokens:\n{text}"
    for whole in ids:
        assert re.search(rf"(?<![\w-]){re.escape(whole)}(?![\w-])", text), text
    assert "\n\n\n" not in text and not any(line != line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("words", ["detect_interrupted_sessions", f"resume_session_agents {SESSION}",
                                   "get_session_recovery_status"])
def test_what_is_to_be_run_next_stands_last_and_works(team, cli, clock, words):
    clock.advance(60 * 40)
    last = cli("--from-shell", *shlex.split(words)).text.splitlines()[-1]
    assert cli("--from-shell", *shlex.split(last)).status == 0, last


def test_what_an_id_has_elsewhere_is_listed_with_a_command_that_works(team, cli):
    with pytest.warns(match="was heard from 0 s ago"):
        team.register_agent(DESIGNER, "design-phase", "ms-124", "execution-ms-124-1")
    text = cli("list_agent_state", DESIGNER).text
    assert count_tokens(text) <= 30
    assert cli(*shlex.split(text.splitlines()[-1].partition(": ")[2])).text == '{"files": 12}'


def test_an_answer_grows_by_one_line_for_each_agent(team, cli):
    before = cli("get_session_status", SESSION).text
    team.register_agent("spec-ms-123", "spec-phase", "ms-123", SESSION)
    after = cli("get_session_status", SESSION).text
    assert after.count("\n") == before.count("\n") + 1
    assert count_tokens(after) <= count_tokens(before) + 11
