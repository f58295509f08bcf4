"""Which foreign triggers and indexes cannot undo, refuse or block a call; in doubt, one counts as harmful."""
from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Columns = Callable[[str], list[tuple[int, str, str, int, str | None, int]]]  # PRAGMA table_info of a table

_TOKEN = re.compile(r"""--[^\n]*|/\*.*?(?:\*/|\Z)|(?P<text>'(?:[^']|'')*')|"(?P<name>(?:[^"]|"")*)"|"""
                    r"""`(?P<tick>[^`]*)`|\[(?P<bracket>[^\]]*)\]|(?P<word>\w+(?:\.\d+)?)|(?P<sign><>|!=|<=|>=|==|\|\||[^\s\w])""",
                    re.DOTALL)
_NAME = r"(?:\w+|'\w+')"
_NOW = r"(?:(?:datetime|date|time|julianday) \( 'now' \)|strftime \( '[^']*' , 'now' \))"
_PART = rf"(?:(?:new|old) \. {_NAME}|-? ?\d[\d.]*|'(?:[^']|'')*'|null|current_(?:timestamp|date|time)|{_NOW})"
_VALUE = rf"{_PART}(?: \|\| {_PART})*"
_COLUMN_NAME = r"(?!\d|current_|(?:null|is|not|and|or)\b)\w+"  # none that _PART matches too: each would double the ways
_TERM = rf"(?:{_PART}|{_COLUMN_NAME})"
_BETWEEN = r"(?:=|==|<>|!=|<|>|<=|>=|is not|is|and|or)"
_INSERT = rf"insert (?:or ignore )?into (?P<to>{_NAME})(?: \( (?P<columns>{_NAME}(?: , {_NAME})*) \))? " \
          rf"values \( (?P<values>{_VALUE}(?: , {_VALUE})*) \) ;"
_TRIGGER = re.compile(rf"create trigger {_NAME} (?:before |after |instead of )?(?P<event>insert|delete|update)"
                      rf"(?: of {_NAME}(?: , {_NAME})*)? on (?P<table>{_NAME}) (?:for each row )?"
                      rf"(?:when {_PART}(?: {_BETWEEN} {_PART})* )?begin "
                      rf"(?:{re.sub('[?]P<[a-z]+>', '?:', _INSERT)} )+end")
_COLUMN = rf"{_NAME}(?: collate (?:nocase|binary|rtrim))?(?: asc| desc)?"
_INDEX = re.compile(rf"create index {_NAME} on {_NAME} \( {_COLUMN}(?: , {_COLUMN})* \)"
                    rf"(?: where {_TERM}(?: {_BETWEEN} {_TERM})*)?")
_RESTRICTED = re.compile(r"\b(?:check|unique|references|generated|as|without|virtual|strict|"
                         rf"default \((?! {_NOW} \)))(?!\w)")


def plain(sql: str) -> str:
    """SQL normalized: lower case, single spaces between words, no comments, no quotes around names."""
    found = []
    for token in _TOKEN.finditer(sql):
        name = next((token[group] for group in ("name", "tick", "bracket") if token[group] is not None), None)
        if name is not None:
            found.append(name.lower() if re.fullmatch(r"\w+", name) else '"' + name + '"')
        else:
            found.append(token["text"] or (token["word"] or token["sign"] or "").lower())
    return " ".join(filter(None, found))


def is_harmless_index(sql: str) -> bool:
    """Whether an index has only plain columns, and so refuses no row."""
    return bool(_INDEX.fullmatch(plain(sql)))


def list_targets(sql: str, tables: Mapping[str, str], columns: Columns) -> list[str] | None:
    """The tables into which a trigger inserts rows that they cannot refuse; None if it does or may do more.

    tables: the SQL of those it may write to, by their names in lower case
    """
    text = plain(sql)
    trigger = _TRIGGER.fullmatch(text)
    if not trigger or not _are_there(trigger, columns(trigger["table"].strip("'"))):
        return None
    found = [(insert["to"].strip("'").lower(), insert) for insert in re.finditer(_INSERT, text)]
    nullable = {name.lower() for _, name, kind, required, _, key in columns(trigger["table"].strip("'"))
                if not (required or key and kind.upper() == "INTEGER")}
    if not all(to in tables and not _RESTRICTED.search(plain(tables[to]))
               and _fits(insert["columns"], insert["values"], columns(to), nullable) for to, insert in found):
        return None
    return [to for to, _ in found]


def _are_there(trigger: re.Match[str], columns: list[tuple[int, str, str, int, str | None, int]]) -> bool:
    """Whether the columns that a trigger reads of its row exist; otherwise no such row could be written."""
    known = {column[1].lower() for column in columns}
    rows = {"insert": ("new",), "delete": ("old",)}.get(trigger["event"], ("new", "old"))
    return all(row in rows and name.strip("'").lower() in known
               for row, name in re.findall(rf"\b(new|old) \. ({_NAME})", trigger[0]))


def _fits(names: str | None, values: str, columns: list[tuple[int, str, str, int, str | None, int]],
          nullable: set[str]) -> bool:
    """Whether a row can always be added: it sets no key, and sets every required column.

    nullable: the columns of the row that sets the trigger off which may hold nothing
    """
    def may_be_null(value: str) -> bool:
        named = re.findall(rf"\b(?:new|old) \. ({_NAME})", value)
        return "null" in value.lower().split() or any(name.strip("'").lower() in nullable for name in named)

    known = [column[1].lower() for column in columns]
    filled = [name.strip("'").lower() for name in names.split(" , ")] if names else known
    given = dict(zip(filled, re.findall(_VALUE, values)))
    keys = [column for column in columns if column[5]]
    return (len(filled) == len(re.findall(_VALUE, values)) and set(filled) <= set(known)
            and all(len(keys) == 1 and key[2].upper() == "INTEGER" and given.get(key[1].lower(), "null") == "null"
                    for key in keys)
            and not any(may_be_null(given.get(column[1].lower(), column[4] or "null"))
                        for column in columns if column[3] and not column[5]))
