"""Report and live page in a real browser: what they show, that they can be searched and used, and are safe."""
from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from browser import Browser
from conftest import ROOT

from examples.afternoon import CRASHES, SESSION, make_afternoon
from milestone_persist import open_store

pytestmark = pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
NASTY = ("</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
         "<svg onload=\"document.title='broken'\">\u202egnirts")
# The least contrast of text to what is behind it, of every element that holds text itself; below it those that miss it.
CONTRAST = """
const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function parse(colour) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return { light: 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255), a };
}
function behind(node) {
  for (let at = node; at; at = at.parentElement) {
    const found = parse(getComputedStyle(at).backgroundColor);
    if (found.a > 200) return found.light;
  }
}
const wrong = [];
let least = 99;
for (const node of document.querySelectorAll("body *")) {
  const holdsText = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  if (!holdsText || !node.checkVisibility() || node.closest("script, style, dialog, #tip")) continue;
  const style = getComputedStyle(node);
  const front = parse(node.closest("svg") ? style.fill : style.color).light, back = behind(node);
  const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
  least = Math.min(least, ratio);
  if (ratio < 4.5) wrong.push(`${node.tagName} ${node.className} ${node.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
}
return { least, wrong };
"""
UNNAMED = """
return [...document.querySelectorAll("button, input, select, a, progress, [tabindex], [role=img]")].filter((node) =>
  node.checkVisibility() && !(node.getAttribute("aria-label") || node.textContent.trim()
  || [...(node.labels ?? [])].some((label) => label.textContent.trim()))).map((node) => node.outerHTML.slice(0, 80));
"""


@pytest.fixture
def backend():
    return "hybrid"


@pytest.fixture(scope="module")
def browser(need):
    need("chromium")
    need("chromedriver")
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory):
    """The directory of a whole afternoon, and its page."""
    folder = tmp_path_factory.mktemp("afternoon")
    store, _ = make_afternoon(str(folder / "store"))
    store.report(SESSION, html=str(folder / "page.html"))
    yield folder
    store.close()


@pytest.fixture
def page(browser, afternoon):
    """The report of the afternoon, freshly opened in the browser; at the end it had nothing to complain about."""
    browser.errors()
    browser.open((afternoon / "page.html").as_uri())
    yield browser
    assert browser.errors() == []


def ask(afternoon, sql):
    store = open_store(afternoon / "store")
    try:
        return store.storage().execute(sql)
    finally:
        store.close()


def rows_of(page, name):
    """The rows of a table that are in the document, as lists of texts."""
    return page.run("return [...document.querySelectorAll(`#${arguments[0]} tr[aria-rowindex]`)].map((row) => "
                    "[...row.cells].map((cell) => cell.textContent))", name)


def search(page, text):
    page.run("const box = document.querySelector('#search'); box.value = arguments[0];"
             "box.dispatchEvent(new Event('input'))", text)


def test_the_page_shows_what_the_database_has(page, afternoon):
    [counts] = ask(afternoon, "SELECT (SELECT count(*) FROM agent_registry) AS agents, (SELECT count(*) FROM "
                   "agent_messages) AS messages, (SELECT count(*) FROM agent_checkpoints) AS checkpoints, "
                   f"(SELECT count(*) FROM events WHERE session_id = '{SESSION}') AS events")
    assert page.value("document.querySelectorAll('.lane').length") == counts["agents"]
    assert page.value("document.querySelectorAll('.message[data-id]').length") == counts["messages"]
    assert page.value("document.querySelectorAll('.marks .k-checkpoint').length") == counts["checkpoints"]
    assert page.value("document.querySelectorAll('.marks .k-crash').length") == len(CRASHES)
    shown = {name: page.value(f"document.querySelector('#{name} .count').textContent").replace(",", "")
             for name in ("messages", "events", "checkpoints")}
    assert shown == {name: str(counts[name]) for name in shown}
    for kind in ("span", "message", "mark", "phase"):  # and each is seen: it has a place and a size
        assert page.run("return [...document.querySelectorAll('.drawing .' + arguments[0])].map((node) => node."
                        "getBoundingClientRect()).every((box) => box.width + box.height > 0 && box.left >= 0)", kind)
    assert page.value("[...new Set([...document.querySelectorAll('thead th')].map((head) => getComputedStyle(head)."
                      "display))].join()") == "table-cell"  # none is drawn as one of its cells


def test_every_table_can_be_searched(page, afternoon):
    search(page, "PAYMENT retries task_assignment")
    found = ask(afternoon, "SELECT id FROM agent_messages WHERE payload LIKE '%payment%' AND payload LIKE '%retries%' "
                "AND message_type = 'task_assignment' ORDER BY id")
    assert found and [int(row[0]) for row in rows_of(page, "messages")] == [row["id"] for row in found]
    search(page, "agent_failed")
    assert [row[2] for row in rows_of(page, "events")] == ["agent_failed"] * 2
    assert page.value("document.querySelector('#events .count').textContent") == "2 of 2,998"
    search(page, "no such thing")
    assert rows_of(page, "events") == rows_of(page, "messages") == []


def test_tables_are_sorted_by_what_is_clicked(page):
    page.click("#messages thead th:nth-child(6) button")
    first = [int(row[5]) for row in rows_of(page, "messages")]
    assert first == sorted(first) and page.value(
        "document.querySelector('#messages th:nth-child(6)').getAttribute('aria-sort')") == "ascending"
    page.click("#messages thead th:nth-child(6) button")
    last = [int(row[5]) for row in rows_of(page, "messages")]
    assert last == sorted(last, reverse=True) and last[0] == 9
    page.click("#events thead th:nth-child(1) button")  # numbers as numbers
    page.click("#events thead th:nth-child(1) button")
    assert [int(row[0]) for row in rows_of(page, "events")][:2] == [3000, 2999]


def test_a_table_is_used_by_keys_and_shows_the_whole_of_a_row(page):
    page.run("document.querySelector('#events .box').focus()")
    page.press("DOWN", "DOWN", "END")
    assert page.value("document.querySelector('#events tr.current').cells[2].textContent") == "milestone_completed"
    page.press("UP", "ENTER")
    assert "session_completed" in page.wait_for("document.querySelector('#details[open]')?.textContent")
    page.press("ESCAPE")
    page.wait_for("!document.querySelector('#details[open]')")
    page.press("/")
    assert page.value("document.activeElement.id") == "search"


def test_only_the_rows_in_sight_are_in_the_document_wherever_one_scrolls(page):
    page.run("document.querySelector('#events').scrollIntoView({behavior: 'instant'})")
    for part in (0, 0.5, 1):
        page.run("const box = document.querySelector('#events .box'); box.scrollTop = box.scrollHeight * arguments[0]",
                 part)
        page.wait_for("new Promise((done) => requestAnimationFrame(() => done(true)))")
        shown = rows_of(page, "events")
        assert 10 < len(shown) < 80
        top = page.value("(() => { const box = document.querySelector('#events .box').getBoundingClientRect();"
                         "return document.elementFromPoint(box.left + 40, box.top + box.height / 2)"
                         ".closest('tr').rowIndex })()")
        assert top > 0
    assert shown[-1][2] == "milestone_completed"


def test_one_agent_can_be_chosen(page):
    page.click(".names button[data-agent='impl-ms-142-2']")
    assert all("impl-ms-142-2" in row[2:4] for row in rows_of(page, "messages"))
    assert {row[3] for row in rows_of(page, "events")} == {"impl-ms-142-2"}
    assert page.value("document.querySelectorAll('.lane.own').length") == 1
    page.press("ESCAPE")
    assert page.value("document.querySelector('#chosen').hidden") is True


def test_two_checkpoints_are_compared(page):
    page.click(".names button[data-agent='spec-ms-142-1']")
    assert [row[0] for row in page.run(
        "return [...document.querySelectorAll('#difference tbody tr')].map((row) => [row.cells[0].textContent])")]
    page.run("const before = document.querySelector('#before'); before.selectedIndex = 0;"
             "before.dispatchEvent(new Event('change'))")
    rows = page.run("return [...document.querySelectorAll('#difference tbody tr')].map((row) => "
                    "[...row.cells].map((cell) => cell.textContent))")
    kinds = {row[1]: row[0] for row in rows}
    assert kinds["spec-api"] == "added"
    page.run("const [one, other] = ['#before', '#after'].map((name) => document.querySelector(name));"
             "other.value = one.value; other.dispatchEvent(new Event('change'))")
    assert "the same" in page.value("document.querySelector('#difference').textContent")


def test_the_timeline_is_enlarged_and_tells_what_is_under_the_pointer(page):
    before = page.value("document.querySelector('.drawing').clientWidth")
    times = ("[...document.querySelectorAll('.axis g')].filter((node) => getComputedStyle(node).display !== 'none')"
             ".length")
    shown = page.value(times)
    page.press("+", "+")
    assert abs(page.value("document.querySelector('.drawing').clientWidth") - 4 * before) < 8
    assert page.value(times) > 2 * shown > 6
    page.press("0")
    assert page.value("document.querySelector('.drawing').clientWidth") == before
    page.run("document.querySelector('.marks .k-crash').dispatchEvent(new PointerEvent('pointermove', {bubbles: true, "
             "clientX: 50, clientY: 50}))")
    assert "failed: no heartbeat" in page.value("document.querySelector('#tip').textContent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_text_can_be_read_and_controls_have_names(page, scheme, width):
    page.command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    page.prefer(scheme)
    try:
        found = page.run(CONTRAST)
        assert found["wrong"] == [] and found["least"] < 21
        assert page.run(UNNAMED) == []
        assert page.value("document.documentElement.scrollWidth") <= width  # nothing but tables scrolls sideways
        backgrounds = page.value("getComputedStyle(document.documentElement).backgroundColor")
        assert (backgrounds == "rgb(250, 250, 248)") == (scheme == "light")
    finally:
        page.prefer("light")
        page.command("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)


def test_the_theme_can_be_chosen(page):
    page.click("#theme")
    page.click("#theme")
    assert page.value("getComputedStyle(document.documentElement).backgroundColor") == "rgb(20, 23, 26)"


def test_it_prints_all_rows_without_the_tools(page):
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.command("Emulation.setEmulatedMedia", media="print")
    assert len(rows_of(page, "messages")) == page.value("tables.messages.length")
    assert page.value("getComputedStyle(document.querySelector('.toolbar')).display") == "none"
    page.command("Emulation.setEmulatedMedia", media="")
    page.run("dispatchEvent(new Event('afterprint'))")
    page.prefer("light")


def test_what_is_stored_stays_text(browser, store, tmp_path):
    store.register_agent("a", "x-" + NASTY, "ms-1", "s")
    store.create_milestone_record("ms-1", "title: " + json.dumps(NASTY))
    store.update_agent_status("a", task=NASTY, error=NASTY)
    for number in range(2):
        store.send_agent_message("a", "a" + NASTY.rstrip("gnirts").rstrip("\u202e"), "x-" + NASTY, {NASTY: NASTY})
        store.save_agent_state("a", "key", NASTY + str(number))
        store.create_agent_checkpoint("a")
    store.log_milestone_event(NASTY, "ms-1", NASTY)
    path = tmp_path / "page.html"
    store.report("s", html=str(path))
    browser.errors()
    browser.open(path.as_uri())
    browser.run("document.querySelector('#messages tr[aria-rowindex]').click()")
    browser.wait_for("document.querySelector('#details[open]')")
    assert browser.errors() == []
    assert browser.value("document.title") == "s"
    assert browser.value("document.querySelectorAll('img, script:not(#data), iframe').length") == 1
    assert NASTY.partition("\u202e")[0] in browser.value("document.querySelector('#agents').textContent")
    assert "\u202e" not in browser.value("document.documentElement.textContent")


@pytest.fixture
def live(directory, environ, store):
    """The process that serves the live page, and its `url`."""
    for agent in ("a", "b"):
        store.register_agent(agent, "validation", "ms-1", "s")
    program = str(ROOT / "milestone_persist" / "__main__.py")
    served = subprocess.Popen([sys.executable, "-I", "-S", program, "--dir", str(directory), "dashboard"], env=environ,
                              stdout=subprocess.PIPE, text=True)
    served.url = served.stdout.readline().strip()
    yield served
    served.send_signal(signal.SIGINT)
    served.communicate(timeout=30)


def test_a_write_by_another_process_is_seen_within_a_second(browser, live, store, program):
    browser.errors()
    browser.open(live.url)
    browser.wait_for("document.body.dataset.updates >= 1")  # it is connected
    search(browser, "x-late")
    written = []
    for number in range(3):
        store.send_agent_message("a", "b", "x-late", {"number": number})  # this is not the server's process
        begin = time.monotonic()
        browser.wait_for(f"document.querySelectorAll('#messages tr[aria-rowindex]').length === {number + 1}")
        written.append(time.monotonic() - begin)
    assert min(written) < 1  # a busy machine may be slow for once
    assert browser.value("document.querySelectorAll('.message[data-id]').length") == 3
    assert browser.value("document.querySelector('#search').value") == "x-late"  # what was typed stays
    assert browser.value("document.querySelector('#live').textContent") == "live"
    assert browser.errors() == []


def test_when_the_server_has_gone_the_page_says_so_and_keeps_what_it_has(browser, live):
    browser.open(live.url)
    browser.wait_for("document.body.dataset.updates >= 1")
    live.send_signal(signal.SIGINT)
    live.wait(30)
    browser.wait_for("document.querySelector('#live').classList.contains('lost')")
    assert browser.value("document.querySelectorAll('.lane').length") == 2
    assert all("ERR_CONNECTION_REFUSED" in line or "ERR_INCOMPLETE" in line for line in browser.errors())


def test_ten_thousand_events_are_painted_soon_and_scroll(browser, tmp_path):
    """Counted, not timed: what is in the document stays small, whatever there is."""
    store, _ = make_afternoon(str(tmp_path / "store"), 100, events=27_500)
    store.report(SESSION, html=str(tmp_path / "page.html"))
    store.close()
    browser.errors()
    browser.open((tmp_path / "page.html").as_uri())
    assert browser.value("tables.events.length") > 10_000
    assert browser.value("document.querySelectorAll('*').length") < 4000
    search(browser, "commit_made")
    assert len(rows_of(browser, "events")) < 80
    assert browser.errors() == []
