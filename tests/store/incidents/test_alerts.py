"""There is one open alert per rule and group, and it is kept after it is resolved."""

import threading
from datetime import timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection

from tests.support.alerts import GROUP, make_alert
from webhook_app.store.incidents import alerts
from webhook_app.store.incidents.alerts import Alert


def opened(connection: Connection, alert: Alert) -> int:
    alert_id = alerts.insert_new(connection, alert)
    assert alert_id is not None
    return alert_id


def test_many_alerts_can_be_opened_on_one_connection(connection, now):
    ids = {opened(connection, make_alert(now, group={"code": code})) for code in range(40)}
    assert len(ids) == 40


def test_an_alert_is_read_as_it_was_stored(connection, now):
    alert = make_alert(
        now, attempts=100, failures=7, rate=0.07, explanation={"since": "x"}, fired_at=now, state="firing"
    )
    alert_id = opened(connection, alert)
    assert alerts.get_alert(connection, alert_id) == replace(alert, id=alert_id)
    assert alerts.open_alerts(connection) == [replace(alert, id=alert_id)]


def test_the_order_of_keys_does_not_change_a_group(connection, now):
    opened(connection, make_alert(now))
    turned = dict(reversed(GROUP.items()))
    assert alerts.insert_new(connection, make_alert(now, group=turned)) is None


def test_a_long_lived_connection_can_still_open_alerts(connection, now):
    for code in range(
        30
    ):  # the driver prepares a statement after some, and Postgres plans it anew after more
        opened(connection, make_alert(now, group={"code": code}))
        assert alerts.insert_new(connection, make_alert(now, group={"code": code})) is None


@pytest.mark.parametrize(
    ("more", "is_new"),
    [
        ({}, False),
        ({"state": "firing"}, False),
        ({"rule": "other"}, True),
        ({"group": GROUP | {"code": 131053}}, True),
        ({"state": "resolved"}, True),
    ],
    ids=str,
)
def test_a_rule_has_one_open_alert_for_a_group(connection, now, more, is_new):
    opened(connection, make_alert(now))
    assert (alerts.insert_new(connection, make_alert(now, **more)) is not None) is is_new


def test_a_new_alert_may_follow_a_resolved_one(connection, now):
    first = opened(connection, make_alert(now))
    alerts.save(connection, replace(make_alert(now, id=first), state="resolved", resolved_at=now))
    assert opened(connection, make_alert(now)) != first


def test_two_transactions_that_open_the_same_alert_store_one(engine, now):
    found: list[int | None] = []

    def rival() -> None:
        with engine.begin() as connection:
            found.append(alerts.insert_new(connection, make_alert(now)))

    with engine.begin() as connection:
        mine = opened(connection, make_alert(now))
        thread = threading.Thread(target=rival)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive(), "the rival must wait for our commit"
    thread.join(5)
    assert found == [None]
    with engine.connect() as connection:
        assert [alert.id for alert in alerts.open_alerts(connection)] == [mine]


def test_only_a_pending_alert_can_be_removed(connection, now):
    pending = opened(connection, make_alert(now))
    firing = opened(connection, make_alert(now, rule="other", state="firing"))
    for alert_id in (pending, firing):
        alerts.remove_pending(connection, alert_id)
    assert alerts.get_alert(connection, pending) is None
    assert alerts.get_alert(connection, firing) is not None


def test_the_list_is_paged_newest_first(connection, now):
    ids = [
        opened(connection, make_alert(now, rule=f"r{i}", state="firing" if i % 2 else "pending"))
        for i in range(5)
    ]
    first = alerts.list_alerts(connection, limit=2)
    second = alerts.list_alerts(connection, limit=2, before_id=first[-1].id)
    assert [alert.id for alert in first + second] == ids[:0:-1]
    assert [alert.id for alert in alerts.list_alerts(connection, state="firing")] == [ids[3], ids[1]]


def test_an_alert_that_went_quiet_is_not_the_last_end_of_its_group(connection, now):
    for how, minutes in (("recovered", 9), ("faded", 5), ("quiet", 1)):
        ended = {"state": "resolved", "ended_how": how, "resolved_at": now - timedelta(minutes=minutes)}
        opened(connection, make_alert(now, kind="slow", **ended))
    since = now - timedelta(minutes=10)
    (at,) = alerts.last_ends(connection, ["slow"], since).values()
    assert at == now - timedelta(minutes=5)
