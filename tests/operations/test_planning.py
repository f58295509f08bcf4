"""Planning: artifacts, their checkpoints, and the milestone record that is made from the plan."""
from __future__ import annotations

import pytest

from milestone_persist import MilestoneWarning, Refused
from milestone_persist.base.yaml_text import dump_yaml

SESSION = "planning-ms-1-1"


@pytest.fixture
def team(store):
    """A planning session whose coordinator and scope analyzer are registered."""
    store.register_agent("coord", "milestone-coordinator", "ms-1", SESSION)
    store.register_agent("scope", "scope-analyzer", "ms-1", SESSION)
    return store


def test_saving_artifacts_makes_a_checkpoint_of_every_owner(team):
    team.save_agent_state("scope", "planning-scope", '{"files": 12}')
    team.save_agent_state("scope", "notes", "not an artifact")
    team.save_agent_state("coord", "planning-research", "text")
    told = team.save_planning_artifacts(SESSION)
    assert told["present"] == ["planning-research", "planning-scope"]
    assert told["missing"] == ["planning-estimates", "planning-risks", "planning-kiro", "milestone-plan"]
    for agent in ("scope", "coord"):
        [row] = team.list_agent_checkpoints(agent)
        assert row["checkpoint_id"] in told["checkpoints"] and row["checkpoint_type"] == "phase_completion"


def test_expected_artifacts_are_a_setting(team):
    team.set_storage_config("planning_artifacts", "research milestone-plan")
    team.save_agent_state("scope", "research", "v")
    assert team.save_planning_artifacts(SESSION)["missing"] == ["milestone-plan"]


def test_saving_artifacts_without_any_is_refused(team, dump, clock):
    team.save_agent_state("scope", "planning-scope", "gone soon", "temp_data", 60)
    clock.advance(60)
    before = dump()
    with pytest.raises(Refused, match="has no planning artifact yet: save_agent_state AGENT planning-scope VALUE"):
        team.save_planning_artifacts(SESSION)
    assert dump() == before


def test_planning_sessions_are_listed_for_jq(team, clock, environ):
    team.save_agent_state("scope", "planning-scope", "v")
    clock.advance(1)
    environ["SESSION_ID"] = "planning-none"
    team.agent_heartbeat("stranger")
    team.register_agent("c", "validation", "ms-3", "execution-1")
    told = team.list_planning_sessions()
    assert [(row["id"], row["description"], row["status"], row["artifacts"]) for row in told["sessions"]] == [
        ("planning-none", "planning of no milestone yet", "active", []),
        (SESSION, "planning of ms-1", "active", ["planning-scope"])]


def test_no_planning_sessions_is_an_empty_list(store):
    assert store.list_planning_sessions() == {"sessions": []}


def test_resuming_tells_what_is_there(team):
    team.save_agent_state("scope", "planning-scope", "v")
    told = team.resume_planning_session(SESSION)
    assert (told["present"], len(told["missing"])) == (["planning-scope"], 4)


def test_only_open_planning_sessions_can_be_resumed(team):
    team.register_agent("b", "validation", "ms-2", "execution-1")
    team.save_agent_state("coord", "milestone-plan", "the plan")
    team.create_milestone_from_planning(SESSION, "ms-1")
    with pytest.raises(Refused, match="of type execution, not planning: recover_milestone_session execution-1 shows"):
        team.resume_planning_session("execution-1")
    with pytest.raises(Refused, match="is completed: create_milestone_from_planning"):
        team.resume_planning_session(SESSION)


def test_a_milestone_is_made_from_the_plan_and_completes_the_session(team):
    team.save_agent_state("scope", "planning-scope", '{"files": 12, "risk": null}')
    team.save_agent_state("coord", "milestone-plan", '{"title": "Parser", "phases": ["design", "yes"], "days": 2.5}')
    made = team.create_milestone_from_planning(SESSION, "ms-1")
    assert made == {"milestone_id": "ms-1", "session_id": SESSION, "created": True}
    assert team.read_milestone_record("ms-1") == '''\
id: "ms-1"
title: "Parser"
status: "planned"
priority: "medium"
created_at: "2026-01-01 00:00:00.000"
planning_session: "planning-ms-1-1"
coordinator: "coord"
plan:
  title: "Parser"
  phases:
    - "design"
    - "yes"
  days: 2.5
artifacts:
  -
    key: "milestone-plan"
    saved_by: "coord"
    agent_type: "milestone-coordinator"
    saved_at: "2026-01-01 00:00:00.000"
  -
    key: "planning-scope"
    saved_by: "scope"
    agent_type: "scope-analyzer"
    saved_at: "2026-01-01 00:00:00.000"
    value:
      files: 12
      risk: null
'''
    told = team.get_session_status(SESSION)
    assert (told["status"], told["progress"], told["configuration"]) == ("completed", 100, {"milestones": ["ms-1"]})
    assert {agent["status"] for agent in told["agents"]} == {"completed"}


def test_each_value_stands_once_in_the_record_of_an_assembled_plan(team):
    team.save_agent_state("scope", "planning-scope", '{"files": "once-1"}')
    team.save_agent_state("coord", "planning-scope", '{"files": "once-2"}')
    team.save_agent_state("coord", "planning-risks", "once-3")
    team.complete_planning_session(SESSION)
    team.create_milestone_from_recovered_planning(SESSION)
    text = team.read_milestone_record("ms-1")
    assert [text.count(f"once-{number}") for number in (1, 2, 3)] == [1, 1, 1]
    assert [row["status"] for row in team.list_milestones()] == ["planned"]
    assert text.count('\n    key: "planning-scope"') == 2, "who saved what is told of each"


def test_what_was_saved_after_the_plan_was_assembled_is_in_the_record_too(team):
    team.save_agent_state("scope", "planning-scope", "old-scope")
    team.complete_planning_session(SESSION)
    team.save_agent_state("scope", "planning-scope", "new-scope")
    team.create_milestone_from_recovered_planning(SESSION)
    text = team.read_milestone_record("ms-1")
    assert (text.count("old-scope"), text.count("new-scope")) == (1, 1)


@pytest.mark.parametrize("session_id", ["20250818_143022_proj", "planning-new-1", "proj"])
def test_a_session_nobody_registered_is_taken_in_as_one_of_planning(store, session_id):
    told = store.save_planning_artifacts(session_id)
    assert (told["artifacts"], told["checkpoints"], len(told["missing"])) == ([], [], 5)
    [row] = store.list_planning_sessions()["sessions"]
    assert (row["id"], row["status"]) == (session_id, "active")
    assert store.get_session_status(session_id)["operation_type"] == "planning"


def test_a_session_taken_in_under_a_slip_of_an_id_is_warned_of(store):
    store.register_agent("p", "milestone-planner", "ms-1", "planning-ms-1")
    with pytest.warns(MilestoneWarning, match="'planning-mss-1' is known: .* new one; did you mean planning-ms-1?"):
        store.save_planning_artifacts("planning-mss-1")
    store.save_planning_artifacts("planning-ms-2")


@pytest.mark.filterwarnings("ignore:agent '(exec|worker)' is registered in session")
def test_a_session_whose_id_names_no_operation_is_one_of_planning_by_its_artifacts(store, environ, connect):
    environ["SESSION_ID"] = "20250818_143022_proj"
    agents = connect()
    agents.save_agent_state("scope", "planning-scope", "12 files")
    agents.register_agent("exec", "milestone-executor", "ms-1", "sprint-7")
    agents.save_agent_state("exec", "planning-scope", "x")
    agents.save_agent_state("exec", "spec-api", "y")
    agents.register_agent("worker", "milestone-executor", "ms-1", "execution-1")
    agents.save_agent_state("worker", "planning-scope", "x")
    for session in ("20250818_143022_proj", "sprint-7", "execution-1"):
        agents.save_planning_artifacts(session)
    assert [row["id"] for row in agents.list_planning_sessions()["sessions"]] == ["20250818_143022_proj"]


def test_making_the_milestone_again_changes_nothing(team, dump):
    team.save_agent_state("coord", "milestone-plan", "the plan")
    team.create_milestone_from_planning(SESSION, "ms-1")
    record, before = team.read_milestone_record("ms-1"), dump()
    assert team.create_milestone_from_planning(SESSION, "ms-1")["created"] is False
    assert (dump(), team.read_milestone_record("ms-1")) == (before, record)


def test_the_latest_plan_counts(team, clock):
    team.save_agent_state("scope", "milestone-plan", '{"title": "new"}')
    clock.advance(-60)
    team.save_agent_state("coord", "milestone-plan", '{"title": "old"}')
    team.create_milestone_from_planning(SESSION, "ms-1")
    assert team.read_milestone_record("ms-1").splitlines()[1] == 'title: "new"'


def test_without_a_plan_no_milestone_is_made(team, dump):
    team.save_agent_state("scope", "planning-scope", "v")
    before = dump()
    with pytest.raises(Refused, match="has no milestone-plan: save_agent_state AGENT milestone-plan VALUE"):
        team.create_milestone_from_planning(SESSION, "ms-1")
    assert dump() == before
    with pytest.raises(Refused, match="has no record yet: create_milestone_record ms-1 TEXT"):
        team.read_milestone_record("ms-1")


def test_a_record_that_is_there_is_not_overwritten(team, dump):
    team.save_agent_state("coord", "milestone-plan", "first")
    team.create_milestone_from_planning(SESSION, "ms-1")
    team.register_agent("b", "validation", "ms-2", "planning-2")
    team.save_agent_state("b", "milestone-plan", "second")
    record, before = team.read_milestone_record("ms-1"), dump()
    with pytest.raises(Refused, match="has a record already"):
        team.create_milestone_from_planning("planning-2", "ms-1")
    assert (dump(), team.read_milestone_record("ms-1")) == (before, record)


@pytest.mark.parametrize("milestone", ["../../etc/passwd", "a/b", ".", "..", ".hidden", "ÜBER", "x" * 300])
def test_a_record_stays_in_its_directory_whatever_the_id(team, tmp_path, milestone):
    team.save_agent_state("coord", "milestone-plan", "the plan")
    team.create_milestone_from_planning(SESSION, milestone)
    assert team.read_milestone_record(milestone).startswith(dump_yaml({"id": milestone}))
    assert [path.name for path in tmp_path.iterdir()] == [".milestones"]
    assert not list((tmp_path / ".milestones").glob("active/*/*"))


@pytest.mark.parametrize("value, text", [
    ("yes", 'k: "yes"'), ("", 'k: ""'), ("1e3", 'k: "1e3"'), ("~", 'k: "~"'), ("a: b # c", 'k: "a: b # c"'),
    ("it's \"q\"", "k: \"it's \\\"q\\\"\""), ("two\nlines", "k: |2-\n  two\n  lines"),
    ("two\nlines\n", "k: |2\n  two\n  lines"), ("  indented\n\nmore", "k: |2-\n    indented\n\n  more"),
    ("ends\n\n", r'k: "ends\n\n"'), ("\n", r'k: "\n"'), ("cr\r\nlf", r'k: "cr\r\nlf"'),
    ("\x85\u2028", r'k: "\u0085\u2028"'),
    ("\x7f\ufeff", r'k: "\u007f\ufeff"'), ("👩‍💻", r'k: "👩\u200d💻"'), ("\U000e0001", r'k: "\U000e0001"'),
    (None, "k: null"), (True, "k: true"), (-0.0, "k: -0.0"), (1e20, "k: 1.0e+20"), (10 ** 30, "k: 1" + "0" * 30),
    ([], "k: []"), ({}, "k: {}"), ([[]], "k:\n  - []"), ([[1]], "k:\n  -\n    - 1"), ({"no": 1}, 'k:\n  "no": 1'),
    ({"": 1}, 'k:\n  "": 1'), ({"a b": 1}, 'k:\n  "a b": 1'), ({"1": 1}, 'k:\n  "1": 1'), ({"-": 1}, 'k:\n  "-": 1'),
    ({"a-b_c": 1}, "k:\n  a-b_c: 1"), ({"a\nb": 1}, 'k:\n  "a\\nb": 1'),
    ({"x" * 501: [1]}, f"k:\n  ? {'x' * 501}\n  :\n    - 1"), ("half \ud800", 'k: "half \ufffd"'),
])
def test_yaml_is_what_any_reader_reads_back(value, text):
    assert dump_yaml({"k": value}) == text + "\n"


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)  # where records are files
@pytest.mark.parametrize("is_known", [True, False])
def test_a_milestone_whose_record_was_removed_by_hand_is_made_again(store, cli, directory, is_known):
    store.register_agent("planner", "milestone-planner", "ms-1", "planning-1")
    store.save_agent_state("planner", "milestone-plan", '{"title": "Login"}')
    assert store.create_milestone_from_planning("planning-1", "ms-1")["created"]
    before = store.read_milestone_record("ms-1")
    (directory / "active" / "ms-1.yaml").unlink()
    if is_known:
        store.list_milestones()
    assert cli("create-milestone-from-planning", "planning-1", "ms-1").text.startswith("milestone ms-1 created")
    assert store.read_milestone_record("ms-1").splitlines()[:2] == before.splitlines()[:2]
    assert " is there already: " in cli("create-milestone-from-planning", "planning-1", "ms-1").text
