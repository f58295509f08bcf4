"""Stored times: read without `datetime` where they have the form in which all are stored, and as it reads them."""
from __future__ import annotations

import datetime
import subprocess
import sys

import pytest
from conftest import ROOT

from milestone_persist.base.errors import UsageError
from milestone_persist.base.times import format_time, parse_time

STORED = ["1970-01-01 00:00:00.000", "2024-02-29 23:59:59.999", "1999-12-31 12:00:00.001", "2000-02-29 00:00:00.500",
          "1000-01-01 00:00:00.000", "9999-12-31 23:59:59.999", "0001-01-01 00:00:00.000", "2100-03-01 01:02:03.004"]
NONE = ["2023-02-29 00:00:00.000", "1900-02-29 00:00:00.000", "0000-01-01 00:00:00.000", "2024-13-01 00:00:00.000",
        "2024-00-01 00:00:00.000", "2024-04-31 00:00:00.000", "2024-01-00 00:00:00.000", "2024-01-01 24:00:00.000",
        "2024-01-01 00:60:00.000", "2024-01-01 00:00:60.000", "2024-01-01 00:00:00.0x0", "2024/01/01 00:00:00.000"]


def by_module(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp()


@pytest.mark.parametrize("text", STORED)
def test_a_stored_time_is_read_as_datetime_reads_it(text):
    assert parse_time(text) == by_module(text)


def test_every_day_of_four_hundred_years_is_read_so():
    for day in range(-200 * 366, 200 * 366, 7):
        text = format_time(day * 86400 + day % 86400 + 0.123)
        assert parse_time(text) == by_module(text), text


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match="not a time"):
        parse_time(text)


@pytest.mark.parametrize("text, same", [("2024-01-31T09:30:00Z", "2024-01-31 09:30:00.000"),
                                        (" 2024-01-31 09:30:00 ", "2024-01-31 09:30:00.000"),
                                        ("2024-01-31 09:30:00.000+02:00", "2024-01-31 07:30:00.000")])
def test_other_forms_are_read_too(text, same):
    assert parse_time(text) == parse_time(same)


def test_reading_a_stored_time_loads_no_datetime():
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
                           "from milestone_persist.base.times import parse_time\n"
                           "parse_time('2024-02-29 23:59:59.999'); print('datetime' in sys.modules)"],
                          capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
