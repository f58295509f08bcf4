"""Calls that do not fit an operation: one line that shows the right form, status 2, and nothing is changed."""
from __future__ import annotations

import os
import shlex

import pytest

from milestone_persist.base.vocabulary import words_for
from milestone_persist.cli.words import FREE, PATHS
from milestone_persist.registry import all_operations, find_operation

SURFACES = {"command": [], "shell": ["--from-shell"]}
OPERATIONS = [op for op in all_operations() if op.name != "complete" and not op.fails_open]  # the rest refuses nothing


@pytest.fixture
def backend():
    """Words are read before anything is opened: one will do."""
    return "hybrid"


@pytest.fixture
def scene(store):
    """A store in which something could be changed."""
    store.register_agent("a", "validation", "ms-1", "s-1")
    store.save_agent_state("a", "k", "v")
    store.create_milestone_record("ms-1", "title: one")
    return store


@pytest.fixture
def files(tmp_path):
    """What lies in the test's directory: every file's path and content, but for the store's own bookkeeping."""
    def files():
        return {path: os.path.getsize(path) for path in tmp_path.rglob("*")
                if path.is_file() and "coordination.db" not in path.name}

    return files


def call_words(op):
    """Words that fit what an operation requires, none of which is there."""
    words = {"int": "1", "float": "1", "bool": "true"}
    return [words.get(p.type, "word") for p in op.positionals]


@pytest.fixture
def refuse(scene, dump, files, tmp_path, monkeypatch):
    """Checks that a call of an operation was refused: refuse(cli(…), op). `made` calls, after which nothing differs."""
    class Refuse:
        made = 0

        def __call__(self, done, op):
            self.made += 1
            assert (done.status, done.out) == (2, b""), (op.name, done)
            assert done.err.startswith("milestone_persist: ") and done.err.count("\n") == 1, (op.name, done)

        def ends(self, at_least):
            """No less calls were made, and nothing was changed."""
            assert self.made >= at_least, f"{self.made} calls"
            assert (dump(), files()) == before

    monkeypatch.chdir(tmp_path)
    before = dump(), files()
    return Refuse()


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_too_many_words_are_refused_with_the_right_form(cli, refuse, surface):
    for op in OPERATIONS:
        if not (op.positionals and op.positionals[-1].repeated):
            for more in (["ms-1"], ["ms-1", "x"], ["--dir", "X"], ["-"], ["5", "--json"]):
                done = cli(*surface, op.command, *call_words(op), *more)
                refuse(done, op)
                assert op.name in done.err
    refuse.ends(at_least=350)


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_too_few_words_are_refused_with_the_right_form(cli, refuse, surface):
    for op in OPERATIONS:
        for count in range(op.required):
            done = cli(*surface, op.name, *call_words(op)[:count])
            refuse(done, op)
            assert f"{op.positionals[count].name.upper()} is missing" in done.err and op.name in done.err
    refuse.ends(at_least=60)


# What may be empty: free text, and a number or an id that may be left out, which is what "${5:-}" gives; a
# message to nobody by name goes to all.
MAY_BE_EMPTY = ("value", "text", "payload", "milestone", "to_agent")


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_an_empty_word_is_no_name_and_no_path(cli, refuse, surface):
    for op in OPERATIONS:
        for place, parameter in enumerate(op.positionals):
            if parameter.name in PATHS or parameter.required and parameter.name not in MAY_BE_EMPTY:
                words = fitting_words(op)
                words[place] = ""
                refuse(cli(*surface, op.name, *words[:max(op.required, place + 1)]), op)
    refuse.ends(at_least=60)


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_a_word_of_another_type_is_refused(cli, refuse, surface):
    wrong = {"int": ["soon", "1.5", "1e3", "0x1", "\u0661", "1_000", " 1", "9" * 30],
             "float": ["soon", "nan", "1,5", "inf", "1_0"],
             "bool": ["maybe", "2", "-"], "str": ["nonsense", "\udcff", "\0"]}
    no_json = {"payload": ["text", "", "[]", '"t"', '{"a":'], "details": ["text", "[]", '{"a": NaN}'],
               "capabilities": ["text", "{}", "[1]", '["a"']}
    for op in OPERATIONS:
        for place, parameter in enumerate(op.positionals):
            chosen = words_for(op.name, parameter.name) and parameter.name != "agent_type"  # others are stored as x-…
            tried = wrong[parameter.type][1 if parameter.type == "str" and not chosen else 0:]
            if parameter.name in PATHS:  # a file may be called so
                tried.remove("\udcff")
            for word in tried + no_json.get(parameter.name, []):
                words = fitting_words(op)
                words[place] = word
                refuse(cli(*surface, op.name, *words[:max(op.required, place + 1)]), op)
        for option in op.options:
            chosen = option.type in ("int", "float") or words_for(op.name, option.name)
            for word in wrong[option.type] if chosen else []:
                refuse(cli(*surface, op.name, *fitting_words(op)[:op.required], option.flag, word), op)
    refuse.ends(at_least=300)


def fitting_words(op):
    """Words that fit every argument of an operation, and with which it could be done."""
    given = {"agent_id": "a", "from_agent": "a", "to_agent": "a", "state_key": "k", "session_id": "s-1",
             "milestone_id": "ms-1", "payload": "{}", "details": "{}", "capabilities": "[]", "shell": "sh"}
    types = {"int": "5", "float": "5", "bool": "true"}
    return [given.get(p.name) or (words_for(op.name, p.name) or [types.get(p.type, "x")])[0] for p in op.positionals]


def test_unknown_options_are_no_arguments(cli, refuse):
    for op in OPERATIONS:
        for unknown in (["--no-such"], ["--no-such=1"], ["-x"], ["--dir", "X"], ["--version"]):
            refuse(cli(op.command, *call_words(op), *unknown), op)
            if not any(p.name in FREE for p in op.positionals):
                refuse(cli("--from-shell", op.name, *call_words(op)[:op.required], *unknown), op)
        for option in op.options:
            if option.type != "bool":
                refuse(cli(op.command, *call_words(op), option.flag), op)
            if option.type in ("bool", "int", "float"):
                refuse(cli(op.command, *call_words(op), f"{option.flag}=soon"), op)
    refuse.ends(at_least=700)


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_an_option_of_another_operation_is_refused(cli, refuse, surface):
    flags = {option.flag for op in OPERATIONS for option in op.options}
    for op in OPERATIONS:
        free = surface and any(p.name in FREE for p in op.positionals)  # which takes such a word as it comes
        for flag in sorted(flags - {option.flag for option in op.options}) if not free else []:
            refuse(cli(*surface, op.name, *call_words(op)[:op.required], flag), op)
            refuse(cli(*surface, op.name, *call_words(op)[:op.required], flag + "=1"), op)
        for option in op.options:  # those of an operation stand behind its name
            refuse(cli(*surface, option.flag, op.name, *call_words(op)[:op.required]), op)
    refuse.ends(at_least=4000)


IN_SHELLS = {
    "a word too few": ["save_agent_state a k", "send_agent_message a b x-t", "create_milestone_record ms-2"],
    "a word too many": ["initialize_agent_coordination ms-1", "save_agent_state a k v progress 60 more",
                        "detect_interrupted_sessions ms-1"],
    "an unknown option": ["list_agent_state a --no-such", "get_agent_messages a true --take"],
    "an option that does not belong": ["list_agent_state a --wait 5", "register_agent b --new ms-1 s-1",
                                       "export_coordination --remove"],
    "an empty word": ["load_agent_state '' k", "save_agent_state a '' v", "backup_coordination ''"],
    "a word of another type": ["save_agent_state a k v progress soon", "get_agent_messages a maybe",
                               "send_agent_message a b x-t '[]'", "update_session_progress s-1 much",
                               "update_agent_status a finnished"],
}


@pytest.mark.parametrize("sh", ["bash", "zsh", "dash"], indirect=True)
def test_the_functions_of_a_shell_refuse_the_same_19_calls(sh, refuse, directory):
    calls = [shlex.split(call) for some in IN_SHELLS.values() for call in some]
    lines = [f"code=0\n{shlex.join(call)} >out 2>err || code=$?\n"
             'echo "$code" "$(wc -c <out)" "$(wc -l <err)"; cat err' for call in calls]
    done = sh("\n".join([*lines, "rm out err"]), MILESTONE_DIR=str(directory))
    told = done.text.splitlines()
    assert done.status == 0 and len(calls) == 19 and len(told) == 38, done
    for call, counts, line in zip(calls, told[::2], told[1::2]):
        assert (counts.split(), line.startswith("milestone_persist: ")) == (["2", "0", "1"], True), (call, counts, line)
    refuse.ends(at_least=0)


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
@pytest.mark.parametrize("words", [
    ["export_coordination", "--force"], ["backup_coordination", "--dry-run"], ["vendor", "--chek"],
    ["install", "--force"], ["import_coordination", "--force", "f"], ["restore_coordination", "--force"],
    ["import_tmp_files", "--all"],
    ["create_agent_checkpoint", "a", "manual", "--all"], ["generate", "--force"], ["uninstall", "--force"],
    ["backup_coordination", "-"], ["vendor", "-"], ["install", "-"], ["restore_coordination", "-"],
    ["create_agent_checkpoint", "a", "manual", "-"], ["register_agent", "b", "--force", "ms-1", "s-1"],
    ["migrate_storage_backend", "--force"], ["list_milestones", "--all"], ["get_agent_messages", "a", "--take"],
])
def test_what_looks_like_an_option_names_no_file_and_no_word(scene, cli, dump, files, tmp_path, monkeypatch, surface,
                                                             words):
    monkeypatch.chdir(tmp_path)
    before = dump(), files()
    done = cli(*surface, *words)
    assert (done.status, done.out) == (2, b"") and words[0] in done.err and done.err.count("\n") == 1
    assert (dump(), files()) == before


def test_options_may_stand_before_a_path(scene, cli, tmp_path):
    assert cli("--from-shell", "export_coordination", tmp_path / "e.jsonl").status == 0
    assert cli("--from-shell", "import_coordination", "--replace", tmp_path / "e.jsonl").status == 0


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_an_export_to_standard_output_is_what_its_file_would_be(scene, cli, tmp_path, monkeypatch, surface):
    monkeypatch.chdir(tmp_path)
    cli("export_coordination", "e.jsonl")
    done = cli(*surface, "export_coordination", "-")
    assert (done.status, done.err) == (0, "") and done.out == (tmp_path / "e.jsonl").read_bytes()
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("words, said", [
    (["load_agent_state", "a", "none", "--no-such"], "--no-such"), (["load_agent_state", "a", "none", "-x"], "-x"),
    (["log_milestone_event", "e", "ms-1", "--detail"], ""), (["save_agent_state", "--x", "--y", "--z"], ""),
    (["load_agent_state", "a", "none", "--help"], "--help"),
])
def test_values_from_the_shell_functions_come_through(scene, cli, words, said):
    done = cli("--from-shell", *words)
    assert (done.status, done.text, done.err) == (0, said, "")


@pytest.mark.parametrize("words, said", [
    ("get-agent-messages a --take", "unknown option --take: TAKE is given without a name, in its place: get_agent_"),
    ("load-agent-state a k --default x", "unknown option --default: DEFAULT is given without a name"),
    ("save-agent-state a k v --ttl 60", "unknown option --ttl: TTL_SECONDS is given without a name"),
    ("list-agent-messages --to a", "unknown option --to: list_agent_messages AGENT_ID"),
    ("list-agent-messages --agent a", "unknown option --agent: AGENT_ID is given without a name"),
    ("register-agent AGENT_ID AGENT_TYPE MILESTONE_ID SESSION_ID", "AGENT_ID is 'AGENT_ID', which only stands for it"),
    ("register-agent <agent-id> validation ms-1 s-1", "AGENT_ID is '<agent-id>', which only stands for it"),
    ("register-agent <your-agent-id> validation ms-1 s-1", "AGENT_ID is '<your-agent-id>', which only stands for it"),
    ("register-agent ${AGENT_ID} validation ms-1 s-1", "AGENT_ID is '${AGENT_ID}', which only stands for it"),
    ("register-agent b validation ms-1 $SESSION_ID", "SESSION_ID is '$SESSION_ID', which only stands for it"),
    ("register-agent agent_id=b validation ms-1 s-1", "AGENT_ID is 'agent_id=b': give the value alone"),
    ("load-agent-state a --state-key=k", "unknown option --state-key: STATE_KEY is given without a name, in its place"),
    ("load-agent-state --agent-id k", "unknown option --agent-id: AGENT_ID is given without a name, in its place"),
    ("load-agent-state a k --default=x", "unknown option --default: DEFAULT is given without a name, in its place"),
    ("save-agent-state a --key=k v", "unknown option --key: STATE_KEY is given without a name, in its place"),
    ("save-agent-state a --value v", "unknown option --value: VALUE is given without a name, in its place"),
    ("send-agent-message --from=a b error_report {}", "unknown option --from: FROM_AGENT is given without a name"),
    ("send-agent-message a --to=b error_report {}", "unknown option --to: TO_AGENT is given without a name"),
    ("register-agent --id b --type x-t", "unknown option --id: AGENT_ID is given without a name, in its place"),
    ("get-agent-messages --agent a", "unknown option --agent: AGENT_ID is given without a name, in its place"),
    ("get-session-status --session=s-1", "unknown option --session: SESSION_ID is given without a name"),
    ("agent-heartbeat --agent a", "unknown option --agent: AGENT_ID is given without a name, in its place"),
    ("send-agent-message a b error_report {a: 1}", "not '1}'; JSON belongs in single quotes, '{"),
    ("send-agent-message a b error_report {a: 1, b: 2}", "from 'b:' on; JSON belongs in single quotes, "),
    ("broadcast-agent-message a s-1 error_report {}", "PRIORITY must be a whole number, not '{}': broadcast_agent_"),
    ("update-session-progress s-1 spec 40", "PERCENT must be a number, not 'spec': update_session_progress SESSION_ID"),
    ("save-agent-state a k", "VALUE is missing (- reads it from standard input): save_agent_state AGENT_ID")])
def test_what_is_named_or_only_stands_for_a_value_is_refused(scene, cli, refuse, words, said):
    """A model that has seen the names of parameters writes them; following the line does what was meant."""
    done = cli("--from-shell", *words.split())
    refuse(done, find_operation(words.split()[0].replace("-", "_")))
    assert said in done.err
    refuse.ends(1)


@pytest.mark.parametrize("name, words", [
    ("null", "register-agent null validation ms-1 s-1"), ("None", "register-agent b validation None s-1"),
    ("undefined", "register-agent b validation ms-1 undefined"), ("null", "send-agent-message null a error_report {}"),
    ("null", "send-agent-message a null error_report {}"), ("None", "get-agent-messages None true"),
    ("undefined", "save-agent-state undefined k v"), ("null", "save-agent-state a null v"),
    ("null", "get-session-status null")])
def test_what_programs_print_for_none_names_nothing(scene, cli, refuse, name, words):
    """`send_agent_message "$(jq -r .from)" …` where there is no `from`: a message to nobody is not sent."""
    done = cli("--from-shell", *words.split())
    refuse(done, find_operation(words.split()[0].replace("-", "_")))
    assert f" is {name!r}, which is what programs print for none: give the name itself" in done.err


def test_a_value_with_its_own_name_is_kept_and_told_of(scene, cli):
    """A value is kept byte for byte, whatever it looks like."""
    done = cli("--from-shell", "save-agent-state", "a", "k", "--value=x")
    assert (done.status, done.err) == (0, "milestone_persist: warning: VALUE begins with '--value=', which is saved "
                                          "with it: give the value alone, in its place\n")
    assert cli("load-agent-state", "a", "k").text == "--value=x"


def test_a_value_that_holds_the_name_of_its_place_is_one(scene, cli):
    assert cli("save-agent-state", "my-agent_id", "state_key-2", "value=1").status == 0
    assert cli("load-agent-state", "my-agent_id", "state_key-2").text == "value=1"


def test_help_on_help_is_help(cli):
    assert cli("help", "help").text == cli("--help").text


@pytest.mark.parametrize("words", [["update_agent_status", "completed"], ["agent_heartbeat", "healthy"]])
def test_an_id_that_was_left_out_is_in_the_right_form_where_it_is_known(cli, scene, words):
    done = cli("--from-shell", *words, AGENT_ID="a")
    assert done.status == 2 and done.err.endswith(f"AGENT_ID is missing: {words[0]} a {words[1]}\n")
    assert cli("--from-shell", *done.err.split(": ")[-1].split()).status == 0
