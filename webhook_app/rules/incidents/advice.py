"""One piece of advice for an incident as a whole, from its leading cause. Values in, sentences out."""

from collections.abc import Sequence

from msgspec import Struct

from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.errors.retry import retry_advice

OUTAGE_NUMBERS = 2
"""A platform code on so many numbers at once is more than one number's problem."""

OUTAGE_ADVICE = (
    "Probably an outage at Meta: hold messages that can wait, retry failed ones with backoff once the rate is down, and"
    " remove no contacts. Check Meta's status page (https://metastatus.com/whatsapp-business-api)."
)


class Advice(Struct, frozen=True):
    """What to do, and whether an outage at Meta is the likely cause."""

    text: str
    suspected_outage: bool = False


def advise(codes: Sequence[int], numbers: int, fallback: str = "") -> Advice:
    """Return the advice for an incident with these leading codes, most failures first, on so many business numbers.

    Several platform codes, or one on several numbers, are a suspected outage at Meta. `fallback` is the advice of
    incidents without a code.
    """
    if not codes:
        return Advice(fallback)
    entries = [explain(code) for code in codes]
    platform = [entry for entry in entries if entry.domain == "platform"]
    if entries[0].domain == "platform" and (len(platform) > 1 or numbers >= OUTAGE_NUMBERS):
        return Advice(OUTAGE_ADVICE, suspected_outage=True)
    return Advice(retry_advice(entries[0]).words)
