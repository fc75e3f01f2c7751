"""What a finding says, and the counts by day that most kinds are decided from."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.rules.counts.dimensions import DIMENSIONS, GROUP_WORDS, SeriesKey
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.index_keys import index_key
from webhook_app.whatsapp.errors.catalogue import explain

DAY = timedelta(days=1)
WEEK_DAYS = 7

FindingKind = Literal["chronic", "recurring", "template_quality", "unlabelled_sends", "unreached_list"]
KINDS: tuple[FindingKind, ...] = (
    "chronic",
    "recurring",
    "template_quality",
    "unlabelled_sends",
    "unreached_list",
)

Slice = Mapping[str, Sequence[str]]
"""Values by dimension: the part of the traffic that a finding is about."""


class FoundState(Struct, frozen=True, kw_only=True):
    """A state as it is observed now. With `kind` and `key` it is found again while its finding is open."""

    kind: FindingKind
    key: str
    title: str
    severity: Literal["notice", "warning"] = "notice"
    waba_id: str = ""
    """The account it is about; empty: several, or not known."""
    codes: tuple[int, ...] = ()
    """The leading one first."""
    slice: dict[str, list[str]] | None = None
    impact: dict[str, Any] = {}
    """Failed messages, contacts and share, as far as they are known."""
    evidence: dict[str, Any] = {}
    """What was counted."""
    advice: str
    since: datetime


class CountedDays:
    """Messages and failures of successive days from midnight UTC, by series; the oldest day first.

    A message that failed with two codes counts once for each.
    """

    def __init__(self, first: datetime, length: int) -> None:
        self.starts = [first + DAY * place for place in range(length)]
        self.attempts: dict[SeriesKey, list[int]] = {}
        self.failures: dict[tuple[int, SeriesKey], list[int]] = {}
        self._by_value: dict[tuple[str, str], list[SeriesKey]] | None = None

    def add_attempts(self, place: int, series: SeriesKey, count: int) -> None:
        """Add messages of one day."""
        self.attempts.setdefault(series, [0] * len(self.starts))[place] += count

    def add_failures(self, place: int, code: int, series: SeriesKey, count: int) -> None:
        """Add failed messages of one day."""
        self.failures.setdefault((code, series), [0] * len(self.starts))[place] += count
        self.attempts.setdefault(series, [0] * len(self.starts))

    def counts(self, codes: Sequence[int], part: Slice, waba_id: str = "") -> list[Counts]:
        """The messages of this part on each day, and those that failed with one of the codes."""
        found = [series for series in self._candidates(part) if lies_in(series, part, waba_id)]
        attempts = [self.attempts[series] for series in found]
        failures = [
            counted for series in found for code in codes if (counted := self.failures.get((code, series)))
        ]
        return [
            Counts(sum(each[place] for each in attempts), sum(each[place] for each in failures))
            for place in range(len(self.starts))
        ]

    def _candidates(self, part: Slice) -> Iterable[SeriesKey]:
        """Series that may lie in the part."""
        if not part:
            return self.attempts
        if self._by_value is None:
            self._by_value = {}
            for series in self.attempts:
                for name in DIMENSIONS:
                    self._by_value.setdefault((name, getattr(series, name)), []).append(series)
        name, values = next(iter(part.items()))
        return [series for value in dict.fromkeys(values) for series in self._by_value.get((name, value), ())]


def lies_in(series: SeriesKey, part: Slice, waba_id: str = "") -> bool:
    """Whether messages of this series belong to the part."""
    return (not waba_id or series.waba_id == waba_id) and all(
        getattr(series, name) in values for name, values in part.items()
    )


def key_of(code: int, part: Slice | None, waba_id: str = "") -> str:
    """The key of a finding about one code in one part."""
    about: dict[str, Any] = {"code": code} | {name: list(values) for name, values in (part or {}).items()}
    return index_key(about if part else about | {"waba_id": waba_id})


def as_reported(found: FoundState) -> FoundState:
    """The state as a finding of its own, if only reports of senders, which may be made up, show it.

    What webhooks begin to show is then a new finding.
    """
    return replace(
        found,
        key=f"reported {found.key}",
        title=f"{found.title} (only with reports of senders)",
        evidence=found.evidence | {"is_reported": True},
    )


def name_code(code: int) -> str:
    """The code with its title."""
    return f"{code} {explain(code).title}".rstrip(".")


def name_part(part: Slice | None, waba_id: str = "") -> str:
    """The part in words: "business number 123"; the account where it is not narrower."""
    named = part or ({"waba_id": [waba_id]} if waba_id else {})
    words = [f"{GROUP_WORDS[name]} {', '.join(values)}" for name, values in named.items()]
    return ", ".join(words) or "all messages"
