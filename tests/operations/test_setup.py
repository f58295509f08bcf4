"""Set-up: making the store ready, settings, and what may be opened how."""
from __future__ import annotations

import threading

import pytest

from milestone_persist import StorageError, UsageError, open_store
from milestone_persist.coordination.settings import SETTINGS
from milestone_persist.opening.place import open_for


def test_initialising_is_idempotent_and_keeps_settings(store, dump):
    store.initialize_agent_coordination()
    store.set_storage_config("message_retry_limit", "7")
    store.register_agent("a", "validation", "m", "s")
    before = dump()
    store.initialize_agent_coordination(), store.initialize_storage_system()
    assert dump() == before
    assert store.get_storage_config("message_retry_limit") == "7"


def test_the_whole_data_directory_is_made(store, directory):
    store.initialize_storage_system()
    assert {"active", "completed", "config", "logs", "backups", ".gitignore"} <= {p.name for p in directory.iterdir()}


def test_backend_is_told(store, backend):
    expected = "database" if backend == "postgresql" else backend
    assert store.get_current_storage_backend() == expected


def test_optimal_backend_follows_the_number_of_milestones(store):
    store.set_storage_config("hybrid_from", "2"), store.set_storage_config("database_from", "3")
    found = [store.get_optimal_storage_backend()]
    for number in range(3):
        store.register_agent("a", "validation", f"ms-{number}", "s")
        found.append(store.get_optimal_storage_backend())
    assert found == ["file", "file", "hybrid", "database"]


def test_all_settings_are_there_with_their_defaults(store):
    assert store.get_storage_config() == {key: default for key, (_, default) in SETTINGS.items()}


@pytest.mark.parametrize("key, value, stored", [
    ("heartbeat_interval", " 45 ", "45"), ("strict_agents", "ON", "true"), ("strict_agents", "0", "false"),
    ("synchronous", "normal", "normal"), ("planning_artifacts", "a b", "a b"),
    ("agent_spawn_command", "run '$1' \"\n\"", "run '$1' \"\n\""), ("agent_spawn_command", "", ""),
])
def test_a_setting_is_kept(store, connect, key, value, stored):
    store.set_storage_config(key, value)
    assert connect().get_storage_config(key) == stored


@pytest.mark.parametrize("key, value, match", [
    ("heartbeat_intervall", "5", "did you mean heartbeat_interval"), ("", "5", "KEY is empty|unknown setting"),
    ("heartbeat_interval", "-1", "whole number"), ("heartbeat_interval", "1.5", "whole number"),
    ("session_timeout", "0", "a whole number from 1, not '0'"), ("message_retry_limit", "-1", "a whole number from 0"),
    ("hybrid_from", "100", "hybrid_from must be less than database_from, which is 100: not '100'"),
    ("database_from", "25", "database_from must be more than hybrid_from, which is 25: not '25'"),
    ("heartbeat_interval", "", "whole number"), ("heartbeat_interval", "²", "whole number"),
    ("heartbeat_interval", "9" * 30, "whole number"), ("strict_agents", "maybe", "true or false"),
    ("synchronous", "off", "full or normal"), ("planning_artifacts", " ", "at least one"),
])
def test_a_bad_setting_changes_nothing(store, dump, key, value, match):
    before = dump()
    with pytest.raises(UsageError, match=match):
        store.set_storage_config(key, value)
    assert dump() == before


@pytest.mark.parametrize("key", [key for key, (kind, _) in SETTINGS.items() if kind == "count"])
def test_nothing_but_what_may_be_none_can_be_set_to_nothing(store, key):
    if key in ("message_retry_limit", "cleanup_retention_days"):
        assert store.set_storage_config(key, "0") == {key: "0"}
    else:
        with pytest.raises(UsageError, match="must be a whole number from 1"):
            store.set_storage_config(key, "0")


def test_a_setting_corrupt_by_hand_is_told_and_its_default_is_in_force(store, cli, directory, environ):
    storage = open_for(str(directory), environ, make=True)
    for key, value in ("session_timeout", "soon"), ("hybrid_from", "200"):
        storage.execute("UPDATE agent_coordination_config SET value = :value WHERE key = :key",
                        {"key": key, "value": value})
    storage.close()
    done = cli("get-storage-config", "session_timeout")
    assert (done.status, done.text) == (0, "1800\n")
    assert "session_timeout must be a whole number from 1, not 'soon'; 1800 is in force" in done.err
    done = cli("get-storage-config")
    assert done.status == 0 and "session_timeout=1800\n" in done.text and "not 'soon'" in done.err
    done = cli("doctor")
    assert done.status == 3 and "session_timeout must be a whole number from 1, not 'soon'; 1800" in done.err
    assert "hybrid_from must be less than database_from, which is 100: not '200'" in done.err
    store.set_storage_config("session_timeout", "60"), store.set_storage_config("database_from", "300")
    assert cli("doctor").status == 0


def test_an_unknown_setting_cannot_be_read(store):
    with pytest.raises(UsageError, match="did you mean session_timeout"):
        store.get_storage_config("sesion_timeout")


def test_a_closed_store_says_so(connect):
    store = connect()
    store.close(), store.close()
    with pytest.raises(StorageError, match=r"open it again with open_store\(\)"):
        store.get_current_storage_backend()
    with pytest.raises(StorageError):
        store.list_coordination_sessions()


def test_unknown_operations_are_attribute_errors(store):
    for name in ("no_such_operation", "save-agent-state", "_private"):
        with pytest.raises(AttributeError):
            getattr(store, name)


def test_a_store_is_a_context_manager_for_several_threads(directory, environ, clock):
    with open_store(directory, clock=clock, environ=environ) as store:
        threads = [threading.Thread(target=store.save_agent_state, args=("a", f"k-{n}", "v")) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.list_agent_state("a")) == 4
