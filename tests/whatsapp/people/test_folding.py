"""Folding keeps what distinguishes words and drops what people leave out in haste."""

import pytest

from webhook_app.whatsapp.people.folding import fold


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ARRÊT", "arret"),
        ("ÇIKIŞ", "çıkış"),
        ("İptal", "iptal"),
        ("إلغاء الإشتراك", "الغاء الاشتراك"),
        ("أَوْقِفْ", "اوقف"),
        ("ايقـــاف", "إيقاف"),
        ("اشتراكى", "اشتراكي"),
        ("کنید", "كنيد"),
        ("ｓｔｏｐ", "stop"),
        ("𝗦𝗧𝗢𝗣 🛑", "stop"),
        ("ST\u200bO\u2060P\ufe0f", "stop"),
        ("\u202aStop\u202c!", "stop"),
        ("don’t", "dont"),
        ("don't", "dont"),
        ("نمی‌خواهم", "نمیخواهم"),
        ("Wysyłać", "wysylac"),
        ("Dừng", "D\u0075\u031b\u0300ng"),
        ("צְעוֹר", "צעור"),
        ("हटाएँ", "हटाएँ"),
        ("लग़ो", "लगो"),
        ("لغو ۱۱", "لغو 11"),
        ("STOP\u3164", "stop"),
        ("  «Stop»  ", "stop"),
    ],
)
def test_what_does_not_matter_is_dropped(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dừng", "đúng"),
        ("dừng", "dũng"),
        ("dừng", "đừng"),
        ("dừng", "dung"),
        ("hủy", "Huy"),
        ("बंद", "बद"),
        ("ยกเลิก", "ยกเลก"),
        ("か", "が"),
        ("stop", "shop"),
    ],
)
def test_what_distinguishes_words_is_kept(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize("text", ["", "🛑", "!!!", "\u200b", "\u0301"])
def test_a_text_without_letters_and_digits_is_empty(text: str) -> None:
    assert fold(text) == ""


def test_a_folded_text_stays_as_it_is() -> None:
    for text in ("don’t MESSAGE me", "İPTAL", "Đừng nhắn tin", "إلغاء الاشتراك", "수신거부", "キャンセル"):
        assert fold(fold(text)) == fold(text)
