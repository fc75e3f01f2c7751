"""Paths that are nearly right, from callers without a key: no 500, no traceback, and GET and POST of a path agree."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from flask import Flask
from werkzeug.test import create_environ, run_wsgi_app

from tests.faults.web_server import SECRET, WebServer, read_all, statuses, web_server
from tests.support.factories import body, status
from webhook_app.app import CLOSE, create_app
from webhook_app.settings import Settings
from webhook_app.whatsapp.receiving.signature import sign

QUERY = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=a+token+of+the+test"
METHODS = ("GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE", "BREW")
WEBHOOK = (
    *("/webhook", "/webhook/", "//webhook", "///webhook//", "/webhook%2f", "/%77ebhook", "/webhook?", "/webhook#x"),
)  # fmt: skip
"""Spellings of /webhook: proxies and people add slashes, percent-encoding means the same."""
NOT_WEBHOOK = (
    *("/./webhook", "/x/../webhook", "/webhook/.", "/webhook/..", "/webhook/x", "/WEBHOOK", "/web//hook", "/webhooks"),
    *("/webhook%00", "/%00webhook", "/webhook%ff", "/webhook;x=1", "/webhook%20", "/webhook%5c", "/%252fwebhook", "/"),
)  # fmt: skip
PLACES = (
    *("/", "/webhook", "/healthz", "/readyz", "/metrics", "/login", "/docs", "/openapi.json", "/static/style.css"),
    *("/theme", "/v1/check", "/v1/check/12025550117", "/v1/failures", "/v1/contacts/12025550117", "/v1/quarantine/1"),
    *("/slack", "/slack/interactions", "/alerts", "/alerts/1", "/contacts/1", "/messages/wamid.A", "/codes/131026"),
)  # fmt: skip
PIECES = (
    *("/", "//", "/.", "/..", "/../", "%2f", "%2F..%2f", "%5c", "\\", "%00", "%0a", "%0d%0aX: 1", "%ff", "%c0%ae"),
    *("%ed%a0%80", "%f0%9f%98%80", "\xe9", "\xff", "%", "%zz", "%25", "%u0041", ";a=b", ":", "@", "?", "??", "&&="),
    *("[", "]", "//[x", "%5b", "%e2%84%80", "%2f%2f%5bx", "//a%e2%84%80b", "%EF%BC%8F"),
    *("?limit=%00", "?cursor=%ff", "?next=//evil.example", "?next=//[x", "?next=//a%e2%84%80b"),
    *("http://evil.example/", "*", "~", "'", "<x>", "a" * 3000),
)  # fmt: skip
HEADERS = (
    *("", "Authorization: Bearer \xff", "Authorization: Basic !!!", "Authorization: Bearer", "Cookie: session=\xff;;="),
    *("Cookie: session=.eJx.x.y", "Host: [", "Host: a b", "Host: \xff", "X-Request-Id: \xff", "Accept: \xff;q=x"),
    *('If-None-Match: "\xff', "If-Modified-Since: never", "Content-Type: application/json; charset=\xff"),
    *("Content-Type: multipart/form-data", "Content-Type: application/x-www-form-urlencoded", "X-Forwarded-For: ,,x"),
    *("Range: bytes=9-", "Accept-Language: -"),
)  # fmt: skip


QUERIES = (
    "next",
    "cursor",
    "limit",
    "since",
    "until",
    "hours",
    "format",
    "contact",
    "code",
    "hub.mode",
    "open",
    "x",
)


def odd_target(random: Random) -> str:
    """A path of the service with some pieces put in, or pieces alone."""
    target = random.choice(PLACES)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(target) + 1)
        target = target[:at] + random.choice(PIECES) + target[at:]
    if random.random() < 0.5:
        parameters = [f"{random.choice(QUERIES)}={odd_value(random)}" for _ in range(random.choice((1, 2)))]
        target += ("&" if "?" in target else "?") + "&".join(parameters)
    return target


def odd_value(random: Random) -> str:
    """A value of a query parameter: pieces, often after a slash, as a path to return to has it."""
    return random.choice(("", "/", "//", "1")) + "".join(random.choices(PIECES, k=random.choice((1, 2))))


@pytest.fixture(scope="module")
def app(database: Any) -> Iterator[Flask]:
    settings = Settings(
        database_url=database.url, meta_app_secret=(SECRET,), meta_verify_token="a token of the test"
    )
    made = create_app(settings)
    yield made
    made.extensions[CLOSE]()


@pytest.fixture(scope="module")
def server(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with web_server(database.url, tmp_path_factory.mktemp("paths")) as running:
        yield running


def ask_app(app: Flask, method: str, target: str, header: str = "", raw: bytes = b"") -> int:
    """The status of the WSGI application, with the path as a server passes it."""
    path, _, query = target.partition("#")[0].partition("?")
    environ = create_environ(method=method, query_string=query, data=raw)
    environ["PATH_INFO"] = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    environ["HTTP_X_HUB_SIGNATURE_256"] = sign(raw, SECRET)
    name, _, content = header.partition(": ")
    if name:
        environ[{"Content-Type": "CONTENT_TYPE"}.get(name, "HTTP_" + name.upper().replace("-", "_"))] = (
            content
        )
    given, answer, _ = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    list(given)
    return int(answer.split()[0])


def ask_server(server: WebServer, method: str, target: str, header: str = "", raw: bytes = b"") -> int:
    """The first status that a real server answers."""
    lines = [
        f"{method} {target} HTTP/1.1",
        *([] if header.startswith("Host:") else ["Host: x"]),
        "Connection: close",
    ]
    lines += [
        f"Content-Length: {len(raw)}",
        f"X-Hub-Signature-256: {sign(raw, SECRET)}",
        *([header] if header else []),
    ]
    with closing(server.connect()) as wire:
        wire.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + raw)
        found = statuses(read_all(wire))
    assert found, f"no answer to {method} {target!r}"
    return found[0]


Ask = Callable[..., int]


@pytest.fixture(params=["application", "server"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks the WSGI application, or a real gunicorn."""
    if request.param == "application":
        app = request.getfixturevalue("app")
        return lambda *more: ask_app(app, *more)
    server = request.getfixturevalue("server")
    return lambda *more: ask_server(server, *more)


@pytest.mark.parametrize("target", WEBHOOK)
def test_every_spelling_of_the_webhook_s_path_takes_get_and_post(ask, database_url, target):
    path, _, _ = target.partition("#")
    assert ask("GET", f"{path.rstrip('?')}?{QUERY}") == 200
    assert ask("HEAD", f"{path.rstrip('?')}?{QUERY}") == 200
    assert ask("POST", target, "", body(status("wamid.path"))) == 200
    assert ask("PUT", target) == 405
    assert ask("GET", path) == 403


@pytest.mark.parametrize("target", NOT_WEBHOOK)
def test_another_path_takes_neither(ask, database_url, target):
    answers = ask("GET", f"{target}?{QUERY}"), ask("POST", target, "", body(status("wamid.other")))
    assert 200 not in answers
    if target != "/":
        assert answers[0] == answers[1]


def test_no_odd_request_without_a_key_is_answered_500(ask, database_url, request):
    random = Random(11)
    for _ in range(1500):
        method, target, header = random.choice(METHODS), odd_target(random), random.choice(HEADERS)
        raw = random.choice(
            (b"", b"{}", b"\xff", b"a=%ff&=", b'{"contacts": ["\\ud800"]}', b"theme=dark&next=//%5bx")
        )
        answer = ask(method, target.replace(" ", ""), header, raw)
        assert answer < 500 or answer in (501, 503), (method, target, header, raw, answer)


def test_no_odd_request_leaves_a_traceback_in_the_log(server, database_url):
    assert "Traceback" not in server.log, server.log[-3000:]


def test_a_target_of_raw_bytes_is_answered_or_refused(server, database_url):
    random = Random(12)
    for _ in range(300):
        target = b"/" + random.randbytes(random.choice((1, 8, 60))).translate(None, b"\r\n ")
        with closing(server.connect()) as wire:
            wire.sendall(
                random.choice((b"GET ", b"POST "))
                + target
                + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            wire.shutdown(socket.SHUT_WR)
            assert statuses(read_all(wire))[0] < 500, target
    assert "Traceback" not in server.log, server.log[-3000:]
