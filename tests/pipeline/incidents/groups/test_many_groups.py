"""However many groups fail, an evaluation does little for each, and each rule and evaluation has a ceiling."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.support.factories import NUMBER
from tests.support.reports import report_failed_calls
from webhook_app.pipeline.incidents import incident_announcements, incident_assignment
from webhook_app.pipeline.incidents.details.alert_details import codes_of
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.groups import rule_group, service_groups
from webhook_app.pipeline.incidents.groups.rule_group import RuleGroup
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Judgement, Reading
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.counts.window_counts import FailedMessages, Mark, WindowCounts
from webhook_app.store.incidents import alerts, incidents

SECONDS = timedelta(seconds=1)
BY_TEMPLATE, SELF = parse_rules(
    '[[rule]]\nname = "by template"\nkind = "rate"\ngroup_by = ["template"]\nwindow_minutes = [15, 60]\n'
    "for_evaluations = 1\nthreshold = 0.02\n"
    '[[rule]]\nname = "self"\nkind = "self"\nchecks = ["many_alerts"]\nfor_evaluations = 1\n'
)


class CountedList(list[Any]):
    """A list that counts how often somebody goes through it."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return super().__iter__()


def test_the_failures_of_a_window_are_read_once_for_thousands_of_groups() -> None:
    series = [SeriesKey("n", "w", f"t{n}", "", "DE") for n in range(2000)]
    failed = CountedList(
        FailedMessages((Mark(code, each),), 2) for each in series for code in range(9_000_000, 9_000_012)
    )
    window = WindowCounts({}, failed)
    judgement = Judgement(reading=Reading.ABOVE, description="", trigger="", recovery="")
    for each in series:
        group = RuleGroup(
            rule=BY_TEMPLATE,
            group={"template": each.template},
            key="",
            judgement=judgement,
            counts=Counts(24, 24),
            window=window,
        )
        assert len(codes_of(group)) == 12
    assert failed.times == 1


def test_codes_with_as_many_failures_are_in_one_order_so_that_their_alerts_are_one_incident() -> None:
    series = [SeriesKey("n", "", template, "", "DE") for template in ("a", "b")]
    judgement = Judgement(reading=Reading.ABOVE, description="", trigger="", recovery="")
    orders = []
    for each, codes in zip(
        series, (range(9_000_000, 9_000_012), range(9_000_011, 8_999_999, -1)), strict=True
    ):
        window = WindowCounts({}, [FailedMessages((Mark(code, each),), 5) for code in codes])
        group = RuleGroup(
            rule=BY_TEMPLATE,
            group={"template": each.template},
            key="",
            judgement=judgement,
            counts=Counts(60, 60),
            window=window,
        )
        orders.append([found.code for found in codes_of(group)])
    assert orders[0] == orders[1] == sorted(orders[0])


@pytest.fixture
def fail(traffic, now):
    """Stores failures of templates, the first with most; each template has a code of its own."""

    def run(*templates, most=20):
        for n, template in enumerate(templates):
            traffic.failed(most - n, now, 9_000_000 + int(template[1:]), template=template)

    return run


@pytest.fixture
def firing(engine):
    def run():
        with engine.connect() as connection:
            found = alerts.open_alerts(connection)
        return {each.group.get("template", each.group.get("check")): each for each in found}

    return run


def test_of_more_groups_than_the_most_the_worst_have_alerts_and_open_ones_keep_theirs(
    engine, fail, firing, now, monkeypatch
):
    monkeypatch.setattr(rule_group, "MOST_GROUPS", 3)
    monkeypatch.setattr(service_groups, "MOST_GROUPS", 3)
    fail(*(f"t{n}" for n in range(5)))
    evaluate(engine, [BY_TEMPLATE, SELF], now)
    assert firing().keys() == {"t0", "t1", "t2"}
    evaluate(engine, [BY_TEMPLATE, SELF], now + 15 * SECONDS)
    assert firing()["many_alerts"].explanation["finding"].endswith("by template had 3 or more")
    fail("t7", "t8", most=100)
    evaluate(engine, [BY_TEMPLATE, SELF], now + 30 * SECONDS)
    assert firing().keys() == {"t7", "t8", "t0", "t1", "t2", "many_alerts"}


def test_what_one_evaluation_does_not_come_to_the_next_ones_do(engine, fail, now, monkeypatch):
    monkeypatch.setattr(incident_assignment, "MOST_JOINING", 2)
    monkeypatch.setattr(incident_announcements, "MOST_EXAMINED", 1)
    fail(*(f"t{n}" for n in range(3)))
    rules, found = [BY_TEMPLATE], []
    for n in range(6):
        evaluate(engine, rules, now + 15 * n * SECONDS)
        with engine.connect() as connection:
            known = incidents.list_incidents(connection, 100)
        found.append((len(known), sum(each.notified_at is not None for each in known)))
        assert all(each.title for each in known)
    assert found[:2] == [(2, 0), (3, 0)]
    announced = [notified for _, notified in found]
    assert announced[-1] == 3
    assert max(after - before for before, after in pairwise(announced)) == 1


ATTENTION = parse_rules('[[rule]]\nname = "attention"\nkind = "attention"\n')
TOKEN, UNPAID = 190, 131042


def test_groups_that_webhooks_show_have_alerts_before_those_that_reports_alone_show(
    engine, traffic, now, monkeypatch
):
    monkeypatch.setattr(rule_group, "MOST_GROUPS", 3)
    for place in range(5):
        report_failed_calls(engine, 9, now, TOKEN, number=f"made up {place}", key="rival")
    evaluate(engine, ATTENTION, now + 15 * SECONDS)
    traffic.failed(1, now, UNPAID)
    evaluate(engine, ATTENTION, now + 30 * SECONDS)
    with engine.connect() as connection:
        assert {"code": UNPAID, "phone_number_id": NUMBER} in [
            each.group for each in alerts.open_alerts(connection)
        ]


def test_of_groups_that_reports_alone_show_those_of_numbers_that_meta_named_come_first(
    engine, traffic, now, monkeypatch
):
    monkeypatch.setattr(rule_group, "MOST_GROUPS", 3)
    traffic.sent(1, now - timedelta(days=3))
    for place in range(5):
        report_failed_calls(engine, 9, now, TOKEN, number=f"made up {place}", key="rival")
    report_failed_calls(engine, 1, now, TOKEN, key="shop")
    evaluate(engine, ATTENTION, now + 15 * SECONDS)
    with engine.connect() as connection:
        assert NUMBER in [each.group["phone_number_id"] for each in alerts.open_alerts(connection)]


def test_an_incident_that_webhooks_show_is_announced_before_those_that_reports_alone_show(
    engine, traffic, now, monkeypatch
):
    monkeypatch.setattr(incident_assignment, "MOST_JOINING", 2)
    monkeypatch.setattr(incident_announcements, "MOST_EXAMINED", 1)
    for place in range(5):
        report_failed_calls(engine, 9, now, TOKEN, number=f"made up {place}", key="rival")
    traffic.failed(20, now, 132001, template="order")
    rules = [*ATTENTION, BY_TEMPLATE]
    for n in (1, 2, 3):
        evaluate(engine, rules, now + 15 * n * SECONDS)
    with engine.connect() as connection:
        known = {each.codes[0]: each for each in incidents.list_incidents(connection, 100)}
    assert known[132001].notified_at == now + 45 * SECONDS, "twenty seconds after it opened"
