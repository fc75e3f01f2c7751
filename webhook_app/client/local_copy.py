"""A copy of the suppressions, fed by the change feed: answers at once, also while the service cannot be reached.

It knows what stands against a person under each key that the feed named, and no more: not whether a 24-hour window is
open, or who probes; where that decides, it says `ask`. Nor keys that were linked after the person's last change.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from webhook_app.client.client import Client, FeedChange
from webhook_app.rules.suppressions.blocking import blocking, ends_with_a_probe
from webhook_app.whatsapp.people.contacts import InvalidAddress, parse_address

_GONE = ("lift", "expire")


class CopiedSuppression(Struct, frozen=True):
    """What stands against one contact, as the feed last told."""

    phone_number_id: str
    scope: str
    reason: str
    code: int | None
    until: datetime | None
    half_open: bool


class LocalAnswer(Struct, frozen=True, kw_only=True):
    """`ask`: only the service can tell, or the copy is too old."""

    input: str
    verdict: Literal["send", "suppressed", "ask", "invalid"]
    reason: str | None = None
    code: int | None = None
    until: datetime | None = None

    @property
    def allowed(self) -> bool:
        return self.verdict == "send"


class _Kept(Struct):
    """The file."""

    seq: int
    synced_at: datetime | None
    standing: dict[str, list[CopiedSuppression]]
    known_as: dict[str, tuple[str, ...]]
    """For every alias the contacts under which something may stand."""


class LocalCopy:
    """A copy older than `good_for` answers `ask`. `stop_blocks_all`: as the service has it (STOP_BLOCKS=all)."""

    def __init__(self, *, good_for: timedelta = timedelta(hours=1), stop_blocks_all: bool = False) -> None:
        self._good_for = good_for
        self._stop_blocks_all = stop_blocks_all
        self._standing: dict[str, list[CopiedSuppression]] = {}
        self._known_as: dict[str, tuple[str, ...]] = {}
        self.seq = 0
        """The latest change it holds."""
        self.synced_at: datetime | None = None

    def sync(self, client: Client, now: datetime | None = None) -> int:
        """Take in what has changed since the last time; returns how many changes. A fault leaves what it had."""
        taken = 0
        for change in client.changes(self.seq):
            self._apply(change)
            taken += 1
        self.synced_at = now or datetime.now(UTC)
        return taken

    def check(
        self,
        contacts: Iterable[str],
        *,
        phone_number_id: str | None = None,
        category: str | None = None,
        now: datetime | None = None,
    ) -> list[LocalAnswer]:
        """The service's verdicts as far as the copy can tell, in the order asked."""
        moment = now or datetime.now(UTC)
        is_old = self.synced_at is None or moment - self.synced_at > self._good_for
        return [self._answer(each, phone_number_id, category, moment, is_old=is_old) for each in contacts]

    def save(self, path: Path) -> None:
        """Write it to a file, so that the next start needs only what is new."""
        kept = _Kept(self.seq, self.synced_at, self._standing, self._known_as)
        beside = path.with_name(path.name + ".new")
        beside.write_bytes(msgspec.json.encode(kept))
        beside.replace(path)

    def load(self, path: Path) -> bool:
        """Take over what was saved; False, and nothing changed, when there is no such file or it cannot be read."""
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            return False
        self.seq, self.synced_at = kept.seq, kept.synced_at
        self._standing, self._known_as = kept.standing, kept.known_as
        return True

    def _apply(self, change: FeedChange) -> None:
        key = change.contact.removeprefix("+")
        named = change.phone_number_id, change.scope, change.reason
        rows = [
            row
            for row in self._standing.pop(key, [])
            if (row.phone_number_id, row.scope, row.reason) != named
        ]
        if change.action not in _GONE:
            rows.append(CopiedSuppression(*named, change.code, change.until, change.action == "half_open"))
        if rows:
            self._standing[key] = rows
        for alias in (alias.removeprefix("+") for alias in change.aliases):
            others = tuple(other for other in self._known_as.pop(alias, ()) if other != key)
            if known := others + (key,) * bool(rows):
                self._known_as[alias] = known
        self.seq = change.seq

    def _answer(
        self, contact: str, number: str | None, category: str | None, now: datetime, *, is_old: bool
    ) -> LocalAnswer:
        address = parse_address(contact)
        if isinstance(address, InvalidAddress):
            return LocalAnswer(input=contact, verdict="invalid", reason=address.reason)
        rows = [
            row
            for key in (address.key, *self._known_as.get(address.key, ()))
            for row in self._standing.get(key, ())
            if (number is None or row.phone_number_id in ("", number)) and not _has_ended(row, now)
        ]
        closed = [row for row in rows if not _waits_for_a_probe(row, now)]
        if found := blocking(closed, category, window_open=False, stop_blocks_all=self._stop_blocks_all):
            # In an open window a reply may pass a typed STOP, and the copy knows no windows.
            in_window = blocking(closed, category, window_open=True, stop_blocks_all=self._stop_blocks_all)
            verdict: Literal["suppressed", "ask"] = "suppressed" if in_window and not is_old else "ask"
            return LocalAnswer(
                input=contact, verdict=verdict, reason=found.reason, code=found.code, until=found.until
            )
        if is_old or blocking(rows, category, window_open=False, stop_blocks_all=self._stop_blocks_all):
            return LocalAnswer(input=contact, verdict="ask")
        return LocalAnswer(input=contact, verdict="send")


def _has_ended(row: CopiedSuppression, now: datetime) -> bool:
    is_over = row.until is not None and row.until <= now
    return is_over and not row.half_open and not ends_with_a_probe(row.reason, row.scope)


def _waits_for_a_probe(row: CopiedSuppression, now: datetime) -> bool:
    is_over = row.until is not None and row.until <= now
    return row.half_open or (is_over and ends_with_a_probe(row.reason, row.scope))
