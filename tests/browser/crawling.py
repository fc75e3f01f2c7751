"""Finds one page of every kind: those the navigation names, and from each what it links to."""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

from playwright.sync_api import Page

_NO_PAGE = re.compile(r"/(export|bundle)\b|^/docs|^/openapi")


def kind_of(path: str) -> str:
    """What pages of one kind share: /alerts/7 and /alerts/8 are both `alerts-one`."""
    parts = urlsplit(path)
    words = [part if re.fullmatch("[a-z][a-z-]*", part) else "one" for part in parts.path.split("/") if part]
    names = re.findall(r"(\w+)=[^&]+", parts.query)
    searched = [f"by-{name}" for name in names if name in ("contact", "review", "batch")]
    return "-".join(words + searched[:1]) or "overview"


def one_of_each_kind(page: Page) -> dict[str, str]:
    """Paths by kind, from the page that is shown on. The others are read and not shown: no script adds a link."""
    found = {"docs": "/docs"}
    waiting = _links(page.content(), "nav")
    while waiting:
        path = waiting.pop(0)
        if kind_of(path) in found or _NO_PAGE.search(path):
            continue
        found[kind_of(path)] = path
        waiting += _links(page.request.get(path).text(), "main")
    return found


class _Links(HTMLParser):
    """The links within elements of this name."""

    def __init__(self, within: str) -> None:
        super().__init__()
        self._within, self._depth = within, 0
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag == self._within
        if tag == "a" and self._depth:
            self.found.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == self._within


def _links(html: str, within: str) -> list[str]:
    links = _Links(within)
    links.feed(html)
    return [path for path in links.found if path.startswith("/") and not path.startswith("//")]
