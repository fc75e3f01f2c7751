"""The recipients of a simulated business. Values only; the people are invented.

Numbers come from ranges reserved for fiction (555-01xx in the USA, and those of Ofcom, ARCEP and BNetzA).
Brazil and Mexico reserve none. Their numbers follow the same pattern at a valid length, to test number variants.
"""

import random
from collections.abc import Iterator
from itertools import count

from msgspec import Struct

AUDIENCE_LIMIT = 4000
"""Largest number of different people: a twentieth of them fills Germany's two ranges."""

WITHOUT_PHONE_SHARE = 0.08
"""Share of people with a username whose number Meta withholds (business-scoped user ids, 2026)."""

# fmt: off
_US_AREAS = (
    201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225, 303,
    305, 312, 313, 314, 404, 412, 415, 502, 503, 504, 512, 602, 617, 702, 713, 801, 818, 904, 907, 917,
)
_MIX = (  # repeated for every twenty people
    "US", "BR", "FR", "US", "GB", "BR", "FR", "US", "MX", "BR",
    "US", "FR", "BR", "US", "GB", "FR", "DE", "US", "BR", "FR",
)
# fmt: on
# WhatsApp stores Brazilian numbers with the ninth digit in some areas and without it in others.
_BR_WITH_NINE = tuple(f"55{area}9955501" for area in (11, 12, 13, 21, 27))
_BR_WITHOUT_NINE = tuple(f"55{area}955501" for area in (31, 41, 51, 61, 71))

_BLOCKS: dict[str, tuple[str, ...]] = {  # two more digits follow each prefix
    "US": tuple(f"1{area}55501" for area in _US_AREAS),
    "FR": tuple(f"3363998{block:02}" for block in range(100)),
    "BR": _BR_WITH_NINE + _BR_WITHOUT_NINE,
    "GB": tuple(f"447700900{block}" for block in range(9)),
    "DE": ("4917139200", "49176040690"),
    "MX": tuple(f"521{area}555501" for area in (55, 33, 81)),
}


class Person(Struct, frozen=True):
    """A recipient. `phone` is empty when Meta withholds it."""

    phone: str
    user_id: str
    name: str
    username: str
    country: str
    reachable: bool
    number_index: int
    """Index of the business number that writes to this person."""


def audience(rng: random.Random, size: int, unreachable_share: float) -> tuple[Person, ...]:
    """Return people of six countries in random order; each country's numbers are used from the lowest up."""
    if not 0 < size <= AUDIENCE_LIMIT:
        raise ValueError(f"an audience has 1 to {AUDIENCE_LIMIT} people, not {size}")
    serials: dict[str, Iterator[int]] = {country: count() for country in _BLOCKS}
    people = [_person(rng, number, serials, unreachable_share) for number in range(size)]
    rng.shuffle(people)
    return tuple(people)


def _person(
    rng: random.Random, number: int, serials: dict[str, Iterator[int]], unreachable_share: float
) -> Person:
    country = _MIX[number % len(_MIX)]
    block, rest = divmod(next(serials[country]), 100)
    withheld = rng.random() < WITHOUT_PHONE_SHARE
    return Person(
        phone="" if withheld else f"{_BLOCKS[country][block]}{rest:02}",
        user_id=f"{country}.{rng.randrange(10**19, 10**20)}",
        name=f"Contact {number} \N{BLACK SUN WITH RAYS}" if number % 5 == 0 else f"Contact {number}",
        username=f"contact.{number}" if withheld or number % 7 == 0 else "",
        country=country,
        reachable=rng.random() >= unreachable_share,
        number_index=number % 3,
    )
