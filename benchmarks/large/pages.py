"""Requests to every page: those with a fixed address, and those that they link to."""

import html
import re
from collections import Counter, deque
from collections.abc import Sequence
from urllib.parse import quote, urljoin, urlsplit

from flask import Flask

from benchmarks.large.api_requests import Samples
from benchmarks.large.http_client import Client, Measurement

PAGE_MS, OVERVIEW_MS = 300.0, 150.0
ROUNDS = 6
_LINK = re.compile(rb'<a\s[^>]*href="([^"#]*)"')
_OF_A_KIND = 6
"""Number of addresses to request of each kind of page."""

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
    """Return every page with a fixed address, and pages of contacts and messages, which may have no links to them."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("pages.")]
    plain = sorted(rule.rule for rule in rules if "GET" in (rule.methods or ()) and not rule.arguments)
    named = [f"/contacts?contact={quote('+' + contact)}" for contact in samples.contacts[:_OF_A_KIND]]
    named += [f"/messages/{quote(message_id)}" for message_id in samples.messages[:_OF_A_KIND]]
    return [path for path in plain if not path.startswith(_NOT_PAGES)] + named


def pages(client: Client, beginning: Sequence[str]) -> list[Measurement]:
    """Return a measurement for each kind of page. Each address is requested several times; the first is warm-up."""
    waiting, known = deque(beginning), set(beginning)
    seen = Counter(map(_kind, beginning))
    measured: dict[str, Measurement] = {}
    while waiting:
        path = waiting.popleft()
        kind = _kind(path)
        goal = OVERVIEW_MS if urlsplit(path).path == "/" else PAGE_MS
        first = client.send(path, allowed=(200, 400, 404))  # some pages need a query
        if first.status != 200 or not (first.is_page or path.startswith("/dashboard/")):
            continue
        of_kind = measured.setdefault(kind, Measurement(f"page {kind}", goal))
        for _ in range(ROUNDS):
            of_kind.add(client.send(path), path)
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
    """Return the address with ids replaced by {}, and the names of its query parameters."""
    parts = urlsplit(link)
    segments = [
        segment if index < 1 or segment.isalpha() else "{}"
        for index, segment in enumerate(parts.path.split("/")[1:])
    ]
    names = sorted({pair.partition("=")[0] for pair in parts.query.split("&") if pair})
    return "/" + "/".join(segments) + (f" ?{','.join(names)}" if names else "")
