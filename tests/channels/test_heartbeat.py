"""The heartbeat in the protocol of healthchecks.io."""

import httpx
import pytest

from tests.channels.fake_slack import Answer, FakeSlack
from webhook_app.channels import SendError
from webhook_app.channels.heartbeat import Heartbeat


@pytest.fixture
def heartbeat(slack: FakeSlack) -> Heartbeat:
    return Heartbeat(f"{slack.base}/secret-check?rid=1", httpx.Timeout(0.3))


def test_success_pings_the_address_and_failure_its_fail_path(slack, heartbeat):
    heartbeat.report_success()
    heartbeat.report_failure("OperationalError")
    assert [(asked.method, asked.path) for asked in slack.asked] == [
        ("GET", "/secret-check?rid=1"),
        ("POST", "/secret-check/fail?rid=1"),
    ]
    assert slack.asked[1].body == b"OperationalError"


@pytest.mark.parametrize("answer", [Answer(404, ""), Answer(500, ""), Answer(hang=True)], ids=str)
def test_a_ping_that_is_refused_is_an_error_without_the_address(slack, heartbeat, answer):
    slack.answers.append(answer)
    with pytest.raises(SendError) as raised:
        heartbeat.report_success()
    assert "secret" not in str(raised.value)
