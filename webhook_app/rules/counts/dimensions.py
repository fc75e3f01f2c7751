"""The dimensions that messages are counted, filtered and grouped by, and their names for people. Values only."""

from collections.abc import Sequence
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

_OPTIONAL = ("template", "campaign", "country")


def lacks_a_name(group_by: Sequence[str], values: Sequence[str | int]) -> bool:
    """Whether a group holds messages that have no template, campaign or country, and so nothing in common."""
    return any(not value for name, value in zip(group_by, values, strict=True) if name in _OPTIONAL)
