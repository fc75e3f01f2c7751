"""Findings as rows: one open row for each kind and key; a fixed one can be found anew."""

from datetime import datetime, timedelta

from sqlalchemy import Engine

from tests.support.findings import store_finding
from webhook_app.store.incidents import findings

DAY = timedelta(days=1)


def test_the_same_state_is_one_open_row_that_keeps_its_title_and_beginning(
    engine: Engine, now: datetime
) -> None:
    first = store_finding(engine, now)
    later = {"title": "Another title", "since": now, "impact": {"failures": 100}}
    assert store_finding(engine, now + DAY, **later) == first
    with engine.connect() as connection:
        [found] = findings.open_findings(connection)
    assert (found.title.split(":")[0], found.since) == ("131026 Message undeliverable", now - 7 * DAY)
    assert (found.found_at, found.seen_at) == (now, now + DAY)
    assert found.impact == {"failures": 100, "share": 0.04}


def test_a_template_is_named_with_its_current_quality(engine: Engine, now: datetime) -> None:
    store_finding(engine, now, kind="template_quality", title="order YELLOW")
    store_finding(engine, now, kind="template_quality", title="order RED")
    with engine.connect() as connection:
        assert [each.title for each in findings.open_findings(connection)] == ["order RED"]


def test_a_fixed_state_that_comes_back_is_another_finding(engine: Engine, now: datetime) -> None:
    first = store_finding(engine, now)
    with engine.begin() as connection:
        findings.fix(connection, [first], now + DAY)
    second = store_finding(engine, now + 2 * DAY)
    assert second != first
    with engine.connect() as connection:
        assert findings.count_open(connection) == {"chronic": 1}
        assert [each.id for each in findings.fixed_since(connection, now)] == [first]
        assert findings.fixed_since(connection, now + 2 * DAY) == []


def test_the_time_of_an_observation_never_goes_back(engine: Engine, now: datetime) -> None:
    finding_id = store_finding(engine, now)
    with engine.begin() as connection:
        findings.update(connection, finding_id, now - DAY, {"share": 0.05})
        found = findings.get(connection, finding_id)
    assert found is not None
    assert (found.seen_at, found.impact["share"]) == (now, 0.05)
