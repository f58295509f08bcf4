"""What is a result and what is none, and that each is called by its name wherever somebody looks for it."""
import shlex

import pytest

from milestone_persist import MilestoneWarning, Refused
from milestone_persist.base.errors import Incomplete

PLANNING, EXECUTION = "planning-ms-1-1", "execution-ms-1-1"
NOTHING = ["", " \n\t", '""', '"  "', "null", "{}", " [] ", "[[]]", '{"x":null}', '{"x": {"y": [null, ""]}}', "[{}]",
           '{"title": "", "tasks": []}', "\u00a0", "[" + ", ".join(["null"] * 500) + "]"]
CUT = ['{"tasks": ["a", "b', '{"tasks": ["a", "b"', '{"tasks": ["a", "b"]', '{"tasks": [1', '{"tasks":', "{", "[",
       '{"ta', '{"a": tru', '{"a": -', '[{"a": "\\', '["two\nlines', '"a title that has no e', '{"a": 1.',
       '{"long": "' + "x" * 9000, '\n {"a": [1, 2, {"b": false}, ']
SOMETHING = ["text", "[draft] of the plan", "[x] done", "{{template}}", '{"a": 1} and more', "[1] see there", "0",
             "false", '{"done": false}', '"a title"', "{not: json}", '{"x": null, "y": 0}', "- [ ] first\n- [ ] second",
             "}", "]", '"Login" must be faster', "[" * 250 + "]" * 250, '{"a": "' + "x" * 9000 + '"}']


@pytest.fixture
def planning(store):
    store.register_agent("coord", "milestone-coordinator", "ms-1", PLANNING)
    return store


@pytest.mark.parametrize("value, flaw", [(value, flaw) for flaw, values in (("empty", NOTHING), ("cut off", CUT))
                                         for value in values])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_plan_in_which_nothing_is_said_or_that_is_cut_off_is_none(planning, cli, value, flaw):
    planning.save_agent_state("coord", "milestone-plan", value)
    said = f"milestone-plan of coord is {flaw}"
    assert said in cli("validate_planning_artifacts", PLANNING).text
    shown = cli("recover_milestone_session", PLANNING).text
    assert said in shown and f"  {flaw}: milestone-plan" in shown and "complete_planning_session" not in shown
    for words in (("create_milestone_from_planning", PLANNING, "ms-1"), ("complete_planning_session", PLANNING),
                  ("create_milestone_from_recovered_planning", PLANNING)):
        done = cli(*words)
        assert (done.status, said in done.err, len(done.err.splitlines())) == (1, True, 1), done
    assert planning.get_session_status(PLANNING)["status"] == "active"
    assert cli("read_milestone_record", "ms-1").status == 1
    assert planning.load_agent_state("coord", "milestone-plan") == value


@pytest.mark.parametrize("end, flaw", [('\\"', "cut off"), ('"\\', ""), ("x\"", "")], ids=["text", "no JSON", "words"])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_long_plan_full_of_quotes_is_soon_seen_through(soon, planning, cli, end, flaw):
    planning.save_agent_state("coord", "milestone-plan", '{"code": "' + end * 200_000)
    assert (f"milestone-plan of coord is {flaw}" in cli("validate_planning_artifacts", PLANNING).text) == bool(flaw)


@pytest.mark.parametrize("value", SOMETHING)
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_what_says_something_is_a_plan(planning, value):
    planning.save_agent_state("coord", "milestone-plan", value)
    assert planning.recover_milestone_session(PLANNING)["artifacts"] == ["milestone-plan"]
    assert planning.create_milestone_from_planning(PLANNING, "ms-1")["created"] is True


def test_flaws_are_the_same_on_every_backend(planning, store, cli):
    for key, value in zip(("planning-scope", "planning-estimates", "planning-risks", "milestone-plan"),
                          ("{}", '{"x":null}', '{"tasks": ["a", "b', '{"tasks": ["a"')):
        store.save_agent_state("coord", key, value)
    with pytest.raises(Incomplete) as caught:
        store.validate_planning_artifacts(PLANNING)
    found = caught.value.data
    assert (len(found["empty"]), found["missing"], found["can_be_completed"]) == (4, ["planning-kiro"], False)
    store.register_agent("exec", "milestone-executor", "ms-1", EXECUTION)
    for key in ("design-phase-results", "spec-api", "task-list", "execute-phase-results"):
        store.save_agent_state("exec", key, "[]" if key == "spec-api" else '{"done": 1}')
    done = cli("finalize_milestone_execution", EXECUTION)
    assert done.status == 1 and "no results of: spec; spec-api of exec is empty; " in done.err
    store.save_agent_state("exec", "spec-api", "{\"done\": 1}")
    assert cli("finalize_milestone_execution", EXECUTION).status == 0


def test_what_is_left_of_a_plan_is_kept_when_another_is_assembled(planning):
    planning.save_agent_state("coord", "milestone-plan", '{"tasks": ["a", "b')
    planning.save_agent_state("coord", "planning-scope", "12 files")
    with pytest.warns(MilestoneWarning, match="milestone-plan of coord is cut off: the plan is assembled"):
        assert planning.complete_planning_session(PLANNING)["assembled_from"] == ["planning-scope"]
    [point] = planning.list_agent_checkpoints("coord")
    planning.restore_agent_checkpoint(point["checkpoint_id"])
    assert planning.load_agent_state("coord", "milestone-plan") == '{"tasks": ["a", "b'


def test_a_session_with_the_beginning_of_a_plan_is_not_cleared_away(planning, clock):
    planning.save_agent_state("coord", "milestone-plan", '{"tasks": ["a", "b')
    planning.abandon_session(PLANNING)
    clock.advance(86400 * 2)
    assert planning.cleanup_failed_sessions(24)["kept"] == [PLANNING]


@pytest.mark.parametrize("key, right", [
    ("execute_phase_results", "execute-phase-results"), ("Execute-Phase-Results", "execute-phase-results"),
    ("executePhaseResults", "execute-phase-results"), ("execution-phase-results", "execute-phase-results"),
    ("execute-results", "execute-phase-results"), ("execute-phase-result", "execute-phase-results"),
    ("excute-phase-results", "execute-phase-results"), ("milestone-execute-phase-results-17", "execute-phase-results"),
    ("execution.results", "execute-phase-results"), ("design_results", "design-phase-results"),
    ("spec_api", "spec-api"), ("Task List", "task-list"), ("spec-phase-result", "spec-phase-results"),
])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_key_that_is_nearly_right_is_named_with_the_command_that_puts_it_right(store, cli, key, right):
    store.register_agent("worker 1", "milestone-executor", "ms-1", EXECUTION)
    value = '{"done": "it\'s"}\n\n'
    others = {"design-phase-results", "spec-phase-results", "task-phase-results", "execute-phase-results"}
    for other in others:
        if other.partition("-")[0] != right.partition("-")[0]:
            store.save_agent_state("worker 1", other, "x")
    store.save_agent_state("worker 1", key, value)
    [said] = cli("finalize_milestone_execution", EXECUTION).err.splitlines()
    shown = cli("recover_milestone_session", EXECUTION).text
    for text in (said, shown):
        _, _, after = text.partition(f"{key} of worker 1 does not count; if it is {right}: ")
        load, save = (shlex.split(words) for words in after.splitlines()[0].partition("; ")[0].split(" | "))
        done = cli(*save, stdin=cli(*load).out)
        assert done.status == 0 and save[2] == right
    assert store.load_agent_state("worker 1", right) == value
    assert cli("finalize_milestone_execution", EXECUTION).status == 0


@pytest.mark.parametrize("key", ["execute-phase-input", "execute-state", "notes", "milestone-validation-results",
                                 "milestone-failure-task-7", "older-execute-phase-results-1", "execution-progress"])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_other_keys_are_not_said_to_be_meant(store, key):
    store.register_agent("worker", "milestone-executor", "ms-1", EXECUTION)
    store.save_agent_state("worker", key, "x")
    assert [item["near"] for item in store.recover_milestone_session(EXECUTION)["deliverables"]] == [[]] * 4


@pytest.mark.parametrize("key, right", [("planning_scope", "planning-scope"), ("scope", "planning-scope"),
                                        ("planning-estimate", "planning-estimates"), ("plan", "milestone-plan"),
                                        ("milestone-plan-17", "milestone-plan"), ("milestonePlan", "milestone-plan")])
def test_a_planning_key_that_is_nearly_right_is_named_with_the_command_too(planning, cli, key, right):
    planning.save_agent_state("coord", key, "x")
    line = (f"{key} of coord does not count; if it is {right}: load_agent_state coord {key} | "
            f"save_agent_state coord {right} -")
    assert line in cli("recover_milestone_session", PLANNING).text
    assert line in cli("validate_planning_artifacts", PLANNING).text


def test_while_a_planner_is_at_work_nobody_is_to_be_started(planning, clock, cli):
    planning.register_agent("scope-1", "scope-analyzer", "ms-1", PLANNING)
    [line] = cli("validate_planning_artifacts", PLANNING).err.splitlines()
    assert "planning-scope ('scope-1' is at work)" in line and "resume_" not in line and "get_session_status" in line
    assert "planning-risks (agents of type risk-assessor make it)" in line
    planning.update_agent_status("scope-1", "failed", error="killed")
    assert f"resume_planning_agents {PLANNING} prints which" in cli("validate_planning_artifacts", PLANNING).err
    planning.register_agent("scope-1", "scope-analyzer", "ms-1", PLANNING)
    clock.advance(600)
    assert f"resume_planning_agents {PLANNING} prints which" in cli("validate_planning_artifacts", PLANNING).err
    for agent in ("scope-1", "coord"):
        planning.update_agent_status(agent, "completed")
    assert f"recover_milestone_session {PLANNING} shows" in cli("validate_planning_artifacts", PLANNING).err


def test_every_other_planning_key_is_listed_as_present(planning, cli):
    for key in ("planning-scope", "planning-research", "planning-dependencies"):
        planning.save_agent_state("coord", key, "x")
    shown = cli("recover_milestone_session", PLANNING).text
    assert "  present: planning-scope, by coord\n" in shown
    for key in ("planning-research", "planning-dependencies"):
        assert f"  present beside these: {key}, by coord\n" in shown
    found = planning.recover_milestone_session(PLANNING)
    assert [row["state_key"] for row in found["more"]] == ["planning-dependencies", "planning-research"]
    with pytest.raises(Refused):
        planning.create_milestone_from_planning(PLANNING, "ms-1")
