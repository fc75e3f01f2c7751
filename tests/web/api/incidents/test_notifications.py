"""/v1/notifications: states, tries, and the retry of a failed one."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tests.web.conftest import Api
from webhook_app.store.incidents import outbox as notifications
from webhook_app.store.incidents import waiting_notifications
from webhook_app.store.incidents.outbox import Claim

SECOND = timedelta(seconds=1)


def add(
    engine: Engine, now: datetime, incident_id: int, channel: str = "slack", reason: str = "fired"
) -> None:
    with engine.begin() as connection:
        notifications.add(connection, incident_id, channel, reason, {}, now)


def claim(engine: Engine, now: datetime, channel: str = "slack") -> Claim:
    with engine.begin() as connection:
        claimed = notifications.claim(connection, channel, now, now + SECOND)
    assert claimed is not None
    return claimed


@pytest.fixture
def outbox(engine: Engine, now: datetime) -> None:
    """Incidents 1 sent, 2 failed, 3 superseded, 4 waiting after a try, each in Slack; 5 waiting as mail."""
    for incident_id in (1, 2):
        add(engine, now, incident_id)
    sent, failed = claim(engine, now), claim(engine, now)
    add(engine, now, 3, reason="repeated")
    add(engine, now, 3, reason="resolved")
    with engine.begin() as connection:
        notifications.mark_sent(connection, sent, now)
        notifications.mark_failed(connection, failed, now, "404 no_service")
        connection.execute(text("DELETE FROM notifications WHERE reason = 'resolved'"))
    add(engine, now, 4)
    again = claim(engine, now)
    with engine.begin() as connection:
        notifications.mark_retry(connection, again, now, now + 30 * SECOND, "busy")
    add(engine, now, 5, "email")


@pytest.mark.usefixtures("outbox")
def test_each_notification_has_a_state_and_its_tries(api: Api, now: datetime) -> None:
    found = api.get("/v1/notifications", role="viewer").json["notifications"]
    assert [(one["incident_id"], one["state"], one["tries"]) for one in found] == [
        (5, "waiting", 0),
        (4, "waiting", 1),
        (3, "superseded", 0),
        (2, "failed", 1),
        (1, "sent", 1),
    ]
    waiting, failed = found[1], found[3]
    assert datetime.fromisoformat(waiting["next_try_at"]) == now + 30 * SECOND
    assert [(one["outcome"], one["error"]) for one in waiting["latest_tries"]] == [("retry", "busy")]
    assert (failed["last_error"], failed["next_try_at"]) == ("404 no_service", None)


@pytest.mark.usefixtures("outbox")
@pytest.mark.parametrize(
    ("query", "incidents"),
    [
        ("state=waiting", [5, 4]),
        ("state=sent", [1]),
        ("state=failed", [2]),
        ("state=superseded", [3]),
        ("channel=email", [5]),
        ("incident_id=4", [4]),
        ("state=waiting&channel=slack", [4]),
        ("state=sent&incident_id=4", []),
    ],
)
def test_notifications_can_be_filtered(api: Api, query: str, incidents: list[int]) -> None:
    found = api.get(f"/v1/notifications?{query}").json["notifications"]
    assert [one["incident_id"] for one in found] == incidents


@pytest.mark.usefixtures("outbox")
def test_pages_follow_each_other(api: Api) -> None:
    first = api.get("/v1/notifications?limit=3").json
    second = api.get(f"/v1/notifications?limit=3&cursor={first['next_cursor']}").json
    listed = [one["incident_id"] for page in (first, second) for one in page["notifications"]]
    assert (listed, second["next_cursor"]) == ([5, 4, 3, 2, 1], None)


@pytest.mark.usefixtures("outbox")
def test_only_an_admin_retries_a_failed_notification_at_once(api: Api, engine: Engine) -> None:
    [failed] = api.get("/v1/notifications?state=failed").json["notifications"]
    path = f"/v1/notifications/{failed['id']}/retry"
    assert api.post(path, role="viewer").status_code == 403
    answer = api.post(path)
    assert (answer.status_code, answer.json["state"]) == (200, "waiting")
    claimed = claim(engine, datetime.fromisoformat(answer.json["next_try_at"]))
    assert (claimed.id, claimed.tries) == (failed["id"], 2)
    assert api.post(path).status_code == 409


@pytest.mark.usefixtures("outbox")
def test_a_retried_notification_does_not_expire_before_its_try(api: Api, engine: Engine) -> None:
    [failed] = api.get("/v1/notifications?state=failed").json["notifications"]
    with engine.begin() as connection:
        connection.execute(text("UPDATE notifications SET created_at = created_at - interval '9 days'"))
    answer = api.post(f"/v1/notifications/{failed['id']}/retry").json
    now = datetime.fromisoformat(answer["next_try_at"])
    with engine.begin() as connection:
        old = waiting_notifications.outdated(connection, now - timedelta(days=3), now, 10)
    assert failed["id"] not in [each.id for each in old]
    assert api.get("/v1/notifications?incident_id=2").json["notifications"][0]["state"] == "waiting"


@pytest.mark.usefixtures("outbox")
def test_only_a_failed_notification_can_be_retried(api: Api) -> None:
    for incident_id in (1, 3, 4):
        [one] = api.get(f"/v1/notifications?incident_id={incident_id}").json["notifications"]
        assert api.post(f"/v1/notifications/{one['id']}/retry").status_code == 409
    assert api.post("/v1/notifications/999/retry").status_code == 404
