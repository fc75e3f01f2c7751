"""The whole way: a signed POST becomes an alert in Slack and a "do not send"; an outage suppresses nobody."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from tests.support.clocks import Stopwatch
from tests.support.factories import body, status
from webhook_app.app import CLOSE, create_app
from webhook_app.channels.slack import SlackWebhook
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.notifications.notify import notify
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.scheduler.jobs import load_rules
from webhook_app.settings import Settings
from webhook_app.simulator.slack import SlackReceiver
from webhook_app.whatsapp.receiving.signature import sign

SECRET = b"the app secret of the story"
KEY = {"Authorization": "Bearer an admin key for the story"}
RULES = load_rules(None)


class Service:
    """The application, the scheduler's steps and a Slack to write to."""

    def __init__(self, engine: Engine, client: FlaskClient, slack: SlackReceiver) -> None:
        self.engine, self.client, self.slack = engine, client, slack

    def post(self, *statuses: dict[str, Any]) -> None:
        raw = body(*statuses)
        answer = self.client.post("/webhook", data=raw, headers={"X-Hub-Signature-256": sign(raw, SECRET)})
        assert answer.status_code == 200

    def get(self, path: str) -> Any:
        answer = self.client.get(path, headers=KEY)
        assert answer.status_code == 200, answer.text
        return answer.json

    def step(self, now: datetime) -> None:
        """What the scheduler does in one round."""
        evaluate(self.engine, RULES, now, channels=("slack",))
        suppress(self.engine, RULES, Thresholds(), now)
        channel = SlackWebhook(self.slack.url)
        while notify(self.engine, channel, Stopwatch().clock(now)).sent:
            pass


@pytest.fixture
def service(engine: Engine, database_url: str) -> Iterator[Service]:
    settings = Settings(
        database_url=database_url,
        meta_app_secret=(SECRET,),
        meta_verify_token="the token of the test",
        admin_api_key=KEY["Authorization"].removeprefix("Bearer "),
    )
    app = create_app(settings)
    with SlackReceiver(show=lambda _: None) as slack:
        yield Service(engine, app.test_client(), slack)
    app.extensions[CLOSE]()


def test_forty_failures_among_a_thousand_are_counted_explained_and_notified_once(service, now):
    sent = [status(f"wamid.S{n}", "sent", now, recipient=f"1202555{n:04}") for n in range(1000)]
    failed = [
        status(f"wamid.F{n}", "failed", now, recipient=f"1312555{n:04}", code=131026) for n in range(40)
    ]

    def deliver() -> None:
        service.post(*sent)
        service.post(*failed)

    deliver()
    rates = service.get("/v1/rates?window_minutes=15&group_by=code")
    assert (rates["attempts"], rates["failures"]) == (1040, 40)
    assert rates["rate"] == pytest.approx(40 / 1040)
    assert rates["low"] < 40 / 1040 < rates["high"]
    assert [(group["code"], group["failures"]) for group in rates["groups"]] == [(131026, 40)]
    for seconds in (0, 15, 30, 45):
        service.step(now + timedelta(seconds=seconds))
    [text] = service.slack.texts
    for wanted in (
        "131026",
        "Message Undeliverable",
        "business number +13125550199",
        "40 of",
        "3.85 %",
        "threshold is 2 %",
        "What to do",
        "wamid.F",
    ):
        assert wanted in text

    deliver()
    for seconds in (60, 75):
        service.step(now + timedelta(seconds=seconds))
    assert service.get("/v1/rates?window_minutes=15&group_by=code")["failures"] == 40
    assert len(service.slack.messages) == 1
    books = service.get("/v1/books")
    assert (books["received"], books["applied"], books["duplicate"], books["balanced"]) == (
        2080,
        1040,
        1040,
        True,
    )
    [alert] = service.get("/v1/alerts?state=firing")["alerts"]
    assert (alert["codes"], alert["failures"], alert["attempts"]) == ([131026], 40, 1040)


def test_the_incident_ends_when_the_window_is_healthy_again_and_says_so(service, now):
    service.post(*(status(f"wamid.S{n}", "sent", now) for n in range(500)))
    service.post(*(status(f"wamid.F{n}", "failed", now, code=131016) for n in range(100)))
    service.step(now)
    for seconds in (15, 45):
        service.step(now + timedelta(seconds=seconds))
    assert len(service.slack.messages) == 1
    later = now + timedelta(minutes=17)
    for step in range(5):  # no data is not recovery
        service.step(later + timedelta(seconds=15 * step))
    assert service.get("/v1/alerts?state=firing")["alerts"] != []
    service.post(*(status(f"wamid.L{n}", "sent", now + timedelta(minutes=4)) for n in range(500)))
    for step in range(5, 10):
        service.step(later + timedelta(seconds=15 * step))
    assert service.get("/v1/alerts?state=firing")["alerts"] == []
    assert len(service.slack.messages) == 2
    assert service.slack.texts[1].startswith("Ended after")


def test_a_contact_that_failed_on_three_days_is_not_to_be_written_to_until_it_is_reached(service, now):
    for days in (2, 1, 0):
        at = now - timedelta(days=days)
        others = [(f"wamid.{days}.{n}", f"1312555{n:04}") for n in range(20)]
        for state in ("sent", "delivered"):
            service.post(*(status(message, state, at, recipient=contact) for message, contact in others))
        service.post(status(f"wamid.D{days}", "failed", at, code=131026))
    assert service.get("/v1/check/+12025550117")["allowed"] is True
    service.step(now)
    answer = service.get("/v1/check/+1 (202) 555-0117")
    assert (answer["allowed"], answer["verdict"], answer["reason"]) == (False, "suppressed", "unreachable")
    assert answer["code"] == 131026
    [row] = service.get("/v1/suppressions/12025550117")["suppressions"]
    assert {evidence["message_id"] for evidence in row["evidence"]} == {"wamid.D0", "wamid.D1", "wamid.D2"}
    service.post(status("wamid.OK", "delivered", now + timedelta(seconds=5)))
    service.step(now + timedelta(seconds=10))
    assert service.get("/v1/check/+12025550117")["allowed"] is True


@pytest.mark.parametrize("code", [131026, 131000])
def test_an_outage_over_five_thousand_contacts_suppresses_nobody(service, now, code):
    people = [f"1202{n:07}" for n in range(5000)]
    for days in (2, 1):  # everybody is one failure short of being suppressed
        at = now - timedelta(days=days)
        for first in range(0, 5000, 1000):
            service.post(
                *(
                    status(f"wamid.{days}.{p}", "failed", at, recipient=p, code=code)
                    for p in people[first : first + 1000]
                )
            )
    service.step(now - timedelta(minutes=1))
    for first in range(0, 5000, 500):
        at = now + timedelta(seconds=first / 100)
        service.post(
            *(
                status(f"wamid.0.{p}", "failed", at, recipient=p, code=code)
                for p in people[first : first + 500]
            )
        )
        service.step(at)
    for minutes in (2, 5):
        service.step(now + timedelta(minutes=minutes))
    assert service.get("/v1/suppressions")["suppressions"] == []
    assert service.get("/v1/alerts?state=firing")["alerts"] != []
    assert 1 <= len(service.slack.messages) <= 2
