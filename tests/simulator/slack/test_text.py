"""Slack's format as plain text."""

import pytest

from webhook_app.simulator.slack.text import plain_text


def mrkdwn(text):
    return {"type": "mrkdwn", "text": text}


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("*131026* is up", "131026 is up"),
        ("see <https://a.test/x|the runbook>", "see the runbook (https://a.test/x)"),
        ("see <https://a.test/x>", "see https://a.test/x"),
        ("2 &lt; 3 &amp; 4", "2 < 3 & 4"),
        ("a * b * c", "a * b * c"),
        ("3*4*5", "3*4*5"),
        ("`code` stays", "`code` stays"),
        ("<!here> look", "!here look"),
    ],
)
def test_marks_are_taken_away_and_words_are_kept(marked, plain):
    assert plain_text({"text": marked}) == plain


def test_blocks_are_shown_line_by_line_instead_of_the_fallback():
    message = {
        "text": "fallback",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "131026 is *high*"}},
            {"type": "section", "text": mrkdwn("*3.1 %* of 1 204"), "fields": [mrkdwn("a"), mrkdwn("b")]},
            {"type": "divider"},
            {"type": "context", "elements": [mrkdwn("rule"), mrkdwn("*window*")]},
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "text": {"type": "plain_text", "text": "Acknowledge"}},
                    {"type": "button", "text": {"type": "plain_text", "text": "Snooze"}},
                ],
            },
        ],
    }
    assert plain_text(message).splitlines() == [
        "131026 is *high*",
        "3.1 % of 1 204",
        "a",
        "b",
        "-" * 40,
        "rule · window",
        "[Acknowledge] [Snooze]",
    ]


def test_a_button_beside_a_section_is_shown():
    button = {"type": "button", "text": {"type": "plain_text", "text": "Open"}}
    assert (
        plain_text({"blocks": [{"type": "section", "text": mrkdwn("x"), "accessory": button}]}) == "x\n[Open]"
    )


@pytest.mark.parametrize(
    ("attachment", "shown"),
    [
        ({"text": "*a*"}, "a"),
        ({"fallback": "b"}, "b"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "c"}}], "fallback": "no"}, "c"),
        ({}, ""),
    ],
)
def test_attachments_are_shown_too(attachment, shown):
    assert plain_text({"attachments": [attachment]}) == shown


def test_an_empty_message_is_empty_text():
    assert plain_text({}) == ""
