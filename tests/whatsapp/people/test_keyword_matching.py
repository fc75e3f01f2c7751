"""A word counts as the whole text, with courtesies and repetition aside, and by the number of the person."""

import pytest

from webhook_app.whatsapp.people.courtesies import courtesies
from webhook_app.whatsapp.people.keyword_matching import (
    MAX_LENGTH,
    Keywords,
    KeywordTable,
    key_of,
    with_tables,
)
from webhook_app.whatsapp.people.keywords import DEFAULT


@pytest.mark.parametrize(
    "text",
    [
        *(
            "STOP",
            "  Stop!! 🛑",
            "please stop",
            "Stop please",
            "STOP STOP",
            "STOPSTOP",
            "stop, thank you",
            "stoppp",
        ),
        *("S T O P", "st\u200bop", "“Stop”", "Hello, please stop. Thank you!", "Por favor, baja", "STOP svp"),
        *(
            "Bitte abmelden",
            "arrêtez merci",
            "Стоп, пожалуйста",
            "退订谢谢",
            "请退订",
            "配信停止してください",
        ),
        *("ยกเลิกการสมัครค่ะ", "수신거부 부탁드립니다", "Dont text me", "don t text me", "Please stop?"),
    ],
)
def test_courtesy_and_repetition_do_not_matter(text: str) -> None:
    assert DEFAULT.typed(text) == "stop"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "please stop by tomorrow",
            "don't stop",
            "stopping",
            "stop 12345",
            "Stop it",
            "bus stop",
            "!!!",
            "",
            "please",
        ),
        *("thank you", "shop", "step", "stop " * 40, "Más baja", "Ya baja", "Nomás", "Dur dur"),
    ],
)
def test_other_texts_mean_nothing(text: str) -> None:
    assert DEFAULT.typed(text) == ""


@pytest.mark.parametrize(
    "word", ["Cancel", "SALIR", "sair", "Basta", "BASTABASTA", "pare", "ALTO", "取消", "dừng"]
)
def test_an_ambiguous_word_is_ambiguous_only_when_it_is_all(word: str) -> None:
    assert DEFAULT.typed(word) == "ambiguous"
    assert (
        DEFAULT.typed(f"{word} please")
        == DEFAULT.typed(f"{word}, gracias")
        == DEFAULT.typed(f"{word}?")
        == ""
    )


@pytest.mark.parametrize("text", ["Stop 😂", "Stop?", "¿Baja?", "unsubscribe 🤣"])
def test_laughter_or_a_question_makes_a_stop_word_ambiguous(text: str) -> None:
    assert DEFAULT.typed(text) == "ambiguous"


@pytest.mark.parametrize(
    ("text", "contact", "meaning"),
    [
        ("baja", "34600100200", "stop"),
        ("baja", "6281234567", ""),
        ("baja", "ID.7041abc", ""),
        ("baja", "MX.7041abc", "stop"),
        ("baja", "", "stop"),
        ("pare", "5511987650020", "ambiguous"),
        ("pare", "639171234567", ""),
        ("tc", "84901234501", "ambiguous"),
        ("tc", "905321234567", ""),
        ("StPO", "4915112345678", ""),
    ],
)
def test_a_word_can_mean_something_else_in_a_country(text: str, contact: str, meaning: str) -> None:
    assert DEFAULT.typed(text, contact) == meaning


def test_the_table_of_the_longest_beginning_decides() -> None:
    words = with_tables(
        Keywords(courtesies=courtesies(["please"], [])),
        {
            "": KeywordTable({"halt": "stop", "x": "start"}, {}),
            "1": KeywordTable({"halt": "ambiguous"}, {"off": "stop"}),
            "1787": KeywordTable({"halt": ""}, {}),
        },
    )
    contacts = ("49301234567", "12025550117", "17875550117")
    assert [words.typed("Halt!", contact) for contact in contacts] == ["stop", "ambiguous", ""]
    assert [words.typed("please halt", contact) for contact in contacts] == ["stop", "", ""]
    assert [words.tapped("off", contact) for contact in contacts] == ["", "stop", "stop"]
    assert words.typed("x", contacts[1]) == "start"


def test_what_may_mean_something_to_anybody_is_kept_by_the_redaction() -> None:
    assert all(map(DEFAULT.may_mean, ("stop", "tc", "Stop promotions", "don't text me")))
    assert not any(map(DEFAULT.may_mean, ("hello", "", "please", "x" * (MAX_LENGTH + 1))))


def test_a_text_that_is_too_long_once_its_characters_are_taken_apart_is_no_keyword() -> None:
    within, beyond = "stop\ufdfa" * 5, "\ufdfa" * 7
    assert len(beyond) < len(within) < MAX_LENGTH
    listed = with_tables(
        Keywords(), {"": KeywordTable({key_of(each): "stop" for each in (within, beyond)}, {})}
    )
    assert (listed.typed(within), listed.typed(beyond)) == ("stop", "")
    assert (listed.may_mean(within), listed.may_mean(beyond)) == (True, False)
