"""Values, payloads and ids go through the shell functions byte for byte, or are refused with one line."""
from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from conftest import SHELLS, share, size

from milestone_persist.base.values import has_controls

NASTY = {
    "empty": "", "single quote": "it's", "double quotes": '"quoted"', "both": "'\"'\"",
    "substitution": "$(touch pwned)",
    "backticks": "`touch pwned`", "variable": "$HOME ${HOME} $$ !!", "newline before": "\nx", "newline after": "x\n\n",
    "only newlines": "\n\n\n", "carriage return": "a\r\nb\r", "tabs": "\ta\tb\t", "spaces": "  a  b  ", "dash": "-",
    "leading dash": "-n", "two dashes": "--", "help": "--help", "short help": "-h", "json": "--json",
    "own option": "--if-version", "format": "%s%d%n%%", "escapes": "\\n \\t \\0 \\c \\x41 \\u0041",
    "json escapes": '{"a": "1\\n2\\\\3\\"4\\t5\\u00e9"}', "emoji": "🚀 naïve ﷽ é", "lone backslash": "\\",
    "backslash at end": "a\\", "injection": "'; DROP TABLE agent_state; --", "glob": "* ? [a] {a,b} ~", "hash": "# x",
    "semicolons": "; exit 9 & | > pwned", "control": "\x01\x1b[31m\x7f", "unicode space": "\u2028\u00a0\ufeff",
    "number": "007", "true": "true",
}
IDS = [value for value in NASTY.values() if value and not has_controls(value)]
FIRST = pytest.mark.parametrize("sh", ["bash", "zsh", "dash"], indirect=True)

# Each file given is read whole, newlines at its end too.
READ = """
read_file() { value=$(cat "$1"; printf x); value=${value%x}; }
for file in "$@"; do read_file "$file"
"""


@pytest.fixture
def files(tmp_path):
    """Writes values to files, named by their order; returns the paths."""
    def files(values):
        paths = []
        for number, value in enumerate(values):
            path = tmp_path / f"value-{number}"
            path.write_bytes(value if isinstance(value, bytes) else value.encode())
            paths.append(str(path))
        return paths

    return files


def share_of(shell, values):
    """At full size every shell gets every value; else bash, zsh and the third shell a third each."""
    return share(values, min(list(SHELLS).index(shell), 2), 3)


def results(paths):
    return [Path(path + ".out").read_bytes().decode() for path in paths]


def test_any_state_comes_back_through_the_shell(sh, files, tmp_path):
    values = share_of(sh.name, [value for value in NASTY.values() if value != "-"])
    paths = files(values)
    done = sh(READ + 'save_agent_state a "$file" "$value"; load_agent_state a "$file" >"$file.out"; done', *paths)
    assert (done.status, done.text, done.err) == (0, "", "")
    assert results(paths) == values
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "en_US.ISO-8859-1", "ja_JP.eucJP"])
@FIRST
def test_state_in_any_locale(sh, files, locale):
    values = [NASTY["emoji"], NASTY["both"], "é" * 60_000]
    paths = files(values)
    done = sh(READ + 'save_agent_state a "$file" "$value"; load_agent_state a "$file" >"$file.out"; done', *paths,
              LC_ALL=locale)
    assert done.status == 0
    assert results(paths) == values


@pytest.mark.parametrize("length", [200_000, size(2_000_000, 10_000_000)])
def test_large_values_come_back_through_the_shell(sh, files, length):
    value = ("0123456789\\'\"é$(x)" * (length // 16))[:length - 1] + "\n"
    paths = files([value])
    done = sh(READ + 'save_agent_state a k "$value"; load_agent_state a k >"$file.out"; done', *paths)
    assert (done.status, done.err) == (0, "")
    assert results(paths) == [value]


def test_a_value_from_standard_input(sh, files):
    value = "\n'é\r\n" * 100_000 + "\n\n"
    paths = files([value])
    done = sh('save_agent_state a k - <"$1"; load_agent_state a k >"$1.out"; printf %s - | save_agent_state a dash -; '
              'load_agent_state a dash', *paths)
    assert (done.status, done.text, done.err) == (0, "-", "")
    assert results(paths) == [value]


@FIRST
def test_any_payload_comes_back_through_the_shell(sh, files):
    payloads = [json.dumps({"text": value, value: [value]}, ensure_ascii=place % 2 == 0)
                for place, value in enumerate(share_of(sh.name, NASTY.values()))]
    paths = files(payloads)
    done = sh(READ + 'send_agent_message a b error_report "$value" 2>/dev/null; '
              'get_agent_messages b true 2>/dev/null >"$file.out"; done', *paths)
    assert (done.status, done.err) == (0, "")
    assert [json.loads(text)[0]["payload"] for text in results(paths)] == list(map(json.loads, payloads))


@FIRST
def test_a_large_payload(sh, files):
    payload = json.dumps({"text": "a\\'\n" * 50_000})
    paths = files([payload])
    done = sh('send_agent_message a a error_report "$(cat "$1")"; get_agent_messages a true >"$1.out"', *paths)
    assert (done.status, done.text) == (0, "1\n")
    assert json.loads(results(paths)[0])[0]["payload"] == json.loads(payload)


@FIRST
def test_any_id_works_in_the_shell(sh, files, tmp_path):
    ids = share_of(sh.name, IDS)
    paths = files(ids)
    done = sh(READ + """
      register_agent "$value" validation "$value" "$value" >/dev/null
      save_agent_state "$value" "$value" found
      load_agent_state "$value" "$value" >"$file.out"
      send_agent_message "$value" "$value" error_report '{}' >/dev/null
      get_agent_messages "$value" true >>"$file.json"
    done""", *paths)
    assert (done.status, done.text, done.err) == (0, "", "")
    assert results(paths) == ["found"] * len(ids)
    for path, value in zip(paths, ids):
        message = json.loads(Path(path + ".json").read_bytes())[0]
        assert [message[name] for name in ("from_agent", "to_agent", "session_id")] == [value] * 3
    assert not (tmp_path / "pwned").exists()


BAD_CALLS = [
    "send_agent_message a b error_report 'not json'", "send_agent_message a b error_report '[1]'",
    "send_agent_message a b error_report '{\"a\": NaN}'", "send_agent_message a b no_such_type '{}'",
    "send_agent_message a b error_report '{}' 11", "send_agent_message '' b error_report '{}'",
    "send_agent_message a b error_report", "register_agent a validation m s 'not json'",
    "register_agent a validation m s '{}'", "register_agent a validation m s '[1]'", "register_agent '' validation m s",
    "register_agent a validation m ''", "register_agent a '' m s", "update_agent_status kept resting",
    "save_agent_state '' k v", "save_agent_state a '' v", "save_agent_state a k v no_such_type",
    "save_agent_state a k v user_data soon", "save_agent_state a k v user_data 0", "save_agent_state a k",
    "save_agent_state a k v user_data 60 extra", "agent_heartbeat kept poorly",
    "printf 'a\\0b' | save_agent_state a k -",
    "printf '\\377' | save_agent_state a k -", "save_agent_state a k \"$(printf 'x\\377')\"",
    "save_agent_state \"$(printf 'x\\377')\" k v", "set_storage_config no_such_setting 1",
    "milestone_persist no_such_operation",
]


@pytest.mark.parametrize("sh, words", [(shell, words) for place, shell in enumerate(("bash", "zsh", "dash"))
                                       for words in share(BAD_CALLS, place, 3)], indirect=["sh"])
def test_bad_input_is_refused_with_one_line_and_changes_nothing(sh, tmp_path, words):
    sh("register_agent kept validation m s")
    before = rows(tmp_path)
    done = sh(words)
    assert (done.status, done.text, rows(tmp_path)) == (2, "", before)
    assert done.err.startswith("milestone_persist: ") and done.err.count("\n") == 1 and len(done.err) < 400


@pytest.mark.parametrize("call", [
    "save_agent_state a k $nul", "save_agent_state a k $long$nul", "save_agent_state $nul k v",
    "send_agent_message a b error_report $nul", "load_agent_state a none $nul", "set_storage_config $nul 1",
    "get_agent_messages $nul", "save_agent_state a k $'\\0'", "save_agent_state a k - $nul",
])
@pytest.mark.parametrize("sh", ["zsh"], indirect=True)
def test_zsh_can_hold_a_NUL_and_is_told_that_nothing_else_can(sh, tmp_path, call):
    sh("register_agent kept validation m s")
    before = rows(tmp_path)
    done = sh(f"nul=$'x\\0y'; long=${{(l:100000::a:):-}}; {call}", stdin=b"v")
    assert (done.status, done.text, rows(tmp_path)) == (2, "", before)
    assert done.err == "milestone_persist: an argument holds a NUL byte: encode it first, e.g. with base64\n"


def rows(home):
    connection = sqlite3.connect(home / ".milestones" / "coordination.db")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()
