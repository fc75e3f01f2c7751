"""Finds one page of every kind: those the navigation names, and from each what it links to."""

import re
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
    """Paths by kind, from the page that is shown on."""
    found = {"docs": "/docs"}
    waiting = _links(page, "header nav a")
    while waiting:
        path = waiting.pop(0)
        if kind_of(path) in found or _NO_PAGE.search(path):
            continue
        found[kind_of(path)] = path
        page.goto(path)
        waiting += _links(page, "main a")
    return found


def _links(page: Page, where: str) -> list[str]:
    found = page.locator(where).evaluate_all("links => links.map(link => link.getAttribute('href') || '')")
    return [path for path in found if path.startswith("/") and not path.startswith("//")]
