"""Every page: what the application routes to without a name in the address, and what those pages lead to by links."""

import html
import re
from collections import Counter, deque
from collections.abc import Sequence
from urllib.parse import quote, urljoin, urlsplit

from flask import Flask

from benchmarks.large.asking import Client, Measured
from benchmarks.large.questions import Samples

PAGE_MS, OVERVIEW_MS = 300.0, 150.0
ROUNDS = 6
_LINK = re.compile(rb'<a\s[^>]*href="([^"#]*)"')
_OF_A_KIND = 6
"""Links that lead to the same page with other values are followed so many times."""

_NOT_PAGES = (
    "/static/",
    "/v1/",
    "/openapi.json",
    "/docs",
    "/metrics",
    "/logout",
    "/login",
    "/failures/export",
)


def addresses(app: Flask, samples: Samples) -> list[str]:
    """Where to begin: every page that needs no name, and people and messages, which nothing may link to."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("dashboard.")]
    plain = sorted(rule.rule for rule in rules if "GET" in (rule.methods or ()) and not rule.arguments)
    named = [f"/contacts?contact={quote('+' + contact)}" for contact in samples.contacts[:_OF_A_KIND]]
    named += [f"/messages/{quote(message_id)}" for message_id in samples.messages[:_OF_A_KIND]]
    return [path for path in plain if not path.startswith(_NOT_PAGES)] + named


def pages(client: Client, beginning: Sequence[str]) -> list[Measured]:
    """One measurement for each kind of page, each address asked several times; the first of each is not counted."""
    waiting, known = deque(beginning), set(beginning)
    seen = Counter(map(_kind, beginning))
    measured: dict[str, Measured] = {}
    while waiting:
        path = waiting.popleft()
        kind = _kind(path)
        goal = OVERVIEW_MS if urlsplit(path).path == "/" else PAGE_MS
        first = client.ask(path, allowed=(200, 400, 404))  # of no use without a query
        if first.status != 200 or not (first.is_page or path.startswith("/dashboard/")):
            continue
        of_kind = measured.setdefault(kind, Measured(f"page {kind}", goal))
        for _ in range(ROUNDS):
            of_kind.add(client.ask(path), path)
        for link in _links(first.content, path):
            if link not in known and seen[_kind(link)] < _OF_A_KIND:
                known.add(link)
                seen[_kind(link)] += 1
                waiting.append(link)
    return [measured[kind] for kind in sorted(measured)]


def _links(content: bytes, base: str) -> list[str]:
    found = []
    for match in _LINK.findall(content):
        link = urljoin(base, html.unescape(match.decode()))
        if link.startswith("/") and not link.startswith(_NOT_PAGES) and not _is_file(link):
            found.append(link)
    return found


def _is_file(link: str) -> bool:
    return urlsplit(link).path.rpartition(".")[2] in ("csv", "ndjson", "json", "txt")


def _kind(link: str) -> str:
    """The address with what names one thing of many taken out, and the names of its filters."""
    parts = urlsplit(link)
    steps = [
        step if index < 1 or step.isalpha() else "{}" for index, step in enumerate(parts.path.split("/")[1:])
    ]
    names = sorted({pair.partition("=")[0] for pair in parts.query.split("&") if pair})
    return "/" + "/".join(steps) + (f" ?{','.join(names)}" if names else "")
