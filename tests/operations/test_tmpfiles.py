"""Files that agents left in /tmp: which are taken, as what, and that none is lost."""
from __future__ import annotations

import json
import os

import pytest
from conftest import BACKENDS

from milestone_persist import Refused
from milestone_persist.base.errors import Incomplete
from milestone_persist.coordination import tmp_files

SESSION = "planning-ms-123-1"
BEGUN = 1767225600  # as the clock of the tests begins


@pytest.fixture
def backend(request):
    return getattr(request, "param", "hybrid")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory in the place of /tmp."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tmp_files, "TMP", str(folder))
    return folder


@pytest.fixture
def leave(folder):
    """Leaves a file, by default written before the tests' time begins: leave(name, value or bytes, seconds)."""
    def leave(name, value, seconds=-60):
        path = folder / name
        path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        os.utime(path, (BEGUN + seconds, BEGUN + seconds))
        return path

    return leave


@pytest.fixture
def session(store):
    store.register_agent("coord-1", "milestone-coordinator", "ms-123", SESSION)
    store.register_agent("scope-1", "scope-analyzer", "ms-123", SESSION)
    return store


def whats(told):
    return {file["file"]: (file["what"], file["agent_id"], file["state_key"]) for file in told["files"]}


S = "1752660000"  # $(date +%s)
EXECUTION = "execution-ms-1-1"
# What agents leave, and the key it is kept under. The rule: [milestone-]RESULT[-ID of the session or its
# milestone][-TIME] is a result, RESULT being exactly one of the nine names; any other name is its own key.
NAMES = {
    **{f"{before}{result}{behind}.json": result
       for result in ("planning-scope", "planning-estimates", "planning-risks", "planning-kiro", "milestone-plan",
                      "design-phase-results", "spec-phase-results", "task-phase-results", "execute-phase-results")
       for before in ("", "milestone-")
       for behind in ("", "-123456", f"-{S}", "-20250818_143022", "-ms-1", f"-{EXECUTION}-{S}")
       if not (before + result).startswith("milestone-milestone-")},
    **{f"{stem}.json": stem for stem in [
        "milestone-execution-state-ms-1", "milestone-execution-state-ms-2", "milestone-execution-ms-1",
        f"milestone-execution-{S}", "milestone-execution-progress", "milestone-execution-results-ms-1",
        "milestone-task-task-001", "milestone-task-task-002", "milestone-task-001", "milestone-task-list",
        f"milestone-tasks-{S}", "milestone-task-results", "milestone-task-assignments", "milestone-task-breakdown-ms-1",
        f"milestone-phase-input-spec-{S}", f"milestone-phase-input-design-{S}", f"milestone-phase-input-task-{S}",
        f"milestone-phase-input-execute-{S}", f"milestone-phase-output-spec-{S}", "milestone-phase-state",
        f"milestone-validation-design-{S}", f"milestone-validation-spec-{S}", f"milestone-validation-execute-{S}",
        "milestone-validation-results", "milestone-failure-task-7", "milestone-failure-task-8",
        "milestone-failure-execute", f"milestone-error-spec-{S}", f"milestone-scope-analysis-{S}", "milestone-scope",
        f"milestone-scope-input-{S}", f"milestone-risk-assessment-{S}", "milestone-risks", "milestone-estimates",
        f"milestone-estimation-{S}", f"milestone-kiro-strategy-{S}", "milestone_kiro_strategy", "milestone-kiro",
        "milestone_plan", "milestone_planning_scope", f"milestone-progress-{S}", "milestone-progress-ms-1",
        f"milestone-session-{S}", f"milestone-session-{EXECUTION}", "milestone-state", "milestone-config",
        "milestone-design-results", f"milestone-design-{S}", f"milestone-design-input-{S}", "milestone-design-scope",
        f"milestone-spec-results-{S}", "milestone-spec-api", f"milestone-spec-{S}", "milestone-spec-input",
        "milestone-plan-1", "milestone-plan-17", "milestone-plan-ms-2", "milestone-plan-ms-11", "milestone-plan-draft",
        "milestone-plan-input", "milestone-planning", f"milestone-planning-{S}", "milestone-planning-scope-7",
        "milestone-planning-scope-input", "milestone-planning-input", f"milestone-planning-session-{S}",
        "milestone-planning-scope-ms-2", "milestone-planning-scope-analysis", "milestone-planning-estimate",
        "milestone-planning-risk-assessment", "milestone-my-planning-scope", f"milestone-{S}-planning-scope",
        "milestone-git-ops", f"milestone-git-{S}", "milestone-checkpoint-3", "milestone-deps-task-scope",
        "planning-scope-input", "planning-session", "planning-risk-assessment", "planning-research",
        f"planning-research-{S}", "planning-research-5", "planning-state-ms-1", "planning_scope", "planning-scopes",
        "Planning-Scope", "planning-scope.old", "planning-scope-old", f"planning-scope-{S}-1", "planning-scope (1)",
        "design-results", "design-phase-input", "design_phase_results", "design-phase-results-old",
        "design-phase-results-2", f"spec-phase-input-{S}", "spec-phase-state", "spec-phase", "task-phase-failure",
        "task-phase-001", "task-phase-task-001", "execution-results", "execute-results", "execute-phase-state",
        f"execute-phase-input-{S}", "execute_phase_results", "execution-phase-results", "milestone",
        "milestone-EXECUTE-phase-results", "milestone-1", "milestone--", "milestone-ünïcode", "milestone-a b"]},
}


def test_only_exact_names_are_results_and_every_other_keeps_its_own_key(store, folder, leave):
    assert len(NAMES) > 160
    store.register_agent("exec-1", "milestone-executor", "ms-1", EXECUTION)
    for name in NAMES:
        leave(name, {"of": name})
    told = whats(store.import_tmp_files(str(folder), session=EXECUTION))
    assert {name: key for name, (what, _, key) in told.items() if what == "saved"} == {
        name: key for name, (what, _, key) in told.items() if not key.startswith("older-")}
    keys = {name: key.partition("older-")[2].rpartition("-2025")[0] or key for name, (_, _, key) in told.items()}
    assert keys == NAMES
    for _, agent, key in told.values():
        assert store.load_agent_state(agent, key)
    assert len({(agent, key) for _, agent, key in told.values()}) == len(NAMES), "nothing was displaced"


def test_a_name_that_may_be_read_in_many_ways_is_soon_seen_through(soon, store, folder, leave):
    store.register_agent("exec-1", "milestone-executor", "a", "a-a")
    names = {"milestone-plan" + "-a" * 110: "milestone-plan", "milestone-plan" + "-a" * 110 + "-b": ""}
    for name in names:
        leave(f"{name}.json", {"of": name})
    told = whats(store.import_tmp_files(str(folder), session="a-a"))
    assert {name: key for name, (_, _, key) in told.items()} == {f"{name}.json": names[name] or name for name in names}


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_what_is_no_result_completes_nothing(store, folder, leave, cli):
    store.register_agent("exec-1", "milestone-executor", "ms-1", EXECUTION)
    store.create_milestone_record("ms-1", "title: x")
    results = {"spec-results", "task-results"}  # spec-… and task-… are results, whatever their name
    for name, key in NAMES.items():
        if not key.endswith("-phase-results") or name.startswith("milestone-EX"):
            leave(name, {"of": name})
    assert not results & set(NAMES.values())
    store.import_tmp_files(str(folder), session=EXECUTION)
    view = store.recover_milestone_session(EXECUTION)
    assert [item["name"] for item in view["deliverables"] if item["saved"]] == []
    assert cli("finalize-milestone-execution", EXECUTION).status == 1


@pytest.mark.parametrize("key, phase", [
    ("design-phase-results", "design"), ("execute-phase-results", "execute"), ("spec-phase-results", "spec"),
    ("task-phase-results", "task"), ("spec-api", "spec"), ("task-list", "task"), ("task-001", "task"),
    ("task-error-handling-tests", None), ("spec-results", "spec"), ("task-results-7", "task"),
    ("spec-phase-input", None), ("spec-input-1752660000", None), ("task-failure-task-7", None), ("task-failure", None),
    ("task-7-status", None), ("task-phase-001", None), ("spec-phase-results-old", None), ("spec-", None),
    ("design-results", None), ("design-phase-input", None), ("execute_phase_results", None), ("spec_api", None),
    ("execution-phase-results", None), ("older-spec-api", None), ("spec", None), ("Spec-api", None),
])
def test_which_keys_are_results_of_a_phase(store, key, phase):
    store.register_agent("exec-1", "milestone-executor", "ms-1", EXECUTION)
    store.save_agent_state("exec-1", key, "x")
    view = store.recover_milestone_session(EXECUTION)
    assert [item["name"] for item in view["deliverables"] if item["saved"]] == ([phase] if phase else [])


def test_files_become_state_of_the_agents_that_make_it(session, folder, leave):
    leave("milestone-planning-scope-1640995200.json", {"files": 12})
    leave("planning-estimates-1640995200.json", b' {"days": 3}\n')
    told = whats(session.import_tmp_files(str(folder), session=SESSION))
    assert told == {
        "milestone-planning-scope-1640995200.json": ("saved", "scope-1", "planning-scope"),
        "planning-estimates-1640995200.json": ("saved", f"estimation-agent-{SESSION}", "planning-estimates")}
    assert session.load_agent_state(f"estimation-agent-{SESSION}", "planning-estimates") == ' {"days": 3}\n'
    agents = {row["agent_id"]: row for row in session.list_session_agents(SESSION)}
    made = agents[f"estimation-agent-{SESSION}"]
    assert (made["agent_type"], made["status"]) == ("estimation-agent", "completed")
    assert session.recover_milestone_session(SESSION)["session_id"] == SESSION


def test_a_second_run_changes_nothing(session, folder, leave, dump):
    for number in range(3):
        leave(f"planning-scope-{100000 + number}.json", {"n": number}, -60 + number)
    session.import_tmp_files(str(folder), session=SESSION)
    before = dump()
    told = session.import_tmp_files(str(folder), session=SESSION)
    assert {file["what"] for file in told["files"]} == {"unchanged"}
    assert dump() == before


def test_the_newest_of_a_key_wins_and_the_others_are_kept(session, folder, leave, clock):
    session.save_agent_state("scope-1", "planning-scope", "by hand")
    clock.advance(3600)
    for number, seconds in ((1, -60), (2, 120), (3, 60)):
        leave(f"planning-scope-{100000 + number}.json", {"n": number}, seconds)
    told = whats(session.import_tmp_files(str(folder), session=SESSION))
    assert told["planning-scope-100002.json"] == ("saved", "scope-1", "planning-scope")
    assert session.load_agent_state("scope-1", "planning-scope") == '{"n": 2}'
    keys = [row["state_key"] for row in session.list_agent_state("scope-1") if row["state_key"].startswith("older-")]
    assert {session.load_agent_state("scope-1", key) for key in keys} == {"by hand", '{"n": 1}', '{"n": 3}'}
    assert keys[0].startswith("older-planning-scope-20251231-235900-")
    assert session.save_planning_artifacts(SESSION)["present"] == ["planning-scope"]  # they do not count


def test_what_was_saved_later_than_the_file_stays(session, folder, leave):
    session.save_agent_state("scope-1", "planning-scope", "by hand")
    leave("planning-scope.json", {"old": 1})
    assert whats(session.import_tmp_files(str(folder)))["planning-scope.json"][0] == "older"
    assert session.load_agent_state("scope-1", "planning-scope") == "by hand"


def test_the_session_is_the_one_given_named_set_or_active(session, folder, leave, environ, connect):
    session.register_agent("x", "validation", "ms-9", "validation-9")
    leave(f"milestone-scope-{SESSION}.json", {})
    leave("milestone-risks-ms-123-17.json", {})
    leave("milestone-estimates-17.json", {})
    environ["SESSION_ID"] = "validation-9"
    store = connect()
    told = store.import_tmp_files(str(folder), dry_run=True)
    assert [file["session_id"] for file in sorted(told["files"], key=lambda file: file["file"])] == [
        "validation-9", SESSION, SESSION]
    told = store.import_tmp_files(str(folder), session="planning-new", dry_run=True)
    assert {file["session_id"] for file in told["files"]} == {"planning-new"}


def test_a_dry_run_changes_nothing(session, folder, leave, dump):
    path = leave("planning-scope.json", {})
    before = dump()
    told = session.import_tmp_files(str(folder), remove=True, dry_run=True)
    assert (told["files"][0]["what"], path.exists(), dump() == before) == ("saved", True, True)


def test_what_is_no_json_is_text_and_what_is_no_text_is_told(session, folder, leave):
    leave("planning-scope.json", b"just {text")
    kept = leave("planning-risks.json", b"\xff\x00")
    leave("planning-kiro.json", b"")
    with pytest.raises(Incomplete, match="1 of 2 files could not be taken, 'planning-risks.json' first") as failure:
        session.import_tmp_files(str(folder), remove=True)
    [told] = failure.value.data["files"]
    assert (told["is_json"], told["removed"]) == (False, True)
    assert {file["file"]: file["why"] for file in failure.value.data["skipped"]} == {
        "planning-risks.json": "not UTF-8 text", "planning-kiro.json": "empty"}
    assert session.load_agent_state("scope-1", "planning-scope") == "just {text" and kept.exists()


def test_links_pipes_folders_and_files_of_others_are_left_alone(session, folder, leave, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("{}")
    (folder / "planning-link.json").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "planning-pipe.json")
    (folder / "planning-folder.json").mkdir()
    leave("planning-theirs.json", {})
    leave("unrelated.json", {}), leave("planning-notes.txt", {}), leave("milestones.json", {})
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    told = session.import_tmp_files(str(folder), remove=True)
    assert told["files"] == []
    assert {file["file"]: file["why"] for file in told["skipped"]} == {
        "planning-link.json": "a link", "planning-pipe.json": "no regular file",
        "planning-folder.json": "no regular file", "planning-theirs.json": "of another user"}
    assert len([*folder.iterdir()]) == 7


def test_only_what_was_read_back_is_removed(session, folder, leave, monkeypatch):
    for number in range(3):
        leave(f"planning-scope-{100000 + number}.json", {"n": number}, number - 60)
    corrupt = leave("planning-risks.json", {})
    keep = tmp_files.keep_files

    def keep_and_damage(store, found):
        keep(store, found)
        corrupt.write_text('{"changed": "meanwhile"}')

    monkeypatch.setattr("milestone_persist.operations.tmpfiles.keep_files", keep_and_damage)
    with pytest.warns(Warning, match="planning-risks.json was not removed"):
        told = session.import_tmp_files(str(folder), remove=True)
    assert [path.name for path in folder.iterdir()] == ["planning-risks.json"]
    assert sum(file["removed"] for file in told["files"]) == 3


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_saving_planning_artifacts_takes_only_files_that_name_the_session(session, folder, leave):
    leave(f"milestone-planning-scope-{SESSION}.json", {"files": 1})
    leave(f"milestone-planning-risks-1640995200-{SESSION}.json", {"risk": 1})
    leave("milestone-plan-ms-123.json", {"title": "of another project"})
    leave("milestone-planning-kiro-1640995200.json", {"kiro": 1})
    leave(f"milestone-plan-{SESSION}1.json", {"title": "of another session"})
    assert session.save_planning_artifacts(SESSION)["present"] == ["planning-risks", "planning-scope"]
    assert len([*folder.iterdir()]) == 5
    session.import_tmp_files(str(folder), session=SESSION)
    assert session.save_planning_artifacts(SESSION)["present"] == [
        "milestone-plan", "planning-kiro", "planning-risks", "planning-scope"]


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_so_does_a_session_that_is_new(store, folder, leave):
    leave("milestone-planning-scope-20250818_143022_proj.json", {"files": 1})
    assert store.save_planning_artifacts("20250818_143022_proj")["present"] == ["planning-scope"]
    assert [row["id"] for row in store.list_planning_sessions()["sessions"]] == ["20250818_143022_proj"]


@pytest.mark.parametrize("backend", ["file", "postgresql"], indirect=True)
def test_importing_files_works_on_every_backend(session, folder, leave):
    leave("planning-scope.json", {"files": 1})
    session.import_tmp_files(str(folder), session=SESSION, remove=True)
    assert session.get_current_storage_backend() != "hybrid"
    assert session.load_agent_state("scope-1", "planning-scope") == '{"files": 1}'
    assert [*folder.iterdir()] == []


def test_the_text_says_what_became_of_each(session, folder, leave, cli):
    leave("planning-scope.json", b"text")
    assert cli("import-tmp-files", folder, "--session", SESSION).text == (
        f"saved: planning-scope.json as planning-scope of scope-1 in session {SESSION}; no JSON, kept as text\n"
        "the files are still there: the same with --remove deletes them\n")
    assert cli("import-tmp-files", folder, "--session", SESSION, "--remove").text == (
        f"unchanged: planning-scope.json as planning-scope of scope-1 in session {SESSION}; no JSON, kept as text; "
        "file removed\n")
    assert cli("import-tmp-files", folder).text == f"nothing to import in {folder}\n"


def test_a_directory_that_cannot_be_read_is_refused(session, folder):
    with pytest.raises(Refused, match="cannot read the directory"):
        session.import_tmp_files(str(folder / "nowhere"))
