"""Where failures are concentrated: the scenarios of the specification, and the ones in which nothing may be named."""

import random

import pytest

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.slices import Cell, localise

DIMENSIONS = ("waba_id", "phone_number_id", "template", "campaign", "country")


def cell(
    waba: str = "A", number: str = "1", template: str = "", campaign: str = "", country: str = "DE"
) -> Cell:
    return (waba, number, template, campaign, country)


def found(
    now: dict[Cell, Counts], usual: dict[Cell, Counts] | None = None, day: dict[Cell, int] | None = None
) -> dict[str, tuple[str, ...]] | None:
    made = localise(DIMENSIONS, now, usual or {}, day or {each: held.attempts for each, held in now.items()})
    return None if made is None else made.values


def test_a_campaign_inside_a_large_number_is_named() -> None:
    now = {cell(): Counts(4_000, 4), cell(campaign="blast"): Counts(60, 60)}
    assert found(now) == {"campaign": ("blast",)}


def test_one_template_is_named_once_however_many_countries_it_goes_to() -> None:
    countries = ("DE", "FR", "US", "BR")
    now = {cell(template="order", country=c): Counts(250, 250) for c in countries} | {
        cell(template="login", country=c): Counts(250, 2) for c in countries
    }
    assert found(now) == {"template": ("order",)}


def test_a_template_in_one_country_is_named_with_its_country() -> None:
    now = {
        cell(template=t, country=c): Counts(500, 400 if (t, c) == ("order", "BR") else 5)
        for t in ("order", "login", "news")
        for c in ("DE", "FR", "BR")
    }
    assert found(now) == {"template": ("order",), "country": ("BR",)}


def test_a_value_that_all_traffic_has_is_never_named() -> None:
    now = {cell(number=n, country="US"): Counts(300, 300 if n == "1" else 3) for n in ("1", "2", "3")}
    assert found(now) == {"phone_number_id": ("1",)}


def test_failures_that_are_spread_evenly_have_no_slice() -> None:
    now = {
        cell(number=n, template=t, country=c): Counts(200, 20)
        for n in ("1", "2")
        for t in ("order", "login")
        for c in ("DE", "FR")
    }
    assert found(now) is None


def test_everything_of_a_sender_with_one_number_and_one_template_has_no_slice() -> None:
    assert found({cell(template="order"): Counts(20, 20)}) is None


def test_what_a_part_always_has_is_not_its_excess() -> None:
    bad_list = cell(campaign="cold list")
    usual = {cell(campaign="news"): Counts(10_000, 100), bad_list: Counts(10_000, 3_000)}
    now = {cell(campaign="news"): Counts(1_000, 500), bad_list: Counts(100, 30)}
    assert found(now, usual, {cell(campaign="news"): 1_000, bad_list: 1_000}) == {"campaign": ("news",)}


def test_a_few_failures_elsewhere_by_chance_do_not_hide_the_part() -> None:
    one, other = cell(number="1"), cell(number="2")
    usual = {one: Counts(800_000, 2_400), other: Counts(800_000, 2_400)}
    assert found({one: Counts(1_250, 24), other: Counts(1_230, 8)}, usual) == {"phone_number_id": ("1",)}
    assert found({one: Counts(1_250, 24), other: Counts(1_230, 18)}, usual) is None


def test_several_countries_are_named_together_when_none_carries_it_alone() -> None:
    now = {
        cell(country=c): Counts(500, 450 if c in ("AR", "CL") else 5) for c in ("AR", "CL", "DE", "FR", "US")
    }
    assert found(now) == {"country": ("AR", "CL")}


def test_of_two_accounts_the_restricted_one_is_named() -> None:
    now = {
        cell(waba=w, number=f"{w}{n}"): Counts(100, 100 if w == "B" else 1)
        for w in ("A", "B")
        for n in range(5)
    }
    assert found(now) == {"waba_id": ("B",)}


def test_traffic_without_a_template_is_not_called_a_template() -> None:
    now = {cell(): Counts(300, 300), cell(template="order"): Counts(300, 3)}
    assert found(now) is None


@pytest.mark.parametrize("now", [{}, {cell(): Counts(0, 0)}, {cell(): Counts(5, 2)}, {cell(): Counts(0, 2)}])
def test_too_few_failures_say_nothing(now: dict[Cell, Counts]) -> None:
    assert found(now) is None


@pytest.mark.parametrize("seed", range(8))
def test_a_random_cause_in_random_traffic_is_found(seed: int) -> None:
    """50 numbers of 5 accounts, 12 templates, 8 countries; one part fails at 60 %, everything else at 1 %."""
    chance = random.Random(seed)
    numbers = [(f"A{n % 5}", f"N{n}") for n in range(50)]
    cells = {
        cell(
            *chance.choice(numbers),
            f"T{chance.randrange(12)}",
            f"C{chance.randrange(6)}",
            f"L{chance.randrange(8)}",
        )
        for _ in range(900)
    }
    place = chance.choice([1, 2, 3, 4])
    value = chance.choice(sorted(cells))[place]
    now = {}
    for each in sorted(cells):
        attempts = chance.randrange(20, 200)
        share = 0.6 if each[place] == value else 0.01
        now[each] = Counts(attempts, sum(chance.random() < share for _ in range(attempts)))
    assert found(now) == {DIMENSIONS[place]: (value,)}
