"""What the alerts of an incident hold, and what of it webhooks alone show."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from msgspec import Struct

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.evidence import HeldGroups, holding_groups, reporters_of, shown_by_webhooks

TOKEN = 190
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
GROUPS = ({}, {"code": 1}, {"template": "t"}, {"phone_number_id": "N"}, {"waba_id": "A", "code": 1})
NAMES = ({}, {"waba_id": frozenset("A")}, {"phone_number_id": frozenset("NM")})
MESSAGES = [
    (code, SeriesKey(phone_number_id=number, waba_id=account, template=template, campaign="", country="DE"))
    for code, number, account, template in product((1, 2), "NO", "AB", ("t", ""))
]


class Alert(Struct):
    webhook_codes: tuple[int, ...] | None
    webhooks_until: datetime | None = None
    resolved_at: datetime | None = None


def test_a_message_is_held_exactly_if_it_lies_in_one_of_the_narrowed_groups():
    for group, names in product(GROUPS, NAMES):
        narrowed = HeldGroups(holding_groups([group], names))
        held = [message for message in MESSAGES if HeldGroups([group]).hold(*message, names)]
        assert held == [message for message in MESSAGES if narrowed.hold(*message, {})]
        assert held


def test_a_wide_group_is_narrowed_to_what_failed_and_one_with_a_number_is_not():
    names = {"waba_id": frozenset("AB"), "phone_number_id": frozenset("N")}
    wide, template, number = {"code": 1}, {"template": "t"}, {"phone_number_id": "O"}
    assert holding_groups([wide], names) == [{"code": 1, "phone_number_id": "N"}]
    assert holding_groups([template], names) == [{"template": "t", "waba_id": each} for each in "AB"]
    assert holding_groups([number], names) == [number]


def test_what_only_senders_report_is_not_shown():
    shown, reported = Alert((1,)), Alert(())
    found = shown_by_webhooks([1, 2], [shown, reported])
    assert (found.alerts, found.codes, found.until) == ([shown], [1], None)


@pytest.mark.parametrize(
    ("code", "by_shop", "expected"),
    [(1, 1, {"rival"}), (1, 10, {"rival", "shop"}), (TOKEN, 1, {"rival", "shop"})],
)
def test_a_key_counts_with_ten_calls_at_a_number_or_one_that_needs_attention_and_in_a_wider_group_with_most(
    code, by_shop, expected
):
    failing = {(code, SeriesKey(number, "A", "", "", "DE")): 1 for number in "NO"}
    calls = {
        (code, "N"): {"rival": 90, "shop": by_shop},
        (code, "O"): {"agency": 30},
        (2, "N"): {"other": 500},
    }
    [first, _] = failing
    assert reporters_of({"phone_number_id": "N"}, [first], calls) == expected
    assert reporters_of({}, failing, calls) == {"rival"}
    assert reporters_of({}, failing, {}) == frozenset()
    assert reporters_of({"phone_number_id": "N"}, [first], {(code, "N"): {"rival": 2, "shop": 1}}) >= {
        "rival"
    }


def test_an_alert_that_was_not_judged_shows_all_codes():
    found = shown_by_webhooks([1, 2], [Alert(None), Alert((1,))])
    assert (len(found.alerts), found.codes) == (2, [1, 2])


def test_webhooks_have_shown_an_incident_until_the_last_alert_that_they_show_ended():
    over = Alert((1,), webhooks_until=NOW - timedelta(hours=1), resolved_at=NOW)
    resolved = Alert((1,), resolved_at=NOW)
    assert shown_by_webhooks([1], [over]).until == NOW - timedelta(hours=1)
    assert shown_by_webhooks([1], [over, resolved]).until == NOW
    assert shown_by_webhooks([1], [over, Alert((1,))]).until is None
