"""The printed form of data: each operation's renderer, by its name."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def find_renderer(name: str) -> Callable[[Any], str]:
    """The function that renders an operation's text, in one of the sibling modules."""
    from . import single

    if name in vars(single):
        return vars(single)[name]  # type: ignore[no-any-return]
    from . import forms

    if name in vars(forms):
        return vars(forms)[name]  # type: ignore[no-any-return]
    from . import recovery

    if name in vars(recovery):
        return vars(recovery)[name]  # type: ignore[no-any-return]
    from . import briefing, installing, monitoring, overview

    forms_of = {**vars(installing), **vars(monitoring), **vars(briefing), **vars(overview)}
    return forms_of[name]  # type: ignore[no-any-return]
