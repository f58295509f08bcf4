"""Pages with one sentence."""
from __future__ import annotations

from .markup import Markup, element, empty
from .page import style_of_page


def make_link(url: str) -> str:
    """A page that redirects to an address."""
    return _plain("Live page", "It opens at once.", refresh=f"0; url={url}")


def nothing_yet() -> str:
    """A page for a store without sessions, which reloads."""
    return _plain("No sessions yet", "The first agent that registers makes one.", refresh=2)


def tell_error(text: str) -> str:
    """A page that says why another cannot be shown, and retries."""
    return _plain("This cannot be shown", text, refresh=5)


def _plain(title: str, text: str, refresh: int | str) -> str:
    """A page with a sentence, which reloads after some seconds, or redirects."""
    head = element("head", empty("meta", charset="utf-8"), empty("meta", http_equiv="refresh", content=refresh),
                   empty("meta", name="viewport", content="width=device-width, initial-scale=1"),
                   element("title", title), element("style", Markup(style_of_page())))
    body = element("body", element("main", element("header", element("h1", title), element("p", text))))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"
