"""The sample afternoon: what it holds, that a seed makes it again, and that one under way can be looked at."""
from __future__ import annotations

import pytest

from examples.afternoon import AGENTS, SESSION, make_afternoon

COUNTED = ("events", "agent_registry", "agent_messages", "agent_health_log", "agent_state", "agent_checkpoints")
TOLD = "SELECT timestamp, event, agent_id, CASE WHEN event <> 'checkpoint_created' THEN detail END AS told FROM events"


@pytest.fixture
def make(tmp_path):
    """Makes afternoons, each in a directory of its own."""
    made = []

    def make(*args, **options):
        made.append(make_afternoon(str(tmp_path / str(len(made))), *args, **options)[0])
        return made[-1]

    yield make
    for store in made:
        store.close()


def count(store):
    return {table: store.storage().execute(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in COUNTED}


def test_the_afternoon_has_what_it_promises(make):
    store = make()
    counts, told = count(store), store.storage().execute("SELECT event FROM events")
    assert (counts["events"], counts["agent_registry"]) == (3000, len(AGENTS)) == (3000, 12)
    assert min(counts.values()) > 11 and counts["agent_messages"] > 200
    failed = [row for row in told if row["event"] == "agent_failed"]
    assert len(failed) == 2 and {"event": "agent_revived"} in told
    view = store.get_session_status(SESSION)
    assert (view["status"], view["progress"], view["messages"]["dead"], view["messages"]["pending"]) == (
        "completed", 100, 0, 0)
    assert [found for found in store.doctor() if found["severity"] == "error"] == []


def test_the_same_seed_makes_the_same_afternoon(make):
    one, other, third = make(40, seed=1, events=900), make(40, seed=1, events=900), make(40, seed=2, events=900)
    told = [store.storage().execute(TOLD) for store in (one, other, third)]
    assert count(one) == count(other)
    assert told[0] == told[1] != told[2]


def test_one_under_way_has_an_agent_that_died_and_holds_a_task(make):
    store = make(203)
    view = store.recover_milestone_session(SESSION)
    assert [row["to_agent"] for row in view["taken"] if row["to_agent"] == "impl-ms-142-2"]
    assert [row["agent_id"] for row in view["quiet"]["longest"]][:1] == ["impl-ms-142-2"]
