"""A local copy of the suppressions, kept up to date by the change feed. It answers even while the service is down.

It knows the suppressions of a person under each key in the feed. It does not know open 24-hour windows, probes, or keys
linked after the person's last change. Where a window or a probe decides, it answers `ask`.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from webhook_app.client.client import Client, FeedChange
from webhook_app.rules.suppressions.blocking import BY_PEOPLE, blocking_suppression, end_of, ends_with_probe
from webhook_app.rules.suppressions.reach import reaches
from webhook_app.whatsapp.people.contacts import InvalidAddress, hints, if_stored, parse_address

_REMOVALS = ("lift", "expire")
_Rows = TypeVar("_Rows", bound=Sequence[object])


class CopiedSuppression(Struct, frozen=True):
    """One suppression of a contact, as of its last change in the feed."""

    phone_number_id: str
    scope: str
    reason: str
    code: int | None
    until: datetime | None
    half_open: bool


class LocalAnswer(Struct, frozen=True, kw_only=True):
    """The copy's verdict on one contact. `ask`: only the service knows, or the copy is too old."""

    input: str
    verdict: Literal["send", "suppressed", "ask", "invalid"]
    reason: str | None = None
    code: int | None = None
    until: datetime | None = None

    @property
    def allowed(self) -> bool:
        return self.verdict == "send"


class _SavedCopy(Struct):
    """The content of the file."""

    seq: int
    synced_at: datetime | None
    suppressions: dict[str, list[CopiedSuppression]]
    contacts_by_alias: dict[str, tuple[str, ...]]
    is_shadow: bool = False
    erased: int = 0


class LocalCopy:
    """A local copy. When it is older than `good_for`, it answers `ask`.

    Set `stop_blocks_all` if the service has STOP_BLOCKS=all.
    """

    def __init__(self, *, good_for: timedelta = timedelta(hours=1), stop_blocks_all: bool = False) -> None:
        self._good_for = good_for
        self._stop_blocks_all = stop_blocks_all
        self._suppressions: dict[str, list[CopiedSuppression]] = {}
        self._contacts_by_alias: dict[str, tuple[str, ...]] = {}
        """For each alias, the contacts that may have suppressions."""
        self.seq = 0
        """The last change applied."""
        self.synced_at: datetime | None = None
        self._erased = 0
        """The last change that erased somebody who may be in the copy, until it is fetched again; 0: none."""
        self._is_shadow = False
        """Suppressions by rules block nobody for now (SUPPRESS=shadow)."""

    def sync(self, client: Client, now: datetime | None = None) -> int:
        """Apply the changes since the last sync and return their number. An error keeps the changes applied so far.

        After an erasure the list is fetched again, since the changes do not say who was erased.
        """
        applied = self._follow(client)
        while self._erased:
            fresh = LocalCopy()
            applied += fresh._follow(client)
            self._contacts_by_alias |= fresh._contacts_by_alias  # so that no alias leads nowhere meanwhile
            self._suppressions, self._contacts_by_alias = fresh._suppressions, fresh._contacts_by_alias
            self._erased, self.seq = fresh._erased if fresh._erased > self._erased else 0, fresh.seq
        self._is_shadow = client.is_shadow
        self.synced_at = now or datetime.now(UTC)
        return applied

    def _follow(self, client: Client) -> int:
        """Apply the changes since the last one applied."""
        applied = 0
        for change in client.changes(self.seq):
            self._apply(change)
            applied += 1
        return applied

    def check(
        self,
        contacts: Iterable[str],
        *,
        phone_number_id: str | None = None,
        category: str | None = None,
        now: datetime | None = None,
    ) -> list[LocalAnswer]:
        """Return the verdict on each contact, in the order given."""
        at = now or datetime.now(UTC)
        is_old = self.synced_at is None or at - self.synced_at > self._good_for
        return [self._answer(each, phone_number_id, category, at, is_old=is_old) for each in contacts]

    def save(self, path: str | PathLike[str]) -> None:
        """Write the copy to a file, so that after a restart only newer changes are fetched.

        Only the owner may read the file, because it names people.
        """
        saved = _SavedCopy(
            self.seq,
            self.synced_at,
            self._suppressions,
            self._contacts_by_alias,
            self._is_shadow,
            self._erased,
        )
        temporary = Path(f"{fspath(path)}.new")
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb", opener=_private) as file:
            file.write(msgspec.json.encode(saved))
        temporary.replace(path)

    def load(self, path: str | PathLike[str]) -> bool:
        """Load a saved copy. Returns False and changes nothing if the file is missing or damaged."""
        try:
            saved = msgspec.json.decode(Path(path).read_bytes(), type=_SavedCopy)
        except (FileNotFoundError, msgspec.DecodeError):
            return False
        self.seq, self.synced_at, self._is_shadow = saved.seq, saved.synced_at, saved.is_shadow
        self._suppressions, self._contacts_by_alias = saved.suppressions, saved.contacts_by_alias
        self._erased = saved.erased
        return True

    def _apply(self, change: FeedChange) -> None:
        if change.action == "erase":
            if self._suppressions or self._contacts_by_alias:
                self._erased = change.seq
            self.seq = change.seq
            return
        key = change.contact.removeprefix("+")
        identity = change.phone_number_id, change.scope, change.reason
        rows = [
            row
            for row in self._suppressions.get(key, [])
            if (row.phone_number_id, row.scope, row.reason) != identity
        ]
        if change.action not in _REMOVALS:
            rows.append(CopiedSuppression(*identity, change.code, change.until, change.action == "half_open"))
        _assign(self._suppressions, key, rows)
        for alias in (alias.removeprefix("+") for alias in change.aliases):
            others = tuple(other for other in self._contacts_by_alias.get(alias, ()) if other != key)
            _assign(self._contacts_by_alias, alias, others + (key,) * bool(rows))
        self.seq = change.seq

    def _answer(
        self, contact: str, number: str | None, category: str | None, now: datetime, *, is_old: bool
    ) -> LocalAnswer:
        address = if_stored(parse_address(contact), self._suppressions)
        if isinstance(address, InvalidAddress):
            return LocalAnswer(input=contact, verdict="invalid", reason=address.reason)
        rows = self._rows_of(address.key, number, now)
        for hint in hints(address.key):
            rows += [row for row in self._rows_of(hint, number, now) if row.reason in BY_PEOPLE]
        if self._is_shadow:
            rows = [row for row in rows if row.reason in BY_PEOPLE]
        closed = [row for row in rows if not _is_half_open(row, now)]
        closed.sort(key=end_of, reverse=True)
        if found := self._blocking(closed, category, window_open=False):
            # In an open window a reply may be sent despite a typed STOP, and the copy does not know the windows.
            in_window = self._blocking(closed, category, window_open=True)
            verdict: Literal["suppressed", "ask"] = "suppressed" if in_window and not is_old else "ask"
            return LocalAnswer(
                input=contact, verdict=verdict, reason=found.reason, code=found.code, until=found.until
            )
        if is_old or self._blocking(rows, category, window_open=False):
            return LocalAnswer(input=contact, verdict="ask")
        return LocalAnswer(input=contact, verdict="send")

    def _rows_of(self, contact: str, number: str | None, now: datetime) -> list[CopiedSuppression]:
        return [
            row
            for key in (contact, *self._contacts_by_alias.get(contact, ()))
            for row in self._suppressions.get(key, ())
            if reaches(row.phone_number_id, number) and not _has_ended(row, now)
        ]

    def _blocking(
        self, rows: Iterable[CopiedSuppression], category: str | None, *, window_open: bool
    ) -> CopiedSuppression | None:
        return blocking_suppression(
            rows, category, window_open=window_open, stop_blocks_all=self._stop_blocks_all
        )


def _assign(rows: dict[str, _Rows], key: str, new: _Rows) -> None:
    """Replace the rows of a key in one step: another thread that checks meanwhile sees the old ones or the new ones."""
    if new:
        rows[key] = new
    else:
        rows.pop(key, None)


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner may read; the flags of mode "x" follow no link."""
    return os.open(path, flags, 0o600)


def _has_ended(row: CopiedSuppression, now: datetime) -> bool:
    return row.until is not None and row.until <= now and not _is_half_open(row, now)


def _is_half_open(row: CopiedSuppression, now: datetime) -> bool:
    expired = row.until is not None and row.until <= now
    return row.half_open or (expired and ends_with_probe(row.reason, row.scope))
