"""Which incident an alert belongs to: one cause is one incident, and two causes never are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.evidence import HeldGroups
from webhook_app.rules.incidents.incidents import FiringAlert, KnownIncident, domain_of, is_account_wide
from webhook_app.rules.incidents.joining import Joined, Membership, join

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
OUTAGE, PLATFORM, TEMPLATE_PAUSED, TEMPLATE_DISABLED, UNPAID, LOCKED, TOKEN = (
    131000,
    131016,
    132015,
    132016,
    131042,
    131031,
    190,
)


def series(number: str = "N1", waba: str = "A", template: str = "", campaign: str = "") -> SeriesKey:
    return SeriesKey(phone_number_id=number, waba_id=waba, template=template, campaign=campaign, country="DE")


def alert(code: int = OUTAGE, at: datetime = NOW, *, kind: str = "rate", **more: Any) -> FiringAlert:
    held = more.pop("failing", {(code, series()): 100})
    group = more.pop("group", {"code": code, "phone_number_id": "N1"})
    return FiringAlert(rule="r", kind=kind, group=group, codes=(code,), failing=held, fired_at=at, **more)


def opened(first: FiringAlert, incident_id: int = 1, **more: Any) -> KnownIncident:
    values: dict[str, Any] = {
        "id": incident_id,
        "codes": first.codes,
        "domain": domain_of(first),
        "account_wide": is_account_wide(first),
        "names": first.named,
        "groups": HeldGroups([first.group]),
        "origins": frozenset(),
        "began_at": first.fired_at,
    }
    return KnownIncident(**(values | more))


def joined(one: FiringAlert, *incidents: KnownIncident, now: datetime = NOW) -> Membership:
    return join(one, incidents, ("r", "key"), now)


def test_the_first_alert_opens_an_incident() -> None:
    assert joined(alert()) == Membership(None, Joined.NEW)


def test_the_same_messages_seen_at_another_level_are_the_same_incident() -> None:
    held = {(OUTAGE, series("N1")): 60, (OUTAGE, series("N2")): 40}
    everything = alert(group={}, failing=held)
    assert joined(everything, opened(alert())) == Membership(1, Joined.HELD)


def test_messages_that_are_mostly_not_held_are_another_matter() -> None:
    held = {(OUTAGE, series("N1")): 40, (131026, series("N2")): 60}
    other = alert(131026, group={"phone_number_id": "N2"}, failing=held)
    assert joined(other, opened(alert())).incident_id is None


def test_a_broken_template_inside_an_outage_is_a_cause_of_its_own() -> None:
    broken = alert(TEMPLATE_PAUSED, failing={(TEMPLATE_PAUSED, series(template="order")): 80})
    assert joined(broken, opened(alert())).incident_id is None


def test_a_paused_template_that_is_then_disabled_is_one_cause() -> None:
    paused = alert(TEMPLATE_PAUSED, failing={(TEMPLATE_PAUSED, series(template="order")): 80})
    later = NOW + timedelta(hours=20)
    disabled = alert(TEMPLATE_DISABLED, later, failing={(TEMPLATE_DISABLED, series(template="order")): 80})
    assert joined(disabled, opened(paused), now=later) == Membership(1, Joined.SAME_NAME)


@pytest.mark.parametrize(
    ("reported", "code", "kind", "number"),
    [
        (190, UNPAID, "attention", "N1"),
        (190, 131005, "rate", "N1"),
        (PLATFORM, PLATFORM, "rate", "N2"),
        (PLATFORM, PLATFORM, "rate", "N1"),
    ],
    ids=["account-wide", "same number", "platform code elsewhere", "same messages"],
)
def test_what_webhooks_show_joins_no_incident_that_senders_may_have_made_up(
    reported: int, code: int, kind: str, number: str
) -> None:
    made_up = opened(alert(reported, kind="attention" if reported == 190 else "rate"))
    group, failing = {"code": code, "phone_number_id": number}, {(code, series(number)): 40}
    for shown in ((code,), None):
        real = alert(code, kind=kind, group=group, failing=failing, webhook_codes=shown)
        assert joined(real, made_up).incident_id == 1
        assert joined(real, replace(made_up, is_reported=True)) == Membership(None, Joined.NEW)
    also_made_up = alert(code, kind=kind, group=group, failing=failing, webhook_codes=())
    assert joined(also_made_up, replace(made_up, is_reported=True)).incident_id == 1


def reported_by(number: str, *keys: str, code: int = 190) -> FiringAlert:
    group, failing = {"code": code, "phone_number_id": number}, {(code, series(number, "")): 1}
    return alert(
        code, kind="attention", group=group, failing=failing, webhook_codes=(), reporters=frozenset(keys)
    )


def gathering(*numbers: str, key: str = "rival", incident_id: int = 1, code: int = 190) -> KnownIncident:
    """An incident with what the key alone reports of these numbers."""
    first = reported_by(numbers[0], key, code=code)
    names = {"phone_number_id": frozenset(numbers)}
    more = {"names": names, "is_reported": True, "is_of_reports": True, "reporters": frozenset({key})}
    return opened(first, incident_id, **more, is_merged=len(numbers) > 1)


def test_what_the_same_keys_alone_report_of_one_code_is_one_incident_however_much_later() -> None:
    incident = gathering("F1")
    incident = replace(incident, began_at=NOW - timedelta(hours=9))
    assert joined(reported_by("F2", "rival"), incident) == Membership(1, Joined.SAME_REPORTER)
    ended = replace(incident, ended_at=NOW - timedelta(hours=1), ended_how="recovered")
    assert joined(reported_by("F2", "rival"), ended) == Membership(1, Joined.SAME_REPORTER, again=True)
    for other in (reported_by("F2", "shop"), reported_by("F2", "rival", "shop"), reported_by("F2")):
        assert joined(other, incident).incident_id is None
    assert joined(reported_by("F2", "rival", code=UNPAID), incident).incident_id is None


def test_an_incident_of_reports_hides_neither_what_webhooks_show_nor_what_other_keys_report() -> None:
    incident = replace(gathering("N1", "N2"), origins=frozenset({("r", "key")}))
    assert joined(reported_by("N1", "rival"), incident) == Membership(1, Joined.SAME_GROUP)
    shown = replace(reported_by("N1"), webhook_codes=(190,))
    silent = FiringAlert(rule="s", kind="silence", group={"phone_number_id": "N1"}, fired_at=NOW)
    for more in (shown, silent, reported_by("N1", "shop"), reported_by("N1", "rival", "shop")):
        assert joined(more, incident).incident_id is None


def test_beyond_five_incidents_that_a_key_alone_reports_the_latest_takes_the_others() -> None:
    own = [
        gathering(f"F{n}", incident_id=n, code=code) for n, code in enumerate((190, 131031, 131042, 368), 1)
    ]
    other, late = reported_by("X", "rival", code=133010), gathering("F5", incident_id=9, code=131045)
    assert joined(other, *own, gathering("S", key="shop", incident_id=8)).incident_id is None
    assert joined(other, *own, late) == Membership(9, Joined.SAME_REPORTER)
    ended = replace(late, ended_at=NOW, ended_how="quiet")
    assert joined(other, *own, ended).incident_id is None


def test_the_group_of_a_reported_incident_and_the_silence_that_follows_it_join_it() -> None:
    token = opened(alert(190, kind="attention"), is_reported=True, origins=frozenset({("r", "key")}))
    assert joined(alert(190, webhook_codes=(190,)), token) == Membership(1, Joined.SAME_GROUP)
    silent = FiringAlert(rule="s", kind="silence", group={"phone_number_id": "N1"}, fired_at=NOW)
    other = replace(token, origins=frozenset())
    assert joined(silent, other) == Membership(1, Joined.EXPLAINED)
    assert joined(replace(silent, accepted=20), other).incident_id is None, "Meta accepts sends"


def test_an_incident_that_nothing_but_reports_has_shown_is_joined_by_the_silence_that_follows_only() -> None:
    token = opened(alert(190, kind="attention"), is_of_reports=True, origins=frozenset({("r", "key")}))
    assert joined(alert(190, webhook_codes=(190,)), token).incident_id is None
    silent = FiringAlert(rule="s", kind="silence", group={"phone_number_id": "N1"}, fired_at=NOW)
    assert joined(silent, replace(token, origins=frozenset())) == Membership(1, Joined.EXPLAINED)


def test_two_templates_of_one_number_are_two_causes() -> None:
    one = alert(TEMPLATE_PAUSED, failing={(TEMPLATE_PAUSED, series(template="order")): 80})
    other = alert(TEMPLATE_DISABLED, failing={(TEMPLATE_DISABLED, series(template="login")): 80})
    assert joined(other, opened(one)).incident_id is None


def test_two_accounts_with_unpaid_bills_are_two_incidents() -> None:
    first = alert(UNPAID, kind="attention")
    second = alert(
        UNPAID,
        kind="attention",
        group={"code": UNPAID, "phone_number_id": "N9"},
        failing={(UNPAID, series("N9", "B")): 5},
    )
    assert joined(second, opened(first)).incident_id is None


def test_the_numbers_of_one_account_that_cannot_pay_are_one_incident() -> None:
    first = alert(UNPAID, kind="attention")
    second = alert(
        UNPAID,
        kind="attention",
        group={"code": UNPAID, "phone_number_id": "N2"},
        failing={(UNPAID, series("N2", "A")): 5},
    )
    assert joined(second, opened(first)).incident_id == 1


def test_a_locked_account_explains_nothing_of_another_account() -> None:
    locked = alert(LOCKED, kind="attention")
    elsewhere = alert(
        LOCKED, group={"code": LOCKED, "phone_number_id": "N9"}, failing={(LOCKED, series("N9", "B")): 300}
    )
    assert joined(elsewhere, opened(locked)).incident_id is None


def test_unreachable_people_on_the_numbers_of_an_outage_belong_to_it() -> None:
    platform = {(131000, series("N1")): 90, (131000, series("N2")): 80}
    outage = opened(alert(131000, group={}, failing=platform))
    same = alert(
        131026, group={"code": 131026, "phone_number_id": "N1"}, failing={(131026, series("N1")): 30}
    )
    assert joined(same, outage) == Membership(1, Joined.SAME_CODE)
    elsewhere = alert(
        131026, group={"code": 131026, "phone_number_id": "N9"}, failing={(131026, series("N9")): 30}
    )
    assert joined(elsewhere, outage).incident_id is None
    later = alert(
        131026,
        NOW + timedelta(hours=2),
        group={"code": 131026, "phone_number_id": "N1"},
        failing={(131026, series("N1")): 30},
    )
    assert joined(later, outage, now=later.fired_at).incident_id is None


def test_templates_that_fail_with_one_code_at_a_number_of_no_known_account_are_one_incident() -> None:
    first, second, elsewhere = (
        alert(131008, group={"template": template}, failing={(131008, series(number, "", template)): 30})
        for number, template in (("N1", "a"), ("N1", "b"), ("N2", "c"))
    )
    assert joined(second, opened(first)) == Membership(1, Joined.SAME_CODE)
    assert joined(elsewhere, opened(first)).incident_id is None


def test_what_falls_silent_within_an_hour_is_one_incident() -> None:
    everything = FiringAlert(rule="all", kind="silence", group={}, fired_at=NOW)
    one = FiringAlert(
        rule="s", kind="silence", group={"phone_number_id": "N1"}, fired_at=NOW + timedelta(minutes=40)
    )
    late = FiringAlert(
        rule="s", kind="silence", group={"phone_number_id": "N2"}, fired_at=NOW + timedelta(hours=2)
    )
    assert joined(one, opened(everything)) == Membership(1, Joined.SAME_CODE)
    assert joined(late, opened(one), now=late.fired_at).incident_id is None


def test_a_locked_account_explains_the_silence_of_its_number_and_of_no_other() -> None:
    locked = opened(alert(LOCKED, kind="attention"))
    silent = FiringAlert(rule="s", kind="silence", group={"phone_number_id": "N1"}, fired_at=NOW)
    assert joined(silent, locked) == Membership(1, Joined.EXPLAINED)
    other = FiringAlert(rule="s", kind="silence", group={"phone_number_id": "N2"}, fired_at=NOW)
    assert joined(other, locked).incident_id is None


def test_a_health_signal_of_the_account_joins_the_failures_it_causes_and_the_other_way_round() -> None:
    signal = FiringAlert(
        rule="health",
        kind="health",
        group={"check": "account"},
        subject={"waba_id": "A"},
        domain="account",
        account_wide=True,
        fired_at=NOW,
    )
    failing = alert(LOCKED)
    assert joined(signal, opened(failing)) == Membership(1, Joined.EXPLAINED)
    assert joined(failing, opened(signal)) == Membership(1, Joined.EXPLAINED)
    assert joined(alert(131026, failing={(131026, series()): 9}), opened(signal)).incident_id is None


@pytest.mark.parametrize(("minutes", "incident"), [(29, 1), (31, None)])
@pytest.mark.parametrize("kind", ["attention", "rate"])
@pytest.mark.parametrize("aspect", ["restriction calls", "quality"])
def test_what_meta_reports_of_an_account_hides_no_later_outage(
    kind: str, aspect: str, minutes: int, incident: int | None
) -> None:
    signal = FiringAlert(
        rule="health",
        kind="health",
        group={"phone_number_id": "N1", "waba_id": "A", "aspect": aspect},
        domain="account",
        account_wide=aspect != "quality",
        fired_at=NOW,
    )
    unpaid = alert(UNPAID, NOW + timedelta(minutes=minutes), kind=kind)
    found = joined(unpaid, opened(signal), now=unpaid.fired_at).incident_id
    assert found == incident


@pytest.mark.parametrize(
    ("code", "minutes", "incident"), [(TOKEN, 29, 1), (TOKEN, 31, None), (UNPAID, 300, 1)]
)
@pytest.mark.parametrize("number", ["N1", "N2"])
def test_two_account_wide_causes_are_one_if_they_have_the_code_in_common_or_begin_together(
    number: str, code: int, minutes: int, incident: int | None
) -> None:
    first = opened(alert(UNPAID, kind="attention"))
    other = alert(
        code,
        NOW + timedelta(minutes=minutes),
        kind="attention",
        group={"code": code, "phone_number_id": number},
        failing={(code, series(number)): 9},
    )
    assert joined(other, first, now=other.fired_at).incident_id == incident


def test_a_paused_template_signal_joins_the_failures_of_that_template_only() -> None:
    signal = FiringAlert(
        rule="health",
        kind="health",
        group={"check": "template"},
        subject={"template": "order", "waba_id": "A"},
        domain="template",
        fired_at=NOW,
    )
    failing = alert(TEMPLATE_PAUSED, failing={(TEMPLATE_PAUSED, series(template="order")): 80})
    other = alert(TEMPLATE_PAUSED, failing={(TEMPLATE_PAUSED, series(template="login")): 80})
    assert joined(failing, opened(signal)).incident_id == 1
    assert joined(other, opened(signal)).incident_id is None


@pytest.mark.parametrize(("minutes", "incident"), [(29, 1), (31, None)])
def test_one_platform_code_on_several_numbers_at_once_is_one_outage(
    minutes: int, incident: int | None
) -> None:
    later = NOW + timedelta(minutes=minutes)
    elsewhere = alert(
        PLATFORM,
        later,
        group={"code": PLATFORM, "phone_number_id": "N7"},
        failing={(PLATFORM, series("N7", "C")): 50},
    )
    assert joined(elsewhere, opened(alert(PLATFORM)), now=later).incident_id == incident


@pytest.mark.parametrize(
    ("how", "hours", "incident"),
    [
        ("recovered", 1.9, 1),
        ("recovered", 2.1, None),
        ("quiet", 25, 1),
        ("quiet", 27, None),
        ("faded", 0.1, None),
    ],
)
def test_the_same_cause_soon_after_its_end_is_the_same_incident(
    how: str, hours: float, incident: int | None
) -> None:
    ended = opened(alert(), ended_at=NOW - timedelta(hours=hours), ended_how=how)
    found = joined(alert(), ended)
    assert found.incident_id == incident
    assert found.again is (incident is not None)


def test_an_open_incident_is_preferred_to_one_that_has_ended() -> None:
    ended = opened(alert(), 1, ended_at=NOW - timedelta(minutes=5), ended_how="recovered")
    assert joined(alert(), ended, opened(alert(), 2)) == Membership(2, Joined.HELD)


def test_what_fired_for_the_same_group_belongs_to_the_same_incident_without_any_message() -> None:
    own = FiringAlert(rule="r", kind="self", group={"check": "jobs"}, fired_at=NOW)
    incident = opened(own, origins=frozenset({("r", "key")}))
    assert joined(own, incident) == Membership(1, Joined.SAME_GROUP)
    assert join(own, [incident], ("r", "other"), NOW).incident_id is None


def test_what_only_reports_show_explains_no_missing_deliveries() -> None:
    missing = opened(undelivered(NOW, group={"phone_number_id": "N1"}))
    assert joined(reported_by("N1", "rival", code=UNPAID), missing).incident_id is None
    shown = replace(reported_by("N1", code=UNPAID), webhook_codes=(UNPAID,))
    assert joined(shown, missing) == Membership(1, Joined.EXPLAINED)


def undelivered(at: datetime, kind: str = "undelivered", **more: Any) -> FiringAlert:
    return FiringAlert(rule="r", kind=kind, domain="delivery", codes=(), fired_at=at, **more)


def test_what_is_no_longer_delivered_is_one_incident_for_as_long_as_it_is_open() -> None:
    number = undelivered(
        NOW - timedelta(days=2), group={"phone_number_id": "N1"}, failing={(-3, series()): 5}
    )
    account = undelivered(NOW, "slow", group={"waba_id": "A"}, failing={(-3, series()): 5})
    assert joined(account, opened(number)) == Membership(1, Joined.SAME_NAME)
    ended = opened(number, ended_at=NOW - timedelta(minutes=30), ended_how="recovered")
    assert joined(account, ended).incident_id is None


def test_deliveries_that_stop_at_several_places_within_an_hour_stop_for_one_reason() -> None:
    country = undelivered(NOW - timedelta(minutes=50), group={"country": "DE"})
    elsewhere = undelivered(NOW, group={"template": "order"}, failing={(-3, series("N2", "B")): 5})
    assert joined(elsewhere, opened(country)) == Membership(1, Joined.SAME_CODE)
    late = opened(undelivered(NOW - timedelta(hours=2), group={"country": "DE"}))
    assert joined(elsewhere, late).incident_id is None


def reported(at: datetime = NOW, **group: str) -> FiringAlert:
    return FiringAlert(rule="r", kind="health", group=group, domain="template", fired_at=at)


@pytest.mark.parametrize(
    ("other", "belongs"),
    [
        (reported(template="b", aspect="status"), True),
        (reported(template="b", aspect="quality"), False),
        (reported(template="b", aspect="status", at=NOW + timedelta(minutes=1)), False),
        (reported(phone_number_id="N1", aspect="status"), False),
        (alert(TEMPLATE_PAUSED, group={"template": "b", "aspect": "status"}, failing={}), False),
    ],
)
def test_templates_of_which_meta_reports_the_same_at_one_time_are_one_incident(
    other: FiringAlert, belongs: bool
) -> None:
    first = opened(reported(template="a", aspect="status"))
    assert joined(other, first) == (
        Membership(1, Joined.SAME_REPORT) if belongs else Membership(None, Joined.NEW)
    )


def test_one_more_of_many_templates_joins_their_incident_for_half_an_hour() -> None:
    names = {"template": frozenset("abcde"), "aspect": frozenset(("status",))}
    groups = tuple({"template": name, "aspect": "status"} for name in "abcde")
    many = opened(reported(template="a", aspect="status"), names=names, groups=groups)
    for minutes, belongs in ((29, True), (31, False)):
        one_more = reported(template="f", aspect="status", at=NOW + timedelta(minutes=minutes))
        assert (joined(one_more, many).incident_id == 1) is belongs


def test_restrictions_of_several_accounts_at_one_time_are_one_incident() -> None:
    first, second = (
        FiringAlert(
            rule="r",
            kind="health",
            group={"waba_id": account, "aspect": f"restriction {kind}"},
            domain="account",
            account_wide=True,
            fired_at=NOW,
        )
        for account, kind in (("A", "calls"), ("B", "messages"))
    )
    assert joined(second, opened(first)) == Membership(1, Joined.SAME_REPORT)
