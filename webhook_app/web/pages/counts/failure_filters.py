"""The filters of the failure search: form fields as a selection of /v1/failures. No rows, no HTML.

An empty field matches everything; NONE matches failures without a value, as an empty text does in the API.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct, ValidationError, convert

from webhook_app.rules.counts.dimensions import DIMENSIONS
from webhook_app.web.api.counts.failures import Selection
from webhook_app.web.api.values import check_times
from webhook_app.whatsapp.events import NO_CODE

NONE = "none"

FIELDS = {
    "code": "Error code",
    "subcode": "Subcode",
    "class": "Class",
    "domain": "Fault domain",
    "contact": "Contact",
    "phone_number_id": "Business number",
    "waba_id": "WhatsApp Business Account",
    "template": "Template",
    "campaign": "Campaign",
    "country": "Country",
    "since": "Since",
    "until": "Before",
    "text": "Text",
    "source": "Source",
    "dead_letter": "Dead letter",
    "incident_id": "Incident",
}
"""The filters with their labels."""

_NUMBERS = ("code", "subcode")
_TIMES = ("since", "until")
_EXPECTED = {
    "code": "a number such as 131026, or none",
    "subcode": "a number such as 463, or none",
    "class": "broken, unreachable or withheld",
    "since": "a time in UTC such as 2026-11-21 14:05",
    "until": "a time in UTC such as 2026-11-21 14:05",
    "source": "webhook or send",
    "dead_letter": "true or false",
    "incident_id": "the number of an incident",
}


class FailureForm(Struct, frozen=True):
    """`given`: the fields as typed, without empty ones. If they cannot be used, `selection` is None and `fault` set."""

    given: dict[str, str]
    selection: Selection | None
    fault: str = ""

    def query(self, **more: str) -> str:
        """The query of the address with these values added or replaced."""
        return urlencode(self.given | more)

    def without(self, name: str) -> str:
        """The query without one filter."""
        return urlencode({key: value for key, value in self.given.items() if key != name})


def read(given: Mapping[str, str]) -> FailureForm:
    """Read the fields; unknown ones are ignored."""
    asked = {name: given[name].strip() for name in FIELDS if given.get(name, "").strip()}
    values: dict[str, Any] = {}
    try:
        for name, typed in asked.items():
            values[name] = _value(name, typed)
        selection = convert(values, Selection, strict=False)
        check_times(selection)
        return FailureForm(asked, selection)
    except ValueError as fault:  # msgspec's, which says where, or ours of the field that was read last
        name = str(fault).rpartition("`$.")[2].strip("`") if isinstance(fault, ValidationError) else name
        expected = _EXPECTED.get(name, "something shorter, or one of those offered")
        return FailureForm(asked, None, f"{FIELDS.get(name, name)}: expected {expected}.")


def _value(name: str, typed: str) -> Any:
    if name in _NUMBERS and typed == NONE:
        return NO_CODE
    if name in DIMENSIONS and typed == NONE:
        return ""
    if name == "country":
        return typed.upper()
    return _time(typed) if name in _TIMES else typed


def _time(typed: str) -> datetime:
    moment = datetime.fromisoformat(typed.removesuffix("UTC").strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
