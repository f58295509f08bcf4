"""Milestones: records kept byte for byte, edits by hand noticed, leases."""
from __future__ import annotations

import json

import pytest

from milestone_persist import Refused, UsageError

RECORD = ("id: ms-1\r\ntitle: \"A: 'quoted' \\u00e9\"  # remark\nstatus: in_progress\npriority: high\n"
          "steps:\n  title: no\n\n")


def keeps_files(store):
    return store.get_current_storage_backend() in ("file", "hybrid")


def test_a_record_comes_back_byte_for_byte(store):
    for number, text in enumerate([RECORD, "x", "\n\n", "tab\tend", "emoji 🎉", "'; DROP TABLE milestones; --"]):
        store.create_milestone_record(f"ms-{number}", text)
        assert store.read_milestone_record(f"ms-{number}") == text


def test_the_headings_of_a_record_are_indexed(store):
    store.create_milestone_record("ms-1", RECORD)
    row, = store.list_milestones()
    assert (row["id"], row["title"], row["status"], row["priority"]) == (
        "ms-1", "A: 'quoted' é", "in_progress", "high")
    store.update_milestone_record("ms-1", "title: 'it''s'\nstatus: done")
    row, = store.list_milestones("done")
    assert (row["title"], row["priority"]) == ("it's", "medium")
    assert store.list_milestones("active") == []


@pytest.mark.parametrize("status, says", [("actve", "did you mean active"), ("finished", "did you mean completed"),
                                          ("", "use one of: planned, "), ("nonsense", "use one of")])
def test_a_status_that_no_record_has_and_none_usually_says_is_refused(store, status, says):
    for text in (None, "status: done"):
        if text:
            store.create_milestone_record("ms-1", text)
        with pytest.raises(UsageError, match=f"unknown milestone status {status!r}: {says}"):
            store.list_milestones(status)
    assert store.list_milestones("planned") == [] and len(store.list_milestones("done")) == 1


def test_a_record_can_be_made_only_once_and_changed_only_where_it_is(store):
    store.create_milestone_record("ms-1", "one")
    with pytest.raises(Refused, match="has a record already: update_milestone_record"):
        store.create_milestone_record("ms-1", "two")
    with pytest.raises(Refused, match="no record of milestone 'ms-2' in .*: there is ms-1"):
        store.update_milestone_record("ms-2", "two")
    with pytest.raises(Refused, match="no record of milestone 'ms-2'"):
        store.read_milestone_record("ms-2")
    with pytest.raises(UsageError, match="TEXT is empty"):
        store.create_milestone_record("ms-2", "")
    assert store.read_milestone_record("ms-1") == "one"
    assert [row["id"] for row in store.list_milestones()] == ["ms-1"]


def test_deleting_a_record_moves_it_to_completed(store, directory):
    store.create_milestone_record("ms-1", RECORD)
    store.delete_milestone_record("ms-1")
    assert store.read_milestone_record("ms-1") == RECORD
    assert [row["id"] for row in store.list_milestones("completed")] == ["ms-1"]
    assert (directory / "completed" / "ms-1.yaml").exists() == keeps_files(store)
    assert not (directory / "active" / "ms-1.yaml").exists()
    for change in (lambda: store.delete_milestone_record("ms-1"), lambda: store.update_milestone_record("ms-1", "x")):
        with pytest.raises(Refused, match="was deleted"):
            change()
    with pytest.raises(Refused, match="was deleted, and its record is kept: take another id"):
        store.create_milestone_record("ms-1", "again")


def test_a_milestone_somebody_registered_for_gets_its_record(store):
    store.register_agent("a", "scope-analyzer", "ms-1", "planning-1")
    assert [row["title"] for row in store.list_milestones()] == ["ms-1"]
    store.create_milestone_record("ms-1", "title: Real")
    assert [row["title"] for row in store.list_milestones()] == ["Real"]


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_files_edited_by_hand_are_noticed(store, directory):
    store.create_milestone_record("MS-1", "title: one")
    active = directory / "active"
    (active / "MS-1.yaml").write_text("title: changed by hand\nstatus: paused")
    (active / "by hand.yaml").write_text("title: |\n  new\npriority: low")
    (active / "notes.txt").write_text("no record")
    assert [(row["id"], row["title"], row["status"]) for row in store.list_milestones()] == [
        ("MS-1", "changed by hand", "paused"), ("by hand", "by hand", "active")]
    (directory / "completed").mkdir(exist_ok=True)
    (active / "MS-1.yaml").rename(directory / "completed" / "MS-1.yaml")
    (active / "by hand.yaml").unlink()
    assert [(row["id"], row["status"]) for row in store.list_milestones()] == [("MS-1", "completed")]


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_no_id_leaves_the_folder(store, directory):
    ids = ["../../escape", "a/b", "..", ".hidden", "x" * 300, "y" * 299 + "é", "nul?*:|<>", "Ünï"]
    for name in ids:
        store.create_milestone_record(name, f"id: {name}\ntitle: t")
        assert store.read_milestone_record(name) == f"id: {name}\ntitle: t"
    assert {row["id"] for row in store.list_milestones()} == set(ids)
    assert len(list((directory / "active").iterdir())) == len(ids)
    assert all(len(path.name.encode()) <= 255 for path in (directory / "active").iterdir())


def test_search_finds_text_whatever_the_case(store):
    store.create_milestone_record("ms-1", "title: Log in\nnote: LOGIN page\nother: x")
    store.create_milestone_record("login-2", "title: Other")
    found = store.search_milestones("login")
    assert [(row["id"], row["lines"]) for row in found] == [("login-2", []), ("ms-1", ["note: LOGIN page"])]
    assert store.search_milestones("100%_") == []
    with pytest.raises(UsageError, match="TERM is empty"):
        store.search_milestones("")


def test_analytics_count(store):
    store.create_milestone_record("ms-1", "status: active\npriority: high")
    store.create_milestone_record("ms-2", "status: paused\npriority: high")
    store.register_agent("a", "scope-analyzer", "ms-1", "planning-1")
    counted = store.get_milestone_analytics()
    assert counted["milestones"] == {"total": 2, "active": 1, "paused": 1}
    assert counted["priorities"] == {"total": 2, "high": 2}
    assert counted["operations"] == {"total": 1, "planning": 1}
    assert counted["agents"] == {"total": 1, "active": 1}


def test_a_lease_is_its_owners_until_it_expires(store, connect, clock):
    other = connect()
    lease = store.acquire_milestone_lock("ms-1", owner="a", ttl=60)
    assert lease["expires_at"] == "2026-01-01 00:01:00.000"
    with pytest.raises(Refused, match="locked by 'a' until 2026-01-01 00:01:00.000"):
        other.acquire_milestone_lock("ms-1", owner="b", wait=30)
    assert clock.seconds >= 1767225600 + 30  # it waited, by the clock
    assert store.acquire_milestone_lock("ms-1", owner="a", ttl=60)["expires_at"] > lease["expires_at"]
    clock.advance(61)
    assert other.acquire_milestone_lock("ms-1", owner="b", wait=0)["owner"] == "b"
    with pytest.raises(Refused, match="is held by 'b', and you are 'a'"):
        store.release_milestone_lock("ms-1", owner="a")
    other.release_milestone_lock("ms-1", owner="b")
    with pytest.raises(Refused, match="is not locked"):
        other.release_milestone_lock("ms-1", owner="b")


def test_waiting_ends_when_the_lease_is_given_back(store, connect, clock):
    store.acquire_milestone_lock("ms-1", owner="a")
    clock.during_sleep = lambda: store.release_milestone_lock("ms-1", owner="a")
    assert connect().acquire_milestone_lock("ms-1", owner="b")["owner"] == "b"


def test_who_gives_no_name_gets_a_token_that_releasing_needs(store, cli):
    done = cli("acquire-milestone-lock", "ms 1", "--wait", "0")
    *words, token = done.text.split()
    assert done.status == 0 and done.text.endswith(f": release_milestone_lock 'ms 1' --owner {token}\n")
    with pytest.raises(Refused, match="is locked by an unnamed caller until 2026-01-01 00:05:00.000"):
        store.acquire_milestone_lock("ms 1", wait=0)
    for words in [], ["--owner", "b"], ["--owner", "lock-"]:
        refused = cli("release-milestone-lock", "ms 1", *words)
        assert (refused.status, refused.err.count("\n")) == (1, 1) and "nothing was released" in refused.err
        assert token not in refused.err
    assert cli("acquire-milestone-lock", "ms 1", "--owner", token, "--wait", "0").status == 0  # renewed
    assert cli("release-milestone-lock", "ms 1", "--owner", token).status == 0
    assert cli("release-milestone-lock", "ms 1", "--owner", token).status == 1


def test_who_comes_too_late_releases_nobody_elses(store, connect, clock):
    late = store.acquire_milestone_lock("ms-1", ttl=10)["owner"]
    clock.advance(11)
    second = connect().acquire_milestone_lock("ms-1", wait=0)["owner"]
    for owner in late, "":
        with pytest.raises(Refused, match="nothing was released"):
            store.release_milestone_lock("ms-1", owner=owner)
    with pytest.raises(Refused, match="is locked"):
        store.acquire_milestone_lock("ms-1", wait=0)
    store.release_milestone_lock("ms-1", owner=second)


def test_a_named_owners_lock_is_not_released_without_the_name(store, cli):
    assert cli("acquire-milestone-lock", "ms-1", "--owner", "a").text == (
        "locked ms-1 for a until 2026-01-01 00:05:00.000\n")
    for variables in {}, {"AGENT_ID": "b"}:
        done = cli("release-milestone-lock", "ms-1", **variables)
        assert done.status == 1 and "is held by 'a'" in done.err
    assert cli("release-milestone-lock", "ms-1", AGENT_ID="a").status == 0


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_the_line_of_an_unnamed_lock_ends_with_what_releases_it(store, cli):
    line = cli("acquire-milestone-lock", "ms-1").text
    words = line.partition("; release it with: release_milestone_lock ")[2].split()
    assert words[:2] == ["ms-1", "--owner"] and cli("release-milestone-lock", *words).status == 0


def test_the_agent_of_the_environment_owns_the_lock(environ, connect):
    environ["AGENT_ID"] = "exec-1"
    store = connect()
    assert store.acquire_milestone_lock("ms-1")["owner"] == "exec-1"
    assert store.acquire_milestone_lock("ms-1", wait=0)["owner"] == "exec-1"


def version_of(store, milestone_id="ms-1"):
    return store.read_milestone_record(milestone_id, full=True)["version"]


def test_each_change_of_a_record_bumps_its_version(store, cli):
    assert cli("create-milestone-record", "ms-1", "one").text.endswith(", version 1\n")
    seen = [version_of(store), store.list_milestones()[0]["version"]]
    for text in "two", "two":
        seen.append(store.update_milestone_record("ms-1", text)["version"])
    store.delete_milestone_record("ms-1")
    assert [*seen, version_of(store)] == [1, 1, 2, 3, 4]


def test_a_milestone_that_agents_know_of_before_has_its_first_version_too(store):
    store.register_agent("a", "validation", "ms-1", "validation-1")
    assert store.create_milestone_record("ms-1", "one")["version"] == 1


def test_text_and_version_are_told_together(store, cli):
    store.create_milestone_record("ms-1", "title: One")
    told = json.loads(cli("read-milestone-record", "ms-1", "--full").text)
    assert (told["text"], told["version"], told["id"], told["title"]) == ("title: One", 1, "ms-1", "One")
    with pytest.raises(Refused, match="no record of milestone 'ms-2'"):
        store.read_milestone_record("ms-2", full=True)


def test_a_write_on_a_text_that_another_has_changed_is_refused(store, connect, cli):
    store.create_milestone_record("ms-1", "one")
    connect().update_milestone_record("ms-1", "two", if_version=1)
    done = cli("update-milestone-record", "ms-1", "late", "--if-version", "1")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "has version 2, not 1: another writer was first" in done.err
    assert done.err.endswith(": read_milestone_record ms-1 --full\n") and store.read_milestone_record("ms-1") == "two"
    assert store.update_milestone_record("ms-1", "three", if_version=2)["version"] == 3


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_an_edit_by_hand_is_a_change_too(store, directory):
    store.create_milestone_record("ms-1", "one")
    (directory / "active" / "ms-1.yaml").write_text("by hand")
    with pytest.raises(Refused, match="has version 2, not 1"):
        store.update_milestone_record("ms-1", "late", if_version=1)
    assert store.read_milestone_record("ms-1", full=True)["text"] == "by hand" and version_of(store) == 2
    store.register_agent("a", "validation", "ms-1", "validation-1")
    (directory / "active" / "ms-1.yaml").unlink()
    store.list_milestones()
    assert store.create_milestone_record("ms-1", "again")["version"] == 3


def test_a_lock_of_another_refuses_a_change_of_the_record(store, cli, clock):
    store.create_milestone_record("ms-1", "one")
    store.acquire_milestone_lock("ms-1", owner="a", ttl=60)
    for words in ["update-milestone-record", "ms-1", "two"], ["delete-milestone-record", "ms-1"]:
        for variables in {}, {"AGENT_ID": "b"}:
            done = cli(*words, **variables)
            assert (done.status, done.err.count("\n")) == (1, 1)
            assert "is locked by 'a' until 2026-01-01 00:01:00.000: nothing was changed" in done.err
    assert store.read_milestone_record("ms-1") == "one"
    assert cli("update-milestone-record", "ms-1", "two", AGENT_ID="a").status == 0
    store.update_milestone_record("ms-1", "three", owner="a")
    clock.advance(60)
    store.delete_milestone_record("ms-1")


def test_the_holder_of_a_token_may_change_the_record(store):
    store.create_milestone_record("ms-1", "one")
    token = store.acquire_milestone_lock("ms-1")["owner"]
    with pytest.raises(Refused, match="is locked by an unnamed caller"):
        store.delete_milestone_record("ms-1")
    store.delete_milestone_record("ms-1", owner=token)
def test_lists_and_searches_print_one_id_a_line_and_nothing_else(store, cli):
    for words in (["list_milestones"], ["list_milestones", "paused"], ["search_milestones", "login"]):
        done = cli(*words)
        assert (done.status, done.out, done.err) == (0, b"", ""), words
    for milestone in ("ms-2", "ms-1", "a milestone"):
        store.create_milestone_record(milestone, f"title: Login {milestone}\nstatus: paused\nfor: login")
    for words in (["list_milestones"], ["list_milestones", "all"], ["list_milestones", "paused"],
                  ["search_milestones", "LOGIN"]):
        assert sorted(cli(*words).text.splitlines()) == ["a milestone", "ms-1", "ms-2"], words
    assert cli("list_milestones", "active").out == b""
    assert cli("list_milestones", "--long").text.splitlines()[0].split() == ["id", "status", "priority", "title"]
    assert cli("list_milestones", "active", "--long").text == "no milestones\n"
    assert cli("search_milestones", "ms-2", "--long").text == "ms-2: title: Login ms-2\n"
    assert cli("search_milestones", "nowhere", "--long").text == "nothing found\n"
    assert cli("list_milestones", "--json").text == cli("list_milestones", "--long", "--json").text
    rows = store.list_milestones()
    assert [(row["id"], row["priority"]) for row in rows] == [
        (row["id"], row["priority"]) for row in store.list_milestones(long=True)]
    assert store.search_milestones("ms-2")[0]["lines"] == ["title: Login ms-2"]


def test_who_gives_a_part_of_a_record_is_told_what_the_whole_has_lost(cli, store):
    store.create_milestone_record("ms-1", "id: ms-1\ntitle: \"Login\"\nstatus: active\npriority: high\nplan: x\n")
    done = cli("update-milestone-record", "ms-1", "status: paused")
    assert done.status == 0 and done.err == (
        "milestone_persist: this is the whole record of ms-1 now, without its former title: Login, priority: high; to "
        "keep that, give all of it: update_milestone_record ms-1 TEXT\n")
    for whole in ("status: paused\ntitle: Login", "status: active", "title: New"):
        assert ("whole record" in cli("update-milestone-record", "ms-1", whole).err) is (whole != "status: paused\n"
                                                                                         "title: Login")


def test_a_refused_record_loses_nothing(cli, store):
    store.create_milestone_record("ms-1", "title: Login")
    done = cli("update-milestone-record", "ms-1", "status: paused", "--if-version", "7")
    assert done.status == 1 and "whole record" not in done.err
