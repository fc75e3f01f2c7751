"""STOP and START words: whole texts, many languages, and the operator's file."""

import pytest

from webhook_app.whatsapp.people import keywords
from webhook_app.whatsapp.people.keywords import KeywordsError, keyword_in, read_keywords


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("STOP", "stop"),
        ("  Stop!! 🛑", "stop"),
        ("arret", "stop"),
        ("ARRÊT.", "stop"),
        ("Se désabonner", "stop"),
        ("Darme de  baja", "stop"),
        ("iptal", "stop"),
        ("रोकें", "stop"),
        ("ｓｔｏｐ", "stop"),
        ("수신거부", "stop"),
        ("Start", "start"),
        ("başlat", "start"),
        ("please stop by tomorrow", ""),
        ("don't stop", ""),
        ("stopping", ""),
        ("!!!", ""),
        ("", ""),
        ("stop " * 20, ""),
    ],
)
def test_only_the_whole_text_matches(text: str, found: str) -> None:
    assert keyword_in(text) == found


def test_every_default_word_is_found_and_in_one_list_only() -> None:
    assert {keyword_in(word) for word in keywords.STOP_WORDS} == {"stop"}
    assert {keyword_in(word) for word in keywords.START_WORDS} == {"start"}


def test_a_file_adds_words_and_overrides_defaults() -> None:
    words = read_keywords('stop = ["Nein danke"]\nstart = ["cancel"]')
    assert [keyword_in(text, words) for text in ("nein, DANKE", "cancel", "stop", "start")] == [
        "stop",
        "start",
        "stop",
        "start",
    ]


def test_a_file_can_replace_the_defaults() -> None:
    words = read_keywords('replace = true\nstop = ["halt"]')
    assert [keyword_in(text, words) for text in ("halt", "stop", "start")] == ["stop", "", ""]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stop = [", "Invalid value"),
        ('stop = "halt"', "list of words"),
        ("stop = [1]", "list of words"),
        ('stop = ["!!"]', "never match"),
        ('stop = ["x"]\nstart = ["X!"]', "in both stop and start: x"),
        ('stopp = ["x"]', "unknown keys: stopp"),
        ("replace = 1", "true or false"),
        (f'stop = ["{"x" * 41}"]', "40 characters"),
    ],
)
def test_an_invalid_file_is_rejected_with_a_reason(text: str, fault: str) -> None:
    with pytest.raises(KeywordsError, match=fault):
        read_keywords(text)
