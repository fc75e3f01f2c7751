"""/webhook as Meta and an attacker see it: the handshake, signatures, limits, and what each answer promises."""

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from werkzeug.test import EnvironBuilder

from tests.support.factories import body, message, status
from tests.support.folders import PAYLOADS
from webhook_app.app import CLOSE, create_app
from webhook_app.settings import Settings
from webhook_app.whatsapp.receiving.signature import sign

TOKEN = "tökén of the tests"
SECRETS = (b"the new app secret", b"the old app secret")


@pytest.fixture
def app(database_url: str) -> Iterator[Flask]:
    settings = Settings(database_url=database_url, meta_app_secret=SECRETS, meta_verify_token=TOKEN)
    made = create_app(settings)
    yield made
    made.extensions[CLOSE]()


def post(client: FlaskClient, raw: bytes, secret: bytes = SECRETS[0], **headers: str) -> int:
    return client.post(
        "/webhook", data=raw, headers={"X-Hub-Signature-256": sign(raw, secret)} | headers
    ).status_code


def stored(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM status_events")).scalar_one())


def test_the_handshake_echoes_the_challenge_byte_for_byte(client: FlaskClient) -> None:
    query = {"hub.challenge": "<b>1158&x</b>", "hub.verify_token": TOKEN, "hub.mode": "subscribe"}
    answer = client.get("/webhook", query_string=query)
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "<b>1158&x</b>", "text/plain")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"hub.mode": "subscribe", "hub.challenge": "1"},
        {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": "token"},
        {"hub.mode": "unsubscribe", "hub.challenge": "1", "hub.verify_token": TOKEN},
        {"hub.mode": "subscribe", "hub.verify_token": TOKEN},
        {"hub.challenge": "1", "hub.verify_token": TOKEN},
    ],
)
def test_any_other_handshake_is_refused_without_an_echo(client: FlaskClient, query: dict[str, str]) -> None:
    answer = client.get("/webhook", query_string=query)
    assert answer.status_code == 403
    assert TOKEN not in answer.text


def test_a_signed_post_is_stored_and_answered_200_with_either_secret(
    client: FlaskClient, engine: Engine
) -> None:
    assert post(client, body(status("wamid.1"))) == 200
    assert post(client, body(status("wamid.2")), SECRETS[1]) == 200
    assert stored(engine) == 2


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (None, "missing"),
        ("", "missing"),
        ("sha256=", "malformed"),
        ("sha1=" + "0" * 40, "malformed"),
        ("sha256=" + "z" * 64, "malformed"),
        ("sha256=" + "0" * 64, "mismatch"),
    ],
)
def test_an_unsigned_or_wrongly_signed_post_is_401_and_leaves_nothing(
    client: FlaskClient, engine: Engine, header: str | None, kind: str
) -> None:
    headers = {} if header is None else {"X-Hub-Signature-256": header}
    answer = client.post("/webhook", data=body(status()), headers=headers)
    assert (answer.status_code, answer.text) == (401, f"signature {kind}\n")
    assert stored(engine) == 0


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, "401 UNAUTHORIZED"),
        ({"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}, "405 METHOD NOT ALLOWED"),
    ],
)
def test_a_refused_body_is_freed_with_its_request_without_the_garbage_collector(
    app: Flask, more: dict[str, str], status: str
) -> None:
    environ = EnvironBuilder("/webhook", method="POST", data=b" " * 2**20).get_environ() | more
    environ["HTTP_X_HUB_SIGNATURE_256"] = "sha256=" + "0" * 64
    environ["CONTENT_LENGTH"] = str(2**20 - 1)  # the whole of a BytesIO would be read without a copy
    statuses: list[str] = []
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(5):
            environ["wsgi.input"].seek(0)
            # Each request has a dictionary of its own; the stream is shared.
            b"".join(app.wsgi_app(dict(environ), lambda answered, *_: statuses.append(answered)))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert {each.upper() for each in statuses} == {status}
    assert held < 2**20


def test_a_signature_over_other_bytes_is_refused(client: FlaskClient) -> None:
    signed = body(status("wamid.1"))
    answer = client.post(
        "/webhook", data=signed + b" ", headers={"X-Hub-Signature-256": sign(signed, SECRETS[0])}
    )
    assert answer.status_code == 401


def test_refusals_are_counted_by_kind_once_the_writer_looks(
    app: Flask, client: FlaskClient, engine: Engine
) -> None:
    for _ in range(3):
        client.post("/webhook", data=b"{}")
    assert post(client, body(status("wamid.1"))) == 200
    assert post(client, body(status("wamid.2"))) == 200
    with engine.connect() as connection:
        counted = connection.execute(text("SELECT kind, sum(count)::int FROM rejections GROUP BY kind")).all()
    assert [tuple(row) for row in counted] == [("missing", 3)]


def test_a_body_over_three_megabytes_is_413_and_one_just_below_is_not(
    client: FlaskClient, engine: Engine
) -> None:
    limit = 3 * 2**20
    assert post(client, b" " * (limit + 1)) == 413
    whole = body(status("wamid.1"))
    assert post(client, whole + b" " * (limit - len(whole))) == 200
    assert stored(engine) == 1


@pytest.mark.parametrize("raw", [b"", b"not json", b"\xff", b"[" * 50_000, b'"\\ud800"', b"1e999"])
def test_a_signed_body_that_cannot_be_read_is_answered_200(client: FlaskClient, raw: bytes) -> None:
    assert post(client, raw) == 200


def test_every_sample_is_accepted(client: FlaskClient, engine: Engine) -> None:
    answers = {post(client, path.read_bytes()) for path in PAYLOADS.glob("*.json")}
    assert answers == {200}
    with engine.connect() as connection:
        received, sorted_out = connection.execute(
            text("SELECT sum(received), sum(applied + duplicate + ignored + quarantined) FROM books")
        ).one()
    assert received == sorted_out > 170


def test_a_database_that_is_away_is_503_with_a_time_to_come_back() -> None:
    away = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2"
    settings = Settings(database_url=away, meta_app_secret=SECRETS, meta_verify_token=TOKEN)
    raw = body(status())
    answer = (
        create_app(settings)
        .test_client()
        .post("/webhook", data=raw, headers={"X-Hub-Signature-256": sign(raw, SECRETS[0])})
    )
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(client: FlaskClient, method: str) -> None:
    answer = client.open("/webhook", method=method)
    assert answer.status_code == 405
    assert answer.headers["Allow"]


def test_a_keywords_file_decides_which_inbound_texts_are_keywords(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "words.toml"
    path.write_text('stop = ["halt"]', encoding="utf-8")
    settings = Settings(
        database_url=database_url,
        meta_app_secret=SECRETS,
        meta_verify_token=TOKEN,
        keywords_file=path,
    )
    app = create_app(settings)
    texts = {"wamid.HALT": "Halt!", "wamid.STOP": "stop", "wamid.HELLO": "hello"}
    raw = body(messages=[message(message_id, text=text) for message_id, text in texts.items()])
    assert post(app.test_client(), raw) == 200
    app.extensions[CLOSE]()
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT message_id, keyword FROM inbound_messages")).all()
        assert {row.message_id: row.keyword for row in rows} == {
            "wamid.HALT": "stop",
            "wamid.STOP": "stop",
            "wamid.HELLO": "",
        }
