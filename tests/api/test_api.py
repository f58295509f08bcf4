"""The Python API: open_store and the methods of a Store."""
from __future__ import annotations

import inspect
import multiprocessing
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import milestone_persist
from milestone_persist import MilestoneError, MilestoneWarning, Refused, StorageError, UsageError, open_store
from milestone_persist.registry import all_operations

any_backend = pytest.mark.parametrize("backend", ["hybrid"], indirect=True)  # what is tested lies above the storage


def test_the_package_has_its_public_names():
    for name in milestone_persist.__all__:
        assert getattr(milestone_persist, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        milestone_persist.nothing_of_the_kind  # noqa: B018


def test_a_store_is_a_context_manager(directory, environ):
    with open_store(directory, environ=environ) as store:
        assert store.directory == str(directory)
        store.save_agent_state("a", "k", "v")
    with pytest.raises(StorageError, match="the store is closed: open it again"):
        store.load_agent_state("a", "k")
    store.close()
    with open_store(str(directory), environ=environ) as store:
        assert store.load_agent_state("a", "k") == "v"


def test_the_directory_is_found_as_the_shell_functions_find_it(tmp_path, monkeypatch, environ):
    monkeypatch.chdir(tmp_path)
    with open_store(environ={**environ, "MILESTONE_DIR": "elsewhere"}) as store:
        assert store.directory == str(tmp_path / "elsewhere")
    monkeypatch.setenv("MILESTONE_DIR", str(tmp_path / "from the environment"))
    with open_store() as store:
        assert store.directory == str(tmp_path / "from the environment")


def test_a_store_that_cannot_be_opened_is_a_storage_error(tmp_path, environ):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        open_store(tmp_path / "file", environ=environ)


def test_the_directory_may_be_bytes_and_is_a_path(directory, environ):
    with open_store(os.fsencode(directory), environ=environ) as store:
        assert store.directory == str(directory)
    with pytest.raises(UsageError, match="the data directory holds a NUL byte: name another"):
        open_store("a\0b", environ=environ)
    with pytest.raises(UsageError, match="the data directory holds a NUL byte: name another"):
        open_store(environ={**environ, "MILESTONE_DIR": "a\0b"})


def test_a_store_that_cannot_be_opened_leaves_no_connection(directory, environ, monkeypatch):
    made = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: made.append(connect(*args, **options)) or made[-1])
    directory.mkdir()
    (directory / "coordination.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="not a readable database"):
        open_store(directory, environ={**environ, "MILESTONE_BACKEND": "hybrid"})
    assert made
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_every_operation_is_a_method_that_knows_its_name(store):
    for op in all_operations():
        method = getattr(store, op.name)
        assert (method.__name__, method.__doc__) == (op.name, op.function.__doc__)
        assert op.name in dir(store)


def test_a_method_has_the_signature_of_its_operation(store):
    assert str(inspect.signature(store.load_agent_state)).startswith("(agent_id: 'str', state_key: 'str', default: ")
    for op in all_operations():
        expected = [*inspect.signature(op.function).parameters.values()][1:]
        assert [*inspect.signature(getattr(store, op.name)).parameters.values()] == expected, op.name


@any_backend
def test_a_store_can_be_given_to_another_process(store, clock):
    store.save_agent_state("a", "k", "v")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_load, (store,)) == "v"
    with pickle.loads(pickle.dumps(store)) as other:
        assert (other.directory, other.load_agent_state("a", "k")) == (store.directory, "v")
        assert other.clock.time() == clock.time()
    assert store.load_agent_state("a", "k") == "v"


def _load(store):
    with store:
        return store.load_agent_state("a", "k")


@any_backend
def test_a_store_given_to_another_process_has_the_environment_of_that_process(directory, environ, monkeypatch):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with open_store(directory) as store, pickle.loads(pickle.dumps(store)) as other:
        monkeypatch.setenv("AGENT_ID", "me")
        assert other.whoami()["agent_id"] == store.whoami()["agent_id"] == "me"


def test_a_closed_store_cannot_be_given_away(store):
    store.close()
    with pytest.raises(StorageError, match="the store is closed"):
        pickle.dumps(store)


@pytest.mark.parametrize("name", ["no_such_operation", "save-agent-state", "_private", "__len__"])
def test_an_unknown_operation_is_an_attribute_error(store, name):
    with pytest.raises(AttributeError, match=name):
        getattr(store, name)
    assert not hasattr(store, name)


def test_positional_parameters_may_be_named(store, tmp_path):
    store.save_agent_state("a", state_key="k", value="v", ttl_seconds=60)
    assert store.load_agent_state(state_key="k", agent_id="a") == "v"
    store.register_agent(session_id="execution-1", milestone_id="ms", agent_type="validation", agent_id="b")
    assert [row["agent_id"] for row in store.list_session_agents(session_id="execution-1")] == ["b"]
    (tmp_path / "one").write_text("1")
    made = store.create_agent_checkpoint(agent_id="a", files=[str(tmp_path / "one")])
    assert (made["files"], made["checkpoint_type"]) == (1, "manual")
    made = store.create_agent_checkpoint("a", "phase_completion", files=[str(tmp_path / "one")])
    assert (made["files"], made["checkpoint_type"]) == (1, "phase_completion")


@any_backend
@pytest.mark.parametrize("args, options, match", [
    (("a", "k"), {}, "save_agent_state.*missing 1 required positional argument: 'value'"),
    ((), {}, "save_agent_state.*missing 3 required"),
    (("a", "k", "v", "progress", 5, 6), {}, "save_agent_state.*takes from 4 to 6 positional arguments"),
    (("a", "k", "v"), {"if_versoin": 1}, "save_agent_state.*unexpected keyword argument 'if_versoin'"),
    (("a", "k", "v"), {"agent_id": "b"}, "save_agent_state.*multiple values for argument 'agent_id'"),
])
def test_arguments_that_do_not_fit_are_a_type_error(store, dump, args, options, match):
    before = dump()
    with pytest.raises(TypeError, match=match):
        store.save_agent_state(*args, **options)
    assert dump() == before


@any_backend
@pytest.mark.parametrize("name, args, options, match", [
    ("save_agent_state", (1, "k", "v"), {}, "^AGENT_ID must be text, not int$"),
    ("save_agent_state", ("a", b"k", "v"), {}, "^STATE_KEY must be text, not bytes$"),
    ("save_agent_state", ("a", "k", None), {}, "^VALUE must be text, not None$"),
    ("save_agent_state", ("a", "k", {"a": 1}), {}, "^VALUE must be text, not dict$"),
    ("save_agent_state", ("a", "k", "v"), {"ttl_seconds": "60"}, "^TTL_SECONDS must be a whole number, not str$"),
    ("save_agent_state", ("a", "k", "v"), {"ttl_seconds": 1.5}, "^TTL_SECONDS must be a whole number, not 1.5$"),
    ("save_agent_state", ("a", "k", "v"), {"if_version": True}, "^--if-version must be a whole number, not True$"),
    ("save_agent_state", ("a", "k", "v"), {"if_version": 2 ** 63}, "^--if-version must be a whole number, not 922"),
    ("save_agent_state", ("", "k", "v"), {}, "^AGENT_ID is empty"),
    ("save_agent_state", ("a", "k"), {"value": "\0"}, "^VALUE holds a NUL"),
    ("save_agent_state", ("a",), {"state_key": "", "value": "v"}, "^STATE_KEY is empty"),
    ("save_agent_state", ("a", "k", "\ud800"), {}, "^VALUE is not UTF-8 text"),
    ("update_agent_status", ("a", "failed"), {"error": 5}, "^--error must be text, not int$"),
    ("agent_heartbeat", ("a", "healthy"), {"cpu": float("nan")}, "^--cpu must be a number, not nan$"),
    ("agent_heartbeat", ("a", "healthy"), {"cpu": "much"}, "^--cpu must be a number, not str$"),
    ("get_agent_messages", ("a", "true"), {}, "^TAKE must be true or false, not str$"),
    ("get_agent_messages", ("a", 1), {}, "^TAKE must be true or false, not int$"),
    ("acknowledge_agent_message", ("a", 10 ** 30), {}, "^MESSAGE_ID must be a whole number, not 1000"),
    ("create_agent_checkpoint", ("a", "manual", 1), {}, "^FILES must be text, not int$"),
    ("create_agent_checkpoint", ("a",), {"files": "one"}, "^FILES must be a list, not str$"),
    ("send_agent_message", ("a", "b", "error_report", b"{}"), {}, "^PAYLOAD is not JSON"),
    ("send_agent_message", ("a", "b", "error_report", {1: {2}}), {}, "^PAYLOAD is not JSON"),
    ("send_agent_message", ("a", "b", "error_report", None), {}, "^PAYLOAD must be an object"),
    ("send_agent_message", ("a", "b", "error_report", {}, "5"), {}, "^PRIORITY must be a whole number, not str$"),
    ("register_agent", ("a", "validation", "ms", "s", 5), {}, "^CAPABILITIES must be an array of strings"),
    ("register_agent", ("a", "validation", "ms", "s", ["x", 5]), {}, "^CAPABILITIES must be an array of strings"),
    ("register_agent", ("a", "validation", None, "s"), {}, "^MILESTONE_ID must be text, not None$"),
])
def test_values_of_a_wrong_type_are_refused_and_nothing_is_written(store, dump, name, args, options, match):
    before = dump()
    with pytest.raises(UsageError, match=match):
        getattr(store, name)(*args, **options)
    assert dump() == before


def test_a_number_that_no_database_holds_is_refused_on_the_command_line_too(cli):
    done = cli("acknowledge-agent-message", "a", "9" * 30)
    assert (done.status, done.out) == (2, b"")
    assert "MESSAGE_ID must be a whole number" in done.err


def test_python_values_are_taken_for_json(store):
    row = store.register_agent("b", "validation", "ms", "execution-1", ["planning", "naïve"])
    assert row["capabilities"] == '["planning","naïve"]'
    assert store.register_agent("b", "validation", "ms", "execution-1", ("x",))["capabilities"] == '["x"]'
    store.send_agent_message("b", "b", "x-note", {"text": "a\n\"b\"", "list": [1, None, 2.5]})
    assert store.get_agent_messages("b")[0]["payload"] == {"text": "a\n\"b\"", "list": [1, None, 2.5]}


def test_a_warning_points_at_the_caller(store):
    with pytest.warns(MilestoneWarning, match="no agent 'nobody' is registered") as noted:
        store.send_agent_message("a", "nobody", "error_report", {})
    assert [warning.filename for warning in noted] == [__file__]
    with pytest.warns(MilestoneWarning, match="stored as x-quality-enforcer") as noted:
        store.register_agent("a", "quality-enforcer", "ms", "execution-1")
    assert [warning.filename for warning in noted] == [__file__]


def test_every_error_is_a_milestone_error():
    assert all(issubclass(kind, MilestoneError) for kind in (Refused, UsageError, StorageError))
    assert issubclass(MilestoneWarning, UserWarning)


def test_threads_share_a_store(store):
    def work(number):
        for turn in range(5):
            store.save_agent_state(f"agent-{number}", f"key-{turn}", str(turn))
            store.save_agent_state("shared", f"key-{number}-{turn}", "v")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))  # list() raises what a thread raised
    assert len(store.list_agent_state("shared")) == 40
    assert all(len(store.list_agent_state(f"agent-{number}")) == 5 for number in range(8))


def test_each_message_is_taken_by_one_thread(store):
    store.register_agent("worker", "validation", "ms", "execution-1")
    sent = {store.send_agent_message("boss", "worker", "task_assignment", {"n": n})["id"] for n in range(40)}
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: [row["id"] for row in store.get_agent_messages("worker", True, 1)], range(50)))
    taken = [number for numbers in taken for number in numbers]
    assert sorted(taken) == sorted(sent)


def test_the_connections_of_threads_that_have_ended_are_closed(store, monkeypatch):
    store.save_agent_state("a", "k", "v")
    for number in range(20):  # no thread has these ids any longer
        monkeypatch.setattr(threading, "get_ident", lambda number=number: -number)
        store.save_agent_state("a", f"k{number}", "v")
    assert len(store.connections) == 2  # this thread's, and the last one's


def test_a_store_closed_by_one_thread_is_closed_for_all(store):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(store.save_agent_state, "a", "k", "v").result()
        store.close()
        with pytest.raises(StorageError, match="closed"):
            pool.submit(store.load_agent_state, "a", "k").result()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 and later, where threads are about
def test_a_forked_process_has_a_connection_of_its_own(store):
    store.save_agent_state("parent", "k", "before")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(store.load_agent_state, "parent", "k").result()
        child = os.fork()
        if not child:
            status = 1
            try:
                for turn in range(30):
                    store.save_agent_state("child", f"k{turn}", store.load_agent_state("parent", "k"))
                store.close()
                status = 0
            finally:
                os._exit(status)
        for turn in range(30):
            store.save_agent_state("parent", f"k{turn}", "v")
        assert os.waitpid(child, 0)[1] == 0
    assert store.load_agent_state("child", "k29") == "before"
    assert len(store.list_agent_state("parent")) == 31
    assert store.doctor()


def test_processes_share_a_directory(store, directory, environ):
    code = ("import sys; from milestone_persist import open_store\n"
            "with open_store(sys.argv[1]) as store:\n"
            "    for n in range(8): store.save_agent_state('shared', f'{sys.argv[2]}-{n}', 'v')\n")
    root = os.path.dirname(os.path.dirname(milestone_persist.__file__))
    running = [subprocess.Popen([sys.executable, "-W", "error", "-c", code, str(directory), str(number)],
                                env={**environ, "PYTHONPATH": root}) for number in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    assert len(store.list_agent_state("shared")) == 32


def test_a_writer_that_waited_for_the_migration_follows_it(tmp_path):
    """The tombstone lies in the old store before anybody can lock it again: who has that open meets it there."""
    writer = open_store(tmp_path, environ={})
    writer.save_agent_state("a", "k", "before")
    with open_store(tmp_path, environ={}) as other:
        other.migrate_storage_backend("file")
    writer.save_agent_state("a", "k2", "after")
    writer.close()
    with open_store(tmp_path, environ={}) as other:
        assert other.load_agent_state("a", "k2") == "after"


@pytest.mark.parametrize("name, args", [("load_agent_state", ("a", "k")), ("get_current_storage_backend", ())])
def test_a_store_that_another_process_makes_meanwhile_is_seen(tmp_path, name, args):
    with open_store(tmp_path / "store", environ={}) as early:
        assert early.load_agent_state("a", "k", "none") == "none" and not (tmp_path / "store").exists()
        with open_store(tmp_path / "store", environ={"MILESTONE_BACKEND": "file"}) as other:
            other.save_agent_state("a", "k", "file")
        assert getattr(early, name)(*args) == "file"
        early.save_agent_state("a", "k", "w")
        assert not (tmp_path / "store" / "coordination.db").exists()


@pytest.mark.parametrize("other", ["file", "database"])
def test_a_store_that_has_moved_its_rows_goes_on(tmp_path, other):
    with open_store(tmp_path, environ={}) as store:
        store.save_agent_state("a", "k", "v")
        store.migrate_storage_backend(other)
        assert store.load_agent_state("a", "k") == "v" and store.get_current_storage_backend() == other


def test_the_first_call_that_writes_makes_the_store(tmp_path):
    with open_store(tmp_path / "store", environ={}) as store:
        with pytest.raises(UsageError):
            store.save_agent_state("a", "k", "v", "no type")
        assert store.list_milestones() == [] and not (tmp_path / "store").exists()
        store.save_agent_state("a", "k", "v")
        assert (tmp_path / "store" / "coordination.db").exists() and store.load_agent_state("a", "k") == "v"


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_the_call_that_makes_a_store_warns_once(directory, environ):
    with open_store(directory, environ=environ) as store, pytest.warns(MilestoneWarning) as told:
        store.send_agent_message("a", "b", "x-note", {})
    assert [str(each.message) for each in told] == ["no agent 'b' is registered; the message is kept for it"]


@any_backend
def test_what_is_refused_where_no_store_is_made_warns_too(directory, environ):
    with open_store(directory, environ=environ) as store, pytest.warns(MilestoneWarning, match="agent 'b'"), \
            pytest.raises(Refused, match="line 2"):
        store.batch([["send_agent_message", "a", "b", "x-note", "{}"], ["load_agent_state", "a", "k"]], atomic=True)
    assert not directory.exists()


@any_backend
def test_a_store_goes_on_warning_after_doctor(store):
    store.doctor()
    with pytest.warns(MilestoneWarning, match="agent 'b'"):
        store.send_agent_message("a", "b", "x-note", {})
