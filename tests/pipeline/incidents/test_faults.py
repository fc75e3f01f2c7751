"""One rule, alert or incident that cannot be judged stops no other; the job fails, and says which it was."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER, WABA
from tests.support.incidents import store_incident
from tests.support.traffic import Traffic
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.faults import EvaluationError
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.incidents.alerts import Alert

UNREACHABLE = 131026
SECONDS = timedelta(seconds=1)


def rules() -> tuple[Rule, ...]:
    plain = "for_evaluations = 1\nresolve_after_evaluations = 1\n"
    return parse_rules(
        f'[[rule]]\nname = "health"\nkind = "health"\n{plain}'
        f'[[rule]]\nname = "rate"\nkind = "rate"\nthreshold = 0.1\n{plain}'
    )


def report(engine: Engine, subject_id: str, now: datetime, detail: str = "{}") -> None:
    """Store that Meta has disabled an account."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, detail, received_at)"
                " VALUES ('account', :id, 'status', :at, 'DISABLED', CAST(:detail AS jsonb), :at)"
            ),
            {"id": subject_id, "at": now, "detail": detail},
        )


def firing(engine: Engine) -> list[tuple[str, dict[str, Any]]]:
    with engine.connect() as connection:
        return sorted((a.rule, a.group) for a in alerts.open_alerts(connection) if a.state == "firing")


def members(engine: Engine) -> list[Alert]:
    with engine.connect() as connection:
        return alerts.open_alerts(connection)


@pytest.fixture
def fails(traffic: Traffic, now: datetime) -> None:
    """Messages that fail, so that the rule `rate` fires."""
    traffic.failed(100, now, UNREACHABLE)


HEALTH = ("health", {"aspect": "status", "waba_id": WABA})
RATE = ("rate", {"code": UNREACHABLE, "phone_number_id": NUMBER})


@pytest.mark.usefixtures("fails")
def test_a_rule_that_fails_stops_no_other_and_its_alerts_stay(engine: Engine, now: datetime) -> None:
    report(engine, WABA, now)
    evaluate(engine, rules()[:1], now)
    report(engine, "2", now, detail="[]")
    with pytest.raises(EvaluationError, match=r"not judged: rule health \(AttributeError\)"):
        evaluate(engine, rules(), now + 15 * SECONDS)
    assert firing(engine) == [HEALTH, RATE]


@pytest.mark.usefixtures("fails")
def test_an_alert_that_the_database_refuses_stops_no_other(engine: Engine, now: datetime) -> None:
    report(engine, WABA, now)
    report(engine, "2", now)
    with engine.begin() as connection:
        connection.execute(text("""ALTER TABLE alerts ADD CHECK (group_key NOT LIKE '%"waba_id":"2"%')"""))
    for later in (0, 15):
        with pytest.raises(EvaluationError, match=r"not judged: alert of rule health \(CheckViolation\)"):
            evaluate(engine, rules(), now + later * SECONDS)
    assert firing(engine) == [HEALTH, RATE]


@pytest.mark.usefixtures("fails")
def test_an_incident_that_fails_stops_no_other(engine: Engine, now: datetime) -> None:
    odd = store_incident(
        engine, now, {"explanation": {"since": now.isoformat()}}, codes=[1], details={"codes": 7}
    )
    for later in (15, 30, 45, 60):
        with pytest.raises(EvaluationError, match=rf"not judged: incident {odd} \(ValidationError\)"):
            evaluate(engine, rules(), now + later * SECONDS)
    with engine.connect() as connection:
        found = {each.id: each for each in incidents.open_incidents(connection)}
    assert len(found) == 2
    assert found.pop(odd).title == "What fails"
    assert found.popitem()[1].notified_at is not None
