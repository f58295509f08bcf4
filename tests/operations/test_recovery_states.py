"""The state machine of recovery: every kind of session, with every combination of results, with agents in every
condition. The options that are printed are the sensible ones, and each works as printed."""
import itertools
import shlex
import sqlite3

import pytest
from conftest import share

PLANNING = ("planning-scope", "planning-estimates", "planning-risks", "planning-kiro", "milestone-plan")
EXECUTION = ("design-phase-results", "spec-api", "task-list", "execute-phase-results")
RESULTS = {"planning": PLANNING, "execution": EXECUTION, "validation": (), "recovery": (), "cleanup": ()}
AGENTS = ("alive", "one dead", "silent", "stale", "failed", "completed", "none")
ENDS = {"complete_planning_session", "create_milestone_from_recovered_planning", "finalize_milestone_execution",
        "complete_coordination_session", "abandon_session"}


@pytest.fixture
def directory(memory):
    return memory / ".milestones"


def combinations(keys):
    return [subset for count in range(len(keys) + 1) for subset in itertools.combinations(keys, count)]


CASES = [(kind, present, agents) for kind, keys in RESULTS.items() for present in combinations(keys)
         for agents in AGENTS if agents != "none" or not present]  # what is saved was saved by somebody


def expected_options(kind, present, agents):
    """The names of the functions that are to be offered, in their order."""
    finish = ["complete_planning_session", "create_milestone_from_recovered_planning"]
    wait, abandon, report = ["get_session_status"], ["abandon_session"], ["generate_milestone_report"]
    whole, at_work = len(present) == len(RESULTS[kind]), agents in ("alive", "one dead")
    wait += ["update_agent_status"] if agents == "one dead" else []
    if kind == "planning":
        restart = ["restart_planning_with_artifacts"]
        if whole:
            return [*finish, "resume_planning_agents"]
        if at_work:
            return (finish if "milestone-plan" in present else []) + wait + abandon
        if "milestone-plan" in present:
            return [*finish, "resume_planning_agents", *restart, *abandon]
        return ["resume_planning_agents", *(restart + finish if present else []), *abandon]
    if kind == "execution" and whole:
        return ["finalize_milestone_execution", *report]
    if at_work:
        return wait + (["complete_coordination_session"] if kind != "execution" else []) + abandon
    if kind == "execution" and (present or agents != "completed"):
        return ["resume_execution_from_phase", *(["restart_incomplete_phases"] if present else []),
                "restart_milestone_execution", *(report if present else []), *abandon]
    resume = ["resume_session_agents"] if agents in ("silent", "stale", "failed") else []
    resume = ["resume_execution_from_phase"] if kind == "execution" else resume
    return resume + ["complete_coordination_session"] + abandon


def build_session(store, session, kind, present, agents):
    """A session as it was when its agents were last heard from."""
    worker = f"worker-{session}"
    store.register_agent(worker, "validation", f"ms-{session}", session)
    for key in present:
        store.save_agent_state(worker, key, f'{{"of": "{key}"}}')
    store.send_agent_message(worker, worker, "task_assignment", {"for": session})
    store.get_agent_messages(worker, True)
    if agents in ("failed", "completed"):
        store.update_agent_status(worker, agents)
    elif agents == "one dead":
        store.register_agent(f"mate-{session}", "validation", f"ms-{session}", session)
    elif agents == "none":
        other = f"{kind}-elsewhere-{kind}"
        store.register_agent(worker, "validation", "ms-elsewhere", other)


def options_in(text):
    """The commands under "Options:", as a shell would read them, each under its number."""
    lines = text.partition("Options:\n")[2].splitlines()
    assert [line[:5] for line in lines[::2]] == [f"  {n + 1}. " for n in range(len(lines) // 2)]
    return [shlex.split(line) for line in lines[1::2]]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("agents", AGENTS)
def test_every_printed_option_works_and_none_is_a_dead_end(store, cli, clock, agents):
    cases = [(kind, present) for kind, present, state in CASES if state == agents]
    built = share([(f"{kind}-{number}-{place}", place, kind, present) for number, (kind, present) in enumerate(cases)
                   for place in range(len(expected_options(kind, present, agents)))], AGENTS.index(agents), 3)
    silence = {"silent": 600, "stale": 1800, "failed": 600, "none": 600, "completed": 600, "alive": 0,
               "one dead": 90}[agents]
    for session, _, kind, present in built:
        build_session(store, session, kind, present, agents)
    clock.seconds += silence
    for session, place, kind, present in built:
        if agents == "one dead":
            store.agent_heartbeat(f"mate-{session}")
        shown = cli("recover_milestone_session", session)
        options = options_in(shown.text)
        assert [option[0] for option in options] == expected_options(kind, present, agents), shown.text
        done = cli("--from-shell", *options[place])
        said = [line for line in done.err.splitlines() if " unread message" not in line]
        assert done.status == 0 and not said, (options[place], done)
        after = options_in(cli("recover_milestone_session", session).text)
        state = store.get_session_status(session)["status"]
        if state in ("completed", "abandoned"):
            assert after or state == "abandoned"
        else:
            assert {option[0] for option in after} & ENDS, (options[place], after)


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("kind", list(RESULTS))
@pytest.mark.parametrize("end", ["abandoned", "completed", "failed", "paused"])
def test_what_is_offered_for_a_session_that_is_not_active_works_too(store, cli, clock, kind, end, directory):
    for present in combinations(RESULTS[kind]):
        session = f"{kind}-{'-'.join(present) or 'nothing'}"
        build_session(store, session, kind, present, "stale")
        set_session_status(directory, session, end)
        clock.seconds += 3600
        options = options_in(cli("recover_milestone_session", session).text)
        assert options or end == "abandoned"
        for option in options:
            assert "abandon_session" not in option or end != "abandoned"
        if options:
            assert cli("--from-shell", *options[0]).status == 0


def set_session_status(directory, session, status):
    connection = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    connection.execute("UPDATE coordination_sessions SET status = ? WHERE session_id = ?", (status, session))
    connection.close()


def test_ids_that_a_shell_would_tear_apart_come_quoted(store, cli, clock):
    name = "planning-it's $(here) & *"
    store.register_agent("a", "scope-analyzer", "ms 1", name)
    store.save_agent_state("a", "planning-scope", "x")
    clock.seconds += 3600
    line = cli("detect_interrupted_sessions").text.splitlines()[-1]
    assert shlex.split(line) == ["recover_milestone_session", name]
    for option in options_in(cli(*shlex.split(line)).text):
        assert option[1] == name
    assert cli(*option).status == 0


def test_who_was_said_to_be_dead_is_started_again_or_comes_back(store, cli, clock):
    for agent, kind in (("coord", "milestone-coordinator"), ("risk 1", "risk-assessor"), ("scope-1", "scope-analyzer")):
        store.register_agent(agent, kind, "ms-1", "planning-1")
    clock.seconds += 360
    for agent in ("coord", "scope-1"):
        store.agent_heartbeat(agent)
    shown = cli("recover_milestone_session", "planning-1").text
    assert "If 'risk 1' is dead (silent for 6 min), say so" in shown
    [option] = [words for words in options_in(shown) if words[0] == "update_agent_status"]
    assert option == ["update_agent_status", "risk 1", "failed", "--error", "no heartbeat for 6 min"]
    assert cli(*option).status == 0
    orders = store.resume_planning_agents("planning-1")["orders"]
    assert "risk 1" in [order["agent_id"] for order in orders]
    assert store.update_agent_status("coord")["status"] == "active"
    store.agent_heartbeat("risk 1")
    assert store.update_agent_status("risk 1")["status"] == "active"


@pytest.mark.parametrize("minutes", [0, 0.1, 0.49])
def test_no_cleaning_up_that_would_end_agents_at_work(store, cli, clock, dump, minutes):
    store.register_agent("a", "validation", "ms-1", "validation-1")
    clock.seconds += 20
    before = dump()
    done = cli("cleanup_stale_coordination", minutes)
    assert done.status == 2 and "MINUTES must be at least 0.5 (heartbeat_interval is 30 s)" in done.err
    assert dump() == before
    clock.seconds += 20
    assert cli("cleanup_stale_coordination", 0.5).status == 0
    assert store.update_agent_status("a")["status"] == "failed"
