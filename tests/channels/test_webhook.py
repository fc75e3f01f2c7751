"""The generic webhook: signed by Standard Webhooks, with the same body at every try."""

import base64
import json
from typing import get_args

import httpx
import pytest
from msgspec.structs import replace

from tests.channels.fake_slack import Answer, FakeSlack
from tests.channels.notifications import notification
from webhook_app.channels import SendError
from webhook_app.channels.notification import Reason
from webhook_app.channels.webhook import Webhook, body_of, read_secret, sign

KEYS = [b"0" * 24, b"1" * 32]
NOW_S = 1_700_000_000


@pytest.fixture
def channel(slack: FakeSlack) -> Webhook:
    return Webhook(slack.url, KEYS, httpx.Timeout(0.3), clock=lambda: NOW_S + 0.9)


def test_the_signature_is_the_one_of_the_specifications_example():
    key = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    made = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [key])
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_it_is_posted_with_id_time_and_a_signature_by_each_key(slack, channel):
    message = replace(notification(), id=7)
    channel.send(message)
    channel.send(message)
    first, second = slack.asked
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "notification_7"
    assert first.headers["webhook-timestamp"] == str(NOW_S)
    assert first.headers["webhook-signature"] == sign("notification_7", NOW_S, first.body, KEYS)
    assert first.headers["webhook-signature"].count("v1,") == 2
    held = json.loads(first.body)
    assert held["type"] == "incident.fired"
    assert (held["data"]["incident_id"], held["data"]["figures"]["failures"]) == (12, 40)
    assert held["data"]["headline"].startswith("WARNING: 131026")
    assert held["data"]["title"] in held["data"]["headline"]
    assert "What to do: Do not send it again." in held["data"]["text"]


@pytest.mark.parametrize("reason", get_args(Reason))
def test_the_type_names_the_reason(reason):
    assert json.loads(body_of(notification(reason=reason)))["type"] == f"incident.{reason}"


@pytest.mark.parametrize(
    ("answer", "permanent", "retry_after"),
    [
        (Answer(410, "gone"), True, None),
        (Answer(404, ""), False, None),
        (Answer(400, ""), False, None),
        (Answer(429, "", "12"), False, 12.0),
        (Answer(503, "", "0"), False, 0.0),
        (Answer(302, ""), False, None),
        (Answer(hang=True), False, None),
    ],
    ids=lambda value: f"{value.status} {value.body}" if isinstance(value, Answer) else None,
)
def test_any_answer_but_2xx_is_an_error_that_says_whether_to_retry(
    slack, channel, answer, permanent, retry_after
):
    slack.answers.append(answer)
    with pytest.raises(SendError) as raised:
        channel.send(notification())
    assert (raised.value.permanent, raised.value.retry_after) == (permanent, retry_after)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_answer_is_success(slack, channel, status):
    slack.answers.append(Answer(status, ""))
    channel.send(notification())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("hush-hush", "must begin with whsec_"),
        ("whsec_###", "must be base64"),
        ("whsec_" + base64.b64encode(b"short").decode(), "must have 24 to 64 bytes, has 5"),
        ("whsec_" + base64.b64encode(b"l" * 65).decode(), "must have 24 to 64 bytes, has 65"),
    ],
)
def test_an_invalid_secret_has_an_error_without_the_secret(text, fault):
    with pytest.raises(ValueError, match=fault) as raised:
        read_secret(text)
    assert "hush" not in str(raised.value)
