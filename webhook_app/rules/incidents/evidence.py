"""What an incident rests on: the failed messages in the groups of its alerts, and who shows them."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.whatsapp.errors.catalogue import explain

Group = Mapping[str, str | int]
Names = Mapping[str, frozenset[str]]
"""Values by dimension: the accounts, numbers, templates and campaigns that somebody is named with."""


class HeldGroups:
    """The groups of an incident's alerts. Looking a failed message up takes as long for thousands as for a few."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self._count = 0
        self._values: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for group in groups:
            self.add(group)

    def __len__(self) -> int:
        return self._count

    def add(self, group: Group) -> None:
        """Add the group of one more alert."""
        names = tuple(sorted(group))
        self._values.setdefault(names, set()).add(tuple(str(group[name]) for name in names))
        self._count += 1

    def hold(self, code: int, series: SeriesKey, names: Names) -> bool:
        """Whether the message lies in a group that is narrowed by the incident's names, as `holding_groups` does."""
        return any(
            tuple(_value_of(name, code, series) for name in dimensions) in values
            and _lies_within(dimensions, series, names)
            for dimensions, values in self._values.items()
        )


def holding_groups(groups: Iterable[Group], names: Names) -> list[Group]:
    """The groups of an incident's alerts, none wider than what failed when they joined.

    Without this, an alert about everything would hold what later fails in another account. A template or campaign
    holds within the accounts of the incident, an even wider group within its numbers.
    """
    found: dict[tuple[tuple[str, str], ...], Group] = {}
    for group in groups:
        dimension = _narrowed_by(group)
        values = sorted(names.get(dimension, frozenset()))
        narrowed: list[Group] = [{**group, dimension: value} for value in values]
        for each in narrowed or [group]:
            found[tuple(sorted((name, str(value)) for name, value in each.items()))] = each
    return list(found.values())


def shares(dimension: str, one: Names, other: Names) -> bool:
    """Whether both name the same value. Accounts may have templates and campaigns of the same name."""
    if not one.get(dimension, frozenset()) & other.get(dimension, frozenset()):
        return False
    if dimension not in ("template", "campaign"):
        return True
    accounts = [names.get("waba_id", frozenset()) - {""} for names in (one, other)]
    return not all(accounts) or bool(accounts[0] & accounts[1])


def _narrowed_by(dimensions: Collection[str]) -> str:
    """The dimension whose names narrow a group of these dimensions; empty if it has an account or number itself."""
    if "waba_id" in dimensions or "phone_number_id" in dimensions:
        return ""
    return "waba_id" if "template" in dimensions or "campaign" in dimensions else "phone_number_id"


def _lies_within(dimensions: Collection[str], series: SeriesKey, names: Names) -> bool:
    narrowed_by = _narrowed_by(dimensions)
    within = names.get(narrowed_by)
    return not within or getattr(series, narrowed_by) in within


def _value_of(name: str, code: int, series: SeriesKey) -> str:
    return str(code if name == "code" else getattr(series, name, ""))


ReportedCalls = Mapping[tuple[int, str], Mapping[str, int]]
"""Failed calls that senders reported: by code and business number, and then by API key."""


ENOUGH_CALLS = 10
"""The failed calls with the codes of an incident by which a key that reported them says by itself that it is there. As
many failures as most rules need."""


def reporters_of(
    group: Group, failing: Iterable[tuple[int, SeriesKey]], calls: ReportedCalls
) -> frozenset[str]:
    """The API keys that reported the failing messages of the group: ENOUGH_CALLS each, or else the one with most calls.

    One call is enough of a code that needs attention. Of a group wider than a business number always the one with most
    calls: any key reports some failures there.
    """
    found, enough = Counter[str](), set[str]()
    for code, number in {(code, series.phone_number_id) for code, series in failing}:
        of_place = calls.get((code, number), {})
        found.update(of_place)
        least = 1 if explain(code).attention == "page" else ENOUGH_CALLS
        enough |= {key for key, count in of_place.items() if count >= least}
    if enough and "phone_number_id" in group:
        return frozenset(enough)
    return frozenset(sorted(found, key=lambda key: (-found[key], key))[:1])


def calls_of_others(
    failing: Iterable[tuple[int, SeriesKey]], calls: ReportedCalls, known: Collection[str]
) -> Mapping[str, int]:
    """The failed calls at the places of these failing messages by API key, without the known keys."""
    found = Counter[str]()
    for place in {(code, series.phone_number_id) for code, series in failing}:
        found.update({key: count for key, count in calls.get(place, {}).items() if key not in known})
    return found


AcceptedSends = Mapping[str, Mapping[str, int]]
"""Sends that senders report as accepted: by business number, and then by API key."""


def reporters_of_sends(sends: Mapping[str, int], enough: int) -> frozenset[str]:
    """The API keys whose accepted sends are enough by themselves, or else the one with most."""
    found = {key for key, count in sends.items() if count >= enough}
    return frozenset(found or sorted(sends, key=lambda key: (-sends[key], key))[:1]) - {""}


_STILL_SHOWN = timedelta(minutes=30)


class JudgedAlert(Protocol):
    """The part of an alert that says whether webhooks alone show it, without what senders report."""

    @property
    def webhook_codes(self) -> Sequence[int] | None: ...
    @property
    def webhooks_until(self) -> datetime | None: ...
    @property
    def resolved_at(self) -> datetime | None: ...


Judged = TypeVar("Judged", bound=JudgedAlert)


class Shown(Struct, Generic[Judged], frozen=True):
    """What webhooks alone show of an incident. `until`: since then only reports of senders do; None: still."""

    alerts: list[Judged]
    codes: list[int]
    until: datetime | None


def is_shown(webhook_codes: Sequence[int] | None) -> bool:
    """Whether an alert with these codes is shown by more than reports of senders, which may be made up."""
    return webhook_codes is None or bool(webhook_codes)


def is_proven(alerts: Iterable[JudgedAlert]) -> bool:
    """Whether webhooks show failures of an incident with these alerts."""
    return any(each.webhook_codes for each in alerts)


def is_still_shown(alert: JudgedAlert, now: datetime) -> bool:
    """Whether more than reports of senders shows the alert, or did until a short time ago."""
    until = alert.webhooks_until
    return is_shown(alert.webhook_codes) and (until is None or now - until <= _STILL_SHOWN)


def is_lasting(alert: JudgedAlert, now: datetime) -> bool:
    """Whether the alert fires, or did until a short time ago."""
    return alert.resolved_at is None or now - alert.resolved_at <= _STILL_SHOWN


def shown_by_webhooks(codes: Iterable[int], alerts: Iterable[Judged]) -> Shown[Judged]:
    """The alerts that webhooks alone showed, and those of the codes for which they did.

    What only senders report may be made up, so it holds back and excuses nothing of others.
    """
    shown = [alert for alert in alerts if is_shown(alert.webhook_codes)]
    proven = {code for alert in shown for code in alert.webhook_codes or ()}
    is_known = all(alert.webhook_codes is not None for alert in shown)
    ends = [
        None if alert.webhook_codes is None else alert.webhooks_until or alert.resolved_at for alert in shown
    ]
    past = [end for end in ends if end is not None]
    return Shown(
        alerts=shown,
        codes=[code for code in codes if not is_known or code in proven],
        until=max(past) if past and len(past) == len(ends) else None,
    )
