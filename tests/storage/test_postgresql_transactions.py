"""Transactions on PostgreSQL: who waits for whom, how often a call waits for the server, and how one fails."""
from __future__ import annotations

import contextlib
import threading

import pytest
from postgresql_store import OPEN, TERMINATE

from milestone_persist import StorageError, UsageError, open_store
from milestone_persist.opening.place import open_for
from milestone_persist.storage.interface import StorageMoved
from milestone_persist.storage.postgresql.psql import Psql


@pytest.fixture
def backend():
    return "postgresql"


# Locks

def test_different_inboxes_do_not_wait_for_each_other(store, storage, connect, clock):
    for agent in "abc":
        store.register_agent(agent, "validation", "m", "s")
    with storage.transaction("inbox:a"):
        storage.execute("UPDATE agent_registry SET last_heartbeat = '2026-01-01 00:00:30.000' WHERE agent_id = 'a'")
        clock.advance(1)
        second = connect()
        second.send_agent_message("c", "b", "error_report", {})
        assert len(second.get_agent_messages("b", True)) == 1
        second.save_agent_state("c", "k", "v")
        second.acquire_milestone_lock("m", owner="b")
    assert store.get_session_status("s")["last_activity"] == "2026-01-01 00:00:30.000"


@pytest.mark.parametrize("held, wanted", [("inbox:a", "inbox:a"), ("inbox:a", "agent:a"), ("inbox:a", "session:s"),
                                          ("session:s", "inbox:a"), ("", "events"), ("milestone:m", "milestone:m")])
def test_transactions_on_one_key_wait_for_each_other(storage, other, held, wanted):
    with storage.transaction(held), pytest.raises(StorageError, match="is busy"), other.transaction(wanted):
        pass
    with other.transaction(wanted):
        pass


def test_agents_taken_in_at_the_same_time_are_counted_once_each(store, directory, environ):
    environ = {**environ, "SESSION_ID": "s"}
    errors = []

    def save(number):
        try:
            with open_store(directory, environ=environ) as mine:
                for turn in range(5):
                    mine.save_agent_state(f"agent-{number}-{turn}", "k", "v")
                    mine.send_agent_message("shared", f"agent-{number}-{turn}", "error_report", {})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.get_session_status("s")["agent_count"] == 21


def test_an_admission_waits_for_another(storage, other):
    with storage.transaction("agent:a"):
        storage.lock_membership()
        with pytest.raises(StorageError, match="is busy"), other.transaction("agent:b"):
            other.lock_membership()


# Round trips

@pytest.fixture
def count_trips(monkeypatch):
    """How often a call waits for psql."""
    trips, exchange = [], Psql.exchange

    def counted(psql, request):
        trips.append(request)
        return exchange(psql, request)

    def count_trips(action, *words):
        trips.clear()
        action(*words)
        return len(trips)

    monkeypatch.setattr(Psql, "exchange", counted)
    return count_trips


CALLS = {
    "send": (2, lambda store: store.send_agent_message("a", "b", "x-note", {"n": 1})),
    "take": (2, lambda store: store.get_agent_messages("b", True)),
    "save": (2, lambda store: store.save_agent_state("a", "k", "v")),
    "load": (1, lambda store: store.load_agent_state("a", "k")),
    "heartbeat": (2, lambda store: store.agent_heartbeat("a")),
    "checkpoint": (2, lambda store: store.create_agent_checkpoint("a")),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_operation_waits_for_the_server_twice_at_most(store, clock, count_trips, call):
    most, action = CALLS[call]
    for agent in "ab":
        store.register_agent(agent, "validation", "m", "s")
    store.save_agent_state("a", "k", "v")
    for number in range(3):
        store.send_agent_message("a", "b", "x-note", {"n": number})
    action(store)
    clock.advance(20)
    store.get_agent_messages("c", True)  # once a second a take asks who is silent: two questions more
    assert count_trips(action, store) == most


def test_a_store_is_opened_and_asked_in_two_trips(store, directory, environ, count_trips):
    store.save_agent_state("a", "k", "v")

    def call():
        with open_store(directory, environ=environ) as other:
            assert other.load_agent_state("a", "k") == "v"

    assert count_trips(call) == 2


def test_a_psql_that_shows_the_last_of_several_answers_only_is_asked_one_by_one(store, storage, monkeypatch):
    monkeypatch.setattr("milestone_persist.storage.postgresql.psql.SHOWS_ALL", 10**9)
    for agent in "ab":
        store.register_agent(agent, "validation", "m", "s")
    for _, action in CALLS.values():
        action(store)
    assert [row["payload"] for row in store.list_agent_messages("b")] == [{"n": 1}]
    with pytest.raises(UsageError, match="refused by the database"), storage.transaction("agent:a"):
        storage.post("UPDATE agent_state SET version = 0")
    assert storage.execute("SELECT version FROM agent_state") == [{"version": 1}]


def test_what_was_posted_and_is_refused_undoes_the_transaction(store, storage):
    store.save_agent_state("a", "k", "v")
    with pytest.raises(UsageError, match="refused by the database: .*version"), storage.transaction("agent:a"):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        storage.post("UPDATE agent_state SET version = 0")
        storage.post("UPDATE agent_state SET state_value = 'x'")
    with pytest.raises(UsageError, match="refused by the database: .*version"), storage.transaction("agent:a"):
        storage.post("UPDATE agent_state SET version = 0")
        storage.execute("SELECT 1 AS one")
    assert storage.execute("SELECT state_value FROM agent_state") == [{"state_value": "v"}]


def test_what_is_foreseen_is_asked_again_after_something_was_changed(store, storage):
    store.save_agent_state("a", "k", "v")
    question = ("SELECT state_value FROM agent_state WHERE agent_id = :id", {"id": "a"})
    with storage.transaction("agent:a", [question]):
        storage.execute("UPDATE agent_state SET state_value = 'w'")
        assert storage.execute(*question) == [{"state_value": "w"}]


def test_a_snapshot_leaves_no_transaction_open(store, storage, postgresql):
    with storage.snapshot():
        storage.execute("SELECT 1 AS one")
    storage.execute("SELECT 1 AS one")
    assert postgresql.query(OPEN) == "0"


def run_refused(storage, how):
    """A transaction that adds a row, and then what is refused."""
    with storage.transaction("config", [REFUSED] if how == "at its beginning" else []):
        storage.execute(*ROW)
        storage.makes = how == "to be made"
        if how == "by the caller":
            raise UsageError("refused by the caller")
        if how == "of an inner one":
            with storage.transaction("config"):
                storage.execute(*REFUSED)
        if how == "posted, then asked":
            storage.post(*REFUSED)
            storage.execute("SELECT 1 AS one")
        if how == "posted":
            storage.post(*REFUSED)
        if how == "not minded":
            with contextlib.suppress(UsageError):
                storage.execute(*REFUSED)
        if how == "stopped":
            storage.psql.ask("SET LOCAL statement_timeout = '50ms';")
            storage.execute("SELECT pg_sleep(60)::text AS slept")
        if how == "at the commit":
            storage.psql.ask("CREATE TEMP TABLE t (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED); "
                             "INSERT INTO t VALUES (1), (1);")


def run_severed(storage, postgresql, how):
    with storage.transaction("config"):
        storage.execute(*ROW)
        postgresql.query(TERMINATE)
        if how == "severed":
            storage.execute("SELECT 1 AS one")


def read_refused(storage, how):
    with storage.snapshot([REFUSED] if how == "a snapshot, at its beginning" else []):
        if how == "a snapshot, not minded":
            with contextlib.suppress(UsageError):
                storage.execute(*REFUSED)
        else:
            storage.execute(*REFUSED)


def interrupt(storage, monkeypatch):
    with monkeypatch.context() as patch, storage.transaction("config"):
        storage.execute(*ROW)
        patch.setattr(Psql, "exchange", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        storage.execute("SELECT 1 AS one")


REFUSED = ("SELECT 1 / 0 AS number", {})
ROW = ("INSERT INTO agent_coordination_config (key, value, updated_at) VALUES ('row', '', :at)",
       {"at": "2026-01-01 00:00:00.000"})
ROWS = "SELECT count(*) AS n FROM agent_coordination_config WHERE key = 'row'"
IN_A_TRANSACTION = ["at its beginning", "by the caller", "of an inner one", "posted, then asked", "posted",
                    "not minded", "stopped", "at the commit", "to be made"]
SNAPSHOTS = ["a snapshot", "a snapshot, at its beginning", "a snapshot, not minded"]


WAYS = [*IN_A_TRANSACTION, *SNAPSHOTS, "outside", "severed", "severed at the commit", "interrupted"]


@pytest.mark.parametrize("how, is_made", [(how, is_made) for how in WAYS for is_made in (True, False)
                                          if how not in ("to be made", "at the commit")
                                          or is_made == (how == "at the commit")])  # the unmade is never committed
def test_however_a_transaction_fails_nothing_of_it_is_left(request, directory, environ, clock, postgresql, monkeypatch,
                                                           how, is_made):
    """Where there is no store yet, all of a connection lies in one transaction, which goes on."""
    request.getfixturevalue("store" if is_made else "unmade")
    storage = open_for(str(directory), environ, clock, make=is_made)
    assert storage.is_unmade != is_made
    try:
        with pytest.raises((UsageError, StorageError, StorageMoved, KeyboardInterrupt)):
            if how in IN_A_TRANSACTION:
                run_refused(storage, how)
            elif how in SNAPSHOTS:
                read_refused(storage, how)
            elif how == "outside":
                storage.execute(*REFUSED)
            elif how == "interrupted":
                interrupt(storage, monkeypatch)
            else:
                run_severed(storage, postgresql, how)
        assert storage.execute(ROWS) == [{"n": 0}]
        assert postgresql.query(OPEN) == ("0" if is_made else "1")
        with storage.snapshot():
            assert storage.execute(ROWS) == [{"n": 0}]
        storage.makes = False
        with storage.transaction("config"):
            storage.execute(*ROW)
        assert storage.execute(ROWS) == [{"n": 1}]
        assert postgresql.query(OPEN) == ("0" if is_made else "1")
    finally:
        storage.close()


def test_many_rows_are_inserted_with_their_ids_in_order(store):
    store.register_agent("b", "validation", "m", "s")
    ids = store.send_many("a", [{"to_agent": "b", "message_type": "x-note", "payload": {"n": n}}
                                for n in range(1201)])["ids"]
    assert [(row["id"], row["payload"]["n"]) for row in store.get_agent_messages("b")] == [*zip(ids, range(1201))]
