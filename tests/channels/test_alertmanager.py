"""Alertmanager: the posted alerts, its answers, and a real one where it is installed."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from tests.channels.fake_slack import Answer, FakeSlack
from tests.channels.notifications import NOW, NUMBER, SINCE, notification
from tests.support.waiting import wait_for
from webhook_app.channels import SendError
from webhook_app.channels.alertmanager import VALID_FOR, Alertmanager

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
LATER = NOW + timedelta(minutes=3)


@pytest.fixture
def channel(slack: FakeSlack) -> Alertmanager:
    slack.usual = lambda _: Answer(200, "")
    return Alertmanager(f"{slack.base}/am/", httpx.Timeout(0.3), clock=lambda: LATER)


def test_an_incident_has_labels_to_route_by_and_annotations_to_read(slack, channel):
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
    assert alert["annotations"]["incident_id"] == "12"
    assert "What to do: Do not send it again." in alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == "https://wiki.example/131026"
    assert alert["generatorURL"] == "https://alerts.example/incidents/12"
    assert alert["startsAt"] == SINCE.isoformat()
    assert alert["endsAt"] == (LATER + VALID_FOR).isoformat()


def test_an_end_ends_what_was_sent_and_nothing_else(slack, channel):
    receipt = channel.send(notification())
    ended = channel.send(notification(reason="resolved", resolved_at=NOW, why="Calm."), receipt)
    [[fired], [end]] = slack.posted
    assert (end["labels"], end["startsAt"]) == (fired["labels"], fired["startsAt"])
    assert end["endsAt"] == NOW.isoformat()
    assert channel.send(notification(reason="resolved", resolved_at=LATER), ended) is None
    assert len(slack.posted) == 2, "the second end is not sent"


def test_an_alert_that_was_never_sent_does_not_end(slack, channel):
    ended = channel.send(notification(reason="resolved", resolved_at=NOW))
    assert channel.send(notification(), ended) is None
    assert slack.posted == []


@pytest.mark.parametrize("reason", ["fired", "repeated", "escalated", "acknowledged", "snoozed"])
def test_after_its_end_an_alert_is_never_sent_as_firing(slack, channel, reason):
    ended = channel.send(notification(reason="resolved"), channel.send(notification()))
    assert channel.send(notification(reason=reason), ended) is None
    channel.resend([notification()], [ended])
    assert len(slack.posted) == 2


def test_an_incident_that_opens_again_is_a_new_start_of_the_same_alert(slack, channel):
    ended = channel.send(notification(reason="resolved", resolved_at=NOW), channel.send(notification()))
    again = channel.send(notification(reason="again", at=LATER, again=1), ended)
    channel.send(notification(reason="resolved", resolved_at=LATER + timedelta(hours=1), again=1), again)
    [[fired], _, [reopened], [end]] = slack.posted
    assert reopened["labels"] == fired["labels"]
    assert (reopened["startsAt"], reopened["endsAt"]) == (LATER.isoformat(), (LATER + VALID_FOR).isoformat())
    assert (end["startsAt"], end["endsAt"]) == (
        LATER.isoformat(),
        (LATER + timedelta(hours=1)).isoformat(),
    )


def test_a_past_incident_is_not_sent_at_all(slack, channel):
    receipt = channel.send(notification(reason="past", resolved_at=NOW))
    channel.resend([notification()], [receipt])
    assert slack.posted == []


def test_a_higher_severity_ends_the_alert_of_the_lower_one_only(slack, channel):
    warning = channel.send(notification())
    critical = channel.send(notification(reason="escalated", severity="critical"), warning)
    late = channel.send(notification(reason="repeated"), critical)
    channel.send(notification(reason="resolved", resolved_at=LATER, severity="critical"), late)
    _, escalated, repeated, resolved = [
        [(alert["labels"]["severity"], alert["endsAt"]) for alert in alerts] for alerts in slack.posted
    ]
    open_until = (LATER + VALID_FOR).isoformat()
    assert escalated == [("critical", open_until), ("warning", NOW.isoformat())]
    assert repeated == [("critical", open_until)], "an older notification that is late lowers nothing"
    assert resolved == [("critical", LATER.isoformat())]


def test_labels_and_start_stay_the_same_for_the_whole_life_of_an_alert(slack, channel):
    receipt = channel.send(notification())
    renamed = {"codes": (), "since": NOW, "at": LATER}
    receipt = channel.send(notification(reason="acknowledged", actor="Ann", **renamed), receipt)
    channel.resend([notification(**renamed)], [receipt])
    channel.send(notification(reason="resolved", resolved_at=LATER, **renamed), receipt)
    seen = [(alert["labels"], alert["startsAt"]) for [alert] in slack.posted]
    assert seen == [seen[0]] * 4
    assert seen[0][1] == SINCE.isoformat()


def test_annotations_describe_the_alert_and_not_the_last_message(slack, channel):
    known = {"acknowledged_by": "Ann", "acknowledged_at": NOW, "actor": "Ann"}
    for reason in ("fired", "repeated", "acknowledged", "snoozed"):
        channel.send(notification(reason=reason, **known))
    summaries = {alert["annotations"]["summary"] for [alert] in slack.posted}
    assert len(summaries) == 1
    assert summaries.pop().startswith("WARNING: 131026")
    assert all("Acknowledged: by Ann" in alert["annotations"]["description"] for [alert] in slack.posted)


def test_all_firing_alerts_are_sent_again_in_one_call(slack, channel):
    bare = {"group": {"template": ""}, "link": "", "runbook": ""}
    receipts = [channel.send(notification()), channel.send(notification(**bare))]
    channel.resend([notification(), notification(**bare), notification()], [*receipts, None])
    assert slack.posted[2] == [*slack.posted[0], *slack.posted[1]]
    [_, again] = slack.posted[2]
    assert again["labels"]["template"] == "none"
    assert "generatorURL" not in again


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
def test_any_answer_but_ok_is_an_error_that_says_whether_to_retry(
    slack, channel, answer, permanent, retry_after
):
    slack.answers.append(answer)
    with pytest.raises(SendError) as raised:
        channel.send(notification())
    assert (raised.value.permanent, raised.value.retry_after) == (permanent, retry_after)


@pytest.fixture
def real(tmp_path: Path, receiver: str) -> Iterator[str]:
    """The address of a real Alertmanager, which reports to the receiver."""
    if PROGRAM is None:
        pytest.skip("Alertmanager is not installed (Debian: prometheus-alertmanager)")
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text(
        "route: {receiver: ours, group_by: [...], group_wait: 100ms, group_interval: 200ms, repeat_interval: 1h}\n"
        f"receivers: [{{name: ours, webhook_configs: [{{url: '{receiver}'}}]}}]\n"
    )
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
        wait_for(lambda: _is_ready(url))
        yield url
    finally:
        process.kill()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").status_code == 200
    except httpx.HTTPError:
        return False


def shown(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(httpx.get(f"{url}/api/v2/alerts").content)
    return found


class Receiver(BaseHTTPRequestHandler):
    """Keeps every alert that Alertmanager reports to its webhook receiver."""

    reported: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reported.extend(body["alerts"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def receiver() -> Iterator[str]:
    """The address of a webhook receiver for Alertmanager."""
    Receiver.reported.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def reported(status: str) -> list[tuple[str, str]]:
    """Each alert and severity that Alertmanager has reported with this status, in order, without repetition."""
    found = [
        (alert["labels"]["alertname"], alert["labels"]["severity"])
        for alert in Receiver.reported
        if alert["status"] == status
    ]
    return list(dict.fromkeys(found))


def test_a_real_alertmanager_reports_one_end_for_one_end(real):
    began = datetime.now(UTC) - timedelta(minutes=5)
    channel = Alertmanager(real)
    health = {"kind": "health", "figures": None, "codes": (), "finding": "é was paused", "rule": "health"}
    health |= {"group": {"template": ""}, "link": "", "since": began}
    rate = channel.send(notification(since=began))
    paused = channel.send(notification(**health))
    alerts = wait_for(lambda: len(found := shown(real)) == 2 and found)
    by_name = {alert["labels"]["alertname"]: alert for alert in alerts}
    fired = by_name["failure-rate-per-code"]
    assert (fired["status"]["state"], fired["labels"]["code"]) == ("active", "131026")
    assert fired["annotations"]["summary"].startswith("WARNING: 131026")
    assert datetime.fromisoformat(fired["startsAt"]) == began.replace(
        microsecond=began.microsecond // 1000 * 1000
    )
    assert by_name["health"]["labels"]["template"] == "none"
    wait_for(lambda: len(reported("firing")) == 2)
    escalated = notification(since=began, reason="escalated", severity="critical", at=datetime.now(UTC))
    rate = channel.send(escalated, rate)
    wait_for(
        lambda: (
            {(a["labels"]["alertname"], a["labels"]["severity"]) for a in shown(real)}
            == {("failure-rate-per-code", "critical"), ("health", "warning")}
        )
    )
    restarted = Alertmanager(real)
    before = {alert["labels"]["alertname"]: alert for alert in shown(real)}
    restarted.resend([notification(since=began, severity="critical"), notification(**health)], [rate, paused])
    again = wait_for(
        lambda: (
            (found := {a["labels"]["alertname"]: a for a in shown(real)})
            and all(found[name]["endsAt"] > before[name]["endsAt"] for name in before)
            and found
        )
    )
    for name, alert in again.items():
        assert {key: alert[key] for key in ("labels", "startsAt", "fingerprint")} == {
            key: before[name][key] for key in ("labels", "startsAt", "fingerprint")
        }
    ended = datetime.now(UTC)
    over = {"reason": "resolved", "resolved_at": ended, "at": ended}
    rate = restarted.send(notification(**over, since=began, severity="critical"), rate)
    paused = restarted.send(notification(**(health | over)), paused)
    wait_for(lambda: shown(real) == [])
    restarted.send(notification(since=began), rate)
    restarted.resend([notification(**health)], [paused])
    assert shown(real) == []
    wait_for(lambda: len(reported("resolved")) == 3)
    assert set(reported("resolved")) == {
        ("failure-rate-per-code", "warning"),
        ("failure-rate-per-code", "critical"),
        ("health", "warning"),
    }
    assert set(reported("firing")) == set(reported("resolved"))
