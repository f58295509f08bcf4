"""The URL of a PostgreSQL database: its password is kept out of the command line and of every message."""
from __future__ import annotations

import os
import re

from ...base.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "milestone_persist"

# What to do where the reason begins so.
_ADVICE = (
    (r"(\S+ )?authentication |.*no password |role |(no )?pg_hba|permission denied for ",
     "correct USER and PASSWORD in MILESTONE_DATABASE_URL, or set PGPASSWORD"),
    ("database .*does not exist", "make it with createdb, or name another in MILESTONE_DATABASE_URL"),
    ("(sorry, )?too many |remaining connection slots", "raise the server's max_connections, or try again"),
    (r".*\bURI\b", "correct MILESTONE_DATABASE_URL"),
)


class DatabaseUrl:
    """`url` without the password, `variables` for psql's environment, `schema` of the store, `shown` for people.

    What the URL leaves out comes from the PG… variables, as for every client. MILESTONE_DATABASE_SCHEMA names another
    schema, so that one database can hold several stores. StorageError if the URL cannot be used.
    """

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        scheme, _, rest = url.strip().partition("://")
        rest, _, query = rest.partition("?")
        authority, _, name = rest.partition("/")
        userinfo, at, hosts = authority.rpartition("@")
        user, _, password = userinfo.partition(":")
        if (scheme not in ("postgresql", "postgres") or "@" in name + query or "@" in user + password
                or not all(map(_has_plain_port, hosts.split(",")))):
            raise StorageError("MILESTONE_DATABASE_URL must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
                               "every @ : / ? # % in USER or PASSWORD written as %40 %3A %2F %3F %23 %25")
        options = [(_decode(key), sign, value) for key, sign, value in
                   (item.partition("=") for item in query.split("&") if item)]
        if "sslpassword" in dict((key, value) for key, _, value in options):
            raise StorageError("the sslpassword in MILESTONE_DATABASE_URL would stand on psql's command line, where "
                               "everybody could see it: put it into a service file, which PGSERVICE names")
        passwords = [value for key, _, value in options if key == "password"] or [password]
        kept = "&".join(key + sign + value for key, sign, value in options if key != "password")
        self.shown = f"{scheme}://{hosts or dict((key, value) for key, _, value in options).get('host', '')}/{name}"
        self.url = f"{scheme}://{user}{at}{hosts}/{name}" + ("?" + kept if kept else "")
        self.schema = environ.get("MILESTONE_DATABASE_SCHEMA") or SCHEMA
        if not self.schema.isidentifier() or not self.schema.isascii() or len(self.schema) > 63:
            raise StorageError(f"MILESTONE_DATABASE_SCHEMA {self.schema!r} is not a plain name: "
                               "use letters, digits and _")
        self.quoted_schema = f'"{self.schema}"'
        self.variables = {"PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "milestone_persist", **os.environ, **environ,
                          "PGCLIENTENCODING": "UTF8", "LC_ALL": "C"}
        if passwords[-1]:
            self.variables["PGPASSWORD"] = _decode(passwords[-1])

    def explain(self, said: str) -> StorageError:
        """The error for a connection that could not be made, from what psql said of it."""
        reason = (said.splitlines() or ["psql ended"])[0].replace("psql: error: ", "").strip()
        fault = re.sub('"[^"]*"', "", reason)  # a name says nothing of what is wrong: a folder may be called "role"
        fault = fault.partition("FATAL: ")[2].strip() or fault.rpartition(" failed: ")[2]  # nor does what it is said of
        advice = next((advice for pattern, advice in _ADVICE if re.match(pattern, fault)),
                      "is the server running, and does MILESTONE_DATABASE_URL name it?")
        return StorageError(f"cannot reach PostgreSQL at {self.shown}: {reason[:300]}; {advice}")


def _decode(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _has_plain_port(host: str) -> bool:
    """Whether the text after a host is a port; otherwise it may be a password, which must not be shown."""
    port = host.rpartition("]")[2].partition(":")[2]
    return not port or (port.isascii() and port.isdigit() and len(port) < 6)
