"""Errors on demand: which send fails with which code, and whether the answer or a webhook says so. Values only."""

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from webhook_app.whatsapp.errors.catalogue import explain, known_codes

_ENDING = re.compile(r"(?:99(\d{4})|(\d{6}))$", re.ASCII)
_LEAST_WITHOUT_99 = 10_000  # numbers that end in 000004 or 000200 are too common
_IN_THE_ANSWER = frozenset((100, 130429, 131016, 131037, 131051, 131056, 132015))
"""Of the codes that come either way, those that a send call gets at once."""


class Triggers(Struct, frozen=True):
    """Which sends fail: those to a recipient of the list, to one that ends in a code, and a share of all others."""

    by_recipient: Mapping[str, int] = {}
    """Codes by the digits, or the user id, of a recipient."""
    shares: tuple[tuple[int, float], ...] = ()

    def code_for(self, recipient: str, roll: float) -> int | None:
        """Return the code with which a send to this recipient fails; `roll` is drawn from [0, 1)."""
        if recipient in self.by_recipient:
            return self.by_recipient[recipient]
        if (found := _code_at_the_end(recipient)) in known_codes():
            return found
        for code, share in self.shares:
            if roll < share:
                return code
            roll -= share
        return None


def _code_at_the_end(recipient: str) -> int | None:
    """Return the code in the last six digits; one below 10 000 has 99 before it: 990190."""
    found = _ENDING.search(recipient)
    if found is None:
        return None
    short, long = found.groups()
    code = int(short or long)
    return code if short or code >= _LEAST_WITHOUT_99 else None


def is_in_the_answer(code: int) -> bool:
    """Whether Meta answers a send with this code. Others come by webhook, after the send was accepted."""
    return explain(code).surface == "sync" or code in _IN_THE_ANSWER


def read_triggers(errors: Iterable[str], rates: Iterable[str]) -> Triggers:
    """Parse `+4915…=131049` and `131026=0.05`. The text of a ValueError is for the caller."""
    by_recipient = {}
    for given in errors:
        recipient, _, code = given.rpartition("=")
        if not recipient or not _is_code(code):
            raise ValueError(f"{given!r} is not a recipient and a code, such as +4915100000001=131049")
        by_recipient[recipient_key(recipient)] = int(code)
    shares = []
    for given in rates:
        code, _, share = given.partition("=")
        try:
            shares.append((int(code), float(share)))
        except ValueError:
            raise ValueError(f"{given!r} is not a code and a share, such as 131026=0.05") from None
    if any(not 0 <= share <= 1 for _, share in shares) or sum(share for _, share in shares) > 1:
        raise ValueError("the shares of the codes must be from 0 to 1, and their sum at most 1")
    return Triggers(by_recipient, tuple(shares))


def recipient_key(recipient: str) -> str:
    """Return the digits of a number as people type it; anything else unchanged."""
    digits = recipient.translate(_PUNCTUATION)
    return digits if digits.isdecimal() else recipient


_PUNCTUATION = str.maketrans("", "", " +-().\N{NO-BREAK SPACE}")


def _is_code(text: str) -> bool:
    return text.isdecimal() and len(text) <= 7
