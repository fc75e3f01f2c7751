"""The dimensions that messages are counted, filtered and grouped by, and their names for people. Values only."""

from typing import NamedTuple


class SeriesKey(NamedTuple):
    """The dimensions a message is counted under."""

    phone_number_id: str
    waba_id: str
    template: str
    campaign: str
    country: str


DIMENSIONS = SeriesKey._fields

GROUPS = ("code", *DIMENSIONS)
"""What failures can be grouped by."""

GROUP_WORDS = {
    "code": "error code",
    "phone_number_id": "business number",
    "waba_id": "WhatsApp account",
    "template": "template",
    "campaign": "campaign",
    "country": "country",
}
"""The names of `GROUPS` in the middle of a sentence."""
