"""The list of words: every line is complete, every word has one meaning, everyday messages mean nothing."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from webhook_app.whatsapp.people.folding import fold
from webhook_app.whatsapp.people.keywords import DEFAULT, KeywordLine, read_lines
from webhook_app.whatsapp.people.phrase_patterns import expand

FOLDER = Path(__file__).parent
MEANINGS = {
    "nothing": {""},
    "marketing at most": {"", "ambiguous", "stop_marketing"},
    "marketing only": {"ambiguous", "stop_marketing"},
    "stop everything": {"stop"},
}
KINDS = {
    "stop": "stop",
    "stop_marketing": "stop_marketing",
    "meta_button": "stop_marketing",
    "ambiguous": "ambiguous",
    "start": "start",
    "everyday": "",
}
MOST_PHRASES = 20_000


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def sample(line: KeywordLine) -> list[str]:
    """The phrases of a line; of a pattern with very many, every thousandth or so."""
    phrases = [phrase for pattern in line.patterns() for phrase in expand(pattern)]
    return phrases[:: len(phrases) // MOST_PHRASES + 1]


def test_every_line_says_language_kind_words_and_reason() -> None:
    for line in read_lines():
        assert line.language
        assert line.words.strip()
        assert line.reason.endswith("."), line


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_means_what_its_line_says(kind: str) -> None:
    lines = [line for line in read_lines() if line.kind == kind]
    assert lines
    for line in lines:
        for number in line.numbers.replace("+", "").split() or [""]:
            for phrase in sample(line):
                assert DEFAULT.typed(phrase, number) == KINDS[kind], (line.language, phrase, number)


def test_of_everyday_messages_none_stops_everything_or_starts_again() -> None:
    found = [(row, DEFAULT.typed(row["text"], row["number"])) for row in rows("everyday_messages.tsv")]
    assert len(found) >= 267 + 500
    assert [(row["text"], meaning) for row, meaning in found if meaning in ("stop", "start")] == []
    assert [(row["text"], meaning) for row, meaning in found if meaning not in MEANINGS[row["effect"]]] == []


def test_ways_to_say_stop_are_understood() -> None:
    found = Counter(DEFAULT.typed(row["text"]) in MEANINGS[row["effect"]] for row in rows("opt_outs.tsv"))
    assert found.total() >= 67 + 100
    assert found[True] / found.total() >= 0.95


@pytest.mark.parametrize(
    "word",
    [
        *(
            "voltar",
            "iniciar",
            "comenzar",
            "começar",
            "alta",
            "back",
            "resume",
            "yes",
            "ok",
            "anmelden",
            "démarrer",
        ),
        *("mulai", "başlat", "ابدأ", "اشتراك", "शुरू", "เริ่ม", "开始", "再開", "시작", "continue"),
    ],
)
def test_a_word_of_a_bot_lifts_nothing(word: str) -> None:
    assert DEFAULT.typed(word) == ""


@pytest.mark.parametrize(
    "word", ["start", "UNSTOP", "Subscribe", "opt in", "S'abonner", "Abonnieren", "Старт", "订阅", "구독"]
)
def test_a_start_word_starts_again(word: str) -> None:
    assert DEFAULT.typed(word) == "start"
    assert DEFAULT.typed(f"{word}, please") == "start"
    assert DEFAULT.typed(f"{word} 😂") == DEFAULT.typed(f"{word}?") == ""


@pytest.mark.parametrize(
    "title",
    [
        *(
            "Stop promotions",
            "STOP PROMOTIONS",
            "Detener promociones",
            "Parar promoções",
            "Interrompi promozioni",
        ),
        *("إيقاف عمليات الترويج", "הפסקת הודעות הקידום"),
    ],
)
def test_metas_button_stops_marketing_tapped_or_typed(title: str) -> None:
    assert DEFAULT.tapped(title) == DEFAULT.typed(title) == "stop_marketing"


@pytest.mark.parametrize(
    "title", ["Stop", "Cancelar", "CITA_8812_CANCELAR", "Unsubscribe", "Start", "OPT_OUT", ""]
)
def test_no_other_button_counts(title: str) -> None:
    assert DEFAULT.tapped(title) == ""


def test_every_phrase_fits_twice_into_the_longest_text_that_is_read() -> None:
    longest = max((fold(phrase) for line in read_lines() for phrase in sample(line)), key=len)
    assert len(longest) <= 80
