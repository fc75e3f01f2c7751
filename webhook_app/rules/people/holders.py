"""Decides who held which key at which time, from links between keys and from changes of number.

A user id belongs to one person for ever. A phone number can change hands: what happens there up to a change belongs to
the person who left it, and what happens later belongs to somebody else. The order in which links and changes become
known does not matter.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

_EVER = datetime.max.replace(tzinfo=UTC)
_ALWAYS = datetime.min.replace(tzinfo=UTC)
_SECOND = timedelta(seconds=1)  # the resolution of Meta's times

Tenure = tuple[str, int]
"""A key, and the number of the period in which one person holds it."""


class KeyLink(Struct, frozen=True):
    """Two keys that one webhook showed as one person's; `at`: the earliest time of such a webhook."""

    user_id: str
    contact: str
    at: datetime


class KeyChange(Struct, frozen=True, order=True):
    """A person went from one key to another. `known_at`: when the webhook that says so was received.

    `is_renumbering`: a country renumbered, so that both are the same line and nobody went anywhere.
    """

    at: datetime
    old: str
    new: str
    known_at: datetime = _ALWAYS
    is_renumbering: bool = False


class Span(Struct, frozen=True):
    """The period in which a person holds a key: from `since` up to, but not including, `until`."""

    key: str
    since: datetime
    until: datetime

    @property
    def lasts(self) -> bool:
        return self.until == _EVER


class KeyHolder(Struct, frozen=True):
    """A person with all keys that they hold or held. `main` is empty when they hold no key any more."""

    main: str
    keys: tuple[str, ...]
    """The keys held at present, phone numbers first."""
    spans: tuple[Span, ...]


class Holders:
    """Who held which key when, among people with these links and changes."""

    def __init__(self, links: Iterable[KeyLink], changes: Iterable[KeyChange]) -> None:
        changes = list(changes)
        self._respelt = {each.old: each.new for each in changes if each.is_renumbering}
        self._spellings: dict[str, list[str]] = {}
        for old, new in self._respelt.items():
            self._spellings.setdefault(new, []).append(old)
        kept = list(without_repeats(map(self._of_lines, (c for c in changes if not c.is_renumbering))))
        reported = {(each.old, each.new) for each in kept}
        self._bounds = _bounds(kept)
        self._known_at = {(each.old, each.at + _SECOND): each.known_at for each in kept}
        self._root: dict[Tenure, Tenure] = {}
        self._left = _last_left(kept) | self._respelt.keys()
        for each in kept:
            self._join(self._tenure(each.old, each.at), self._tenure(each.new, each.at))
        for link in links:
            if (link.user_id, link.contact) not in reported:
                self._join(self._tenure(link.user_id, link.at), self._tenure(link.contact, link.at))
        tenures: dict[Tenure, list[Tenure]] = {}
        for tenure in [*self._root]:
            tenures.setdefault(self._find(tenure), []).append(tenure)
        self._people = {root: self._person(held) for root, held in tenures.items()}

    def holder(self, key: str, at: datetime) -> KeyHolder:
        """The person who held the key at that time."""
        return self._of(self._tenure(key, at))

    def meant(self, key: str, at: datetime) -> KeyHolder:
        """The person whom an operator's decision at that time concerns: a change may not have been known yet."""
        line = self._respelt.get(key, key)
        for bound in self._bounds.get(line, ()):
            if bound <= at <= self._known_at.get((line, bound), _ALWAYS):
                return self.holder(key, bound - _SECOND)
        return self.holder(key, at)

    def present(self, key: str) -> KeyHolder:
        """The person who holds the key now."""
        return self.holder(key, _EVER)

    def everybody(self, key: str) -> list[KeyHolder]:
        """Everybody who holds or held the key, earlier ones first."""
        line = self._respelt.get(key, key)
        return [self._of((line, number)) for number in range(len(self._bounds.get(line, ())) + 1)]

    def changed_hands(self, key: str) -> bool:
        return self._respelt.get(key, key) in self._bounds

    def _of_lines(self, change: KeyChange) -> KeyChange:
        old, new = (self._respelt.get(key, key) for key in (change.old, change.new))
        return KeyChange(change.at, old, new, change.known_at)

    def _of(self, tenure: Tenure) -> KeyHolder:
        return self._people.get(self._find(tenure)) or self._person([tenure])

    def _tenure(self, key: str, at: datetime) -> Tenure:
        key = self._respelt.get(key, key)
        bounds = self._bounds.get(key)
        return key, bisect_right(bounds, at) if bounds else 0

    def _join(self, one: Tenure, other: Tenure) -> None:
        first, second = sorted((self._find(one), self._find(other)))
        self._root[second] = self._root[first] = first

    def _find(self, tenure: Tenure) -> Tenure:
        root = tenure
        while (above := self._root.get(root, root)) != root:
            root = above
        while (above := self._root.get(tenure, root)) != root:
            self._root[tenure], tenure = root, above
        return root

    def _person(self, held: Iterable[Tenure]) -> KeyHolder:
        found = [self._span(*tenure) for tenure in held]
        found += [replace(span, key=old) for span in found for old in self._spellings.get(span.key, ())]
        spans = tuple(sorted(found, key=lambda span: (span.key, span.since)))
        present = {span.key for span in spans if span.lasts}
        phones = {key for key in present if key.isdecimal()}
        main = min(phones or present, key=lambda key: (key in self._left, key), default="")
        keys = tuple(sorted(present, key=lambda key: (key != main, not key.isdecimal(), key)))
        return KeyHolder(main, keys, spans)

    def _span(self, key: str, number: int) -> Span:
        bounds = self._bounds.get(key, [])
        since = bounds[number - 1] if number else _ALWAYS
        return Span(key, since, bounds[number] if number < len(bounds) else _EVER)


def without_repeats(changes: Iterable[KeyChange]) -> Iterable[KeyChange]:
    """The changes in order, each once: WhatsApp reports one to every business number that the person wrote to.

    A second report of a change counts only if somebody took the old key or left the new one since.
    """
    went: dict[str, str] = {}
    came: dict[str, set[str]] = {}  # the inverse of `went`
    for each in sorted(changes):
        if went.get(each.old) == each.new:
            continue
        yield each
        for old in came.pop(each.old, ()):
            del went[old]
        for key in (each.old, each.new):
            if key in went:
                came[went.pop(key)].discard(key)
        went[each.old] = each.new
        came.setdefault(each.new, set()).add(each.old)


def _bounds(changes: Iterable[KeyChange]) -> dict[str, list[datetime]]:
    """When each phone number changed hands, in order."""
    found: dict[str, set[datetime]] = {}
    for each in changes:
        if each.old.isdecimal():
            found.setdefault(each.old, set()).add(each.at + _SECOND)
        if each.new.isdecimal():
            found.setdefault(each.new, set()).add(each.at)
    return {key: sorted(moments) for key, moments in found.items()}


def _last_left(changes: Iterable[KeyChange]) -> set[str]:
    """The user ids that their person exchanged for another and did not get back."""
    left: set[str] = set()
    for each in changes:
        left.discard(each.new)
        if not each.old.isdecimal():
            left.add(each.old)
    return left
