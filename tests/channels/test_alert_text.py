"""The text of a message: what fails, for whom, since when, how much, and what to do."""

import io
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.channels.notifications import FIGURES, NOW, NUMBER, SINCE, UNDELIVERABLE, notification
from webhook_app.channels import SendError
from webhook_app.channels.incident_text import change_line, compose, plain_text, title
from webhook_app.channels.descriptions import describe_group
from webhook_app.channels.log import LogChannel
from webhook_app.channels.notification import Notification, Undelivered
from webhook_app.rules.incidents.formats import duration, number, percent


def facts(text: Notification) -> dict[str, str]:
    return dict(compose(text).facts)


def test_a_firing_alert_has_every_fact_an_operator_needs() -> None:
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
            (
                f"business number {NUMBER}; 38 contacts; 82.5 % of the failures are template order_update to BR"
                f" from business number {NUMBER}"
            ),
        ),
        ("Since", "2026-11-20 03:14 UTC (25 min)"),
        (
            "How bad",
            "40 of 1 040 messages failed in 15 min: 3.85 % (95 % interval 2.84 % to 5.2 %); the threshold is 2 %",
        ),
        ("What to do", "Do not send it again. Clean the list."),
        ("Often misread", "It does not mean blocked."),
        ("Messages to look at", "wamid.A, wamid.B"),
    )
    assert message.links == (
        ("Open the alert", "https://alerts.example/alerts/12"),
        ("Runbook", "https://wiki.example/131026"),
    )
    assert message.footer == "Rule failure-rate-per-code, alert 12. Above the threshold."


def test_a_resolved_alert_has_its_duration_and_its_last_and_worst_figures() -> None:
    calm = replace(FIGURES, failures=3, attempts=1000, rate=0.003, low=0.001, high=0.0088)
    message = compose(
        notification(reason="resolved", resolved_at=SINCE + timedelta(minutes=130), figures=calm)
    )
    assert message.headline == (
        f"Resolved: 131026 Message undeliverable, business number {NUMBER}, after 2 h 10 min"
    )
    text = dict(message.facts)
    assert text["Lasted"] == "2 h 10 min, from 2026-11-20 03:14 UTC to 2026-11-20 05:24 UTC"
    assert text["Now"].startswith("3 of 1 000 messages failed in 15 min: 0.3 %")
    assert text["At its worst"] == "8 %"
    assert "What to do" not in text


def without_rates(**more: Any) -> Notification:
    """An alert of a kind that counts no messages: nothing but what every kind has."""
    text = {
        "kind": "health",
        "rule": "template-health",
        "group": {"template": "order_update"},
        "finding": "template order_update was paused by Meta",
        "codes": (),
        "figures": None,
        "slice": None,
        "samples": (),
        "contacts": 0,
        "details": (("Why", "too many people blocked or reported it"),),
        "advice": "Send something else until it is active again.",
    }
    return notification(**(text | more))


def test_a_kind_without_rates_has_the_finding_and_advice_but_no_figures() -> None:
    message = compose(without_rates())
    assert message.headline == "WARNING: template order_update was paused by Meta"
    assert message.facts == (
        ("For whom", "template order_update"),
        ("Since", "2026-11-20 03:14 UTC (25 min)"),
        ("Why", "too many people blocked or reported it"),
        ("What to do", "Send something else until it is active again."),
    )
    over = compose(without_rates(reason="resolved", resolved_at=SINCE + timedelta(hours=2)))
    assert over.headline == "Resolved: template order_update was paused by Meta, after 2 h"
    assert [label for label, _ in over.facts] == ["For whom", "Lasted", "Why"]
    bare = compose(without_rates(finding="", group={}, details=(), advice=""))
    assert bare.headline == "WARNING: template-health"
    assert [label for label, _ in bare.facts] == ["Since"]


def test_advice_of_the_alert_comes_before_that_of_its_code_and_is_not_repeated() -> None:
    assert facts(notification(advice="Stop the campaign."))["What to do"] == (
        "Stop the campaign. Do not send it again. Clean the list."
    )
    assert facts(notification(advice=UNDELIVERABLE.advice))["What to do"] == UNDELIVERABLE.advice


@pytest.mark.parametrize(
    ("more", "headline"),
    [
        ({"reason": "escalated", "severity": "critical"}, "Now CRITICAL: 131026 Message undeliverable"),
        ({"reason": "acknowledged", "actor": "ada"}, "Acknowledged by ada: 131026 Message undeliverable"),
        (
            {"reason": "snoozed", "actor": "ada", "snoozed_until": NOW + timedelta(hours=1)},
            "Snoozed until 2026-11-20 04:39 UTC by ada: 131026 Message undeliverable",
        ),
    ],
    ids=lambda value: value.get("reason") if isinstance(value, dict) else None,
)
def test_every_reason_has_its_headline(more: dict[str, Any], headline: str) -> None:
    assert compose(notification(**more)).headline.startswith(headline)


def test_the_message_shows_who_acknowledged_or_snoozed_the_alert() -> None:
    text = facts(
        notification(acknowledged_by="ada", acknowledged_at=NOW, snoozed_until=NOW + timedelta(hours=1))
    )
    assert text["Acknowledged"] == "by ada, 2026-11-20 03:39 UTC"
    assert text["Snoozed"] == "until 2026-11-20 04:39 UTC"
    assert "Snoozed" not in facts(notification(snoozed_until=NOW))


def test_a_rerouted_message_names_the_failed_channel_first() -> None:
    text = compose(notification(undelivered=(Undelivered("slack", "404 no_service"),)))
    assert text.facts[0] == ("Not delivered on slack", "404 no_service")


def test_the_title_stays_the_same_from_the_first_message_to_the_last() -> None:
    worse = replace(FIGURES, rate=0.5)
    text = [notification(), notification(reason="escalated", severity="critical", figures=worse)]
    text.append(notification(reason="resolved", resolved_at=NOW))
    assert {title(one) for one in text} == {f"131026 Message undeliverable, business number {NUMBER}"}
    assert title(notification(group={"country": "BR"})) == "failure-rate-per-code, country BR"


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("fired", "Firing. Above the threshold."),
        ("repeated", "Still firing. Above the threshold."),
        ("escalated", "Now warning. Above the threshold."),
        ("acknowledged", "Acknowledged by ada"),
        ("resolved", "Resolved after 25 min. Above the threshold."),
    ],
)
def test_every_reason_has_one_line_for_the_history(reason: str, text: str) -> None:
    assert change_line(notification(reason=reason, actor="ada" if reason == "acknowledged" else "")) == text


def test_a_reminder_says_that_it_is_one() -> None:
    assert compose(notification(reason="repeated")).headline.startswith("Still firing (warning): 131026")


def test_a_group_without_code_names_the_most_frequent_code_and_lists_the_others() -> None:
    other = replace(UNDELIVERABLE, code=131042, title="Payment issue", failures=5)
    text = notification(group={"phone_number_id": NUMBER}, codes=(UNDELIVERABLE, other))
    assert f"business number {NUMBER}, mostly 131026 Message undeliverable" in compose(text).headline
    assert facts(text)["Also"] == "131042 Payment issue: 5"


def test_an_empty_window_is_described_as_one() -> None:
    silent = replace(FIGURES, attempts=0, failures=0, rate=0.0)
    assert facts(notification(figures=silent))["How bad"] == "no messages in the last 15 min"


def test_unknown_facts_are_omitted() -> None:
    text = notification(codes=(), slice=None, samples=(), contacts=0, link="", runbook="")
    assert compose(text).links == ()
    assert facts(text).keys() == {"For whom", "Since", "How bad"}
    assert facts(text)["For whom"] == f"business number {NUMBER}"


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
def test_groups_are_described_in_words(group: dict[str, str | int], words: str) -> None:
    assert describe_group(group) == words


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
def test_durations_have_their_two_largest_units(seconds: int, words: str) -> None:
    assert duration(timedelta(seconds=seconds)) == words


def test_numbers_are_grouped_and_shares_are_short() -> None:
    assert number(1_234_567) == "1 234 567"
    assert (percent(0.03846), percent(1.0), percent(0.0)) == ("3.85 %", "100 %", "0 %")


def test_the_log_channel_writes_the_same_message_as_lines() -> None:
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
def test_a_closed_stream_is_a_temporary_error(fault: Exception) -> None:
    with pytest.raises(SendError) as raised:
        LogChannel(Broken(fault)).send(notification(at=NOW))
    assert not raised.value.permanent
