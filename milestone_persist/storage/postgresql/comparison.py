"""Compares the server's schema with the canonical one: what is missing or different, and foreign effects on rows."""
from __future__ import annotations

import re

from ...base.packaged import read_packaged
from ...base.tables import POSTGRESQL_FILE, TABLES
from .reshaping import split_script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..interface import Row

    Forms = dict[tuple[str, str, str], str]  # (kind, table, name): its form, in words that each server gives alike

SHOWN = 3  # alterations that an error names
OURS = ("WITH here AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = current_schema()),\n"
        "ours AS (SELECT c.*, nspname FROM pg_class c JOIN here ON here.oid = relnamespace)\n")
# Names of types and codes as the catalogs have them; only triggers are written out by the server. `more` is what
# a trigger runs, or an index is made of.
FACTS = OURS + r"""
SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END AS kind, '' AS owner, relname::text AS name, concat_ws(' ',
       CASE relkind WHEN 'r' THEN 'plain' WHEN 'v' THEN 'plain' ELSE 'other' END,
       CASE relpersistence WHEN 'p' THEN 'kept' ELSE 'unlogged' END,
       CASE WHEN relrowsecurity OR relforcerowsecurity THEN 'row security' END,
       CASE WHEN relhassubclass OR relispartition THEN 'inheritance' END) AS text, '' AS more
FROM ours WHERE relkind NOT IN ('i', 'S', 't', 'c')
UNION ALL SELECT 'column', relname, attname, concat_ws(' ', format_type(atttypid, atttypmod),
       CASE WHEN attnotnull THEN 'required' END, CASE WHEN attidentity <> '' THEN 'numbered' END,
       '= ' || pg_get_expr(adbin, adrelid)), ''
FROM ours JOIN pg_attribute ON attrelid = ours.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'constraint', relname, conname, contype::text, '' FROM ours JOIN pg_constraint ON conrelid = ours.oid
WHERE contype NOT IN ('t', 'n')
UNION ALL SELECT 'trigger', relname, tgname, CASE tgenabled WHEN 'O' THEN '' ELSE 'switched off ' END
       || replace(pg_get_triggerdef(t.oid), quote_ident(nspname) || '.', ''), lanname || ': ' || prosrc
FROM ours JOIN pg_trigger t ON tgrelid = ours.oid JOIN pg_proc p ON p.oid = tgfoid
JOIN pg_language l ON l.oid = prolang WHERE NOT tgisinternal
UNION ALL SELECT 'rule', relname, rulename, '', '' FROM ours JOIN pg_rewrite ON ev_class = ours.oid
WHERE rulename <> '_RETURN'
UNION ALL SELECT 'function', '', proname, prosrc, '' FROM pg_proc JOIN here ON here.oid = pronamespace
UNION ALL SELECT 'setting', '', 'session_replication_role', current_setting('session_replication_role'), ''
UNION ALL SELECT 'index', ours.relname, i.relname, '', CASE WHEN indisunique OR indexprs IS NOT NULL
       OR pg_get_expr(indpred, indrelid) ~ '\w\(' THEN 'refuses' ELSE '' END
FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class i ON i.oid = indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))"""
_TABLE = re.compile(r"CREATE TABLE (\w+) \(\n(.*)\n\);", re.DOTALL)
_TYPES = {'TEXT COLLATE "C"': "text", "BIGINT": "bigint", "DOUBLE PRECISION": "double precision"}
_COLUMN = re.compile(r'(\w+)\s+(TEXT COLLATE "C"|BIGINT|DOUBLE PRECISION)(.*)', re.DOTALL)
# A trigger of others that only adds a row to a table of theirs, or tells who listens.
_VALUE = r"(?:(?:new|old)\.\w+|'[^']*'|-?\d+|now\(\)|current_(?:timestamp|date)|tg_(?:op|table_name))"
_HARMLESS = re.compile(
    rf"plpgsql:\s*begin\s+(?:(?:perform\s+pg_notify\('\w*',\s*{_VALUE}(?:::text)?(?:\s*\|\|\s*{_VALUE})*\)|"
    rf"notify\s+\w+|insert\s+into\s+(?P<to>[\w.]+)(?:\s*\([\w,\s]+\))?\s+values\s*\({_VALUE}(?:\s*,\s*{_VALUE})*\))\s*;\s*)*"
    r"return\s+(?:new|old|null)\s*;\s*end\s*;?\s*", re.IGNORECASE)


def find_alterations(facts: Iterable[Row], is_strict: bool = False) -> list[str]:
    """A line for each difference from the schema that may undo, refuse or hide what a call does.

    facts: the rows of FACTS
    is_strict: also what only makes calls slower, or misses where people look: indexes, views
    """
    there = {(row["kind"], row["owner"], row["name"]): row for row in facts}
    ours, lines = _read_model(), []
    for key, text in ours.items():
        if key not in there:
            if is_strict or key[0] not in ("index", "view"):
                lines.append(f"{_name(*key)} is missing: make it as sql/{POSTGRESQL_FILE} does")
        elif there[key]["text"].startswith("switched off"):
            lines.append(f"trigger {key[2]} of {key[1]} is switched off: ENABLE it")
        elif not _is_same(key[0], there[key]["text"], text):
            lines.append(f"{_name(*key)} is another than this program's ({there[key]['text'][:60]}): make it as "
                         f"sql/{POSTGRESQL_FILE} does")
    for (kind, owner, name), row in there.items():
        if (kind, owner, name) not in ours and owner in TABLES and _is_harmful(row, there):
            lines.append(f"{kind} {name} on {owner} is not of this program, and may undo or refuse what a call does: "
                         "DROP it")
    return lines


def _name(kind: str, owner: str, name: str) -> str:
    return f"{kind} {owner}.{name}" if kind in ("column", "constraint") else f"{kind} {name}"


def _is_same(kind: str, found: str, wanted: str) -> bool:
    if kind == "column":  # a default that is text has its type behind it
        return re.sub(r"::(text|bigint)$", "", found) == wanted
    return found == wanted if kind != "trigger" else _plain(found) == _plain(wanted)


def _plain(sql: str) -> str:
    """SQL without what servers format differently: spaces, case and brackets."""
    return re.sub(r"[\s();]", "", sql).lower()


def _is_harmful(row: Row, there: dict[tuple[str, str, str], Row]) -> bool:
    """Whether a foreign object on one of our tables may undo, refuse or hide what a call does."""
    if row["kind"] == "column":  # one that is filled by itself, with what cannot fail
        text: str = row["text"]
        return "(" in text.partition("= ")[2] or "required" in text and "= " not in text
    if row["kind"] == "trigger":
        harmless = _HARMLESS.fullmatch(row["more"])
        to = harmless["to"] if harmless else None
        return (not harmless or " AFTER " not in row["text"]
                or to is not None and not _only_keeps(to.rpartition(".")[2].lower(), there))
    return row["kind"] != "index" or bool(row["more"])


def _only_keeps(table: str, there: dict[tuple[str, str, str], Row]) -> bool:
    """Whether a foreign table in this schema has nothing that runs, or refuses a row, when one is inserted."""
    return ("table", "", table) in there and table not in TABLES and all(
        kind == "column" and "required" not in row["text"] and "(" not in row["text"]
        for (kind, owner, _), row in there.items() if owner == table)


_MODEL: Forms = {("setting", "", "session_replication_role"): "origin"}  # with another, triggers do nothing


def _read_model() -> Forms:
    """The canonical schema, in the form of FACTS; read once."""
    for statement in () if len(_MODEL) > 1 else split_script(read_packaged("sql", POSTGRESQL_FILE)):
        table = _TABLE.match(statement)
        if table:
            _MODEL["table", "", table[1]] = "plain kept"
            _read_items(table[1], table[2])
        made = re.match(r"CREATE (?:CONSTRAINT )?(INDEX|VIEW|FUNCTION|TRIGGER) (\w+)", statement)
        if made and made[1] == "INDEX":
            _MODEL["index", statement.partition(" ON ")[2].partition(" ")[0], made[2]] = ""
        if made and made[1] == "VIEW":
            _MODEL["view", "", made[2]] = "plain kept"
        if made and made[1] == "FUNCTION":
            _MODEL["function", "", made[2]] = statement.split("$$")[1]
        if made and made[1] == "TRIGGER":
            found = re.search(r" ON (\w+)", statement)
            _MODEL["trigger", found[1] if found else "", made[2]] = statement
    return _MODEL


def _read_items(table: str, body: str) -> None:
    """Columns and constraints of a table, with the names that PostgreSQL gives to those that have none."""
    for item in _split_items(re.sub(r"--[^\n]*", "", body)):
        column = _COLUMN.match(item)
        rest = column[3] if column else item
        if column:
            required = "NOT NULL" in rest or "PRIMARY KEY" in rest
            default = re.search(r"DEFAULT ('[^']*'|\w+\(\)|\d+)", rest)
            _MODEL["column", table, column[1]] = (
                _TYPES[column[2]] + " required" * required + " numbered" * ("IDENTITY" in rest)
                + (f" = {default[1]}" if default else ""))
        named = re.search(r"CONSTRAINT (\w+)", rest)
        for word, code, ending in (("PRIMARY KEY", "p", "pkey"), ("CHECK", "c", "check"), ("REFERENCES", "f", "fkey")):
            if word in rest:
                middle = f"{column[1]}_" if column and code != "p" else ""
                _MODEL["constraint", table, named[1] if named else f"{table}_{middle}{ending}"] = code


def _split_items(body: str) -> list[str]:
    """The parts between commas outside of brackets."""
    items, depth, start = [], 0, 0
    for place, character in enumerate(body):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            items.append(body[start:place].strip())
            start = place + 1
    return [*items, body[start:].strip()]
