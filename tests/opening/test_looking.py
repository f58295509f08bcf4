"""Where there is no store: looking makes none, whoever makes one says so, and every first call makes the same."""
from __future__ import annotations

import os
import shutil

import pytest

from milestone_persist import StorageError, open_store
from milestone_persist.registry import all_operations

SAMPLES = {"status": "all", "message_id": "1", "percent": "5", "file": "x.db", "text": "title: x", "payload": "{}",
           "message_type": "error_report", "agent_type": "validation", "backend": "file", "key": "hybrid_from",
           "value": "20", "operations": '["save_agent_state", "x", "k", "v"]', "messages": "[]", "values": "{}"}
EMPTY = "; it is empty: what was registered and saved before is not in it"
OPERATIONS = {op.name: op for op in all_operations()}
NOT_HERE = ("generate", "vendor", "install", "uninstall", "start_session_monitor", "dashboard", "restore_coordination",
            "import_coordination", "export_coordination")


def words_for(name):
    return [name, *(SAMPLES.get(p.name, "x") for p in OPERATIONS[name].positionals if p.required)]


def looks(name):
    op = OPERATIONS[name]
    return not op.makes_store(words_for(name)[1:], {}) or not op.opens


@pytest.mark.parametrize("name", [name for name in OPERATIONS if looks(name) and name not in NOT_HERE])
@pytest.mark.parametrize("backend", ["file", "hybrid", "postgresql"], indirect=True)
def test_looking_makes_no_store(name, unmade, cli, directory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli(*words_for(name), AGENT_ID="a", SESSION_ID="s", MILESTONE_ID="m")
    assert done.status in (0, 1, 2)
    assert not done.made
    assert not directory.exists()
    if unmade:
        assert cli("where").text.startswith(f"{directory} (not made yet)")


def test_what_only_looks_is_known():
    """Whatever is new must be one or the other."""
    makers = {name for name in OPERATIONS if not looks(name)}
    assert makers == {
        "initialize_agent_coordination", "initialize_storage_system", "migrate_storage_backend", "set_storage_config",
        "register_agent", "agent_heartbeat", "save_agent_state", "send_agent_message", "broadcast_agent_message",
        "batch", "send_many", "save_many",
        "create_agent_checkpoint", "save_planning_artifacts", "create_milestone_record", "update_milestone_record",
        "delete_milestone_record", "acquire_milestone_lock", "restore_coordination",
        "import_coordination", "import_tmp_files", "log_milestone_event", "log_storage_event"}


@pytest.mark.parametrize("words", [
    ["get_agent_messages", "a"], ["update_agent_status", "a"], ["abandon_session", "s"],
    ["get_agent_messages", "a", "--wait", "1"], ["migrate_storage_backend", "file", "--dry-run"],
    ["import_tmp_files", "agents", "--dry-run"]])
def test_taking_messages_makes_a_store_and_looking_none(words, unmade, cli, directory):
    cli(*words)
    assert not directory.exists()
    assert cli("get_agent_messages", "a", "true").status == 0
    assert directory.exists()


@pytest.mark.parametrize("words", [
    ["save-agent-state", "", "k", "v"], ["acquire-milestone-lock", "m", "--ttl", "9" * 30],
    ["save-agent-state", "a", "k", "v", "wizard"], ["send-agent-message", "a", "b", "x-note", "{"],
    ["set-storage-config", "session_timeout", "soon"], ["broadcast-agent-message", "a", "x-note", "{}"],
    ["update-milestone-record", "m", "title: x"], ["migrate-storage-backend", "mysql"],
    ["import-coordination", "/dev/null"], ["batch", '["load_agent_state", "a", "k"]']])
def test_what_is_refused_makes_no_store(words, unmade, cli, directory):
    done = cli(*words, AGENT_ID="a", SESSION_ID="s")
    assert done.status in (1, 2) and done.err.count("\n") == 1
    assert not directory.exists()
    if unmade:
        assert cli("where").text.startswith(f"{directory} (not made yet)")


def test_whoever_makes_a_store_says_so_once(unmade, cli, directory, backend):
    kind = "database" if backend == "postgresql" else backend
    done = cli("save-agent-state", "a", "k", "v")
    made = f"milestone_persist: made the data directory {directory} (backend {kind}){EMPTY}\n"
    assert (done.text, done.made) == ("", made)
    assert cli("save-agent-state", "a", "k", "v").made == ""


@pytest.mark.parametrize("name", ["initialize_agent_coordination", "initialize_storage_system"])
def test_the_answer_ready_names_the_new_store_already(name, unmade, cli, directory, backend):
    done = cli(name)
    assert (done.made, done.err) == ("", "")
    assert done.text.startswith("ready: ") and (str(directory) in done.text or backend == "postgresql")


@pytest.mark.parametrize("sh", ["bash", "dash"], indirect=True)
def test_a_shell_function_says_so_on_standard_error(sh, tmp_path):
    done = sh('save_agent_state a k v; load_agent_state a k; load_agent_state a k', MILESTONE_BACKEND=None,
              HOME="/nowhere")
    assert done.text == "vv"
    assert done.made == f"milestone_persist: made the data directory {tmp_path}/.milestones (backend hybrid){EMPTY}\n"


@pytest.mark.parametrize("name", sorted(name for name in OPERATIONS if not looks(name)))
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_every_first_call_begins_on_one_backend(name, cli, directory, environ, tmp_path, monkeypatch):
    del environ["MILESTONE_BACKEND"]
    monkeypatch.chdir(tmp_path)
    words = ["database" if word == "file" else word for word in words_for(name)]
    done = cli(*words)
    assert cli("get_current_storage_backend").text == ("database\n" if "migrate" in name else "hybrid\n")
    assert (directory / "coordination.db").exists() == (done.status == 0)


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_python_the_monitor_and_what_only_looks_begin_on_that_backend_too(cli, directory, environ):
    del environ["MILESTONE_BACKEND"]
    assert cli("get_current_storage_backend").text == "hybrid\n"
    with open_store(directory, environ=environ) as store:
        assert store.get_current_storage_backend() == "hybrid"


def test_json_files_are_for_who_asks_for_them(tmp_path, program):
    (tmp_path / ".milestones" / "config").mkdir(parents=True)
    (tmp_path / ".milestones" / "config" / "storage-backend.txt").write_text("file\n")
    assert program("save-agent-state", "a", "k", "v", MILESTONE_BACKEND="").status == 0
    assert program("get-current-storage-backend", MILESTONE_BACKEND="").text == "file\n"


@pytest.mark.parametrize("take", [[], ["true"]])
def test_waiting_ends_when_the_store_is_removed_and_makes_none(take, cli, clock, directory):
    assert cli("initialize-agent-coordination").status == 0
    clock.during_sleep = lambda: shutil.rmtree(directory)
    done = cli("get-agent-messages", "a", *take, "--wait", "60")
    assert (done.status, done.text, done.err.count("\n")) == (3, "", 1)
    assert f"{directory} was removed meanwhile" in done.err
    assert not directory.exists()


def test_waiting_for_a_lock_ends_when_the_store_is_removed(cli, clock, directory):
    assert cli("acquire-milestone-lock", "m", "--owner", "a").status == 0
    clock.during_sleep = lambda: shutil.rmtree(directory)
    done = cli("acquire-milestone-lock", "m", "--owner", "b", "--wait", "60")
    assert (done.status, done.text) == (3, "")
    assert f"{directory} was removed meanwhile" in done.err
    assert not directory.exists()


@pytest.mark.parametrize("take", [False, True])
def test_waiting_in_python_ends_when_the_store_is_removed(take, store, clock, directory):
    clock.during_sleep = lambda: shutil.rmtree(directory)
    with pytest.raises(StorageError, match="was removed meanwhile"):
        store.get_agent_messages("a", take, wait=60)
    assert not directory.exists()


def test_waiting_sees_a_store_that_is_made_meanwhile(unmade, cli, clock):
    def send():
        assert cli("send-agent-message", "b", "a", "error_report", "{}").status == 0

    clock.during_sleep = send
    done = cli("get-agent-messages", "a", "--wait", "60")
    assert '"error_report"' in done.text and done.status == 0


@pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)
def test_waiting_does_not_take_a_store_that_is_being_made_for_an_empty_one(cli, clock, directory, backend):
    """Whoever makes it was killed, or is slow: whoever looks then finishes it."""
    def begin():
        (directory / "config").mkdir(parents=True, exist_ok=True)
        for name, word in (("being-made", ""), ("backend-in-use.txt", backend + "\n")):
            (directory / "config" / name).write_text(word)
        clock.during_sleep = lambda: cli("send-agent-message", "b", "a", "error_report", "{}")

    clock.during_sleep = begin
    assert '"error_report"' in cli("get-agent-messages", "a", "--wait", "60").text
    assert "being-made" not in os.listdir(directory / "config")


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_where_everybody_writes_no_store_is_made_by_the_way(tmp_path, cli, monkeypatch):
    """An agent that has gone to /tmp would have a second store there."""
    tmp_path.chmod(0o1777)
    monkeypatch.chdir(tmp_path)
    done = cli("save-agent-state", "a", "k", "v", MILESTONE_DIR="")
    assert (done.status, done.made) == (3, "") and "cd to your project first" in done.err
    assert not os.listdir(tmp_path)
    assert cli("save-agent-state", "a", "k", "v", MILESTONE_DIR=str(tmp_path / ".milestones")).status == 0
    assert cli("load-agent-state", "a", "k", MILESTONE_DIR="").text == "v"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_an_agent_whose_store_was_removed_is_told_that_it_is_in_no_store(cli, directory):
    cli("register-agent", "a", "validation", "ms-1", "s-1")
    shutil.rmtree(directory)
    looked = cli("get-agent-messages", "a", AGENT_ID="a", SESSION_ID="s-1")
    assert (looked.status, looked.text) == (0, "[]\n") and f"there is no store at {directory}: " in looked.err
    for words in (["save-agent-state", "a", "k", "v"], ["agent-heartbeat", "a"], ["create-agent-checkpoint", "a"],
                  ["send-agent-message", "a", "b", "x-t", "{}"]):
        assert EMPTY in cli(*words).made
        shutil.rmtree(directory)
    made = cli("register-agent", "a", "validation", "ms-1", "s-1").made
    assert made and EMPTY not in made


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("words", [["initialize-agent-coordination"], ["register-agent", "a", "validation", "m", "s"],
                                   ["create-milestone-record", "m", "title: x"]])
def test_a_store_in_the_home_directory_is_told_of(cli, tmp_path, directory, monkeypatch, words):
    """An agent whose cd failed lands there; who names the directory means it, as does whose home is a repository."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()

    def tells(**variables):
        made = cli(*words, **{"MILESTONE_DIR": "", **variables}).made
        shutil.rmtree(directory)
        return " in your home directory, for all folders below it that have none of their own: if you" in made

    assert tells() and not tells(MILESTONE_DIR=str(directory)) and not tells(HOME=str(tmp_path / "else"))
    (tmp_path / ".git" / "HEAD").touch()
    assert not tells()


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("mark", [".git/HEAD", ".milestones/config/backend-in-use.txt"])
def test_a_project_is_no_data_directory(program, tmp_path, mark):
    """Its .gitignore would hide all of it from git, and its rights be taken from others."""
    project = tmp_path / "project"
    (project / mark).parent.mkdir(parents=True)
    (project / mark).write_text("hybrid")
    (project / "config").mkdir(exist_ok=True)
    project.chmod(0o777)
    before = sorted(project.rglob("*"))
    for words in (["save-agent-state", "a", "k", "v"], ["get-session-status", "s"], ["initialize-agent-coordination"]):
        done = program(*words, MILESTONE_DIR=str(project))
        assert (done.status, done.out) == (3, b"")
        assert done.err == (f"milestone_persist: {project} is a project, not its data directory: name "
                            f"{project / '.milestones'}, or unset MILESTONE_DIR\n")
    assert sorted(project.rglob("*")) == before and project.stat().st_mode & 0o777 == 0o777


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_a_store_that_lies_in_a_project_itself_is_opened(cli, directory):
    cli("save-agent-state", "a", "k", "v")
    (directory / ".git").mkdir()
    (directory / ".git" / "HEAD").touch()
    (directory / "config" / "backend-in-use.txt").unlink()  # as a store of an earlier version has none
    project = directory.rename(directory.with_name("project"))
    assert cli("load-agent-state", "a", "k", MILESTONE_DIR=str(project)).text == "v"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("words", [["get-session-status", "s-1"], ["update-agent-status", "a", "completed"],
                                   ["load-agent-state", "a", "k"], ["delete-agent-state", "a", "k"],
                                   ["acknowledge-agent-message", "a", "1"], ["read-milestone-record", "ms-1"]])
def test_who_looks_in_another_directory_is_told_that_no_store_is_there(cli, directory, words):
    done = cli(*words)
    assert done.status == 1 and done.err.endswith(": there is no store there; if your project is elsewhere, cd to it\n")
    assert str(directory) in done.err
