"""Checkpoints: an agent's state at one instant, put back whole, with the digests of its files."""
from __future__ import annotations

import hashlib
import json
import sqlite3

import pytest

from milestone_persist import Refused, StorageError, UsageError

NASTY = ["", "\n a \n", "👩‍💻", "'; DROP TABLE agent_state; --", '{"a": 1.0}', "x" * 100_000]


def state(store, agent="a"):
    return {row["state_key"]: store.load_agent_state(agent, row["state_key"]) for row in store.list_agent_state(agent)}


def test_restoring_puts_every_value_back_and_drops_later_keys(store):
    for number, value in enumerate(NASTY):
        store.save_agent_state("a", f"key-{number}", value, "progress")
    saved = state(store)
    made = store.create_agent_checkpoint("a")
    assert made["keys"] == len(NASTY)
    store.save_agent_state("a", "key-0", "changed")
    store.delete_agent_state("a", "key-1")
    store.save_agent_state("a", "later", "v")
    done = store.restore_agent_checkpoint(made["checkpoint_id"])
    assert done["keys"] == sorted(saved)
    assert state(store) == saved
    assert {row["state_type"] for row in store.list_agent_state("a")} == {"progress"}


def test_restoring_can_be_undone(store):
    store.save_agent_state("a", "k", "old")
    checkpoint = store.create_agent_checkpoint("a")["checkpoint_id"]
    store.save_agent_state("a", "k", "new")
    kept = store.restore_agent_checkpoint(checkpoint)["kept_as"]
    assert store.load_agent_state("a", "k") == "old"
    store.restore_agent_checkpoint(kept)
    assert store.load_agent_state("a", "k") == "new"
    assert {row["checkpoint_type"] for row in store.list_agent_checkpoints("a")} == {"manual", "error_recovery"}


def test_restoring_raises_the_version_so_that_an_old_writer_is_noticed(store):
    store.save_agent_state("a", "k", "one")
    checkpoint = store.create_agent_checkpoint("a")["checkpoint_id"]
    seen = store.save_agent_state("a", "k", "two")["version"]
    store.restore_agent_checkpoint(checkpoint)
    with pytest.raises(Refused, match="another writer was first"):
        store.save_agent_state("a", "k", "three", if_version=seen)


def test_what_expired_meanwhile_does_not_come_back(store, clock):
    store.save_agent_state("a", "short", "v", "temp_data", 60)
    store.save_agent_state("a", "long", "v", "temp_data", 600)
    checkpoint = store.create_agent_checkpoint("a")["checkpoint_id"]
    clock.advance(60)
    assert store.restore_agent_checkpoint(checkpoint)["keys"] == ["long"]
    clock.advance(540)
    assert state(store) == {}


def test_another_agents_state_is_left_alone(store):
    store.save_agent_state("a", "k", "v")
    store.save_agent_state("b", "k", "theirs")
    store.restore_agent_checkpoint(store.create_agent_checkpoint("a")["checkpoint_id"])
    assert state(store, "b") == {"k": "theirs"}


def test_files_are_told_with_path_size_and_digest(store, tmp_path):
    (tmp_path / "inside.txt").write_bytes(b"data")
    reference = {"path": "inside.txt", "size": 4, "sha256": hashlib.sha256(b"data").hexdigest()}
    store.create_agent_checkpoint("a", "phase_completion", str(tmp_path / "inside.txt"))
    [row] = store.list_agent_checkpoints("a")
    assert (row["checkpoint_type"], row["file_references"]) == ("phase_completion", [reference])


def test_restoring_tells_which_files_changed(store, tmp_path):
    paths = [tmp_path / name for name in ("same", "changed", "missing", "grown")]
    for path in paths:
        path.write_text("before")
    checkpoint = store.create_agent_checkpoint("a", "manual", *map(str, paths))["checkpoint_id"]
    paths[1].write_text("behind")
    paths[2].unlink()
    paths[3].write_text("before and after")
    files = store.restore_agent_checkpoint(checkpoint)["files"]
    assert [(file["path"], file["status"]) for file in files] == \
        [("same", "same"), ("changed", "changed"), ("missing", "missing"), ("grown", "changed")]


def test_files_are_found_again_from_another_directory(store, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    checkpoint = store.create_agent_checkpoint("a", "manual", "file")["checkpoint_id"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.restore_agent_checkpoint(checkpoint)["files"][0]["status"] == "same"


def test_a_snapshot_holds_registry_row_and_unacknowledged_messages(store, dump):
    store.register_agent("a", "validation", "m", "s", ["run"])
    store.register_agent("b", "validation", "m", "s")
    done, taken, pending = (store.send_agent_message("b", "a", "error_report", {"n": n})["id"] for n in range(3))
    store.get_agent_messages("a", True, 2)
    store.acknowledge_agent_message("a", done)
    assert store.create_agent_checkpoint("a")["messages"] == 2
    snapshot = json.loads(eval(dump()["agent_checkpoints"][0])["state_snapshot"])
    assert [message["id"] for message in snapshot["messages"]] == [taken, pending]
    assert snapshot["agent"]["capabilities"] == '["run"]'


@pytest.mark.parametrize("arguments, match", [
    (("a", "weekly"), "unknown checkpoint type"), (("a", "manual", "no/such/file"), "cannot read the file"),
    (("a", "manual", "."), "cannot read the file"), (("a", "manual", ""), "cannot read the file"),
    (("",), "AGENT_ID is empty"),
])
def test_a_bad_checkpoint_changes_nothing(store, dump, arguments, match):
    store.save_agent_state("a", "k", "v")
    before = dump()
    with pytest.raises(UsageError, match=match):
        store.create_agent_checkpoint(*arguments)
    assert dump() == before


def test_an_unknown_checkpoint_is_refused(store, dump):
    checkpoint = store.create_agent_checkpoint("a")["checkpoint_id"]
    before = dump()
    with pytest.raises(Refused, match=f"did you mean {checkpoint}"):
        store.restore_agent_checkpoint(checkpoint[:-1])
    with pytest.raises(Refused, match="list_agent_checkpoints AGENT names them"):
        store.restore_agent_checkpoint("42")
    assert dump() == before


def test_checkpoints_are_listed_latest_first(store, clock):
    made = []
    for _ in range(3):
        made.append(store.create_agent_checkpoint("a")["checkpoint_id"])
        clock.advance(1)
    assert [row["checkpoint_id"] for row in store.list_agent_checkpoints("a")] == made[::-1]
    assert store.list_agent_checkpoints("nobody") == []


def test_old_checkpoints_go_but_an_agents_last_one_stays(store, clock):
    old, kept = store.create_agent_checkpoint("a"), store.create_agent_checkpoint("quiet")
    clock.advance(8 * 86400)
    new = store.create_agent_checkpoint("a")
    assert [row["checkpoint_id"] for row in store.list_agent_checkpoints("a")] == [new["checkpoint_id"]]
    assert [row["checkpoint_id"] for row in store.list_agent_checkpoints("quiet")] == [kept["checkpoint_id"]]
    with pytest.raises(Refused):
        store.restore_agent_checkpoint(old["checkpoint_id"])


def test_a_checkpoint_that_was_restored_is_kept_on(store, clock):
    store.save_agent_state("a", "k", "good")
    point = store.create_agent_checkpoint("a")["checkpoint_id"]
    clock.advance(8 * 86400)
    for _ in range(2):
        store.save_agent_state("a", "k", "corrupt")
        store.restore_agent_checkpoint(point)
        assert store.load_agent_state("a", "k") == "good"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("snapshot", ['{}', '{"state": {"k": 1}}', '{"state": [1]}', '{"state": [{"state_key": "k"}]}'])
def test_a_checkpoint_somebody_wrote_that_holds_no_state_is_refused(store, dump, directory, snapshot):
    store.save_agent_state("a", "k", "v")
    connection = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    connection.execute("INSERT INTO agent_checkpoints (checkpoint_id, agent_id, session_id, state_snapshot) "
                       "SELECT 'h', agent_id, session_id, ? FROM agent_registry", [snapshot])
    connection.close()
    before = dump()
    with pytest.raises(StorageError, match="checkpoint h cannot be restored"):
        store.restore_agent_checkpoint("h")
    assert dump() == before


def test_no_other_agent_s_checkpoint_is_suggested(store, cli):
    """Restoring it would undo what that one has done since."""
    store.save_agent_state("a-1", "k", "v")
    point = store.create_agent_checkpoint("a-1")["checkpoint_id"]
    other = point[:-4] + "".join("0" if letter != "0" else "1" for letter in point[-4:])
    for given, says in (("a-1", "that is an agent; list_agent_checkpoints a-1 names its checkpoints"),
                        (other, "list_agent_checkpoints AGENT names them"),
                        ("cp-", "list_agent_checkpoints AGENT names them"), (point[:-3], f"did you mean {point}?")):
        done = cli("restore-agent-checkpoint", given)
        assert done.status == 1 and done.err.endswith(f": {says}\n"), done
