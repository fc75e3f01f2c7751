"""The text of a message: what fails, for whom, since when, how much, and what to do."""

import io
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from tests.channels.notifications import FIGURES, NOW, NUMBER, SINCE, UNDELIVERABLE, notification
from webhook_app.channels import SendError
from webhook_app.channels.descriptions import count_values, describe_group
from webhook_app.channels.incident_text import change_line, compose, plain_text
from webhook_app.channels.log import LogChannel
from webhook_app.channels.notification import AffectedPart, Evidence, Notification, Reason, Undelivered
from webhook_app.rules.incidents.formats import duration, number, percent, window_length

OTHER_NUMBER = "590238114470022"
REASONS: tuple[Any, ...] = get_args(Reason)


def facts(message: Notification) -> dict[str, str]:
    return dict(compose(message).facts)


def test_an_open_incident_has_every_fact_an_operator_needs_and_each_once():
    message = compose(notification())
    assert message.headline == (
        f"WARNING: 131026 Message undeliverable, business number {NUMBER}: 3.85 % of messages fail"
    )
    assert message.facts == (
        (
            "What broke",
            "131026 Message undeliverable (unreachable). The person cannot be reached on WhatsApp.",
        ),
        (
            "For whom",
            "template order_update, country BR (82.5 % of the failures); 44 failed messages to 38 contacts so far",
        ),
        ("Since", "2026-11-20 03:14 UTC (25 min)"),
        (
            "Impact",
            "40 of 1 040 messages failed in 15 min: 3.85 % (95 % interval 2.84 % to 5.2 %); the threshold is 2 %",
        ),
        ("What to do", "Do not send it again. Clean the list."),
        ("Often misread", "It does not mean blocked."),
        ("Sample messages", "wamid.A, wamid.B"),
    )
    assert message.links == (
        ("Open the incident", "https://alerts.example/incidents/12"),
        ("Runbook", "https://wiki.example/131026"),
    )
    assert message.footer == "Incident 12, rule failure-rate-per-code"


def test_every_message_of_an_incident_has_the_same_title():
    worse = replace(FIGURES, rate=0.5, failures=520)
    for reason in REASONS:
        text = compose(notification(reason=reason, figures=worse, severity="critical", resolved_at=NOW))
        assert f"131026 Message undeliverable, business number {NUMBER}" in text.headline


def test_there_is_one_piece_of_advice_and_it_is_that_of_the_incident():
    other = replace(UNDELIVERABLE, code=131053, advice="Fix the file.", action="Fix it.")
    text = plain_text(compose(notification(codes=(UNDELIVERABLE, other), advice="Hold what can wait.")))
    assert text.count("What to do") == 1
    assert "Hold what can wait." in text
    assert "Fix the file." not in text
    assert "Clean the list." not in text


@pytest.mark.parametrize(
    ("how", "word", "why", "ending"),
    [
        (
            "recovered",
            "recovered",
            "Below 1.5 % for 4 evaluations: 0 of 300 messages failed in 15 min, 0 %.",
            "Below 1.5 % for 4 evaluations: 0 of 300 messages failed in 15 min, 0 %.",
        ),
        (
            "quiet",
            "no traffic",
            "No messages since 20:18 UTC, so whether the cause is fixed is unknown.",
            "No messages since 20:18 UTC, so whether the cause is fixed is unknown.",
        ),
        ("faded", "no failure for 24 h", "", "No failure for 24 h."),
        ("chronic", "chronic", "", "It lasted seven days and is now listed as a finding."),
        ("rules", "rules changed", "", "No rule covers it any more."),
    ],
)
def test_an_end_says_how_and_after_how_long(how, word, why, ending):
    peak_at = SINCE + timedelta(minutes=40)
    ended = notification(
        reason="resolved",
        resolved_at=SINCE + timedelta(minutes=130),
        ended_how=how,
        why=why,
        peak_at=peak_at,
    )
    message = compose(ended)
    assert message.headline == (
        f"Ended after 2 h 10 min ({word}): 131026 Message undeliverable, business number {NUMBER}"
    )
    text = dict(message.facts)
    assert text["Lasted"] == "2 h 10 min, from 2026-11-20 03:14 UTC to 2026-11-20 05:24 UTC"
    assert text["How it ended"] == ending
    assert text["At its worst"] == "8 % at 2026-11-20 03:54 UTC"
    assert text["For whom"].endswith("44 failed messages to 38 contacts")
    assert not text.keys() & {"What to do", "Impact", "Since", "Sample messages"}
    assert change_line(ended) == f"Ended after 2 h 10 min. {ending}"


def test_an_end_counts_how_often_the_incident_opened_again():
    ended = {"reason": "resolved", "resolved_at": NOW}
    assert facts(notification(again=1, **ended))["Lasted"].endswith("; it opened again once")
    assert facts(notification(again=3, **ended))["Lasted"].endswith("; it opened again 3 times")


def test_a_past_incident_says_that_it_is_over_and_asks_for_nothing():
    past = notification(reason="past", resolved_at=SINCE + timedelta(hours=2), ended_how="recovered", why="")
    assert compose(past).headline.startswith("In the past, for 2 h: 131026 Message undeliverable")
    assert "What to do" not in facts(past)
    assert facts(past)["Lasted"] == "2 h, from 2026-11-20 03:14 UTC to 2026-11-20 05:14 UTC"


def without_rates(**more: Any) -> Notification:
    """An incident of a kind that counts no messages: nothing but what every kind has."""
    text = {
        "kind": "health",
        "rule": "template-health",
        "title": "Meta has set the template to PAUSED, template order_update",
        "group": {"template": "order_update", "aspect": "status"},
        "finding": "Meta has set the template to PAUSED",
        "codes": (),
        "figures": None,
        "slice": None,
        "samples": (),
        "failures": 0,
        "contacts": 0,
        "numbers": (),
        "peak_rate": 0.0,
        "details": (("Why", "too many people blocked or reported it"),),
        "advice": "Send something else until it is active again.",
        "why": "Still firing: Meta has set the template to PAUSED.",
    }
    return notification(**(text | more))


def test_a_kind_without_rates_has_the_finding_and_advice_but_no_figures():
    message = compose(without_rates())
    assert message.headline == "WARNING: Meta has set the template to PAUSED, template order_update"
    assert message.facts == (
        ("Since", "2026-11-20 03:14 UTC (25 min)"),
        ("Why", "too many people blocked or reported it"),
        ("What to do", "Send something else until it is active again."),
    )
    over = compose(without_rates(reason="resolved", resolved_at=SINCE + timedelta(hours=2)))
    assert [label for label, _ in over.facts] == ["Lasted", "How it ended", "Why"]
    bare = compose(without_rates(details=(), advice=""))
    assert [label for label, _ in bare.facts] == ["Since"]


def test_a_finding_that_has_changed_since_the_title_is_shown_beside_it():
    later = without_rates(reason="repeated", finding="Meta has set the template to DISABLED")
    assert facts(later)["Now"] == "Meta has set the template to DISABLED"
    assert "Now" not in facts(without_rates(reason="repeated"))
    assert change_line(later) == "Still open: Meta has set the template to DISABLED"


def test_the_headline_has_the_share_only_if_it_is_that_of_the_place_it_names():
    narrow = {"title": "131026 Message undeliverable, campaign spring", "slice": None}
    of_campaign = compose(notification(group={"campaign": "spring"}, **narrow))
    of_number = compose(notification(**narrow))
    assert of_campaign.headline.endswith("campaign spring: 3.85 % of messages fail")
    assert of_number.headline.endswith("campaign spring: 44 failed messages")
    impact = dict(of_number.facts)["Impact"]
    assert impact.startswith(f"40 of 1 040 messages (business number {NUMBER}) failed in 15 min: 3.85 %")
    everything = facts(notification(group={}, **narrow))
    assert everything["Impact"].startswith("40 of 1 040 messages (all messages) failed")


@pytest.mark.parametrize(
    ("more", "headline"),
    [
        ({"reason": "again"}, "WARNING again: 131026 Message undeliverable"),
        ({"reason": "repeated"}, "Still open (warning): 131026 Message undeliverable"),
        ({"reason": "escalated", "severity": "critical"}, "Now CRITICAL: 131026 Message undeliverable"),
        (
            {"reason": "escalated", "confirmed": "No webhooks"},
            "WARNING, no longer only reported by senders: 131026 Message undeliverable",
        ),
        ({"reason": "acknowledged", "actor": "ada"}, "Acknowledged by ada: 131026 Message undeliverable"),
        (
            {"reason": "snoozed", "actor": "ada", "snoozed_until": NOW + timedelta(hours=1)},
            "Snoozed until 2026-11-20 04:39 UTC by ada: 131026 Message undeliverable",
        ),
    ],
    ids=lambda value: value.get("reason") if isinstance(value, dict) else None,
)
def test_every_reason_has_its_headline(more, headline):
    assert compose(notification(**more)).headline.startswith(headline)


def test_the_message_shows_who_acknowledged_or_snoozed_the_incident():
    text = facts(
        notification(acknowledged_by="ada", acknowledged_at=NOW, snoozed_until=NOW + timedelta(hours=1))
    )
    assert text["Acknowledged"] == "by ada, 2026-11-20 03:39 UTC"
    assert text["Snoozed"] == "until 2026-11-20 04:39 UTC"
    assert "Snoozed" not in facts(notification(snoozed_until=NOW))


def test_a_rerouted_message_names_the_failed_channel_first():
    text = compose(notification(undelivered=(Undelivered("slack", "404 no_service"),)))
    assert text.facts[0] == ("Not delivered on slack", "404 no_service")


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("fired", "Opened: 40 of 1 040 messages failed in 15 min: 3.85 %"),
        ("again", "Opened again: 40 of 1 040 messages failed in 15 min: 3.85 %"),
        ("repeated", "Still open: 40 of 1 040 messages failed in 15 min: 3.85 %"),
        ("escalated", "Now warning: 40 of 1 040 messages failed in 15 min: 3.85 %"),
        ("acknowledged", "Acknowledged by ada"),
        ("snoozed", "Snoozed by ada"),
        ("resolved", "Ended after 25 min. Above the threshold."),
        ("past", "In the past, for 25 min. Above the threshold."),
    ],
)
def test_every_reason_has_one_line_for_the_history(reason, line):
    actor = "ada" if reason in ("acknowledged", "snoozed") else ""
    assert change_line(notification(reason=reason, actor=actor)).startswith(line)


def test_what_senders_cannot_have_made_up_is_named_in_the_message_and_in_the_history():
    escalated = notification(reason="escalated", confirmed="No webhooks in 30 min")
    assert facts(escalated)["Now also"] == "No webhooks in 30 min"
    assert change_line(escalated) == "No longer only reported by senders: No webhooks in 30 min"


def test_further_codes_are_listed_with_their_messages():
    other = replace(UNDELIVERABLE, code=131042, title="Payment issue", failures=1)
    text = notification(codes=(UNDELIVERABLE, other))
    assert facts(text)["Also"] == "131042 Payment issue (1 message)"


def test_numbers_and_templates_are_named_up_to_three_and_not_twice():
    numbers = tuple(f"59023811447002{index}" for index in range(5))
    several = notification(
        title="131016 Service unavailable, 5 business numbers", slice=None, numbers=numbers, templates=("a",)
    )
    assert facts(several)["For whom"] == (
        f"5 business numbers: {', '.join(numbers[:3])} and 2 more; template a; 44 failed messages to 38 contacts so far"
    )
    sliced = notification(
        slice=AffectedPart(values={"phone_number_id": (NUMBER, OTHER_NUMBER)}, failures=40, share=1.0),
        numbers=(NUMBER, OTHER_NUMBER),
    )
    assert facts(sliced)["For whom"].count("business number") == 1


def test_the_footer_names_each_rule_once():
    evidence = (Evidence("a", "all messages", ""), Evidence("b", "x", ""), Evidence("a", "y", ""))
    footer = compose(notification(rule="a", evidence=evidence)).footer
    assert footer == "Incident 12, rules a, b"


def test_an_empty_window_is_described_as_one():
    silent = replace(FIGURES, attempts=0, failures=0, rate=0.0)
    assert facts(notification(figures=silent))["Impact"] == "no messages in the last 15 min"
    assert compose(notification(figures=silent)).headline == f"WARNING: {notification().title}"


def test_unknown_facts_are_omitted():
    text = notification(
        codes=(), slice=None, samples=(), failures=0, numbers=(), advice="", link="", runbook=""
    )
    assert compose(text).links == ()
    assert facts(text).keys() == {"Since", "Impact"}


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ({}, "all messages"),
        ({"code": 1}, "all messages"),
        ({"waba_id": "1", "business": "b"}, "WhatsApp account 1, business b"),
        ({"template": ""}, "no template"),
        ({"country": "DE", "template": "t"}, "template t, country DE"),
    ],
    ids=str,
)
def test_groups_are_described_in_words(group, words):
    assert describe_group(group) == words


def test_values_are_named_alone_and_counted_together():
    assert count_values("template", ["order"]) == "template order"
    assert count_values("country", ["BR", "DE"]) == "2 countries"
    assert count_values("country", []) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "less than a minute"),
        (59, "less than a minute"),
        (60, "1 min"),
        (3660, "1 h 1 min"),
        (86_400, "1 d"),
        (97_260, "1 d 3 h"),
    ],
)
def test_durations_have_their_two_largest_units(seconds, words):
    assert duration(timedelta(seconds=seconds)) == words


def test_numbers_are_grouped_and_shares_are_short():
    assert number(1_234_567) == "1 234 567"
    assert (percent(0.03846), percent(1.0), percent(0.0)) == ("3.85 %", "100 %", "0 %")
    assert (window_length(15), window_length(60), window_length(10_080)) == ("15 min", "1 h", "7 d")


def test_the_log_channel_writes_the_same_message_as_lines():
    stream = io.StringIO()
    LogChannel(stream).send(notification())
    assert stream.getvalue() == plain_text(compose(notification())) + "\n\n"
    assert "\n  What to do: Do not send it again." in stream.getvalue()


@dataclass
class Broken(io.StringIO):
    fault: Exception

    def write(self, text: str, /) -> int:
        raise self.fault


@pytest.mark.parametrize("fault", [BrokenPipeError("gone"), ValueError("closed")], ids=str)
def test_a_closed_stream_is_a_temporary_error(fault):
    with pytest.raises(SendError) as raised:
        LogChannel(Broken(fault)).send(notification(at=NOW))
    assert not raised.value.permanent
