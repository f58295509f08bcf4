"""What tests of a store on PostgreSQL share: its storage, the same as another process has it, its schema."""
from __future__ import annotations

import pytest

from milestone_persist.opening.place import open_for

TERMINATE = ("SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity "
             "WHERE application_name = 'milestone_persist'")
OPEN = ("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'milestone_persist' "
        "AND state LIKE 'idle in transaction%'")


@pytest.fixture
def storage(store, directory, environ, clock):
    """The storage below the operations, over a connection of its own."""
    opened = open_for(str(directory), environ, clock, make=True)
    yield opened
    opened.close()


@pytest.fixture
def other(storage, directory, environ, clock):
    """The same storage as another process has it, impatient."""
    opened = open_for(str(directory), environ, clock, make=True)
    opened.psql.ask("SET lock_timeout = '100ms';")
    yield opened
    opened.close()


@pytest.fixture
def schema(environ):
    return environ["MILESTONE_DATABASE_SCHEMA"]
