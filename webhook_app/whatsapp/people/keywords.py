"""STOP and START words. A text matches only as a whole; WhatsApp itself does not interpret them. No file access.

Callers pass the words: `DEFAULT`, or the result of `read_keywords` for an operator's file.
"""

import tomllib
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from msgspec import Struct

MAX_LENGTH = 40

STOP_WORDS = frozenset(
    (
        *("stop", "stop all", "stopall", "unsubscribe", "opt out", "optout", "cancel", "end", "quit"),
        *("stop promotions", "opt out promo", "cancel subscription"),  # Meta's own opt-out buttons
        *("baja", "darme de baja", "cancelar", "salir", "parar", "pare", "sair", "detener", "descadastrar"),
        *("arrêt", "arrêter", "se désabonner", "désabonner", "stopp", "abmelden", "abbestellen", "austragen"),
        *("disiscriviti", "annulla iscrizione", "basta", "afmelden", "uitschrijven", "avsluta", "sluta"),
        *("avmeld", "afmeld", "rezygnuję", "wypisz", "wypisz mnie", "odhlásit", "dezabonare", "leiratkozás"),
        *("berhenti", "batal langganan", "dur", "durdur", "iptal", "διακοπή", "acha", "dừng", "hủy"),
        *("стоп", "отписаться", "отписка", "відписатися", "توقف", "إيقاف", "الغاء", "إلغاء", "הסר", "עצור"),
        *("रोकें", "बंद", "बंद करें", "หยุด", "ยกเลิก", "停止", "退订", "退訂", "取消订阅", "やめる", "配信停止"),
        *("중지", "수신거부", "구독취소"),
    )
)
START_WORDS = frozenset(
    (
        *("start", "unstop", "subscribe", "opt in", "optin", "resume", "resume promotions"),
        *("alta", "darme de alta", "comenzar", "iniciar", "começar", "voltar", "démarrer", "s'abonner"),
        *("anmelden", "iscriviti", "aanmelden", "mulai", "başlat", "старт", "подписаться", "підписатися"),
        *("ابدأ", "اشتراك", "शुरू", "शुरू करें", "เริ่ม", "开始", "开始订阅", "再開", "시작", "구독"),
    )
)


class Keywords(Struct, frozen=True):
    """Folded words. No word is in both sets."""

    stop: frozenset[str]
    start: frozenset[str]


class KeywordsError(ValueError):
    """An invalid keywords file; the message gives the reason."""


def fold(text: str) -> str:
    """Normalise case, accents, punctuation, emoji and spaces for comparison."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = (c if c.isalnum() or unicodedata.category(c) in ("Mn", "Mc") else " " for c in plain)
    bare = "".join(c for c in kept if unicodedata.category(c) != "Mn" or ord(c) > 0x36F)
    return " ".join(bare.split())


def keywords(stop: Iterable[str], start: Iterable[str]) -> Keywords:
    """Fold the words. Raises KeywordsError for a word that can never match or is in both lists."""
    folded = [frozenset(map(fold, words)) for words in (stop, start)]
    if "" in folded[0] | folded[1]:
        raise KeywordsError("a word without letters or digits can never match")
    if both := folded[0] & folded[1]:
        raise KeywordsError(f"in both stop and start: {', '.join(sorted(both))}")
    return Keywords(folded[0], folded[1])


DEFAULT = keywords(STOP_WORDS, START_WORDS)


def read_keywords(text: str) -> Keywords:
    """Parse a TOML file with the lists `stop` and `start`, which extend the defaults unless `replace = true`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise KeywordsError(str(fault)) from None
    if unknown := sorted(set(document) - {"stop", "start", "replace"}):
        raise KeywordsError(f"unknown keys: {', '.join(unknown)}; valid keys are stop, start and replace")
    replace = document.get("replace", False)
    if type(replace) is not bool:
        raise KeywordsError("replace must be true or false")
    stop, start = _words(document, "stop"), _words(document, "start")
    if replace:
        return keywords(stop, start)
    # The file overrides the default meaning of a word.
    overridden = {fold(word) for word in (*stop, *start)}
    return keywords((*stop, *(DEFAULT.stop - overridden)), (*start, *(DEFAULT.start - overridden)))


def keyword_in(text: str, words: Keywords = DEFAULT) -> str:
    """Return 'stop', 'start' or ''."""
    return _keyword_in(text, words) if 0 < len(text) <= MAX_LENGTH else ""


@lru_cache(maxsize=1024)
def _keyword_in(text: str, words: Keywords) -> str:
    folded = fold(text)
    return "stop" if folded in words.stop else "start" if folded in words.start else ""


def _words(document: dict[str, Any], name: str) -> list[str]:
    words = document.get(name, [])
    if type(words) is not list or not all(
        type(word) is str and 0 < len(word) <= MAX_LENGTH for word in words
    ):
        raise KeywordsError(f"{name} must be a list of words of up to {MAX_LENGTH} characters")
    return words
