"""What is suggested for a word that there is not: never what would do harm if somebody follows it."""
from __future__ import annotations

import pytest

from milestone_persist.base import vocabulary
from milestone_persist.base.suggestions import OTHER_NAMES, SYNONYMS, count_slips, suggest_names, suggest_word
from milestone_persist.base.vocabulary import (
    AGENT_STATUSES,
    AGENT_TYPES,
    CHECKPOINT_TYPES,
    HEALTH_STATUSES,
    MESSAGE_TYPES,
    PHASES,
    SESSION_STATUSES,
    STATE_TYPES,
)
from milestone_persist.registry import all_operations

NAMES = tuple(op.name for op in all_operations())

# Words that agents use for where they stand, by what they mean.
MEANT = {
    "completed": """finished done complete completes completing succeeded success successful succeed finish finishing
        passed pass accomplished achieved delivered merged shipped resolved solved fulfilled wrapped_up concluded
        approved accepted verified validated closed Completed COMPLETED complted compelted completd completted""",
    "failed": """error errored errors erroring crashed crash broken failure failing fail fails faulty faulted rejected
        timeout timed_out timedout unsuccessful exception panicked FAILED faild failled fialed lost""",
    "paused": """idle waiting wait blocked suspended hold on_hold held sleeping asleep stuck stalled halted queued
        deferred postponed pausing pause pased pasued Paused interrupted dormant parked throttled""",
    "active": """started starting start running run runing working work busy in_progress in-progress inprogress
        ongoing processing executing alive online resumed live activ actve atcive Active ACTIVE engaged operating""",
    "terminated": """cancelled canceled cancel killed kill stopped stop aborted abort quit exited exit terminate
        terminating termintaed terminatd shutdown shut_down ended dead dropped removed revoked gone discarded""",
    "spawning": "spawn spawned launching launched initializing booting created new spwaning registered",
    "nothing that is known": """inactive incomplete incompleted uncompleted unfinished unstarted not_started
        not-completed notcompleted notfailed not_failed never_started unpaused unblocked unsuspended deactivated
        activated reactive proactive archive archived unterminated undone unfailed infailed pending todo ready planned
        scheduled reopened unknown none null 0 1 true false x ? - a ab review reviewing partial partly_done skipped
        retrying retry stale expired orphaned zombie recovering recovered healthy unhealthy degraded sealed sailed
        nailed hailed phased posed passive native captive germinated determined dawning""",
}
ENDS_OF_SESSIONS = {**MEANT, "abandoned": MEANT["terminated"] + " abandon abandonned abandonded", "terminated": "",
                    "spawning": "", "active": MEANT["active"] + " open"}


@pytest.mark.parametrize("known, meant", [(AGENT_STATUSES, MEANT), (SESSION_STATUSES, ENDS_OF_SESSIONS)],
                         ids=["agents", "sessions"])
def test_a_status_is_never_taken_for_another(known, meant):
    for status, words in meant.items():
        for word in words.split():
            assert suggest_word(word, known) in ("", status), word


SURE = [
    (AGENT_STATUSES, {"completed": "finished done complete succeeded success complted",
                      "paused": "idle waiting blocked", "failed": "error errored crashed broken",
                      "terminated": "cancelled canceled killed stopped aborted",
                      "active": "started running working busy in_progress In-Progress actve"}),
    (SESSION_STATUSES, {"completed": "done finished", "abandoned": "cancelled canceled aborted dropped"}),
    (MESSAGE_TYPES, {"task_assignment": "task task_asignment task-assignment", "progress_update": "progress update",
                     "error_report": "error error_reprt", "completion_notification": "done completed"}),
    (PHASES, {"execute": "implementation implement execution exectue", "spec": "specification", "task": "tasks"}),
    (STATE_TYPES, {"user_data": "userdata user", "temp_data": "temp tmp"}),
    (CHECKPOINT_TYPES, {"automatic": "auto", "error_recovery": "error", "phase_completion": "phase_complete"}),
    (HEALTH_STATUSES, {"healthy": "ok good", "failing": "error", "unresponsive": "dead"}),
    (AGENT_TYPES, {"milestone-coordinator": "coordinator", "milestone-executor": "executor",
                   "milestone-planner": "planner", "scope-analyzer": "scope-analyser scope_analyzer",
                   "validation": "validator"}),
]


@pytest.mark.parametrize("known, meant", SURE, ids=lambda value: value[0] if isinstance(value, tuple) else "")
def test_what_is_meant_is_said(known, meant):
    for name, words in meant.items():
        for word in words.split():
            assert suggest_word(word, known) == name, word


@pytest.mark.parametrize("word", ["incomplete", "unhealthy", "disabled", "nothing", "undesign", "x" * 100_000])
def test_else_the_words_are_listed(word):
    for known in SYNONYMS:
        assert suggest_word(word, known) == ""


def test_synonyms_are_of_vocabularies_and_of_one_word_each():
    for known, table in SYNONYMS.items():
        words = [word for text in table.values() for word in text.split()]
        assert known in vars(vocabulary).values() and set(table) <= set(known)
        assert len(words) == len(set(words)) and not {*words} & {*known}


@pytest.mark.parametrize("name, offered", [
    ("send", ["send_agent_message", "send_many"]), ("send-message", ["send_agent_message"]),
    ("lod_agent_state", ["load_agent_state"]), ("save-agent-stat", ["save_agent_state"]),
    ("register", ["register_agent"]),
    ("lock", ["acquire_milestone_lock", "release_milestone_lock"]), ("unlock", []), ("remove", []), ("x", []), ("", []),
    ("--", []), ("unregister_agent", []), ("stort_session_monitor", []),
])
def test_operations_are_found_by_the_words_of_their_names(name, offered):
    assert [found for found in suggest_names(name, NAMES) if found != "list_milestone_locks"] == offered


def test_other_names_are_of_one_operation_each_and_no_operation_s():
    words = [word for text in OTHER_NAMES.values() for word in text.split()]
    assert set(OTHER_NAMES) <= set(NAMES) and len(words) == len(set(words)) and not {*words} & {*NAMES}
    for name, text in OTHER_NAMES.items():
        assert all(suggest_names(word, NAMES) == [name] == suggest_names(word.replace("_", "-"), NAMES)
                   for word in text.split())


def test_no_operation_is_offered_that_does_something_else(cli):
    assert all(name.startswith("list_") for name in suggest_names("list", NAMES)) and suggest_names("list", NAMES)
    for verb in ("add", "remove", "purge", "kill", "start_over", "reset", "undo", "ls", "run", "ack", "close", "finish",
                 "unlock", "reinstall", "drop", "wipe", "inspect", "publish", "subscribe", "fetch", "heartbet"):
        done = cli(verb)
        offered = [name for name in NAMES if f" {name}?" in done.err or f" {name}," in done.err]
        assert done.status == 2 and done.err.count("\n") == 1
        assert all({*verb.split("_")} & {*name.split("_")} or name.startswith(verb[:3]) for name in offered), offered


@pytest.mark.parametrize("words, says", [
    (["list"], "one of list_session_agents, "), (["send"], "one of send_agent_message or send_many?"),
    (["zzz"], ": see python3 -m milestone_persist --help\n"),
    (["update-agent-status", "a", "finished"], "did you mean completed?"),
    (["update-agent-status", "a", "idle"], "did you mean paused?"),
    (["update-agent-status", "a", "inactive"], "use one of: spawning, active"),
    (["list-coordination-sessions", "done"], "did you mean completed?"),
    (["set-storage-config", "timeout", "5"], "did you mean session_timeout?"),
    (["vendor", "--chek"], " vendor [DIRECTORY] [--check]"),
])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_suggestion_is_in_the_line(store, cli, words, says):
    store.register_agent("a", "validation", "ms-1", "s-1")
    done = cli(*words)
    assert (done.status, done.out) == (2, b"") and says in done.err


@pytest.mark.parametrize("word, other, slips", [("", "abc", 3), ("execute", "execute", 0), ("exectue", "execute", 1),
                                                ("kitten", "sitting", 3), ("ab", "ba", 1)])
def test_slips_are_counted(word, other, slips):
    assert count_slips(word, other) == count_slips(other, word) == slips
