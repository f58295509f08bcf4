"""The page of a session: it shows what the database has, needs nothing else, and nothing in the data becomes markup."""
from __future__ import annotations

import html.parser
import json
import re

import pytest

from examples.afternoon import AGENTS, CRASHES, SESSION, make_afternoon
from milestone_persist import UsageError
from milestone_persist.view.lanes import make_lanes
from milestone_persist.view.page import make_page, make_tables, policy
from milestone_persist.view.reading import MOST, read_session

pytestmark = pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
NASTY = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"' onload=alert(1) x='",
         "<!--<script>", "</script x", "</SCRIPT/", "]]>", "&lt;b&gt;", "\u202egnirts", "\u2066x", "{{7*7}}",
         "javascript:alert(1)"]


@pytest.fixture
def backend(request):
    """What a page shows does not depend on it."""
    return getattr(request, "param", "hybrid")


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory):
    """The store of a whole afternoon, which no test changes."""
    store, _ = make_afternoon(str(tmp_path_factory.mktemp("afternoon") / "store"))
    yield store
    store.close()


class Reader(html.parser.HTMLParser):
    """Every element of a page with its attributes, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = tag == "script"

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.inside:
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self.inside = False

    def having(self, word):
        return [attributes for _, attributes in self.elements if word in (attributes.get("class") or "").split()]


def page_of(store, session=SESSION):
    return make_page(read_session(store.storage(), session))


@pytest.mark.parametrize("detail", ["1.2.3 %", ". %", "... % testing", "9" * 400 + " %", "1_0 %", "\u0663 %"])
def test_progress_that_somebody_else_has_written_is_no_error(store, detail):
    store.register_agent("a", "validation", "ms-1", "s-1")
    storage = store.storage()
    with storage.transaction():
        storage.execute("UPDATE events SET event = 'session_progress', detail = :detail "
                        "WHERE event = 'session_created'", {"detail": detail})
    assert Reader(page_of(store, "s-1")).having("lane")


def count(store, what):
    return store.storage().execute(f"SELECT count(*) AS n FROM {what}")[0]["n"]


def test_the_timeline_has_what_the_database_has(afternoon):
    page = Reader(page_of(afternoon))
    assert len(page.having("lane")) == count(afternoon, "agent_registry") == len(AGENTS)
    drawn = {int(attributes["data-id"]) for attributes in page.having("message") if "data-id" in attributes}
    assert drawn == {row["id"] for row in afternoon.storage().execute("SELECT id FROM agent_messages")}
    for kind, what in (("checkpoint", "agent_checkpoints"), ("crash", "events WHERE event = 'agent_failed'"),
                       ("recovery", "events WHERE event = 'agent_revived'"),
                       ("requeue", "events WHERE event = 'messages_returned'")):
        assert len([mark for mark in page.having(f"k-{kind}") if "data-agent" in mark]) == count(afternoon, what)
    ticks = {name: sum(path["d"].count("M") for path in page.having(name) if "v3" in path["d"] and len(path["d"]) > 60)
             for name in ("beats", "events")}
    assert ticks == {"beats": count(afternoon, "agent_health_log"),
                     "events": count(afternoon, f"events WHERE session_id = '{SESSION}' AND agent_id IS NOT NULL")}
    [progress] = page.having("progress")
    assert int(progress["data-steps"]) == count(afternoon, "events WHERE event = 'session_progress'") + 1
    assert len(page.having("phase")) == 4


def test_the_tables_have_every_row(afternoon):
    tables = make_tables(read_session(afternoon.storage(), SESSION))
    assert len(tables["messages"]) == count(afternoon, "agent_messages")
    assert len(tables["events"]) == count(afternoon, f"events WHERE session_id = '{SESSION}'")
    assert len(tables["state"]) == count(afternoon, "agent_state")
    assert len(tables["checkpoints"]) == count(afternoon, "agent_checkpoints")
    held = [tables["values"][value] for point in tables["checkpoints"] for _, _, value in point[4]]
    assert held and set(held) == set(tables["values"])


def test_an_agent_that_died_is_silent_from_then_until_it_was_noticed(afternoon):
    lanes = {lane.agent["agent_id"]: lane for lane in make_lanes(read_session(afternoon.storage(), SESSION))}
    for agent, (_, back) in CRASHES.items():
        spans = [span.status for span in lanes[agent].spans]
        assert spans == (["active", "silent", "active"] if back else ["active", "silent"])
        [crash] = [mark for mark in lanes[agent].marks if mark.kind == "crash"]
        assert crash.at == lanes[agent].spans[0].end == lanes[agent].spans[1].begin


def test_one_that_is_silent_now_is_shown_so_and_one_paused_too(store, clock):
    for agent in ("dead", "idle", "busy"):
        store.register_agent(agent, "validation", "ms-1", "s")
    clock.advance(60)
    store.update_agent_status("idle", "paused")
    clock.advance(600)
    store.agent_heartbeat("busy")
    spans = {lane.agent["agent_id"]: [span.status for span in lane.spans]
             for lane in make_lanes(read_session(store.storage(), "s"))}
    assert spans == {"dead": ["silent"], "idle": ["active", "paused"], "busy": ["active"]}


def test_the_page_asks_for_nothing_and_runs_only_what_is_its_own(afternoon):
    text = page_of(afternoon)
    page = Reader(text)
    loading = [(tag, name, value) for tag, attributes in page.elements for name, value in attributes.items()
               if name in ("src", "srcset", "data", "action", "style") or name.startswith("on")
               or name == "href" and not value.startswith("#")]
    assert loading == []
    assert [tag for tag, _ in page.elements if tag in ("link", "iframe", "object", "embed", "base", "img")] == []
    assert not re.search(r"url\((?!#head)|@import|https?://", text.replace("http://www.w3.org", ""))
    [meta] = [attributes for tag, attributes in page.elements if attributes.get("http-equiv")]
    assert meta["content"] == policy(False)
    assert "default-src 'none'" in policy(False) and "unsafe" not in policy(False) + policy(True)
    assert "connect-src 'none'" in policy(False) and "connect-src 'self'" in policy(True)


@pytest.mark.parametrize("text", NASTY)
def test_nothing_stored_becomes_markup(store, text):
    session = "execution-" + text if text.isprintable() else "execution-1"
    agent = "a" + text if text.isprintable() else "a"  # what stands in angle brackets is no id
    store.register_agent(agent, "validation", "ms-1", session)
    store.register_agent("b", "x-" + text, "ms-1", session)
    before = Reader(page_of(store, session))
    store.create_milestone_record("ms-1", "title: " + json.dumps(text))
    store.update_agent_status(agent, task=text, error=text)
    store.update_agent_status("b", "failed", error=text)
    store.send_agent_message(agent, "c" + text if text.isprintable() else "c", "x-" + text, {text: text})
    store.send_agent_message(agent, "b", "task_assignment", {text: text})
    store.save_agent_state(agent, "key", text)
    store.create_agent_checkpoint(agent)
    store.environ = store.storage().environ = {**store.environ, "SESSION_ID": session, "AGENT_ID": agent}
    store.log_milestone_event("event " + text, "ms-1", text)
    after = Reader(page_of(store, session))
    tags = {tag for tag, _ in before.elements} | {"rect", "line", "svg", "use", "circle", "section", "ul", "li", "code"}
    assert {tag for tag, _ in after.elements} <= tags
    assert not [name for _, attributes in after.elements for name in attributes if name.startswith("on")]
    data, script = after.scripts
    assert script == before.scripts[1]
    assert not set("<>&") & set(data)  # browsers end a script in more ways than this reader does
    assert [row[4] for row in json.loads(data)["events"]][-1].replace("\\u", "") == text.translate(
        {0x202e: "202e", 0x2066: "2066"})
    assert "\u202e" not in page_of(store, session) and "\u2066" not in page_of(store, session)


def test_long_values_are_cut_and_the_page_says_so(store):
    store.register_agent("a", "validation", "ms-1", "s")
    store.save_agent_state("a", "k", "x" * 1_000_000)
    text = page_of(store, "s")
    assert len(text) < 100_000 and "(996000 more characters)" in text


def test_checkpoints_that_hold_too_much_or_nothing_that_can_be_read_are_only_marked(store):
    store.register_agent("a", "validation", "ms-1", "s")
    store.save_agent_state("a", "k", "x" * 2_000_000)
    store.create_agent_checkpoint("a")
    store.delete_agent_state("a", "k")
    for broken in (True, False):
        made = store.create_agent_checkpoint("a")
        if broken:
            with store.storage().transaction():
                store.storage().execute("UPDATE agent_checkpoints SET state_snapshot = '{}' WHERE checkpoint_id = :id",
                                        {"id": made["checkpoint_id"]})
    data = read_session(store.storage(), "s")
    assert [row[0] for row in make_tables(data)["checkpoints"]] == [made["checkpoint_id"]]
    page = make_page(data)
    assert len([mark for mark in Reader(page).having("k-checkpoint") if "data-agent" in mark]) == 3
    assert len(page) < 100_000


@pytest.mark.parametrize("backend", ["file", "database", "postgresql"], indirect=True)
def test_a_page_is_read_from_each_backend(store):
    store.register_agent("a", "validation", "ms-1", "s")
    store.send_agent_message("a", "b", "x-note", {"text": "x" * 9000})
    store.agent_heartbeat("a", "healthy")
    store.save_agent_state("a", "k", "v")
    store.create_agent_checkpoint("a")
    tables = make_tables(read_session(store.storage(), "s"))
    assert [row[4] for row in tables["messages"]] == ["x-note"] and "more characters" in tables["messages"][0][7]
    assert [point[4] for point in tables["checkpoints"]] == [[["k", 1, 0]]] and tables["values"] == ["v"]
    assert len(page_of(store, "s")) > 10_000


def test_a_session_without_anything_has_a_page(store):
    store.register_agent("a", "validation", "ms-1", "s")
    assert "<h1><bdi>s</bdi></h1>" in page_of(store, "s")


def test_many_agents_have_low_lanes(store):
    for number in range(40):
        store.register_agent(f"a-{number}", "validation", "ms-1", "s")
    page = Reader(page_of(store, "s"))
    assert page.having("low") and len(page.having("lane")) == 40


def test_of_very_many_rows_the_latest_are_shown_and_the_whole_story_of_the_agents(afternoon, monkeypatch):
    for name, most in (("events", 100), ("messages", 50), ("checkpoints", 20), ("heartbeats", 30)):
        monkeypatch.setitem(MOST, name, most)
    data = read_session(afternoon.storage(), SESSION)
    assert data["totals"]["events"] == count(afternoon, f"events WHERE session_id = '{SESSION}'")
    assert data["totals"]["messages"] == count(afternoon, "agent_messages")
    tables = make_tables(data)
    assert [row[0] for row in tables["messages"]] == [row["id"] for row in afternoon.storage().execute(
        "SELECT id FROM agent_messages ORDER BY id DESC LIMIT 50")][::-1]
    assert len(tables["checkpoints"]) == 20
    assert [row[0] for row in tables["events"]] == sorted(row[0] for row in tables["events"])
    page = Reader(make_page(data))
    assert [len([mark for mark in page.having(f"k-{kind}") if "data-agent" in mark])
            for kind in ("crash", "recovery", "requeue")] == [2, 1, 2]
    assert len(page.having("s-silent")) == 2 + 1  # and one in the legend


@pytest.mark.parametrize("events", [10_000])
def test_ten_thousand_events_stay_small(tmp_path, events):
    store, _ = make_afternoon(str(tmp_path / "store"), 100, events=round(events * 2.75))
    text = page_of(store)
    rows = count(store, "events")
    store.close()
    assert rows >= events
    assert len(text) < 150 * rows


def test_the_report_is_written_where_it_is_wanted(store, cli, tmp_path, directory):
    store.register_agent("a", "validation", "ms-1", "s 1")
    target = tmp_path / "page.html"
    assert cli("report", "s 1", "--html", target).text == f"{target}\n"
    assert target.read_text().startswith("<!doctype html>")
    assert cli("report", "s 1", "--html", target).status == 0  # once more takes its place
    assert cli("report", "s 1").text == f"{directory}/reports/s%201.html\n"
    assert cli("report", "none", "--html", target).status == 1


def test_a_report_takes_the_place_of_no_other_file(store, tmp_path, directory):
    store.register_agent("a", "validation", "ms-1", "s")
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    with pytest.raises(UsageError, match="name another file"):
        store.report("s", html=str(other))
    assert other.read_text() == "mine"
    for bad, why in ((directory / "coordination.db", "cannot|name another"), (tmp_path, "is a folder: name a file"),
                     (tmp_path / "no" / "page.html", "there is no folder .*; make it first"), ("-", "cannot be -")):
        with pytest.raises(Exception, match=why):
            store.report("s", html=str(bad))
    assert not (tmp_path / "no").exists()


def test_the_markdown_report_links_to_the_page(store, directory):
    store.register_agent("a", "validation", "ms-1", "s 1")
    path = store.generate_milestone_report("s 1")
    with open(path, encoding="utf-8") as file:
        link = re.search(r"\]\(([^)]+)\)", file.read())
    assert link and (directory / "reports" / "s%201.html").exists()
    assert link[1] == "s%25201.html"  # as a link spells that name
