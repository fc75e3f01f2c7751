"""Who is suppressed and why, and what lifts it."""

import random
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations

import pytest

from webhook_app.rules.suppressions.streaks import (
    FailureFact,
    Hold,
    Suppress,
    Thresholds,
    causes,
    decide,
    lifts,
    streak,
)
from webhook_app.whatsapp.errors.catalogue import catalogue, explain

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
NOW = START + 10 * DAY


def failed(day, code=131026, campaign="", *, message_id=None, hours=0, explained=False):
    at = START + day * DAY + timedelta(hours=hours)
    effect = explain(code).contact_effect
    return FailureFact(
        message_id or f"wamid.{day}.{hours}.{code}.{campaign}", at, code, effect, campaign, explained
    )


def judged(failures, last_success=None, previous_times=0, now=NOW, **history):
    return decide(failures, last_success, previous_times, now, **history)


THREE = [failed(0), failed(1), failed(2)]


def test_three_soft_failures_on_different_days_suppress_for_30_days_after_the_last():
    assert judged(THREE) == Suppress(
        "unreachable", "all", 131026, START + 2 * DAY + 30 * DAY, 1, tuple(THREE)
    )


@pytest.mark.parametrize(
    ("failures", "counted", "days"),
    [
        ([], 0, 0),
        (THREE, 3, 3),
        ([failed(0, campaign="a"), failed(0, campaign="a", hours=1)], 1, 1),
        ([failed(0, campaign="a"), failed(0, campaign="b", hours=1)], 2, 1),
        ([failed(0), failed(0, hours=1), failed(0, hours=2)], 1, 1),  # no campaign counts as one campaign
        ([failed(0, campaign="a"), failed(1, campaign="a")], 2, 2),
        ([failed(0, message_id="m"), failed(1, message_id="m")], 1, 1),  # one message, reported twice
        ([failed(0, hours=14.9), failed(0, hours=15.1)], 1, 1),  # an evening across midnight
        ([failed(0, hours=14.9), failed(0, hours=15.1), failed(0, hours=20.8)], 1, 1),
        ([failed(0, hours=14.9), failed(0, hours=15.1), failed(0, hours=21)], 2, 2),  # six hours apart
        ([failed(0, 131049), failed(1, 131000), failed(2, 424242), failed(3, 130403)], 0, 0),
        ([failed(0, explained=True), failed(1)], 1, 1),
    ],
)
def test_soft_unexplained_failures_count_once_per_campaign_and_day(failures, counted, days):
    found = streak(failures, None)
    assert (len(found.failures), found.days) == (counted, days)


def test_days_are_utc_days_whatever_zone_a_time_comes_in():
    tokyo = timezone(timedelta(hours=9))
    facts = [
        FailureFact("a", datetime(2026, 3, 1, 23, 0, tzinfo=UTC), 131026, "soft", "x"),
        FailureFact("b", datetime(2026, 3, 2, 7, 30, tzinfo=tokyo), 131026, "soft", "y"),
    ]
    assert streak(facts, None).days == 1


def test_messages_without_an_id_are_not_taken_for_one_message():
    facts = [FailureFact("", START + n * DAY, 131026, "soft") for n in range(3)]
    assert len(streak(facts, None).failures) == 3


@pytest.mark.parametrize(
    "failures",
    [
        [],
        THREE[:2],
        [failed(0, campaign=name) for name in "abcdef"],  # one bad day is not enough
        [failed(0, campaign="a"), failed(0, campaign="a", hours=1), failed(1, campaign="a")],
        [
            failed(0, campaign=name, hours=14 + n) for n, name in enumerate("abcde")
        ],  # one evening across midnight
    ],
)
def test_too_few_failures_or_days_suppress_nobody(failures):
    assert judged(failures) is None


def test_three_failures_over_two_days_are_enough():
    assert isinstance(judged([failed(0, campaign="a"), failed(0, campaign="b"), failed(1)]), Suppress)


@pytest.mark.parametrize("code", [entry.code for entry in catalogue() if entry.contact_effect == "none"])
def test_codes_that_say_nothing_about_the_contact_never_suppress(code):
    assert judged([failed(day, code, campaign=str(day)) for day in range(9)]) is None


def test_unknown_codes_and_no_code_never_suppress():
    for code in (424242, -1):
        assert judged([failed(day, code) for day in range(9)]) is None
    assert judged([FailureFact("m", START, 1, "an effect of tomorrow")]) is None


def test_a_success_resets_the_streak_and_wins_within_its_second():
    assert isinstance(judged(THREE, START - DAY), Suppress)
    assert judged(THREE, THREE[0].occurred_at) is None
    assert judged(THREE, START + 5 * DAY) is None


@pytest.mark.parametrize(("previous", "days"), [(0, 30), (1, 60), (2, 120), (3, 240), (4, 365), (9999, 365)])
def test_the_period_doubles_to_a_year(previous, days):
    verdict = judged(THREE, previous_times=previous)
    assert (verdict.until - THREE[-1].occurred_at, verdict.times) == (days * DAY, previous + 1)


def test_the_thresholds_are_settings():
    settings = Thresholds(failures=2, days=1, first_days=7, longest_days=10)
    same_day = [failed(0, campaign="a"), failed(0, campaign="b")]
    assert decide(same_day, None, 0, NOW - 9 * DAY, settings).until == START + 7 * DAY
    assert decide(same_day, None, 5, NOW - 9 * DAY, settings).until == START + 10 * DAY


def test_a_hard_failure_suppresses_at_once_until_it_is_lifted():
    hard = failed(0, 130403)
    assert judged([hard]) == Suppress("hard", "all", 130403, None, 1, (hard,))
    assert judged([hard], START + DAY) is None


def test_131049_pauses_marketing_for_a_day_doubling_to_30():
    withheld = failed(9, 131049, hours=12)
    waits = [judged([withheld], previous_times=n).until - withheld.occurred_at for n in (0, 1, 2, 4, 5, 99)]
    assert waits == [DAY, 2 * DAY, 4 * DAY, 16 * DAY, 30 * DAY, 30 * DAY]
    assert judged([withheld]) == Suppress(
        "unreachable", "marketing", 131049, withheld.occurred_at + DAY, 1, (withheld,)
    )


def test_a_period_that_is_over_starts_no_suppression():
    assert judged([failed(0, 131049)]) is None
    assert judged(THREE, now=START + 32 * DAY) is None


def test_130472_holds_marketing_until_the_person_writes():
    held = failed(0, 130472)
    assert judged([held]) == Suppress("unreachable", "marketing", 130472, None, 1, (held,))
    assert isinstance(judged([held], START + DAY), Suppress)  # a delivered message does not end it
    assert judged([held], START + DAY, last_inbound=START + DAY) is None


def test_130472_outlasts_131049():
    verdict = judged([failed(8, 130472), failed(9, 131049, hours=12)])
    assert (verdict.code, verdict.until) == (130472, None)


def test_131050_is_an_opt_out_from_marketing_until_the_person_resumes():
    stopped = failed(0, 131050)
    assert judged([stopped]) == Suppress("opted_out", "marketing", 131050, None, 1, (stopped,))
    reached = {"last_success": START + DAY, "last_inbound": START + DAY}
    assert isinstance(judged([stopped], **reached), Suppress)
    assert judged([stopped], last_resume=START + DAY) is None


def test_every_code_that_concerns_marketing_only_has_its_own_end():
    codes = {entry.code for entry in catalogue() if entry.contact_effect == "marketing_only"}
    assert codes == {131049, 130472, 131050}


def test_explained_failures_never_count_and_hold_what_they_would_cause():
    explained = [failed(0, explained=True), failed(1, explained=True), failed(2)]
    held = judged(explained)
    assert isinstance(held, Hold)
    assert held.why == "An open alert explains 2 of the 3 failures that would suppress the contact."
    assert (held.would.reason, held.would.until) == ("unreachable", START + 32 * DAY)
    assert judged(explained[:2]) is None
    for code in (130403, 130472, 131050):
        assert isinstance(judged([failed(0, code, explained=True)]), Hold)


def test_enough_unexplained_failures_suppress_beside_explained_ones():
    verdict = judged([*THREE, failed(3, explained=True)])
    assert verdict.evidence == tuple(THREE)


def test_nobody_is_suppressed_when_an_alert_explains_everything():
    outage = [
        failed(day, code, campaign, hours=hour, explained=True)
        for day in range(3)
        for hour, (code, campaign) in enumerate([(131026, "a"), (131026, "b"), (130403, ""), (131049, "")])
    ]
    assert isinstance(judged(outage), Hold)


def test_failures_of_an_earlier_suppression_start_no_new_one():
    last = THREE[-1].occurred_at
    assert judged(THREE, previous_times=1, acted_on=last) is None
    again = failed(9)
    verdict = judged([*THREE, again], previous_times=1, acted_on=last)
    assert (verdict.times, verdict.until) == (2, again.occurred_at + 60 * DAY)


def test_failures_are_grouped_by_cause_strongest_first():
    mixed = [failed(0), failed(1, 131049), failed(2, 130403), failed(3, 131050), failed(4, 131000)]
    assert {cause: [fact.code for fact in facts] for cause, facts in causes(mixed).items()} == {
        ("opted_out", "marketing"): [131050],
        ("hard", "all"): [130403],
        ("unreachable", "all"): [131026],
        ("unreachable", "marketing"): [131049],
    }
    assert [reason for reason, _ in causes(mixed)] == ["opted_out", "hard", "unreachable", "unreachable"]


def test_the_strongest_cause_decides_when_several_apply():
    assert judged([*THREE, failed(3, 130403)]).reason == "hard"
    assert judged([*THREE, failed(3, 130403), failed(3, 131050)]).reason == "opted_out"
    assert judged([*THREE, failed(3, 130403, explained=True)]).reason == "unreachable"


def test_the_order_in_which_failures_become_known_changes_nothing():
    facts = [*THREE, failed(2, campaign="b", hours=3), failed(2, hours=5), failed(3, 131000)]
    assert len({repr(judged(order)) for order in permutations(facts)}) == 1
    shuffled = random.Random(7)
    mixed = [failed(d, c, hours=h) for d in range(4) for h, c in enumerate((131026, 131049, 130472))]
    assert len({repr(judged(shuffled.sample(mixed, len(mixed)))) for _ in range(50)}) == 1


@pytest.mark.parametrize(
    ("reason", "scope", "code", "lifting"),
    [
        ("unreachable", "all", 131026, {"delivered", "read", "played", "inbound"}),
        ("hard", "all", 130403, {"delivered", "read", "played", "inbound"}),
        ("unreachable", "marketing", 130472, {"inbound"}),
        ("unreachable", "marketing", 131049, set()),
        ("opted_out", "marketing", 131050, set()),
        ("opted_out", "all", -1, set()),
        ("manual", "all", -1, set()),
        ("manual", "marketing", 130472, set()),
    ],
)
def test_each_suppression_is_lifted_by_its_own_events(reason, scope, code, lifting):
    events = {"sent", "delivered", "read", "played", "inbound", "failed", ""}
    assert {what for what in events if lifts(reason, scope, code, what)} == lifting


@pytest.mark.parametrize("code", [131026, 130403, 130472, 131050])
@pytest.mark.parametrize("what", ["delivered", "inbound"])
def test_what_lifts_a_suppression_also_keeps_it_from_being_made_from_older_failures(code, what):
    facts = THREE if code == 131026 else [failed(0, code)]
    verdict = judged(facts)
    later = START + 5 * DAY
    after = judged(facts, later, last_inbound=later if what == "inbound" else None)
    assert (after is None) is lifts(verdict.reason, verdict.scope, verdict.code, what)
