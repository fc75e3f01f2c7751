"""KEYWORDS_FILE moves words, names buttons, and is refused with line and key."""

from pathlib import Path

import pytest

from webhook_app.rules.suppressions.keywords_file import KeywordsError, read_keywords

EXAMPLE = Path(__file__).parents[3] / "docs" / "keywords.toml"
FCC_WORDS = ("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe")
AMERICAN, GERMAN = "12025550117", "4915112345678"


def test_a_file_moves_words_and_leaves_the_others() -> None:
    words = read_keywords(
        'stop = ["Nein danke"]\nstart = ["cancel"]\neveryday = ["baja", "stop texting me"]\nambiguous = ["tc"]'
    )
    texts = ("nein, DANKE", "cancel", "stop", "start", "baja", "Stop texting me", "TC", "salir")
    assert [words.typed(text, GERMAN) for text in texts] == [
        *("stop", "start", "stop", "start", "", "", "ambiguous", "ambiguous")
    ]


def test_a_word_moved_for_everybody_is_moved_in_every_country() -> None:
    assert read_keywords('stop = ["baja"]').typed("baja", "6281234567") == "stop"
    assert read_keywords('ambiguous = ["nomás"]').typed("nomás") == "ambiguous"


def test_a_file_can_replace_all_words_but_metas_button() -> None:
    words = read_keywords('replace = true\nstop = ["halt"]')
    assert [words.typed(text) for text in ("halt, bitte", "stop", "don't text me", "start")] == [
        "stop",
        "",
        "",
        "",
    ]
    assert words.tapped("Stop promotions") == "stop_marketing"


def test_buttons_count_when_they_are_named() -> None:
    words = read_keywords('[buttons]\nstop = ["OPT_OUT"]\nstart = ["Again"]\neveryday = ["Stop promotions"]')
    assert [words.tapped(text) for text in ("OPT_OUT", "opt-out", "again", "Stop promotions", "stop")] == [
        *("stop", "stop", "start", "", "")
    ]
    assert words.typed("again") == ""


def test_the_example_file_makes_the_words_of_the_fcc_stop_words_for_numbers_with_plus_1() -> None:
    words = read_keywords(EXAMPLE.read_text(encoding="utf-8"))
    assert {words.typed(word, AMERICAN) for word in FCC_WORDS} == {"stop"}
    assert words.typed("please cancel", "US.7041abc") == "stop"
    assert [words.typed(word, GERMAN) for word in ("cancel", "end", "quit", "stop")] == [
        *["ambiguous"] * 3,
        "stop",
    ]
    assert [words.tapped(title) for title in ("OPT_OUT", "no more offers", "OPT_IN")] == [
        *("stop", "stop_marketing", "start")
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("\nstop = [", r"line 2: not valid TOML"),
        ('stop = "halt"', r"line 1: stop: must be a list of words"),
        ("stop = [1]", r"line 1: stop: must be a list of words"),
        ('\n\nstop = ["!!"]', r"line 3: stop: '!!' has neither letters nor digits"),
        ('stop = ["x"]\nstart = ["X!"]', r"line 2: start: 'X!' is in stop, too"),
        (
            'stopp = ["x"]',
            r"line 1: stopp: unknown key; valid are stop, stop_marketing, ambiguous, everyday, start",
        ),
        ("replace = 1", r"line 1: replace: must be true or false"),
        (f'stop = ["{"x" * 121}"]', r"line 1: stop: 'x+' does not have 1 to 120 characters"),
        ('["+1"]\n\nstopp = ["a"]', r"line 3: \+1\.stopp: unknown key"),
        ("# words\n[buttons]\nstop = 3", r"line 3: buttons\.stop: must be a list of words"),
        ('["+01"]\nstop = ["a"]', r"line 1: \+01: unknown key"),
        ("buttons = 1", r"line 1: buttons: must be a table"),
        ('stop = ["!"]\nreplace = 1', r"line 1: stop: .*; line 2: replace"),
    ],
)
def test_an_invalid_file_is_refused_with_line_and_key(text: str, fault: str) -> None:
    with pytest.raises(KeywordsError, match=fault):
        read_keywords(text)
