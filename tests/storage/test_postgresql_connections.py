"""Connections to PostgreSQL: severed, lost at a commit, refused; the URL and its password, psql and its process."""
from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys

import pytest
from cluster import ENCODED, PASSWORD
from conftest import ROOT, size
from postgresql_store import TERMINATE

from milestone_persist import StorageError, UsageError, open_store
from milestone_persist.opening.place import open_for
from milestone_persist.storage.postgresql.psql import Lost, Psql
from milestone_persist.storage.postgresql.url import DatabaseUrl


@pytest.fixture
def backend():
    return "postgresql"


# Connections

def test_a_severed_connection_is_made_again(store, postgresql):
    store.save_agent_state("a", "k", "v")
    assert int(postgresql.query(TERMINATE)) > 0
    assert store.load_agent_state("a", "k") == "v"
    postgresql.query(TERMINATE)
    store.save_agent_state("a", "k", "w")
    assert store.load_agent_state("a", "k") == "w"


@pytest.mark.parametrize("moment", ["before a statement", "before the commit"])
def test_a_connection_severed_in_a_transaction_changes_nothing(storage, store, postgresql, moment):
    store.save_agent_state("a", "k", "v")
    with pytest.raises(StorageError, match="was lost .* nothing was changed: try"), storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        postgresql.query(TERMINATE)
        if moment == "before a statement":
            storage.execute("SELECT 1 AS one")
    assert storage.execute("SELECT state_value FROM agent_state") == [{"state_value": "v"}]
    with storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
    assert store.load_agent_state("a", "k") == "w"


def test_a_standby_server_is_said_to_be_read_only(store, cli, postgresql):
    store.save_agent_state("a", "k", "v")
    signal_file = os.path.join(postgresql.data, "standby.signal")
    postgresql.stop("fast")
    open(signal_file, "x").close()
    try:
        postgresql.start()
        assert cli("load-agent-state", "a", "k").text == "v"
        for words in ("save-agent-state a k w", "agent-heartbeat a", "get-agent-messages a true"):
            result = cli(*words.split())
            assert (result.status, result.out) == (3, b"")
            assert re.search(r" is read-only \(.*\): name the primary server in MILESTONE_DATABASE_URL$", result.err)
    finally:
        postgresql.stop("fast")
        os.unlink(signal_file)
        postgresql.start()
    assert store.load_agent_state("a", "k") == "v"


@pytest.fixture
def lose_commit(monkeypatch):
    """Has the connection end around the next commit: "done" after it, "undone" before it."""
    ask = Psql.ask

    def lose_commit(moment):
        def lose(psql, request):
            if not request.endswith("COMMIT;"):
                return ask(psql, request)
            monkeypatch.setattr(Psql, "ask", ask)
            ask(psql, request if moment == "done" else request.replace("COMMIT;", "ROLLBACK;"))
            psql.stop()
            raise Lost("cut")

        monkeypatch.setattr(Psql, "ask", lose)

    return lose_commit


@pytest.mark.parametrize("moment", ["done", "undone"])
def test_a_connection_lost_in_a_commit_is_asked_for_its_outcome(storage, store, lose_commit, moment):
    store.save_agent_state("a", "k", "v")
    lose_commit(moment)

    def write():
        with storage.transaction("agent:a"):
            storage.execute("UPDATE agent_state SET state_value = 'w'")

    if moment == "done":
        write()
    else:
        with pytest.raises(StorageError, match="nothing was changed"):
            write()
    assert store.load_agent_state("a", "k") == ("w" if moment == "done" else "v")


def test_an_answer_that_was_lost_with_a_commit_that_was_done_is_told_so(store, lose_commit):
    store.register_agent("a", "validation", "m", "s")
    lose_commit("done")
    with pytest.raises(StorageError, match="this was done, .* before the answer came: do not do it again"):
        store.send_agent_message("a", "a", "progress_update", {})
    assert len(store.list_agent_messages("a")) == 1


def test_a_psql_that_was_killed_before_it_came_to_the_commit_has_changed_nothing(storage, store, monkeypatch):
    store.save_agent_state("a", "k", "v")
    ask = Psql.ask

    def lose(psql, request):
        if not request.endswith("COMMIT;"):
            return ask(psql, request)
        os.kill(psql.pid, signal.SIGKILL)
        psql.stop()
        raise Lost("cut")

    monkeypatch.setattr(Psql, "ask", lose)
    with pytest.raises(StorageError, match="nothing was changed"), storage.transaction("agent:a"):
        storage.execute("DELETE FROM agent_state")
    assert store.load_agent_state("a", "k") == "v"


def test_a_commit_whose_outcome_nobody_can_tell_is_not_called_done(storage, postgresql, monkeypatch):
    ask = Psql.ask

    def lose(psql, request):
        if request.endswith("COMMIT;"):
            postgresql.stop("immediate")
        return ask(psql, request)

    monkeypatch.setattr(Psql, "ask", lose)
    try:
        with pytest.raises(StorageError, match="whether that was done is not known"), storage.transaction("agent:a"):
            storage.execute("DELETE FROM agent_state")
    finally:
        postgresql.start()


def test_after_a_refused_statement_nothing_is_committed(storage, store):
    store.save_agent_state("a", "k", "v")
    with pytest.raises(StorageError, match="refused by the database"), storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        with pytest.raises(UsageError):
            storage.execute("UPDATE agent_state SET version = 0")
    assert store.load_agent_state("a", "k") == "v"


def test_a_killed_server_is_told_and_its_store_found_again(store, cli, postgresql):
    store.save_agent_state("a", "k", "v")
    postgresql.stop("immediate")
    try:
        with pytest.raises(StorageError, match="cannot reach PostgreSQL at .* is the server running"):
            store.save_agent_state("a", "k", "w")
        result = cli("load-agent-state", "a", "k")
        assert (result.status, result.out, result.err.count("\n")) == (3, b"", 1)
    finally:
        postgresql.start()
    assert store.load_agent_state("a", "k") == "v"
    store.save_agent_state("a", "k", "w")
    assert cli("load-agent-state", "a", "k").text == "w"


def test_a_server_that_broke_off_and_is_up_again_is_no_failure(storage, store, postgresql):
    store.save_agent_state("a", "k", "v")
    postgresql.stop("immediate")
    postgresql.start()
    assert storage.execute("SELECT count(*) AS n FROM agent_state") == [{"n": 1}]
    store.save_agent_state("a", "k", "w")
    assert store.load_agent_state("a", "k") == "w"


# The URL, the password and what may be wrong with either

def test_the_password_shows_nowhere(directory, environ, postgresql, need):
    need("ps")
    opened = open_for(str(directory), {**environ, "MILESTONE_DATABASE_URL": postgresql.tcp_url}, make=True)
    listed = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(opened.psql.pid)], capture_output=True, check=True)
    opened.close()
    assert b"127.0.0.1" in listed.stdout
    assert PASSWORD not in listed.stdout.decode() and ENCODED not in listed.stdout.decode()


@pytest.mark.parametrize("change, message", [
    (lambda url: url.replace(ENCODED, "wrong-secret"), "password authentication failed.*correct USER and PASSWORD"),
    (lambda url: url.replace(":" + ENCODED, ""), "no password supplied.*correct USER and PASSWORD"),
    (lambda url: url.replace("/postgres", "/nowhere"), '"nowhere" does not exist; make it with createdb'),
    (lambda url: url.replace("/postgres", "/role"), '"role" does not exist; make it with createdb'),
    (lambda url: url.replace("/postgres", "/a%22role%22%20password%22"), "does not exist; make it with createdb"),
    (lambda url: url.replace("/postgres", "/template0"), "not currently accepting.*is the server running"),
    (lambda url: url.replace("tester:", "nobody%22%20database%22:"), "authentication failed.*correct USER"),
    (lambda url: url.replace("tester:", "too_many_URI:").replace(ENCODED, "wrong-secret"),
     "authentication failed.*correct USER"),
    (lambda url: re.sub(r":\d+/", ":1/", url), "refused.*is the server running"),
    (lambda url: "postgresql:///d?host=/nowhere/role-password", "No such file.*is the server running"),
    (lambda url: "postgresql://password.invalid/d", "could not translate.*is the server running"),
    (lambda url: url.replace(ENCODED, "wrong@secret"), "must be postgresql://USER:PASSWORD@HOST.*%40"),
    (lambda url: url.replace(ENCODED, "wrong/secret"), "must be postgresql://USER:PASSWORD@HOST"),
    (lambda url: url + "?connection_limit=5", "invalid URI query parameter.*correct MILESTONE_DATABASE_URL"),
    (lambda url: "mysql://u:wrong-secret@h/d", "must be postgresql://"),
    (lambda url: "postgresql://user:wrong-secret", "must be postgresql://USER:PASSWORD@HOST"),
    (lambda url: "postgresql://u@h:1,user:wrong-secret/d", "must be postgresql://USER:PASSWORD@HOST"),
    (lambda url: "postgresql://[::1]:wrong-secret/d", "must be postgresql://USER:PASSWORD@HOST"),
    (lambda url: url + "?sslpassword=wrong-secret", "sslpassword .* everybody could see .* a service file"),
    (lambda url: url + "?sslmode=disable&sslpass%77ord=wrong-secret", "sslpassword .* everybody could see"),
])
def test_what_is_wrong_with_the_url_is_told_without_the_password(cli, postgresql, change, message):
    result = cli("register-agent", "a", "validation", "m", "s", MILESTONE_DATABASE_URL=change(postgresql.tcp_url))
    assert (result.status, result.out, result.err.count("\n")) == (3, b"", 1)
    assert re.search(message, result.err)
    assert "secret" not in result.err and ENCODED not in result.err and PASSWORD not in result.err


def test_a_limit_of_connections_is_no_wrong_password(cli, postgresql, request):
    postgresql.query("CREATE ROLE limited LOGIN CONNECTION LIMIT 0")
    request.addfinalizer(lambda: postgresql.query("DROP ROLE limited"))
    url = postgresql.url.replace("tester@", "limited@")
    result = cli("register-agent", "a", "validation", "m", "s", MILESTONE_DATABASE_URL=url)
    assert result.status == 3 and re.search("too many connections for role.*raise the server's max_conn", result.err)


def test_what_the_url_leaves_out_comes_from_the_environment(directory, environ, postgresql):
    given = {**environ, "MILESTONE_DATABASE_URL": "postgresql:///", "PGHOST": "127.0.0.1", "PGUSER": "tester",
             "PGPORT": str(postgresql.port), "PGDATABASE": "postgres", "PGPASSWORD": PASSWORD}
    with open_store(directory, environ=given) as store:
        store.save_agent_state("a", "k", "v")
    with open_store(directory, environ=environ) as store:
        assert store.load_agent_state("a", "k") == "v"


@pytest.mark.parametrize("url", ["postgresql://u@h:5432,[::1]:5433,other/d", "postgresql://u@%2Ftmp/d",
                                 "postgresql://u@[fe80::1%25eth0]/d", "postgresql:///d?host=/tmp&port=5", "postgres://"])
def test_a_url_with_hosts_of_every_kind_is_taken(url):
    assert DatabaseUrl(url, {}).url.partition("?")[0].rstrip("/") == url.partition("?")[0].rstrip("/")


@pytest.mark.parametrize("url", ["postgresql://u@h/d?password=top%20secret&sslmode=require",
                                 "postgres://u:top%20secret@h/d?sslmode=require"])
def test_the_password_goes_to_the_environment(url):
    place = DatabaseUrl(url, {})
    assert place.url.endswith("://u@h/d?sslmode=require") and place.variables["PGPASSWORD"] == "top secret"


def test_a_schema_name_must_be_plain(cli):
    result = cli("register-agent", "a", "validation", "m", "s", MILESTONE_DATABASE_SCHEMA='x"; DROP SCHEMA public; --')
    assert result.status == 3 and "use letters, digits and _" in result.err


@pytest.fixture
def guest(postgresql):
    """A role that may do nothing, and the URL of the server for it."""
    postgresql.query("DROP ROLE IF EXISTS guest")
    postgresql.query("CREATE ROLE guest LOGIN")
    yield postgresql.url.replace("tester@", "guest@")
    postgresql.query("DROP OWNED BY guest")


def test_a_user_without_the_right_to_make_a_schema_is_told_so(cli, guest, unmade):
    result = cli("register-agent", "a", "validation", "m", "s", MILESTONE_DATABASE_URL=guest)
    assert result.status == 3 and "permission denied" in result.err and "CREATE on the database" in result.err


@pytest.mark.parametrize("words", [["list-coordination-sessions"], ["save-agent-state", "a", "k", "v"], ["doctor"]])
def test_a_user_who_may_not_use_the_schema_is_told_so(store, cli, postgresql, schema, guest, words):
    store.save_agent_state("a", "k", "v")
    result = cli(*words, MILESTONE_DATABASE_URL=guest)
    assert (result.status, result.out) == (3, b"")
    assert f'may not use the schema "{schema}": GRANT USAGE ON SCHEMA' in result.err
    postgresql.query(f"GRANT USAGE ON SCHEMA {schema} TO guest")
    result = cli(*words, MILESTONE_DATABASE_URL=guest)
    assert (result.status, result.out) == (3, b"") and "permission denied" in result.err


def test_a_user_whose_transactions_only_read_by_default_can_make_the_schema(cli, postgresql, unmade, guest):
    postgresql.query("GRANT CREATE ON DATABASE postgres TO guest")
    postgresql.query("ALTER ROLE guest SET default_transaction_read_only = on")
    result = cli("list-coordination-sessions", MILESTONE_DATABASE_URL=guest)
    assert (result.status, result.err) == (0, "")
    assert cli("save-agent-state", "a", "k", "v", MILESTONE_DATABASE_URL=guest).status == 0
    assert cli("load-agent-state", "a", "k", MILESTONE_DATABASE_URL=guest).text == "v"


def test_a_database_in_another_encoding_is_refused(cli, postgresql):
    postgresql.query("DROP DATABASE IF EXISTS latin")
    postgresql.query("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    result = cli("register-agent", "a", "validation", "m", "s",
                 MILESTONE_DATABASE_URL=postgresql.url.replace("/postgres", "/latin"))
    assert result.status == 3 and "encoding is LATIN1, and UTF8 is needed" in result.err


@pytest.mark.parametrize("content", [None, b"", b"no program"])
def test_without_psql_an_error_tells_what_to_install(cli, tmp_path, content):
    if content is not None:
        (tmp_path / "psql").write_bytes(content)
        (tmp_path / "psql").chmod(0o755)
    result = cli("register-agent", "a", "validation", "m", "s", PATH=str(tmp_path))
    assert result.status == 3 and "install postgresql-client" in result.err


@pytest.mark.parametrize("entry", ["", ".", "bin"])
def test_a_psql_that_lies_where_one_happens_to_be_is_not_run(cli, tmp_path, monkeypatch, entry):
    """A folder of PATH that is none from the root leads into whatever repository one has gone to."""
    for folder in (tmp_path, tmp_path / "bin"):
        folder.mkdir(exist_ok=True)
        (folder / "psql").write_text("#!/bin/sh\n: > ran\n")
        (folder / "psql").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    result = cli("register-agent", "a", "validation", "m", "s", PATH=f"{entry}:/nowhere")
    assert not (tmp_path / "ran").exists()
    assert result.status == 3 and "install postgresql-client" in result.err


@pytest.mark.parametrize("script, told", [
    ("exit 0", ""), ("echo 'psql: error: out of order' >&2; exit 1", "out of order"),
    ("cat >&2", "this psql is too old: install postgresql-client 11")])  # such a one leaves :SQLSTATE as it is
def test_a_psql_that_does_not_work_is_told(cli, tmp_path, script, told):
    (tmp_path / "psql").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    (tmp_path / "psql").chmod(0o755)
    result = cli("register-agent", "a", "validation", "m", "s", PATH=str(tmp_path))
    assert (result.status, result.err.count("\n")) == (3, 1) and told in result.err


# The child

def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_closing_leaves_no_process(storage):
    pid = storage.psql.pid
    assert is_there(pid)
    storage.close()
    assert not is_there(pid)
    storage.close()


def test_a_forked_process_has_its_own_connection(store, storage):
    store.save_agent_state("a", "k", "v")
    child = os.fork()
    if not child:
        storage.close()
        os._exit(0 if store.load_agent_state("a", "k") == "v" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert storage.execute("SELECT state_value FROM agent_state") == [{"state_value": "v"}]


def test_an_interrupt_undoes_the_transaction_and_the_next_call_works(storage, store, monkeypatch):
    store.save_agent_state("a", "k", "v")
    pid = storage.psql.pid
    with pytest.raises(KeyboardInterrupt), storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        monkeypatch.setattr(Psql, "write", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        storage.execute("SELECT 1 AS one")
    monkeypatch.undo()
    assert not is_there(pid)
    assert storage.execute("SELECT state_value FROM agent_state") == [{"state_value": "v"}]


def test_a_store_that_is_dropped_lets_its_child_end(directory, environ):
    opened = open_for(str(directory), environ, make=True)
    pid = opened.psql.pid
    del opened
    assert not is_there(pid)


def test_closed_standard_streams_do_no_harm(program, environ, run):
    command = f"exec '{sys.executable}' '{ROOT}/milestone_persist/__main__.py'"
    assert run(["sh", "-c", f"{command} save-agent-state a k v <&- >&-"]).status == 0
    assert program("load-agent-state", "a", "k").text == "v"


# Two machines

SENDER = """
import sys
from milestone_persist import open_store
with open_store(sys.argv[1]) as store:
    for number in range(int(sys.argv[3])):
        for agent in range(10):
            store.send_agent_message("boss", f"worker-{agent}", "task_assignment", {})
    for number in range(int(sys.argv[3]) * 4):
        store.broadcast_agent_message("boss", "task_assignment", {})
    store.save_agent_state("boss", "sent by " + sys.argv[2], "all")
"""
TAKER = """
import sys
from milestone_persist import open_store
with open_store(sys.argv[1]) as store:
    over = False
    while not over:
        over = len(store.list_agent_state("boss")) == 2
        for agent in range(10):
            for message in store.get_agent_messages(f"worker-{agent}", True, 50):
                print(message["id"])
                over = False
"""


def test_ten_thousand_messages_reach_one_taker_each_over_two_machines(tmp_path, environ):
    """A tenth of them, except at full size."""
    rounds = size(10, 100)
    machines = [tmp_path / "one" / ".milestones", tmp_path / "two" / ".milestones"]
    with open_store(machines[0], environ=environ) as store:
        for agent in ("boss", *(f"worker-{number}" for number in range(10))):
            store.register_agent(agent, "validation", "m", "s")
    running = [subprocess.Popen([sys.executable, "-c", text, str(machine), str(number), str(rounds)],
                                stdout=subprocess.PIPE, env={**environ, "PYTHONPATH": str(ROOT)})
               for number, machine in enumerate(machines) for text in (SENDER, TAKER, TAKER)]
    printed = [process.communicate(timeout=600)[0].split() for process in running]
    assert [process.returncode for process in running] == [0] * 6
    taken = list(itertools.chain(*printed))
    assert len(taken) == len(set(taken)) == 100 * rounds


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_no_character_is_left_out(store):
    """psql prints none of the last two characters of a plane from the second on."""
    last = [chr(plane * 0x10000 + end) for plane in range(17) for end in (0xFFFE, 0xFFFF)]
    for value in [*last, "".join(last), "\U0001fffd\U00020000", f"{{base64}}{last[2]}", "x" * 100_000 + last[-1]]:
        store.save_agent_state("a", "k", value)
        assert store.load_agent_state("a", "k") == value
    store.send_agent_message("a", "a", "progress_update", {"v": "".join(last)})
    assert store.get_agent_messages("a", True)[0]["payload"] == {"v": "".join(last)}
