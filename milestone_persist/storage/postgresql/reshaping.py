"""Upgrades a PostgreSQL schema of an earlier version to the present one, in place."""
from __future__ import annotations

import os
import re

from ...base.packaged import read_packaged
from ...base.tables import POSTGRESQL_FILE
from .text import read_row, write_script, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .psql import Psql

    Form = dict[tuple[str, str, str], str]  # (kind, table, name): how SQL defines it

# Names of our own functions and tables are written without their schema, because it is the search path.
_FORM = r"""
SELECT row_to_json(q) FROM (
  SELECT 'column' AS kind, c.relname AS owner, quote_ident(a.attname) AS name, concat_ws(' ',
         format_type(a.atttypid, a.atttypmod), 'COLLATE ' || (SELECT quote_ident(collname) FROM pg_collation l
         WHERE l.oid = a.attcollation AND collname <> 'default'), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
         'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)) AS text, a.attnum AS place
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  WHERE c.relnamespace = {0}::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL SELECT 'constraint', c.relname, quote_ident(conname), pg_get_constraintdef(k.oid), 0
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
  WHERE c.relnamespace = {0}::regnamespace AND contype IN ('c', 'f')
  UNION ALL SELECT 'index', c.relname, quote_ident(i.relname),
         replace(pg_get_indexdef(x.indexrelid), {0}::regnamespace || '.', ''), 0
  FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
  WHERE c.relnamespace = {0}::regnamespace AND NOT indisprimary AND NOT indisunique ORDER BY place) AS q;
"""
_CHANGES = {
    "column": "ALTER TABLE {owner} ADD COLUMN {name} {text}",
    "constraint": "ALTER TABLE {owner} DROP CONSTRAINT IF EXISTS {name}; "
                  "ALTER TABLE {owner} ADD CONSTRAINT {name} {text}",
    "index": "DROP INDEX IF EXISTS {name}; {text}",
}


def reshape(psql: Psql, schema: str) -> None:
    """Give the tables, views, functions and triggers of `schema` their present form, within the caller's transaction.

    A new column is added with its default; what others have added stays.
    """
    script = split_script(read_packaged("sql", POSTGRESQL_FILE))
    wanted = _read_wanted(psql)
    psql.ask(f"SET LOCAL search_path = {schema}, pg_temp;")
    there = _read_form(psql, schema)
    tables = {owner for _, owner, _ in there}
    for statement in script:
        name = _name(statement, "TABLE")
        if name and name not in tables:
            psql.ask(write_script(statement))
    there = _read_form(psql, schema)
    for kind, change in _CHANGES.items():
        for (_, owner, name), text in _differing(kind, wanted, there):
            psql.ask(write_script(change.format(owner=owner, name=name, text=text)))
    for statement in script:
        if not _name(statement, "TABLE|INDEX"):
            _replace(psql, statement)


def _read_wanted(psql: Psql) -> Form:
    """The definition of the present schema, created temporarily in a separate schema."""
    name = f'"milestone_persist_form_{os.urandom(6).hex()}"'
    psql.ask(f"CREATE SCHEMA {name}\\; SET LOCAL search_path = {name}, pg_temp;")
    psql.ask(write_script(read_packaged("sql", POSTGRESQL_FILE)))
    form = _read_form(psql, name)
    psql.ask(f"DROP SCHEMA {name} CASCADE;")
    return form


def _read_form(psql: Psql, schema: str) -> Form:
    rows = map(read_row, psql.ask(_FORM.format(write_text(schema))))
    return {(row["kind"], row["owner"], row["name"]): row["text"] for row in rows}


def _differing(kind: str, wanted: Form, there: Form) -> list[tuple[tuple[str, str, str], str]]:
    """What to create: missing columns, and missing or different constraints and indexes."""
    return [(key, text) for key, text in wanted.items() if key[0] == kind
            and there.get(key) != text and not (kind == "column" and key in there)]


def _replace(psql: Psql, statement: str) -> None:
    """Run a statement of the schema's file in a schema that may already have the object."""
    trigger = re.match(r"CREATE (?:CONSTRAINT )?TRIGGER (\w+).*? ON (\w+)", statement, re.S)
    if trigger:
        psql.ask(f"DROP TRIGGER IF EXISTS {trigger[1]} ON {trigger[2]};")
    psql.ask(write_script(re.sub("^CREATE (FUNCTION|VIEW)", r"CREATE OR REPLACE \1", statement)))


def _name(statement: str, kinds: str) -> str:
    """The name of the object that a statement creates, if it is of these kinds; else ""."""
    found = re.match(rf"CREATE (?:{kinds}) (\w+)", statement)
    return found[1] if found else ""


def split_script(script: str) -> list[str]:
    """The statements of a script, without the comments between them: each ends a line, outside of a function's body."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        if pending or line.strip() and not line.startswith("--"):
            pending += line
            if re.search(r";\s*$", line) and pending.count("$$") != 1:
                statements.append(pending)
                pending = ""
    return statements
