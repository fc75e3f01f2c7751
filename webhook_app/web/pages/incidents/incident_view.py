"""An incident as the pages show it, in the words that channels use. Values in, values out: no queries, no HTML."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.channels.descriptions import count_values, describe_figures, describe_slice, describe_values
from webhook_app.channels.incident_text import ENDINGS
from webhook_app.channels.notification import AffectedPart, Figures
from webhook_app.pipeline.incidents.details.alert_details import measure_of
from webhook_app.pipeline.incidents.details.incident_details import IncidentDetails, stored
from webhook_app.pipeline.incidents.details.ranked_alerts import by_rank
from webhook_app.rules.accounts.names import with_names
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.formats import duration, window_length
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.explained_periods import ABOUT_FAILURES
from webhook_app.store.incidents.incidents import Incident
from webhook_app.web.pages.incidents.alert_view import AlertView, view
from webhook_app.web.pages.wording import number, percent
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain


class CodeFailures(Struct, frozen=True):
    """One code of the incident, and its failed messages since the incident's start."""

    code: int
    entry: ErrorCode
    failures: int


class IncidentView(Struct, frozen=True):
    """The incident with its alerts, the leading one first."""

    incident: Incident
    details: IncidentDetails
    alerts: list[AlertView]
    now: datetime
    runbook: str = ""
    names: Mapping[str, str] = {}
    """Of business numbers and accounts, by their ids."""

    @property
    def title(self) -> str:
        title = self.incident.title or (self.alerts[0].title if self.alerts else "Incident")
        return with_names(title, self.names)

    @property
    def is_open(self) -> bool:
        return self.incident.is_open

    @property
    def counts_failures(self) -> bool:
        """Whether it is about messages that fail; others have a finding instead."""
        return bool(self.incident.codes)

    @property
    def measured(self) -> AlertView | None:
        """The first alert that counts messages: the leading one may be about something else, such as health."""
        return next(
            (each for each in self.alerts if each.counts_failures and each.alert.window_minutes), None
        )

    @property
    def codes(self) -> list[CodeFailures]:
        """Its codes, most failures first."""
        counts = self.details.codes
        found = [CodeFailures(code, explain(code), counts.get(str(code), 0)) for code in self.incident.codes]
        return sorted(found, key=lambda each: -each.failures)

    @property
    def finding(self) -> str:
        """What the leading alert found, for incidents that count no messages."""
        return with_names(self.alerts[0].details.finding, self.names) if self.alerts else ""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Further facts of the leading alert, as (label, text)."""
        return self.alerts[0].details.details if self.alerts else ()

    @property
    def impact(self) -> str:
        """The share of messages now, or at its worst once it has ended, or the finding, in one line."""
        incident = self.incident
        if not self.is_open and incident.worst_rate:
            return f"{percent(incident.worst_rate)} at its worst"
        if not incident.window_minutes:
            return self.measured.impact if self.measured else self.finding
        length = window_length(incident.window_minutes)
        if not incident.attempts:
            return f"{number(incident.failures)} failed in {length}"
        return f"{percent(incident.rate)} of {number(incident.attempts)} messages in {length}"

    @property
    def figures(self) -> str:
        """The figures of its leading alert at the last evaluation; empty for incidents that count no messages."""
        if not self.incident.window_minutes:
            return self.measured.figures if self.measured else ""
        figures = Figures(**{name: getattr(self.incident, name) for name in Figures.__struct_fields__})
        return describe_figures(figures, measure=measure_of(self.alerts[0].alert) if self.alerts else None)

    @property
    def worst(self) -> str:
        """The highest share so far; empty for incidents that count no messages."""
        return f"{percent(self.incident.worst_rate)} of messages" if self.incident.worst_rate else ""

    @property
    def slice(self) -> str:
        """Where failures are concentrated, with the share of the last evaluation while it is known."""
        return with_names(self._slice(), self.names)

    def _slice(self) -> str:
        incident = self.incident
        if not incident.slice:
            return ""
        values = {name: tuple(held) for name, held in incident.slice.items()}
        if not incident.failures or not self.details.slice_failures:
            return describe_values(values)
        share = min(self.details.slice_failures / incident.failures, 1.0)
        return describe_slice(AffectedPart(values=values, failures=self.details.slice_failures, share=share))

    @property
    def for_whom(self) -> str:
        """The slice, or the numbers, or the group of the leading alert, in one line."""
        return with_names(self._for_whom(), self.names)

    def _for_whom(self) -> str:
        if self.incident.slice:
            return describe_values(self.incident.slice)
        numbers = self.details.numbers
        return count_values("phone_number_id", numbers, self.details.more_numbers) or (
            (self.alerts[0].for_whom if self.alerts else "") or "everything"
        )

    @property
    def ending(self) -> str:
        """How it ended, in words; empty while it is open."""
        return "" if self.is_open else ENDINGS.get(self.incident.ended_how, "recovered")

    @property
    def lasted(self) -> str:
        """How long it lasted, or has lasted so far."""
        return duration((self.incident.ended_at or self.now) - self.incident.began_at)

    @property
    def first_opened_at(self) -> datetime:
        """When it opened for the first time."""
        return self.details.first_opened_at or self.incident.opened_at

    @property
    def is_snoozed(self) -> bool:
        until = self.incident.snoozed_until
        return self.is_open and until is not None and until > self.now

    @property
    def explains_failures(self) -> bool:
        """Whether its failures excuse contacts from suppression."""
        return any(each.alert.kind in ABOUT_FAILURES for each in self.alerts)


def view_incident(
    incident: Incident,
    members: Sequence[Alert],
    rules: Mapping[str, Rule],
    now: datetime,
    names: Mapping[str, str],
) -> IncidentView:
    """The incident as it is now."""
    alerts = [view(alert) for alert in by_rank(members)]
    rule = rules.get(alerts[0].alert.rule) if alerts else None
    return IncidentView(incident, stored(incident), alerts, now, rule.runbook if rule else "", names)


def view_incidents(
    found: Sequence[Incident],
    members: Iterable[Alert],
    rules: Mapping[str, Rule],
    now: datetime,
    names: Mapping[str, str],
) -> list[IncidentView]:
    """Several incidents; `members` are the alerts of all of them."""
    by_incident: dict[int | None, list[Alert]] = {}
    for alert in members:
        by_incident.setdefault(alert.incident_id, []).append(alert)
    return [view_incident(each, by_incident.get(each.id, []), rules, now, names) for each in found]


def worst_first(found: Iterable[Incident]) -> list[Incident]:
    """By severity, silenced ones last, then the oldest first."""
    return sorted(found, key=lambda each: (each.silenced_by is not None, -rank(each.severity), each.began_at))
