"""STOP and START words. The whole text must be the word; WhatsApp itself does not interpret them. Pure."""

import unicodedata
from functools import lru_cache

STOP_WORDS = frozenset(
    (
        *("stop", "stop all", "stopall", "unsubscribe", "opt out", "optout", "cancel", "end", "quit"),
        *("stop promotions", "opt out promo", "cancel subscription"),  # Meta's own opt-out buttons
        *("baja", "darme de baja", "cancelar", "salir", "parar", "pare", "sair", "detener"),
        *("arrêt", "arrêter", "se désabonner", "stopp", "abmelden", "abbestellen", "disiscriviti", "basta"),
        *("berhenti", "dur", "стоп", "отписаться", "توقف", "إيقاف", "रोकें", "बंद", "停止", "退订", "やめる"),
    )
)
START_WORDS = frozenset(
    (
        *("start", "unstop", "subscribe", "opt in", "optin", "resume", "resume promotions"),
        *("alta", "darme de alta", "comenzar", "iniciar", "começar", "voltar", "démarrer", "anmelden"),
        *("iscriviti", "mulai", "başlat", "старт", "ابدأ", "शुरू", "开始", "再開"),
    )
)


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = (c if c.isalnum() or unicodedata.category(c) in ("Mn", "Mc") else " " for c in plain)
    bare = "".join(c for c in kept if unicodedata.category(c) != "Mn" or ord(c) > 0x36F)
    return " ".join(bare.split())


_STOP = frozenset(map(_fold, STOP_WORDS))
_START = frozenset(map(_fold, START_WORDS))


@lru_cache(maxsize=1024)
def keyword_in(text: str) -> str:
    """'stop', 'start' or '': case, accents, punctuation and emoji around the word do not matter."""
    if not 0 < len(text) <= 40:
        return ""
    folded = _fold(text)
    return "stop" if folded in _STOP else "start" if folded in _START else ""
