"""However many problems Meta reports, a rule has few alerts: the worst have their own, one counts the others."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text

from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.groups import rule_group
from webhook_app.rules.accounts.doctor_check import Checked
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.accounts import doctor
from webhook_app.store.incidents import alerts

RULES = [rule for rule in parse_rules(default_rules_text(), "default_rules.toml") if rule.kind == "health"]
SECONDS = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(rule_group, "MOST_GROUPS", 5)


@pytest.fixture
def reject(engine):
    def run(at, *templates, value="REJECTED", subject="template"):
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, detail, name,"
                    " received_at) SELECT :subject, t, 'status', :at, :value, '{}', t, :at"
                    " FROM unnest(CAST(:templates AS text[])) t"
                ),
                {"at": at, "templates": list(templates), "value": value, "subject": subject},
            )

    return run


@pytest.fixture
def firing(engine):
    """Evaluates until new problems fire; returns the groups of all firing alerts with their findings."""

    def run(at):
        for seconds in (0, 15, 30, 45, 60):
            evaluate(engine, RULES, at + seconds * SECONDS)
        with engine.connect() as connection:
            found = [each for each in alerts.open_alerts(connection) if each.state == "firing"]
        return {
            each.group.get("template") or each.group.get("waba_id") or each.group["aspect"]: each.explanation[
                "finding"
            ]
            for each in found
        }

    return run


def test_beyond_the_most_groups_one_counts_the_others_and_the_worst_have_their_own(reject, firing, now):
    names = [f"t{n:02}" for n in range(12)]
    reject(now - timedelta(hours=3), *names)
    reject(now - timedelta(hours=2), "8001", value="DISABLED", subject="account")
    found = firing(now)
    assert found.keys() == {"8001", *names[:4], "further problems"}
    assert found["further problems"] == "8 further problems that Meta reports have no alert of their own"


def test_what_has_its_own_alert_keeps_it_and_all_end_when_meta_reports_other_states(reject, firing, now):
    names = [f"t{n:02}" for n in range(7)]
    reject(now - timedelta(hours=3), *names)
    before = firing(now).keys()
    reject(now - timedelta(hours=4), *(f"older{n}" for n in range(4)))
    assert firing(now + 120 * SECONDS).keys() >= before
    reject(now, *names, *(f"older{n}" for n in range(4)), value="APPROVED")
    assert firing(now + 300 * SECONDS) == {}


def test_of_thousands_of_broken_checks_few_have_alerts(engine, firing, now):
    faults = [
        Checked("number", f"10{n:02}").broken("number", "The number is BANNED.", "Appeal.", 131031)
        for n in range(12)
    ]
    with engine.begin() as connection:
        doctor.save(connection, faults, now)
        counted = Counter({"all": 0})
    for seconds in (0, 15, 30):
        counted["all"] += evaluate(engine, RULES, now + seconds * SECONDS).groups
    assert (
        firing(now + 60 * SECONDS)["doctor further faults"]
        == "7 further faults of the Graph API have no alert of their own"
    )
    with engine.connect() as connection:
        assert len(alerts.open_alerts(connection)) == 6
    assert counted["all"] == 3 * 6
