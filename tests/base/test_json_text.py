"""JSON by the C part of the standard module: the same as the module itself says, with that part and without."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import ROOT

from milestone_persist.base import json_text
from milestone_persist.base.values import dump_json, is_json, parse_json

TEXTS = ["null", "true", "-0", "1.5e3", '""', '"é \\u00e9 \\ud83d\\ude00 \\"\\\\/"', " \t\r\n[1, 2 ]\n", "{}",
         '{"a": {"b": [null]}}', '{"a": 1, "a": 2}', "12345678901234567890", '"\\ud83d"', "[" * 200 + "]" * 200,
         "\x1c1", "\ufeff1", "", " ", "[1,]", "{'a': 1}", '{"a" 1}', "nul", "[1] 2", "1\x00", '"\n"', '"\\x"', "NaN",
         "[Infinity]", "1e999", "[" * 201 + "]" * 201, "[" * 100_000, '{"a":' * 100_000, "\u00a01", "1\u2003", "01",
         "+1", ".5", "1.", '"\\u12"', '["a", nan]']
VALUES = [None, True, -5, 2 ** 70, 1.5, 1e300, "é\U0001f600\n\"\\\x7f\u2028", [], {}, {"a": [1, {"b": None}], "": "x"},
          {1: 2, None: 3, False: 4}, (1, 2), float("nan"), [float("inf")], {"a": object()}, {(1, 2): 3}, {1, 2},
          "\ud83d"]
WAYS = {"usual": {}, "sorted": {"sort_keys": True}, "wide": {"separators": (", ", ": ")}}


@pytest.fixture(params=["with", "without"], autouse=True)
def part(request, monkeypatch):
    """CPython's part in C, and a Python that has none."""
    if request.param == "without":
        for name in ("make_scanner", "make_encoder"):
            monkeypatch.setattr(json_text, name, None)
    return request.param


def outcome(action, *args, **options):
    """What a call gives, or how it fails."""
    try:
        return action(*args, **options)
    except (ValueError, TypeError, RecursionError) as error:
        return type(error), str(error)


def read_by_module(text):
    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_text_is_read_as_the_module_reads_it(text):
    expected, found = outcome(read_by_module, text), outcome(parse_json, text)
    if isinstance(expected, tuple) and expected[0] is RecursionError or text.startswith("[" * 201):
        assert "nested too deeply" in found[1]
    elif text == "1e999":
        assert "out of range" in found[1]
    else:
        assert found == expected and repr(found) == repr(expected)


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_a_value_is_written_as_the_module_writes_it(value, options):
    def write(value):
        return json.dumps(value, ensure_ascii=False, allow_nan=False, **{"separators": (",", ":"), **options})

    assert outcome(json_text.dumps, value, **options) == outcome(write, value)


def test_a_value_that_holds_itself_is_refused():
    value = []
    value.append(value)
    assert outcome(json_text.dumps, value) == (ValueError, "Circular reference detected")


def test_what_is_written_is_read_back(part):
    value = {"text": "é\n\u2028", "numbers": [1, -2.5, 10 ** 30], "nested": {"a": [[]]}, "none": None}
    assert parse_json(dump_json(value)) == value


def test_this_python_has_the_part_in_c(part):
    """Else a call costs a quarter more here, and nothing says so."""
    assert bool(json_text.make_scanner and json_text.make_encoder) == (part == "with")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_whether_a_text_is_json_is_what_reading_it_says(text):
    found = outcome(parse_json, text)
    assert is_json(text) == (not isinstance(found, tuple))


@pytest.mark.parametrize("part", ["with"], indirect=True)
def test_asking_whether_a_text_is_json_loads_no_module(part):
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
             "from milestone_persist.base.values import is_json\n"
             "print(*map(is_json, ('true story', 'not yet', '[todo] x', '7 of 9', '{}')), 'json' in sys.modules)"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "False False False False True False\n"


@pytest.mark.parametrize("part", ["with"], indirect=True)
def test_a_text_that_is_no_json_is_told_in_a_process_that_has_not_loaded_the_module():
    """There the part in C of Python 3.10 and 3.11 finds no class for its error."""
    program = """import sys
sys.path.insert(0, sys.argv[1])
from milestone_persist.base.values import is_json, parse_json
print([is_json(text) for text in ("{'a': 1}", "{a}", '"no end', "[nul]", '{"a": 1}')])
try:
    parse_json("{'a': 1}")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program, str(ROOT)], capture_output=True, text=True,
                          check=False)
    assert (done.stdout, done.stderr) == (
        "[False, False, False, False, True]\n"
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n", "")
