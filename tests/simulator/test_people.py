"""The audience: fictional numbers, no person twice."""

import random
import re

import pytest
from phonenumbers import is_possible_number, parse

from webhook_app.simulator.people import AUDIENCE_LIMIT, audience
from webhook_app.whatsapp.people.contacts import phone_key

FREE_FOR_FICTION = {
    "US": r"1\d{3}55501\d{2}",
    "FR": r"3363998\d{4}",
    "GB": r"447700900\d{3}",
    "DE": r"49(17139200|176040690)\d{2}",
    "BR": r"55\d{2}9?955501\d{2}",
    "MX": r"521\d{2}555501\d{2}",
}


def everybody(seed=1, size=AUDIENCE_LIMIT, share=0.1):
    return audience(random.Random(seed), size, share)


def test_the_same_seed_gives_the_same_people():
    assert everybody(7, 100) == everybody(7, 100)
    assert everybody(7, 100) != everybody(8, 100)


def test_no_person_appears_twice_even_in_the_largest_audience():
    people = everybody()
    phones = [person.phone for person in people if person.phone]
    assert len(people) == AUDIENCE_LIMIT
    assert len(set(phones)) == len(phones)
    assert len({person.user_id for person in people}) == AUDIENCE_LIMIT


@pytest.mark.parametrize("country", FREE_FOR_FICTION)
def test_numbers_come_from_the_range_of_their_country_at_a_possible_length(country):
    phones = [person.phone for person in everybody() if person.country == country and person.phone]
    assert len(phones) > 100
    assert all(re.fullmatch(FREE_FOR_FICTION[country], phone) for phone in phones)
    assert all(is_possible_number(parse("+" + phone_key(phone))) for phone in phones)


def test_no_business_number_belongs_to_a_person():
    phones = {person.phone for person in everybody()}
    assert not phones & {"447700900999"}


def test_some_people_have_a_username_and_no_phone():
    withheld = [person for person in everybody() if not person.phone]
    assert 0.05 < len(withheld) / AUDIENCE_LIMIT < 0.11
    assert all(person.username for person in withheld)


def test_user_ids_are_business_scoped():
    assert all(re.fullmatch(r"[A-Z]{2}\.\d{20}", person.user_id) for person in everybody(size=200))
    assert all(person.user_id[:2] == person.country for person in everybody(size=200))


def test_the_unreachable_share_is_kept():
    unreachable = sum(not person.reachable for person in everybody(share=0.25))
    assert 0.22 < unreachable / AUDIENCE_LIMIT < 0.28


@pytest.mark.parametrize("size", [0, -1, AUDIENCE_LIMIT + 1])
def test_an_audience_of_invalid_size_is_refused(size):
    with pytest.raises(ValueError, match="an audience has 1 to"):
        everybody(size=size)
