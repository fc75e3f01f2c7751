"""Every kind of rule from stored rows to an alert: what opens it and what ends it."""

import json
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, event, text

from tests.support.factories import NUMBER, WABA, body, status
from tests.support.reports import report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.measure_lateness import measure
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.counts import seen_codes
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.postgres.engine import connect
from webhook_app.store.suppressions import suppressions
from webhook_app.store.suppressions.suppressions import ChangeEvidence, Suppression

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UNREACHABLE, TOKEN, OTHER_NUMBER = 131026, 190, "590238114470022"


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past an hour."""
    return now.replace(minute=30, second=0) - HOUR


def rule(kind: str, **changes: Any) -> Rule:
    text_ = (
        f'[[rule]]\nname = "{kind}"\nkind = "{kind}"\nfor_evaluations = 1\nresolve_after_evaluations = 1\n'
    )
    return parse_rules(text_ + "".join(f"{key} = {value}\n" for key, value in changes.items()))[0]


def evaluate_at(engine: Engine, a_rule: Rule, now: datetime) -> dict[str, int]:
    return evaluate(engine, [a_rule], now).transitions


def firing(engine: Engine) -> list[tuple[dict[str, Any], str]]:
    with engine.connect() as connection:
        return [
            (a.group, a.explanation["finding"]) for a in alerts.open_alerts(connection) if a.state == "firing"
        ]


def test_attention_fires_at_the_first_failure_and_ends_when_messages_are_delivered(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(1, now, TOKEN)
    traffic.failed(50, now, UNREACHABLE)
    assert evaluate_at(engine, rule("attention"), now) == {"fire": 1}
    [(group, _)] = firing(engine)
    assert group == {"code": TOKEN, "phone_number_id": NUMBER}
    soon = now + 25 * MINUTE
    assert evaluate_at(engine, rule("attention"), soon) == {}, "nothing was sent: no recovery"
    traffic.sent(1, soon)
    assert evaluate_at(engine, rule("attention"), soon + MINUTE) == {"resolve": 1}


def test_attention_without_any_traffic_ends_as_quiet_and_not_as_recovered(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(1, now, TOKEN)
    evaluate_at(engine, rule("attention"), now)
    assert evaluate_at(engine, rule("attention"), now + HOUR) == {"resolve": 1}
    with engine.connect() as connection:
        [alert] = alerts.list_alerts(connection)
    assert alert.ended_how == "quiet"


def test_a_new_code_fires_once_and_not_again_within_the_month(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.sent(10, now - 3 * DAY)
    traffic.failed(3, now - 2 * DAY, UNREACHABLE)
    sum_all(engine, now)
    traffic.failed(3, now, UNREACHABLE)
    traffic.failed(3, now, 131053)
    traffic.failed(3, now, 131053, number=OTHER_NUMBER)
    assert evaluate_at(engine, rule("new_code"), now) == {"fire": 1}
    [(group, _)] = firing(engine)
    assert group == {"code": 131053, "phone_number_id": NUMBER}, "the other number is in its first day"
    traffic.sent(1, now + 2 * HOUR)
    assert evaluate_at(engine, rule("new_code"), now + 2 * HOUR) == {"resolve": 1}
    traffic.failed(3, now + 3 * HOUR, 131053)
    assert evaluate_at(engine, rule("new_code"), now + 3 * HOUR) == {}, (
        "seen lately, though in no hour summed up yet"
    )


def test_a_spike_is_measured_against_the_code_s_own_past(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    for back in range(3, 30, 3):
        traffic.sent(99, now - back * HOUR)
        traffic.failed(1, now - back * HOUR, UNREACHABLE)
    sum_all(engine, now)
    traffic.sent(380, now)
    traffic.failed(20, now, UNREACHABLE)
    assert evaluate_at(engine, rule("spike"), now) == {"fire": 1}
    with engine.connect() as connection:
        [alert] = alerts.open_alerts(connection)
    assert alert.threshold == pytest.approx(0.03)
    assert "the usual share is 1 %" in alert.explanation["reason"]
    later = now + HOUR
    traffic.sent(99, later)
    traffic.failed(1, later, UNREACHABLE)
    assert evaluate_at(engine, rule("spike"), later) == {"resolve": 1}


def test_silence_on_a_number_that_has_webhooks_every_day_at_this_time(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    for day in range(1, 7):  # the seventh had none: one poor day is forgiven
        for hour in (-1, 0, 1):
            traffic.sent(50, now - day * DAY - 25 * MINUTE + hour * HOUR)
    sum_all(engine, now)
    assert evaluate_at(engine, rule("silence"), now) == {"fire": 1}
    [(group, finding)] = firing(engine)
    assert group == {"phone_number_id": NUMBER}
    assert finding == "No webhooks in 30 min, 25 or more are usual"
    traffic.sent(1, now)
    assert evaluate_at(engine, rule("silence"), now + MINUTE) == {"resolve": 1}


def test_silence_although_messages_were_sent(engine: Engine, traffic: Traffic, now: datetime) -> None:
    traffic.sent(1, now - 3 * DAY)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO sends (message_id, phone_number_id, failed, sent_at, registered_at)"
                " SELECT 'wamid.' || n, :number, false, :at, :at FROM generate_series(1, 20) n"
            ),
            {"number": NUMBER, "at": now - 10 * MINUTE},
        )
    assert evaluate_at(engine, rule("silence"), now) == {"fire": 1}
    assert "although 20 messages were sent" in firing(engine)[0][1]


def test_refused_deliveries_fire_by_their_number_and_end_when_valid_ones_arrive(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO rejections VALUES (:at, 'mismatch', 9), (:at, 'missing', 1)"), {"at": now}
        )
    assert evaluate_at(engine, rule("signature"), now) == {"fire": 1}
    assert firing(engine)[0][1] == "10 deliveries refused in 15 min (mismatch 9, missing 1)"
    assert evaluate_at(engine, rule("signature"), now + HOUR) == {}, "nobody posts at all"
    traffic.sent(1, now + HOUR)
    assert evaluate_at(engine, rule("signature"), now + HOUR + MINUTE) == {"resolve": 1}


def test_integrity_sees_quarantine_books_missing_sent_and_silent_sends(
    engine: Engine, database_url: str, now: datetime
) -> None:
    real = datetime.now(now.tzinfo)
    unread = [Delivery(b'{"broken": %d' % n) for n in range(10)]
    writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
    writer.store(unread, real)
    then = real - 45 * MINUTE
    delivered = [status(f"wamid.D{n}", "delivered", then) for n in range(60)]
    writer.store([Delivery(body(*delivered))], then)
    late = [status(f"wamid.L{n}", "delivered", then - 5 * MINUTE) for n in range(20)]  # of a backlog
    writer.store([Delivery(body(*late))], then)
    writer.close()
    measure(engine, real)
    with engine.begin() as connection:
        connection.execute(text("UPDATE books SET received = received + 1"))
        connection.execute(
            text(
                "INSERT INTO sends (message_id, phone_number_id, failed, sent_at, registered_at, check_at)"
                " SELECT 'wamid.' || n, :number, false, :at, :at, :at FROM generate_series(1, 10) n"
            ),
            {"number": NUMBER, "at": real - 30 * MINUTE},
        )
    assert evaluate_at(engine, rule("integrity"), real) == {"fire": 4}
    found = {str(group["check"]): finding for group, finding in firing(engine)}
    assert found["quarantine"] == "10 items quarantined in 1 h"
    assert found["books"].endswith("do not balance")
    assert found["delivered_without_sent"] == (
        "No `sent` came within 30 min for 100 % of 60 messages delivered in 1 h"
    )
    assert found["silent_sends"].startswith("10 messages accepted over 15 min ago")


def test_made_up_sends_of_one_key_do_not_hide_missing_webhooks_of_another(
    engine: Engine, now: datetime
) -> None:
    def accept(key: str, at: datetime) -> None:
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO sends (message_id, phone_number_id, failed, sent_at, registered_at, check_at,"
                    " reported_by) SELECT :key || n, :number, false, :at, :at, :at, :key FROM generate_series(1, 30) n"
                ),
                {"number": NUMBER, "at": at, "key": key},
            )

    checks = rule("integrity", checks='["silent_sends"]')
    accept("rival", now - 20 * MINUTE)
    assert evaluate_at(engine, checks, now) == {"fire": 1}
    accept("shop", now - 10 * MINUTE)
    assert evaluate_at(engine, checks, now + 10 * MINUTE) == {"fire": 1}
    with engine.connect() as connection:
        titles = {each.title for each in incidents.open_incidents(connection)}
    assert titles == {
        f"30 messages accepted over 15 min ago have no webhook (reported by the API key {key})"
        for key in ("rival", "shop")
    }
    assert evaluate_at(engine, checks, now + 3 * HOUR) == {"resolve": 2}


def change(
    engine: Engine, subject: str, subject_id: str, aspect: str, value: str, at: datetime, **detail: Any
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, detail, waba_id, name,"
                " language, received_at) VALUES (:subject, :subject_id, :aspect, :at, :value,"
                " CAST(:detail AS jsonb), :waba, '', '', :at)"
            ),
            {
                "subject": subject,
                "subject_id": subject_id,
                "aspect": aspect,
                "at": at,
                "value": value,
                "detail": json.dumps(detail),
                "waba": WABA,
            },
        )


def test_health_fires_on_a_reported_problem_and_ends_when_meta_reports_another_state(
    engine: Engine, now: datetime
) -> None:
    change(engine, "template", "77", "status", "PAUSED", now, title="FIRST_PAUSE")
    change(engine, "account", WABA, "status", "DISABLED", now)
    change(engine, "account", WABA, "tier", "TIER_1K", now, before="TIER_10K", limit=1000)
    change(engine, "number", "+12025550117", "quality", "GREEN", now)
    assert evaluate_at(engine, rule("health"), now) == {"fire": 3}
    with engine.connect() as connection:
        severities = {a.explanation["finding"]: a.severity for a in alerts.open_alerts(connection)}
    assert severities == {
        "Meta has set the template to PAUSED": "error",
        "Meta has set the account to DISABLED": "critical",
        "Meta has lowered the messaging limit of the account to TIER_1K (before: TIER_10K)": "error",
    }
    change(engine, "template", "77", "status", "APPROVED", now + HOUR)
    assert evaluate_at(engine, rule("health"), now + HOUR) == {"resolve": 1}
    change(engine, "account", WABA, "status", "ACTIVE", now + 2 * HOUR)
    assert evaluate_at(engine, rule("health"), now + 2 * HOUR) == {"resolve": 1}
    assert evaluate_at(engine, rule("health"), now + 8 * DAY) == {"resolve": 1}, (
        "a lower limit is news for a week"
    )


def test_a_report_about_hundreds_of_templates_is_one_incident_and_costs_few_statements(
    engine: Engine, now: datetime
) -> None:
    changes = text(
        "INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, detail, name, received_at)"
        " SELECT 'template', n::text, 'status', :at, 'REJECTED', jsonb '{}', 'promo_' || n, :at"
        " FROM generate_series(1, 300) n"
        " UNION ALL SELECT 'number', '+1202555' || n, 'tier', :at, 'TIER_50', '{\"limit\": 50}', '', :at"
        " FROM generate_series(1000, 1299) n"
    )
    with engine.begin() as connection:
        connection.execute(changes, {"at": now})
    statements: list[str] = []
    listener = lambda *sent: statements.append(sent[2])  # noqa: E731
    event.listen(engine, "before_cursor_execute", listener)
    rules = [rule("health"), rule("tier")]
    for seconds in (0, 15, 30):
        evaluate(engine, rules, now + seconds * timedelta(seconds=1))
    event.remove(engine, "before_cursor_execute", listener)
    assert len([each for each in statements if "SAVEPOINT" not in each]) < 100
    with engine.connect() as connection:
        [incident] = incidents.open_incidents(connection)
        assert len(alerts.of_incidents(connection, [incident.id])) == 300
        [payload] = connection.execute(text("SELECT payload FROM notifications")).scalars()
    assert payload["title"] == "Meta has set the template to REJECTED, 300 templates"
    assert len(incident.names["template"]) == 300


def test_a_name_of_a_version_without_limits_stops_no_evaluation(engine: Engine, now: datetime) -> None:
    letters = random.Random(2)
    change(engine, "template", "77", "status", "REJECTED", now)
    for column in ("name", "language"):
        told = "".join(chr(letters.randrange(0x20000, 0x2A6D0)) for _ in range(512))
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE health_changes SET {column} = :told"), {"told": told})
    assert evaluate_at(engine, rule("health"), now) == {"fire": 1}
    assert evaluate_at(engine, rule("health"), now + MINUTE) == {}


def test_a_detail_of_a_version_without_limits_is_cut_and_written_only_once(
    engine: Engine, now: datetime
) -> None:
    letters = random.Random(1)
    told = "".join(chr(letters.randrange(0x4E00, 0x9FFF)) for _ in range(50_000))
    change(engine, "account", WABA, "violation", "SPAM", now, remediation=told, description=told[::-1])
    assert evaluate_at(engine, rule("health"), now) == {"fire": 1}
    with engine.connect() as connection:
        [alert] = alerts.open_alerts(connection)
    evaluate_at(engine, rule("health"), now + MINUTE)
    with engine.connect() as connection:
        assert [len(value) for _, value in alert.explanation["details"]] == [500, 500]
        name = connection.execute(
            text("SELECT reltoastrelid::regclass::text FROM pg_class WHERE relname = 'alerts'")
        )
        written = text(f"SELECT array_agg(DISTINCT chunk_id) FROM {name.scalar_one()}")
        assert (before := connection.execute(written).scalar_one())
    assert evaluate_at(engine, rule("health"), now + 2 * MINUTE) == {}
    with engine.connect() as connection:
        assert connection.execute(written).scalar_one() == before
        assert alerts.open_alerts(connection)[0].evaluated_at == now + 2 * MINUTE


def test_health_judges_only_the_checks_of_the_rule(engine: Engine, now: datetime) -> None:
    change(engine, "template", "77", "status", "PAUSED", now)
    change(engine, "number", "+12025550117", "quality", "RED", now)
    assert evaluate_at(engine, rule("health", checks='["quality"]'), now) == {"fire": 1}


def test_the_messaging_limit_counts_contacts_and_not_messages(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    change(engine, "account", WABA, "tier", "TIER_50", now, limit=50)
    for message in range(2):
        traffic.store(
            *(status(f"wamid.L{message}.{n}", "sent", now, recipient=f"12025551{n:03}") for n in range(39)),
            at=now,
        )
    assert evaluate_at(engine, rule("tier"), now) == {}
    traffic.sent(1, now)
    assert evaluate_at(engine, rule("tier"), now + 6 * MINUTE) == {"fire": 1}
    assert firing(engine) == [({"waba_id": WABA}, "40 of 50 contacts in 24 h, 80 %")]


def test_the_service_monitors_itself(engine: Engine, now: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO notifications (incident_id, channel, reason, sequence, payload, created_at, next_try_at)"
                " VALUES (1, 'slack', 'fired', 1, '{}', :at, :at)"
            ),
            {"at": now - 10 * MINUTE},
        )
        connection.execute(
            text(
                "INSERT INTO scheduler_state (job, started_at, seconds, error, leader) VALUES"
                " ('suppress', :late, 1, '', ''), ('evaluate', :at, 31, '', ''), ('prune', :late, 1, 'Oops: x', '')"
            ),
            {"at": now, "late": now - 10 * MINUTE},
        )
    assert evaluate_at(engine, rule("self"), now) == {"fire": 3}
    found = {str(group["check"]): finding for group, finding in firing(engine)}
    assert found["notifications"] == "Notifications are not delivered: slack has waited for 10 min"
    assert found["jobs"] == "Jobs of the scheduler: prune failed (Oops), suppress last began 10 min ago"
    assert found["slow_evaluation"].startswith("The last evaluation of the rules took 31.0 s")


def test_minutes_of_the_past_that_wait_for_hours_are_an_alert(engine: Engine, now: datetime) -> None:
    only = replace(rule("self"), checks=("jobs",))
    waiting = text("INSERT INTO unjudged_minutes (minute, added_at) VALUES (:minute, :added_at)")
    with engine.begin() as connection:
        connection.execute(waiting, {"minute": now - 9 * HOUR, "added_at": now - 4 * HOUR})
    assert evaluate_at(engine, only, now) == {}
    assert evaluate_at(engine, only, now + HOUR) == {"fire": 1}
    [(_, finding)] = firing(engine)
    assert finding.endswith("judge past has not judged minutes that came 5 h ago")


def test_the_ceilings_of_reports_are_monitored_too(
    engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = replace(rule("self"), checks=("ceilings",))
    monkeypatch.setattr(seen_codes, "MAX_REPORTED_CODES", 2)
    for code in (50_000_000, 50_000_001):
        report_failed_calls(engine, 1, now, code)
    assert evaluate_at(engine, only, now) == {}
    report_failed_calls(engine, 1, now, 50_000_002)
    assert evaluate_at(engine, only, now) == {"fire": 1}
    ((_, finding),) = firing(engine)
    assert finding.startswith("So many new names or codes of senders' reports within an hour")


def test_hours_are_summed_once_and_again_while_late_events_may_come(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.sent(1, now - 5 * HOUR)
    sum_all(engine, now)
    assert sum_hours(engine, now) == 3
    traffic.failed(2, now - 2 * HOUR, UNREACHABLE)
    traffic.store(status("wamid.A", "failed", now - 2 * HOUR, code=1), at=now)
    traffic.store(status("wamid.A", "failed", now - 2 * HOUR + MINUTE, code=1), at=now)
    sum_hours(engine, now)
    sum_hours(engine, now)
    with engine.connect() as connection:
        hours = connection.execute(
            text("SELECT error_code, sum(failures)::int FROM hourly_failures GROUP BY 1 ORDER BY 1")
        )
        assert [tuple(row) for row in hours] == [(1, 1), (UNREACHABLE, 2)]
        assert connection.execute(
            text("SELECT sum(attempts)::int, sum(events)::int FROM hourly_counts")
        ).one() == (4, 5)


def sum_all(engine: Engine, now: datetime) -> None:
    while sum_hours(engine, now) > 3:
        pass


@pytest.mark.parametrize(
    ("reported", "by_webhooks", "fires"), [(20, 10, True), (19, 0, False), (20, 100, False)]
)
def test_a_key_whose_reports_cause_an_odd_share_of_the_day_s_suppressions_is_named(
    engine: Engine, now: datetime, reported: int, by_webhooks: int, fires: bool
) -> None:
    rows = [
        Suppression(
            contact=f"1202555{place:04}",
            reason="hard",
            since=now - HOUR,
            actor="system",
            review=True,
            evidence=(
                ChangeEvidence(now, f"wamid.{place}", 130403, reported_by="shop" if place < reported else ""),
            ),
        )
        for place in range(reported + by_webhooks)
    ]
    with engine.begin() as connection:
        suppressions.apply(connection, rows, [], now - HOUR)
    only = replace(rule("self"), checks=("key_reports",))
    assert evaluate_at(engine, only, now) == ({"fire": 1} if fires else {})
    if fires:
        ((_, finding),) = firing(engine)
        assert finding == (
            "Reports of the API key shop led to 20 of the 30 automatic suppressions of the last 24 hours"
        )
