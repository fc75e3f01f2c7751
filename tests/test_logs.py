"""What is logged on the main paths names no person, no message and no secret."""

import io
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from msgspec import to_builtins
from sqlalchemy import text

from tests.channels.fake_slack import Answer
from tests.channels.notifications import notification
from tests.support.factories import body, message, status
from tests.support.waiting import wait_for
from webhook_app import logs
from webhook_app.app import CLOSE, create_app
from webhook_app.pipeline.counts.measure_lateness import measure
from webhook_app.pipeline.operations.prune import prune
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.scheduler.jobs import load_rules, retention_of
from webhook_app.settings import Settings
from webhook_app.store.incidents import outbox
from webhook_app.store.postgres.engine import connect
from webhook_app.whatsapp.receiving.signature import sign

PHONE, USER = "12025550117", "US.70411938265500174423"
WAMID = "wamid." + b64encode(f"\x1d{PHONE}\x15xyz".encode()).decode()
SECRET, TOKEN, KEY = b"app-secret-5b2e71", "verify-token-9c1f", "admin-key-7d3a-4c"
PRIVATE = (PHONE, USER, WAMID, SECRET.decode(), TOKEN, KEY, "the words of a person", "wrong-key-1a2b")


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything the process writes to its log, in the form of production."""
    into = io.StringIO()
    monkeypatch.setattr(sys, "stderr", into)
    before = structlog.get_config()
    logs.configure("json")
    yield into
    structlog.configure(**before)


def fail_with(phone: str) -> None:
    try:
        int(f"no such contact: {phone}")
    except ValueError as fault:
        values = {"contact": phone}
        raise RuntimeError(
            f"row refused\nDETAIL: Failing row contains ({values}, the words of a person)"
        ) from fault


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_traceback_shows_the_place_of_the_error_and_no_personal_value(monkeypatch, logged, log_format):
    monkeypatch.setattr(sys, "stderr", logged)
    logs.configure(log_format)
    for private in (PHONE, USER, WAMID):
        try:
            fail_with(private)
        except RuntimeError:
            structlog.get_logger().exception("it broke")
    logged_text = logged.getvalue()
    assert logged_text.count("it broke") == 3
    assert logged_text.count("in fail_with") == 6, "both faults, with their place"
    assert "no such contact" in logged_text
    assert [each for each in PRIVATE if each in logged_text] == []


def test_an_error_that_is_its_own_cause_can_be_logged(logged):
    first, second = ValueError("one\ntwo"), ValueError("three")
    first.__context__, second.__context__ = second, first
    structlog.get_logger().error("odd", exc_info=first)
    assert "two" not in logged.getvalue()


SCHEDULER = """
from webhook_app import logs
from webhook_app.scheduler.jobs import load_rules
from webhook_app.scheduler.leading import run
from webhook_app.settings import read_settings
settings = read_settings()
logs.configure(settings.log_format)
run(settings, load_rules(settings.rules_file))
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_failing_jobs_and_channels_log_no_personal_value(
    database_url, engine, slack, tmp_path, now, log_format
):
    with engine.begin() as connection:  # what is to be suppressed is refused, its values in the message
        connection.execute(
            text("ALTER TABLE suppressions ADD CONSTRAINT refuse CHECK (contact = '') NOT VALID")
        )
    writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
    writer.store([Delivery(body(messages=[message(WAMID, now, sender=PHONE, text="STOP")]))], now)
    writer.close()
    with engine.begin() as connection:
        payload = to_builtins(notification(samples=(WAMID,)))
        outbox.add(connection, 1, "slack", "fired", payload, now - timedelta(days=1))
    slack.answers.append(Answer(404, f"no_service for {PHONE} {WAMID}"))
    environment = {
        "DATABASE_URL": database_url,
        "META_APP_SECRET": SECRET.decode(),
        "META_VERIFY_TOKEN": TOKEN,
        "SLACK_WEBHOOK_URL": slack.url,
        "LOG_FORMAT": log_format,
    }
    into = tmp_path / "log"
    with into.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SCHEDULER],
            env=os.environ | environment,
            stderr=output,
            stdout=subprocess.DEVNULL,
        )
    try:
        wait_for(lambda: all(each in into.read_text() for each in ("job failed", "notification given up")))
    finally:
        process.terminate()
        assert process.wait(30) == 0
    logged_text = into.read_text()
    assert "CheckViolation" in logged_text
    assert [each for each in (*PRIVATE, slack.url) if each in logged_text] == []
    with engine.connect() as connection:
        errors = " ".join(connection.execute(text("SELECT error FROM scheduler_state")).scalars())
    assert "CheckViolation" in errors
    assert PHONE not in errors


def test_nothing_private_is_logged_on_any_of_the_main_paths(database_url, engine, logged):
    now = datetime.now(UTC)
    settings = Settings(
        database_url=database_url, meta_app_secret=(SECRET,), meta_verify_token=TOKEN, admin_api_key=KEY
    )
    app = create_app(settings)
    client = app.test_client()
    operator = {"Authorization": f"Bearer {KEY}"}

    def deliver(raw: bytes, **headers: str) -> int:
        return client.post("/webhook", data=raw, headers=headers).status_code

    def ask(method: str, path: str, **more: object) -> None:
        client.open(path, method=method, headers=operator, **more)

    with engine.begin() as connection:  # the database refuses one delivery, with its values in the message
        connection.execute(
            text("ALTER TABLE status_events ADD CONSTRAINT refuse CHECK (category <> 'refused') NOT VALID")
        )
    facts = [
        status(f"{WAMID}{n}", "failed", now - timedelta(days=n), recipient=PHONE, code=131026)
        for n in range(4)
    ]
    odd = status(WAMID, "strange", now, recipient=PHONE, recipient_user_id=USER)
    refused = status(WAMID, "sent", now, recipient=PHONE, pricing={"category": "refused"})
    stop = message(WAMID, now, sender=PHONE, text="STOP the words of a person")
    for raw in (
        body(*facts),
        body(odd, messages=[stop]),
        body(refused),
        f"no json {PHONE}".encode(),
        b"\xff" + SECRET,
    ):
        assert deliver(raw, **{"X-Hub-Signature-256": sign(raw, SECRET)}) == 200
    assert deliver(body(*facts), **{"X-Hub-Signature-256": "sha256=" + "0" * 64}) == 401
    client.get(f"/webhook?hub.mode=subscribe&hub.verify_token={TOKEN}x&hub.challenge=1")
    client.get("/v1/books", headers={"Authorization": "Bearer wrong-key-1a2b"})
    rules = load_rules(None)
    suppress(engine, rules, Thresholds(failures=3, days=2), now)
    measure(engine, now)
    prune(engine, now, retention_of(settings))
    ask("POST", "/v1/check", data=json.dumps({"contacts": [PHONE, USER, "no number"]}))
    ask("PUT", f"/v1/suppressions/{PHONE}", data=json.dumps({"note": "the words of a person"}))
    ask("GET", f"/v1/messages/{WAMID}")
    ask("POST", "/v1/quarantine/replay", data="{}")
    ask("POST", "/v1/sends", data=json.dumps({"sends": [{"contact": PHONE, "message_id": WAMID}]}))
    ask("DELETE", f"/v1/contacts/{PHONE}")
    with engine.begin() as connection:  # a fault of ours, with the statement and its values in the exception
        connection.execute(text("ALTER TABLE suppressions RENAME TO elsewhere"))
    try:
        ask("GET", f"/v1/check/{PHONE}")
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO suppressions"))
    app.extensions[CLOSE]()
    logged_text = logged.getvalue()
    assert "refused" in logged_text, "the log under test was written to"
    assert "erased" in logged_text
    assert [each for each in PRIVATE if each in logged_text] == []
