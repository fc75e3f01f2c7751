"""Alertmanager: what it is posted, what its answers mean, and a real one where it is installed."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.channels.fake_slack import Answer, FakeSlack
from tests.channels.notifications import NOW, NUMBER, SINCE, notification
from webhook_app.channels import SendError
from webhook_app.channels.alertmanager import VALID_FOR, Alertmanager

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
LATER = NOW + timedelta(minutes=3)


@pytest.fixture
def channel(slack: FakeSlack) -> Iterator[Alertmanager]:
    slack.usual = lambda _: Answer(200, "")
    made = Alertmanager(f"{slack.base}/am/", httpx.Timeout(0.3), clock=lambda: LATER)
    yield made
    made.close()


def test_an_alert_has_labels_to_route_by_and_annotations_to_read(
    slack: FakeSlack, channel: Alertmanager
) -> None:
    channel.send(notification())
    assert slack.asked[0].path == "/am/api/v2/alerts"
    [[alert]] = slack.posted
    assert alert["labels"] == {
        "alertname": "failure-rate-per-code",
        "service": "webhook_app",
        "kind": "rate",
        "severity": "warning",
        "code": "131026",
        "phone_number_id": NUMBER,
        "title": f"131026 Message undeliverable, business number {NUMBER}",
    }
    assert alert["annotations"]["summary"].startswith("WARNING: 131026")
    assert "What to do: Do not send it again." in alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == "https://wiki.example/131026"
    assert alert["generatorURL"] == "https://alerts.example/alerts/12"
    assert alert["startsAt"] == SINCE.isoformat()
    assert alert["endsAt"] == (LATER + VALID_FOR).isoformat()


def test_a_resolved_alert_ended_when_it_was_resolved_under_every_severity_it_may_have_had(
    slack: FakeSlack, channel: Alertmanager
) -> None:
    channel.send(notification(reason="resolved", resolved_at=NOW, severity="critical"))
    [alerts] = slack.posted
    assert {alert["labels"]["severity"] for alert in alerts} == {"info", "warning", "error", "critical"}
    assert {alert["endsAt"] for alert in alerts} == {NOW.isoformat()}


def test_an_alert_that_got_worse_is_over_under_its_old_severity(
    slack: FakeSlack, channel: Alertmanager
) -> None:
    channel.send(notification(reason="escalated", severity="critical"))
    [alerts] = slack.posted
    ends = {alert["labels"]["severity"]: alert["endsAt"] for alert in alerts}
    assert ends.pop("critical") == (LATER + VALID_FOR).isoformat()
    assert set(ends.values()) == {NOW.isoformat()}


def test_what_goes_on_is_said_again_in_one_call(slack: FakeSlack, channel: Alertmanager) -> None:
    channel.resend([notification(), notification(group={"template": ""}, link="", runbook="")])
    [[_, bare]] = slack.posted
    assert bare["labels"]["template"] == "none"
    assert "generatorURL" not in bare
    assert bare["endsAt"] == (LATER + VALID_FOR).isoformat()


@pytest.mark.parametrize(
    ("answer", "permanent", "retry_after"),
    [
        (Answer(400, "bad labels"), True, None),
        (Answer(404, ""), False, None),
        (Answer(429, "", "4"), False, 4.0),
        (Answer(500, ""), False, None),
        (Answer(202, ""), False, None),
        (Answer(hang=True), False, None),
    ],
    ids=lambda value: f"{value.status} {value.body}" if isinstance(value, Answer) else None,
)
def test_anything_but_ok_says_whether_to_try_again(
    slack: FakeSlack, channel: Alertmanager, answer: Answer, permanent: bool, retry_after: float | None
) -> None:
    slack.answers.append(answer)
    with pytest.raises(SendError) as raised:
        channel.send(notification())
    assert (raised.value.permanent, raised.value.retry_after) == (permanent, retry_after)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[str]:
    """The address of a real Alertmanager."""
    if PROGRAM is None:
        pytest.skip("Alertmanager is not installed (Debian: prometheus-alertmanager); nothing real was asked")
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            PROGRAM,
            f"--config.file={configuration}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _is_ready(url))
        yield url
    finally:
        process.kill()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").status_code == 200
    except httpx.HTTPError:
        return False


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def shown(url: str) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = json.loads(httpx.get(f"{url}/api/v2/alerts").content)
    return held


def test_a_real_alertmanager_accepts_shows_and_ends_our_alerts(real: str) -> None:
    began = datetime.now(UTC) - timedelta(minutes=5)
    channel = Alertmanager(real)
    others = {"kind": "health", "figures": None, "codes": (), "finding": "é was paused", "rule": "health"}
    channel.send(notification(since=began))
    channel.send(notification(since=began, group={"template": ""}, link="", **others))
    alerts = until(lambda: len(found := shown(real)) == 2 and found)
    by_name = {alert["labels"]["alertname"]: alert for alert in alerts}
    told = by_name["failure-rate-per-code"]
    assert (told["status"]["state"], told["labels"]["code"]) == ("active", "131026")
    assert told["annotations"]["summary"].startswith("WARNING: 131026")
    assert by_name["health"]["labels"]["template"] == "none"
    channel.send(notification(since=began, reason="escalated", severity="critical", at=datetime.now(UTC)))
    names = until(
        lambda: (
            (seen := {(a["labels"]["alertname"], a["labels"]["severity"]) for a in shown(real)})
            == {("failure-rate-per-code", "critical"), ("health", "warning")}
            and seen
        )
    )
    assert names
    before = {alert["labels"]["alertname"]: alert["endsAt"] for alert in shown(real)}
    channel.resend([notification(since=began, severity="critical")])
    until(lambda: any(alert["endsAt"] > before[alert["labels"]["alertname"]] for alert in shown(real)))
    ended = datetime.now(UTC)
    channel.send(
        notification(since=began, reason="resolved", severity="critical", resolved_at=ended, at=ended)
    )
    channel.send(
        notification(
            since=began, reason="resolved", group={"template": ""}, resolved_at=ended, at=ended, **others
        )
    )
    until(lambda: shown(real) == [])
    channel.close()
