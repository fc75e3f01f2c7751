"""The recipient of a send: a number in any spelling, or a business-scoped user id. Values only."""

import re
from hashlib import sha256

from msgspec import Struct

from webhook_app.simulator.graph_api.answers import GraphRefusal, refusal
from webhook_app.simulator.graph_api.triggers import recipient_key
from webhook_app.simulator.messages import Json
from webhook_app.simulator.people import Person
from webhook_app.whatsapp.people.numbering import country_of
from webhook_app.whatsapp.people.spellings import FOLDS, old_spelling

_USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
_NUMBER = re.compile(r"[1-9][0-9]{6,14}")
_KEEPS_OLD_SPELLING = ("52", "55")  # Mexico, Brazil: accounts from before the change have the old one


class Recipient(Struct, frozen=True):
    """Whom a send goes to. `given` is what the sender wrote, `key` the digits or user id."""

    given: str
    key: str
    person: Person
    """Its phone is empty for a send to a user id, and else Meta's spelling."""


def read_recipient(body: Json) -> Recipient | GraphRefusal:
    """Return the recipient of a send; a number wins over a user id."""
    to, user_id = body.get("to"), body.get("recipient")
    if to not in (None, ""):
        given = str(to)
        if _USER_ID.fullmatch(given):
            return refusal(100, message="The parameter to is required.")
        digits = recipient_key(given)
        if not _NUMBER.fullmatch(digits):
            return refusal(100, "Parameter Invalid")
        return Recipient(given, digits, person_of(digits))
    if not user_id:
        return refusal(100, message="The parameter to is required.")
    if not _USER_ID.fullmatch(str(user_id)):
        return refusal(100, "Parameter Invalid")
    name = f"Contact {str(user_id)[-4:]}"
    return Recipient(
        str(user_id), str(user_id), Person("", str(user_id), name, "", str(user_id)[:2], True, 0)
    )


def person_of(digits: str) -> Person:
    """Return the person with this number: always the same user id, and Meta's spelling of the number."""
    fold = FOLDS.get(digits[:2])
    key = fold(digits) if fold else digits
    wa_id = old_spelling(key) if key[:2] in _KEEPS_OLD_SPELLING else ""
    country = country_of(key) or "US"
    user_id = f"{country}.{int(sha256(key.encode()).hexdigest()[:16], 16):020}"
    return Person(wa_id or key, user_id, f"Contact {key[-4:]}", "", country, True, 0)
