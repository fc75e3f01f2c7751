"""STOP and START: the whole text, in many languages, and as the operator says."""

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
def test_only_the_whole_text_is_a_word(text: str, found: str) -> None:
    assert keyword_in(text) == found


def test_every_word_that_ships_is_found_and_none_is_both() -> None:
    assert {keyword_in(word) for word in keywords.STOP_WORDS} == {"stop"}
    assert {keyword_in(word) for word in keywords.START_WORDS} == {"start"}


def test_a_file_adds_words_and_says_otherwise_of_known_ones() -> None:
    words = read_keywords('stop = ["Nein danke"]\nstart = ["cancel"]')
    assert [keyword_in(text, words) for text in ("nein, DANKE", "cancel", "stop", "start")] == [
        "stop",
        "start",
        "stop",
        "start",
    ]


def test_a_file_can_stand_alone() -> None:
    words = read_keywords('replace = true\nstop = ["halt"]')
    assert [keyword_in(text, words) for text in ("halt", "stop", "start")] == ["stop", "", ""]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stop = [", "Invalid value"),
        ('stop = "halt"', "list of words"),
        ("stop = [1]", "list of words"),
        ('stop = ["!!"]', "never match"),
        ('stop = ["x"]\nstart = ["X!"]', "both stop and start: x"),
        ('stopp = ["x"]', "unknown: stopp"),
        ("replace = 1", "true or false"),
        (f'stop = ["{"x" * 41}"]', "40 characters"),
    ],
)
def test_a_file_with_a_fault_is_refused_with_its_reason(text: str, fault: str) -> None:
    with pytest.raises(KeywordsError, match=fault):
        read_keywords(text)
