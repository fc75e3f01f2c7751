"""Turns parsed status events into the rows of a batch, with their series, codes and links.

Caches what the tables of these hold, so that most batches need no query before the ingest statement.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from webhook_app.pipeline.receiving.other_items import MAX_CLOCK_AHEAD_S
from webhook_app.store.counts import seen_codes
from webhook_app.store.counts.series import Series, series_ids
from webhook_app.store.people import links
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.receiving import clock_repairs, health_signals
from webhook_app.store.receiving import ingest_statement as event_store
from webhook_app.store.receiving.ingest_statement import Batch
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.events import Parsed, StatusEvent

_MAX_CACHED_LINKS = 20_000
_LINK_CACHE_TTL = timedelta(minutes=10)
_MAX_CACHED_SERIES = 10_000
_MAX_CACHED_CODES = 100_000
_MAX_CACHED_NUMBERS = 10_000
_NEVER = 2**62  # seconds


class EventRows:
    """Makes rows of events for one writer, and caches series ids, codes, links and numbers."""

    def __init__(self) -> None:
        self._series: dict[Series, int] = {}
        self._series_of: datetime | None = None
        self._codes: set[int] = set()
        self._other_codes: set[int] = set()
        self._links: dict[tuple[str, str], int] = {}
        self._links_until = datetime.min.replace(tzinfo=UTC)
        self._numbers: set[health_signals.Number] = set()
        self._numbers_of: datetime | None = None

    def add(
        self,
        connection: DriverConnection,
        batch: Batch,
        events: list[StatusEvent],
        found: Sequence[Parsed],
        received_at: datetime,
    ) -> None:
        """Add the rows of these status events of the deliveries `found` to the batch, with their time and series."""
        now_s = int(received_at.timestamp())
        latest = now_s + MAX_CLOCK_AHEAD_S
        if odd := [_clock_key(e) for e in events if e.timestamp is None or e.timestamp > latest]:
            clock_repairs.repair_clocks(connection, odd, received_at.replace(microsecond=0))
        self._cache_series(connection, events)
        self._cache_codes(connection, events)
        self._store_numbers(connection, found, received_at)
        series = self._series
        for e in events:
            occurred, raw = e.timestamp, ""
            if occurred is None or occurred > latest:
                occurred, raw = now_s, e.raw_timestamp
            elif str(occurred) != e.raw_timestamp:
                raw = e.raw_timestamp
            series_id = series[e.phone_number_id, e.waba_id, e.template, e.campaign, e.country]
            first = e.status == "sent" or e.status == "failed"  # noqa: PLR1714  twice as fast as a set on this path
            batch.statuses.append(
                (e.message_id, e.phone_number_id, e.status, occurred, raw, e.participant, e.error_code, e.contact,
                 series_id, e.category, e.pricing, e.callback_data if first else "")
            )  # fmt: skip
            if e.status == "failed":
                batch.failures.append(_failure_row(e, occurred, raw, series_id))
        self._add_links(batch, _links_of_events(events, batch.statuses, self._links), found, now_s)
        batch.other_codes = sorted(self._other_codes.intersection(row[5] for row in batch.failures))
        batch.ignored = sum(sum(parsed.ignored.values()) for parsed in found if parsed.ignored)

    def cache_links(self, stored: Sequence[links.LinkRow], received_at: datetime) -> None:
        """Cache stored links, for a short time and until the next erasure: an erased person who returns is relinked."""
        if len(self._links) > _MAX_CACHED_LINKS or received_at >= self._links_until:
            self._links.clear()
            self._links_until = received_at + _LINK_CACHE_TTL
        self._links.update(((user_id, contact), at) for user_id, contact, at in stored)

    def forget_links(self) -> None:
        """Store links again that were stored before: an erased person who returns is linked again."""
        self._links.clear()

    def _cache_series(self, connection: DriverConnection, events: list[StatusEvent]) -> None:
        # Each hour anew: series are marked as seen each day, and the ceilings on new ones are per hour.
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        if len(self._series) > _MAX_CACHED_SERIES or hour != self._series_of:
            self._series.clear()
            self._codes.clear()
            self._other_codes.clear()
            self._series_of = hour
        wanted = {(e.phone_number_id, e.waba_id, e.template, e.campaign, e.country) for e in events}
        if new := wanted.difference(self._series):
            self._series |= series_ids(connection, list(new))

    def _cache_codes(self, connection: DriverConnection, events: list[StatusEvent]) -> None:
        if len(self._codes) > _MAX_CACHED_CODES:
            self._codes.clear()
            self._other_codes.clear()
        if new := {e.error_code for e in events if e.status == "failed"} - self._codes:
            self._other_codes |= seen_codes.over_ceiling(connection, new)
            self._codes |= new

    def _store_numbers(
        self, connection: DriverConnection, found: Sequence[Parsed], received_at: datetime
    ) -> None:
        hour = received_at.replace(minute=0, second=0, microsecond=0)
        if hour != self._numbers_of:  # the ceiling on new ones is per hour
            self._numbers.clear()
            self._numbers_of = hour
        if new := set().union(*(parsed.numbers for parsed in found)) - self._numbers:
            health_signals.insert_numbers(connection, new, received_at)
            if len(self._numbers) > _MAX_CACHED_NUMBERS:
                self._numbers.clear()
            self._numbers |= new

    def _add_links(
        self, batch: Batch, shown: dict[tuple[str, str], int], found: Sequence[Parsed], now_s: int
    ) -> None:
        """Add each link that this process has not stored, or with a later time, with its earliest time."""
        known, latest = self._links, now_s + MAX_CLOCK_AHEAD_S
        for parsed in found:
            for link, at in parsed.links.items():
                at = now_s if at is None or at > latest else at  # noqa: PLW2901
                if at < known.get(link, _NEVER) and at < shown.get(link, _NEVER):
                    shown[link] = at
        batch.links = [(*link, at) for link, at in shown.items()]


def _links_of_events(
    events: Sequence[StatusEvent],
    rows: Sequence[event_store.StatusRow],
    known: Mapping[tuple[str, str], int],
) -> dict[tuple[str, str], int]:
    """The links that the events show and that are not known with such an early time."""
    found: dict[tuple[str, str], int] = {}
    for e, row in zip(events, rows, strict=True):
        if e.user_id and e.contact != e.user_id:
            link, at = (e.user_id, e.contact), row[3]
            if at < known.get(link, _NEVER) and at < found.get(link, _NEVER):
                found[link] = at
        if e.parent_user_id and e.contact:
            link, at = (e.parent_user_id, e.contact), row[3]
            if at < known.get(link, _NEVER) and at < found.get(link, _NEVER):
                found[link] = at
    return found


def _failure_row(e: StatusEvent, occurred: int, raw: str, series_id: int) -> event_store.FailureRow:
    is_evidence = not e.group and explain(e.error_code).contact_effect != "none"
    return (e.message_id, e.phone_number_id, occurred, raw, e.participant, e.error_code, e.contact, series_id,
            e.error_title, e.error_details, e.errors_json, event_store.WEBHOOK, -1, "", is_evidence)  # fmt: skip


def _clock_key(e: StatusEvent) -> clock_repairs.ClockKey:
    return e.message_id, e.phone_number_id, e.status, e.raw_timestamp, e.participant, e.error_code
