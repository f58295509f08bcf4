"""Records as files: whatever their names, whoever wrote them, and whatever happens to them meanwhile."""
from __future__ import annotations

import os
import warnings

import pytest

from milestone_persist import MilestoneWarning, Refused, StorageError, UsageError, open_store
from milestone_persist.records import files as record_files

LONG = ["数据库迁移与备份恢复功能完善以及文档更新计划二", "x" * 201, "É" * 100]
BY_HAND = ["café", "My Milestone", "a+b", "MS(1)", "50%off", "100%a", "50% 1", "foo~1", "MS-1", "it's"]


@pytest.fixture(params=["file", "hybrid"])
def backend(request):
    return request.param


@pytest.fixture
def active(store, directory):
    store.create_milestone_record("first", "title: first")
    return directory / "active"


@pytest.fixture
def edit(directory):
    """Writes a record by hand, so that it looks edited however coarse the file system's clock is."""
    def edit(path, text):
        path = directory / path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(path, ns=(1, edit.time))
        edit.time += 1

    edit.time = 1
    return edit


def write_all(store, edit):
    for name in LONG:
        store.create_milestone_record(name, f"title: of {name}")
    for name in BY_HAND:
        edit(f"active/{name}.yaml", f"title: of {name}")


def ids(rows):
    return {row["id"] for row in rows}


def listed(store):
    return ids(store.list_milestones())


@pytest.mark.parametrize("name", LONG + BY_HAND)
def test_whatever_its_name_a_record_is_read_found_changed_and_deleted(store, directory, edit, name):
    if name in LONG:
        store.create_milestone_record(name, "title: old")
    else:
        edit(f"active/{name}.yaml", "title: old")
    assert store.read_milestone_record(name) == "title: old"
    assert ids(store.search_milestones("OLD")) == listed(store) == {name}
    with pytest.raises(Refused, match="has a record already"):
        store.create_milestone_record(name, "title: other")
    store.update_milestone_record(name, "title: new")
    assert store.read_milestone_record(name) == "title: new"
    assert len([*(directory / "active").iterdir()]) == 1
    told = store.delete_milestone_record(name)
    assert (directory / told["path"]).read_text() == "title: new" == store.read_milestone_record(name)
    assert [(row["id"], row["status"]) for row in store.list_milestones()] == [(name, "completed")]


@pytest.mark.parametrize("by", ["migration", "export", "backup"])
def test_whatever_their_names_all_records_arrive(directory, clock, edit, tmp_path, backend, by):
    with open_store(directory, clock=clock, environ={"MILESTONE_BACKEND": backend}) as store:
        write_all(store, edit)
        if by == "migration":
            store.close()
            with open_store(directory, clock=clock, environ={}) as store:
                for other in ("hybrid", "file", "database", backend):
                    store.migrate_storage_backend(other)
                    assert_all_there(store)
        elif by == "export":
            store.export_coordination(str(tmp_path / "e.jsonl"))
        else:
            store.backup_coordination(str(tmp_path / "b.db"))
    with open_store(tmp_path / "other", clock=clock, environ={"MILESTONE_BACKEND": backend}) as other:
        if by == "export":
            other.import_coordination(str(tmp_path / "e.jsonl"))
            assert_all_there(other)
        elif by == "backup":
            other.restore_coordination(str(tmp_path / "b.db"))
            assert_all_there(other)


def assert_all_there(store):
    assert listed(store) == set(LONG + BY_HAND)
    for name in LONG + BY_HAND:
        assert store.read_milestone_record(name) == f"title: of {name}"


def test_the_heading_of_a_record_tells_its_id_where_the_name_is_cut_and_the_index_lost(store, directory, clock,
                                                                                       backend, tmp_path):
    store.create_milestone_record(LONG[0], f"id: {LONG[0]}\ntitle: t")
    (tmp_path / "other").mkdir()
    (directory / "active").rename(tmp_path / "other" / "active")
    with open_store(tmp_path / "other", clock=clock, environ={"MILESTONE_BACKEND": backend}) as other:
        assert listed(other) == {LONG[0]}


def test_a_record_renamed_or_moved_by_hand_is_found_at_once(store, active, directory):
    store.create_milestone_record(LONG[0], "title: t")
    store.create_milestone_record("MS 2", "title: two")
    (directory / "completed").mkdir(exist_ok=True)
    [path] = [path for path in active.iterdir() if "~" in path.name]
    path.rename(directory / "completed" / path.name)
    (active / "MS%202.yaml").rename(active / "MS 2.yaml")
    assert store.read_milestone_record(LONG[0]) == "title: t"
    assert store.read_milestone_record("MS 2") == "title: two"
    assert {(row["id"], row["status"]) for row in store.list_milestones()} == {
        ("first", "active"), (LONG[0], "completed"), ("MS 2", "active")}


def test_ids_that_differ_by_case_share_no_file_name(store, directory):
    names = ["MS-1", "ms-1", "Ms-1", "É", "é", "x" * 150 + "É", "X" * 150 + "É"]
    for name in names:
        store.create_milestone_record(name, f"title: {name}")
    store.delete_milestone_record("MS-1")
    assert listed(store) == set(names)
    for name in names:
        assert store.read_milestone_record(name) == f"title: {name}"
    files = [path.name.lower() for folder in ("active", "completed") for path in (directory / folder).iterdir()]
    assert len(set(files)) == len(names)


def test_a_file_that_somebody_named_otherwise_is_found_when_its_milestone_is_asked_for(store, active, edit):
    for name, milestone_id in (("active/%66our.yaml", "four"), ("active/a b.yaml", "a b")):
        edit(name, "title: by hand")
        with pytest.raises(Refused, match="has a record already"):
            store.create_milestone_record(milestone_id, "title: x")
        assert store.update_milestone_record(milestone_id, "title: y")["path"] == name
    long = "long-" * 60
    store.create_milestone_record(long, f"id: {long}")
    assert store.update_milestone_record(long, "title: z")["version"] == 2
    assert store.read_milestone_record(long) == "title: z"


# Files that are no records

@pytest.mark.parametrize("content", [b"title: caf\xe9", b"title: a\0b"])
def test_one_file_that_is_no_text_hinders_nobody_but_is_never_left_behind(store, active, directory, clock, edit,
                                                                         tmp_path, content):
    edit("active/bad.yaml", content)
    with pytest.warns(MilestoneWarning, match="bad.yaml is not UTF-8 text: fix it or move it away; until then"):
        assert listed(store) == {"first"}
    with pytest.warns(MilestoneWarning, match="bad.yaml is not UTF-8 text"):
        assert ids(store.search_milestones("first")) == {"first"}
    store.create_milestone_record("second", "x")  # looks at no file of others
    with pytest.warns(MilestoneWarning), pytest.raises(StorageError, match="bad.yaml is not UTF-8 text"):
        store.create_milestone_record("bad", "x")
    with pytest.raises(StorageError, match="bad.yaml is not UTF-8 text"):
        store.read_milestone_record("bad")
    for leave in (lambda: store.export_coordination(str(tmp_path / "e")), lambda: store.backup_coordination()):
        with pytest.raises(StorageError, match="bad.yaml is not UTF-8 text: fix it or move it away; nothing was done"):
            leave()
    with open_store(directory, clock=clock, environ={}) as store:
        with pytest.raises(StorageError, match="bad.yaml is not UTF-8 text: fix it or move it away; nothing was done"):
            store.migrate_storage_backend("database")
        assert (active / "bad.yaml").read_bytes() == content
        (active / "bad.yaml").write_text("title: fixed")
        store.migrate_storage_backend("database")
        assert store.read_milestone_record("bad") == "title: fixed"


def test_a_name_that_is_no_text_and_a_second_record_are_left_out(store, active, edit):
    edit(b"active/n\xe9.yaml".decode("utf-8", "surrogateescape"), "title: t")
    edit("active/café.yaml", "title: one")
    with pytest.warns(MilestoneWarning, match="the name of .* is not UTF-8 or holds a control character: rename it"):
        assert listed(store) == {"first", "café"}
    for name in os.listdir(os.fsencode(active)):
        if name.startswith(b"n"):
            os.unlink(os.path.join(os.fsencode(active), name))
    edit("active/caf%c3%a9.yaml", "title: two")
    with pytest.warns(MilestoneWarning, match="caf%c3%a9.yaml is a second record of milestone 'café', beside"):
        assert {row["title"] for row in store.list_milestones()} == {"first", "one"}
    with pytest.raises(StorageError, match="is a second record"):
        store.export_coordination()


def test_what_is_no_file_is_never_replaced_by_a_record(store, active):
    (active / "folder.yaml").mkdir()
    (active / "link.yaml").symlink_to("nowhere")
    (active / "loop.yaml").symlink_to("loop.yaml")
    for name, why in (("folder", "is there and is not a record of milestone"), ("link", "it is a symbolic link"),
                      ("loop", "it is a symbolic link")):
        with warnings.catch_warnings(), pytest.raises(StorageError, match=f"{name}.yaml:? {why}"):
            warnings.simplefilter("ignore")  # of the others
            store.create_milestone_record(name, "x")
    with pytest.warns(MilestoneWarning, match="it is a symbolic link"):
        assert listed(store) == {"first"}


def test_records_that_cannot_be_looked_at_are_not_taken_for_removed(store, active, monkeypatch, dump):
    before, plain = dump(), os.lstat

    def refuse(path, *rest, **more):
        if str(path).endswith(".yaml"):
            raise PermissionError(13, "Permission denied", path)
        return plain(path, *rest, **more)

    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(StorageError, match=f"cannot read {active} .Permission denied.: make it readable"):
        store.list_milestones()
    monkeypatch.undo()
    assert dump() == before


def test_a_byte_order_mark_hides_no_heading(store, edit):
    edit("active/ms-1.yaml", "\ufefftitle: One\nstatus: paused")
    assert [(row["title"], row["status"]) for row in store.list_milestones()] == [("One", "paused")]
    assert store.read_milestone_record("ms-1").startswith("\ufeff")


def test_records_written_by_hand_count(store, edit):
    store.set_storage_config("hybrid_from", "2")
    for name in ("a", "b"):
        edit(f"active/{name}.yaml", "x")
    assert store.get_optimal_storage_backend() == "hybrid"


# Listing while others change

def test_unchanged_files_are_not_read_again(store, active, edit, monkeypatch):
    edit("active/café.yaml", "title: one")
    store.create_milestone_record(LONG[0], "x")
    assert len(listed(store)) == 3
    opened, plain = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: opened.append(path) or plain(path, *rest, **more))
    for _ in range(2):
        store.list_milestones()
    assert [path for path in opened if str(path).endswith(".yaml")] == []
    edit("active/café.yaml", "title: two")
    store.list_milestones()
    assert len([path for path in opened if str(path).endswith(".yaml")]) == 2  # before and under the lock


def test_milestones_without_a_record_are_not_looked_for_one_by_one(store, active, monkeypatch, tmp_path):
    for number in range(5):
        store.register_agent(f"a{number}", "validation", f"ms-{number}", "validation-1")
    looked, plain = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked.append(path) or plain(path))
    assert ids(store.search_milestones("first")) == {"first"}
    store.export_coordination(str(tmp_path / "e.jsonl"))
    assert len(looked) <= 6


def test_a_list_meets_a_deletion_between_looking_and_locking(store, active, connect, edit, monkeypatch):
    other, storage = connect(), store.storage()
    other.list_milestones()
    edit("active/first.yaml", "title: edited\npriority: high")
    begin, left = storage.transaction, [lambda: other.delete_milestone_record("first")]

    def begin_late(lock=""):
        if left:
            left.pop()()
        return begin(lock)

    monkeypatch.setattr(storage, "transaction", begin_late)
    for _ in range(2):
        [row] = store.list_milestones()
        assert (row["title"], row["status"], row["file_path"]) == ("edited", "completed", "completed/first.yaml")
    assert left == []


@pytest.mark.parametrize("moment", ["stamp_of", "read_text"])
def test_a_file_that_vanishes_while_it_is_looked_at_is_no_record(store, active, edit, monkeypatch, moment):
    edit("active/second.yaml", "title: second")
    plain = getattr(record_files, moment)

    def lose(*given):
        if str(given[-1]).endswith("second.yaml"):
            (active / "second.yaml").unlink(missing_ok=True)
        return plain(*given)

    monkeypatch.setattr(record_files, moment, lose)
    for _ in range(2):
        assert listed(store) == {"first"}


def test_a_store_that_cannot_be_written_shows_what_is_not_indexed(store, active, edit, monkeypatch):
    store.create_milestone_record("lost", "x")
    edit("active/café.yaml", "title: One\nstatus: paused\npriority: high")
    edit("active/first.yaml", "title: edited")
    (active / "lost.yaml").unlink()
    storage = store.storage()

    def refuse(lock=""):
        raise StorageError("cannot write (attempt to write a readonly database)")

    monkeypatch.setattr(storage, "transaction", refuse)
    assert [(row["id"], row["title"]) for row in store.list_milestones() if row["id"] != "lost"] == [
        ("café", "One"), ("first", "edited")]
    assert [(row["id"], row["file_path"]) for row in store.list_milestones("paused")] == [
        ("café", "active/café.yaml")]
    assert ids(store.search_milestones("one")) == {"café"}
    assert store.read_milestone_record("café").startswith("title: One")
    assert store.get_milestone_analytics()["priorities"]["high"] == 1
    monkeypatch.undo()
    assert listed(store) == {"café", "first"}


# Records that are in the way

def test_an_older_completed_record_is_kept_when_a_newer_is_deleted(store, directory, edit):
    store.create_milestone_record("ms-1", "title: old")
    store.delete_milestone_record("ms-1")
    edit("active/ms-1.yaml", "title: new")
    with pytest.warns(MilestoneWarning, match="there was another record in completed/ms-1.yaml: it is kept in"):
        store.delete_milestone_record("ms-1")
    assert store.read_milestone_record("ms-1") == "title: new"
    [kept] = (directory / "backups").rglob("ms-1.yaml")
    assert kept.read_text() == "title: old"


def test_a_stray_file_of_a_database_is_kept_when_records_become_files(directory, clock, edit, backend):
    with open_store(directory, clock=clock, environ={"MILESTONE_BACKEND": "database"}) as store:
        store.create_milestone_record("ms-1", "title: real")
    edit("active/ms-1.yaml", "title: stray")
    with open_store(directory, clock=clock, environ={}) as store:
        with pytest.warns(MilestoneWarning, match="the files in active/ were not in use: they are kept in"):
            store.migrate_storage_backend(backend)
        assert store.read_milestone_record("ms-1") == "title: real"
    assert [path.read_text() for path in (directory / "backups").rglob("ms-1.yaml")] == ["title: stray"]


# What the database refuses

def refuse_events(store):
    """Let the store refuse what every change of a record notes at last."""
    storage = store.storage()
    plain = storage.execute

    def execute(sql, params={}):
        if sql.startswith("INSERT INTO events"):
            raise UsageError("refused by the database: for the test")
        return plain(sql, params)

    storage.execute = execute


@pytest.mark.parametrize("change, args", [
    ("update_milestone_record", ["first", "title: changed"]), ("delete_milestone_record", ["first"]),
    ("create_milestone_record", ["second", "title: new"])])
def test_what_the_database_refuses_is_not_in_the_file_either(store, active, change, args):
    refuse_events(store)
    with pytest.raises(UsageError, match="refused by the database"):
        getattr(store, change)(*args)
    del store.storage().execute
    assert [path.name for path in active.iterdir()] == ["first.yaml"]
    assert store.read_milestone_record("first") == "title: first"
    assert [row["title"] for row in store.list_milestones()] == ["first"]


def test_a_path_that_somebody_put_into_the_index_leads_nowhere(store, active, tmp_path):
    (tmp_path / "secret.yaml").write_text("secret")
    store.storage().execute("UPDATE milestones SET file_path = '../secret.yaml'")
    assert store.read_milestone_record("first") == "title: first"
    (active / "first.yaml").unlink()
    with pytest.raises(Refused):
        store.read_milestone_record("first")
    assert store.search_milestones("secret") == []


def test_a_session_in_the_place_of_a_milestone_is_called_that(store, cli):
    store.register_agent("a-1", "validation", "ms-1", "execution-ms-1")
    assert cli("read-milestone-record", "execution-ms-1").err.endswith(": that is a session of milestone ms-1\n")
