"""HTML and SVG elements as text; everything that is not markup is escaped."""
from __future__ import annotations

import html

from .reading import shown


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, /, *children: object, **attributes: object) -> Markup:
    """An element; `_` in an attribute's name is `-`, one before it is dropped, None and False leave it out."""
    given = "".join(f' {key.strip("_").replace("_", "-")}' + ("" if value is True else f'="{escape(value)}"')
                    for key, value in attributes.items() if value is not None and value is not False)
    return Markup(f"<{tag}{given}>{join(children)}</{tag}>")


def empty(tag: str, /, **attributes: object) -> Markup:
    """An element without an end tag."""
    return Markup(element(tag, **attributes)[:-len(tag) - 4] + "/>")


def join(children: object) -> Markup:
    """Several children as one: lists are flattened, markup is unchanged, other text is escaped."""
    if isinstance(children, Markup):
        return children
    if isinstance(children, (list, tuple)):
        return Markup("".join(map(join, children)))
    return Markup("" if children is None else escape(children))


def escape(value: object) -> str:
    """A value as text inside markup or an attribute; existing markup is neither escaped nor truncated."""
    if isinstance(value, Markup):
        return value
    return html.escape(f"{value:g}" if isinstance(value, float) else shown(value))
