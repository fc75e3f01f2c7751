"""The details of an incident, stored with it. Values only; examination.py gathers them."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct, convert

from webhook_app.rules.incidents.evidence import Group, holding_groups
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident


class IncidentDetails(Struct, frozen=True, kw_only=True):
    """Stored as JSON in incidents.details. `codes`: failed messages by code since its start."""

    codes: dict[str, int] = {}
    reported: int = 0
    """Failed messages since its start that only reports of senders show, besides those that webhooks show."""
    numbers: tuple[str, ...] = ()
    more_numbers: int = 0
    templates: tuple[str, ...] = ()
    more_templates: int = 0
    samples: tuple[str, ...] = ()
    suspected_outage: bool = False
    what: str = ""
    """What fails, as the title says it. Fixed by the first notification."""
    slice_failures: int = 0
    channels: tuple[str, ...] = ()
    """The channels that were notified."""
    first_opened_at: datetime | None = None
    """When it opened for the first time."""
    only_reported: bool = False
    """Whether only reports of senders showed it at its last notification, or when it became part of a finding."""
    reporters: tuple[str, ...] = ()
    """As reporters_of_incident returns them."""
    is_merged: bool = False
    """Whether an alert joined it because the same keys report it."""
    has_grown: bool = False
    """Whether it has reached a further number or account of which people should be told."""
    usual_failures: int = 0
    """Failures of one occasion of the recurring finding it belongs to."""


def stored(incident: Incident) -> IncidentDetails:
    """The details stored with the incident."""
    return convert(incident.details, IncidentDetails)


def reporters_of_incident(incident: Incident) -> frozenset[str]:
    """The API keys whose reports alone have shown the incident so far; empty if more has."""
    return frozenset(incident.details.get("reporters", ()))


def is_merged(incident: Incident) -> bool:
    """Whether the incident gathers what some API keys alone report of several places."""
    several = incident.details.get("is_merged") or len(incident.names.get("phone_number_id", ())) > 1
    return bool(several and reporters_of_incident(incident))


def held_groups(incident: Incident, members: Sequence[Alert]) -> list[Group]:
    """The groups whose failures the incident holds, if they have one of its codes."""
    names = {name: frozenset(values) for name, values in incident.names.items()}
    return holding_groups([alert.group for alert in members], names)
