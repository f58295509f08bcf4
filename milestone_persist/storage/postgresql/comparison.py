"""The schema on the server beside the canonical one, by names: what is missing, and what others let happen to rows."""
from __future__ import annotations

import re

from ...base.packaged import read_packaged
from ...base.tables import TABLES
from .schema import FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..interface import Row

OURS = ("WITH ours AS (SELECT oid, relname, relkind FROM pg_class WHERE relnamespace = "
        "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())) ")
THERE = (OURS + "SELECT relkind::text AS kind, relname::text AS name, '' AS owner, '' AS text FROM ours UNION ALL "
         "SELECT CASE WHEN tgtype & 2 = 2 THEN 'before' ELSE 'trigger' END, tgname::text, relname::text, prosrc "
         "FROM pg_trigger JOIN ours ON ours.oid = tgrelid JOIN pg_proc ON pg_proc.oid = tgfoid WHERE NOT tgisinternal "
         "UNION ALL SELECT 'rule', rulename::text, relname::text, '' FROM pg_rewrite JOIN ours ON ours.oid = ev_class "
         "WHERE rulename <> '_RETURN'")
MADE = re.compile(r"^CREATE (?:CONSTRAINT )?(TRIGGER|VIEW|INDEX) (\w+)", re.MULTILINE)
WRITES = re.compile(r"\b(DELETE\s+FROM|UPDATE|INTO)\s+(\w+\s*\.\s*)?(" + "|".join(TABLES).upper()
                    + r")\b|\bRAISE\s+EXCEPTION\b")


def compare_schema(execute: Callable[[str], list[Row]]) -> list[str]:
    """A line for each object that is missing, or is not of this program and may undo or refuse what a call does."""
    script, there = read_packaged("sql", FILE), execute(THERE)
    made, names = MADE.findall(script), {row["name"] for row in there}
    lines = [f"{kind.lower()} {name} is missing: make it as sql/{FILE} does" for kind, name in made
             if name not in names]
    known = {name for _, name in made}
    return lines + [f"{'rule' if row['kind'] == 'rule' else 'trigger'} {row['name']} on {row['owner']} is not of this "
                    "program, and may undo or refuse what a call does: DROP it" for row in there
                    if row["owner"] in TABLES and row["name"] not in known and _is_harmful(row)]


def _is_harmful(row: Row) -> bool:
    text = row["text"].upper().replace('"', "")
    return row["kind"] == "rule" or bool(WRITES.search(text)) or row["kind"] == "before" and "RETURN NULL" in text
