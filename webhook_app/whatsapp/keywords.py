"""STOP and START words. The whole text must be the word; WhatsApp itself does not interpret them. Pure."""

import unicodedata
from functools import lru_cache

STOP_WORDS = frozenset(
    """stop stopall unsubscribe optout opt out cancel end quit baja parar pare sair cancelar salir detener arret arreter stopp
    abmelden abbestellen stopp disiscriviti basta berhenti dur توقف إيقاف стоп отписаться रोकें बंद 停止 退订 やめる""".split()
) | {"opt out", "stop all", "darme de baja", "se désabonner", "cancel subscription"}
START_WORDS = frozenset(
    "start unstop subscribe optin resume alta comenzar iniciar começar voltar démarrer anmelden iscriviti mulai başlat старт शुरू 开始 再開".split()
) | {"opt in", "darme de alta"}


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = (c if c.isalnum() or unicodedata.category(c) in ("Mn", "Mc") else " " for c in plain)
    bare = "".join(c for c in kept if unicodedata.category(c) != "Mn" or ord(c) > 0x36F)
    return " ".join(bare.split())


_STOP = frozenset(map(_fold, STOP_WORDS - {"opt", "out"}))
_START = frozenset(map(_fold, START_WORDS))


@lru_cache(maxsize=1024)
def keyword_in(text: str) -> str:
    """'stop', 'start' or '': case, accents, punctuation and emoji around the word do not matter."""
    if not 0 < len(text) <= 40:
        return ""
    folded = _fold(text)
    return "stop" if folded in _STOP else "start" if folded in _START else ""
