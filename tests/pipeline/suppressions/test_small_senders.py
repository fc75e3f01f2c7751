"""An outage suppresses none of the few contacts of a small sender, and those who are gone afterwards, within days.

Only the failures themselves decide here: without the evaluation of rules there is no incident.
"""

import pytest

from tests.pipeline.world import CROWD, DAY, HOUR, MINUTE
from tests.support.factories import NUMBER

FRENCH = [f"3312345{place:04}" for place in range(40)]


class Sender:
    """A business that writes to its people once a day, for as many days as a test says."""

    def __init__(self, world, people, gone=()):
        self.world, self.people, self.gone = world, people, set(gone)
        self.suppressed = set()

    def day(self, fails=lambda _: False, each=3 * MINUTE, **more):
        """Write to everybody on the next day; `fails` says whose message fails besides those who are gone."""
        self.world.now += DAY
        noon, seldom = self.world.now, 1 + len(self.people) // 8
        for place, person in enumerate(self.people):
            self.write(person, fails=fails(person), **more)
            self.world.now += each
            if place % seldom == 0:
                self.look()
        self.world.now = noon
        self.look(20 * HOUR)
        return self

    def day_at_once(self, fails=lambda _: False):
        """Write to everybody at noon, and decide in the evening only."""
        self.world.now += DAY
        for person in self.people:
            self.write(person, fails=fails(person))
        self.look(8 * HOUR)

    def write(self, person, *, fails=False, number=NUMBER, template=""):
        named = {"biz_opaque_callback_data": f"template={template}"} if template else {}
        if fails or person in self.gone:
            self.world.fail(0 * DAY, contact=person, number=number, **named)
        else:
            message_id = f"wamid.{next(self.world.ids)}"
            for what in ("sent", "delivered"):
                self.world.deliver(0 * DAY, what, person, message_id, number, **named)

    def look(self, after=MINUTE):
        self.world.run(after)
        self.suppressed |= {row.contact for row in self.world.all()}


def everybody(_):
    return True


@pytest.fixture
def sender(world, now):
    world.now = now - 30 * DAY
    return lambda people, gone=(): Sender(world, people, gone)


@pytest.mark.parametrize("contacts", [2, 3, 40])
def test_an_outage_of_days_suppresses_nobody_and_afterwards_exactly_those_who_are_gone(sender, contacts):
    people = CROWD[:contacts]
    business = sender(people, gone=[people[-1]])
    business.day()
    for _ in range(3):
        business.day(everybody)
    assert business.suppressed == set()
    for _ in range(3):
        business.day()
    assert business.suppressed == {people[-1]}


@pytest.mark.parametrize("each", [MINUTE, 45 * MINUTE])
@pytest.mark.parametrize("contacts", [2, 8])
def test_an_outage_around_midnight_suppresses_nobody(sender, world, each, contacts):
    world.now = world.now.replace(hour=22, minute=50)
    business = sender(CROWD[:contacts]).day()
    for _ in range(3):
        business.day(everybody, each=each)
    business.day().day()
    assert business.suppressed == set()


@pytest.mark.parametrize("contacts", [2, 3, 7])
def test_an_outage_of_a_sender_that_writes_to_one_person_a_day_suppresses_nobody(sender, world, contacts):
    business = sender(CROWD[:contacts]).day()
    for place in range(4 * contacts):
        world.now += DAY
        business.write(CROWD[place % contacts], fails=True)
        business.look()
    assert business.suppressed == set()


def test_a_first_campaign_that_reaches_nobody_for_days_suppresses_nobody(sender):
    business = sender(CROWD[:3])
    for _ in range(5):
        business.day(everybody)
    assert business.suppressed == set()


@pytest.mark.parametrize("contacts", [2, 5])
def test_a_broken_number_suppresses_nobody_although_another_number_works(sender, contacts):
    business = sender(CROWD[:contacts])
    for outage in (False, True, True, True, False):
        business.day(lambda _: outage, number="2")  # noqa: B023
        business.day(number=NUMBER)
    assert business.suppressed == set()


@pytest.mark.parametrize("contacts", [2, 5])
def test_a_broken_template_suppresses_nobody_although_the_number_works(sender, world, contacts):
    promoted, others = CROWD[:contacts], CROWD[contacts : contacts + 8]
    business = sender(others)
    for outage in (False, True, True, True, False):
        business.day(template="hello")
        for person in promoted:
            business.write(person, fails=outage, template="promo")
        business.look()
    assert business.suppressed == set()


@pytest.mark.parametrize("contacts", [2, 5])
def test_a_country_that_is_not_reached_suppresses_nobody(sender, contacts):
    french = FRENCH[:contacts]
    business = sender([*french, *CROWD[:8]])
    for outage in (False, True, True, True, False):
        business.day(lambda person: outage and person in french)  # noqa: B023
    assert business.suppressed == set()


def test_people_who_are_gone_are_suppressed_after_three_days_although_others_are_gone_too(sender):
    gone = CROWD[:2]
    business = sender(CROWD[:5], gone)
    business.day().day()
    assert business.suppressed == set()
    business.day()
    assert business.suppressed == set(gone)


@pytest.mark.parametrize("others_there", [0, 8])
def test_two_people_of_one_country_who_are_gone_are_suppressed_within_six_days(sender, others_there):
    gone = FRENCH[:2]
    business = sender([*gone, *FRENCH[2 : 2 + others_there], *CROWD[: 8 - others_there]], gone)
    for _ in range(6):
        business.day_at_once()
    assert business.suppressed == set(gone)


def test_of_a_bad_list_those_who_are_gone_are_suppressed_wherever_they_live(sender):
    people = [*FRENCH[:4], *CROWD[:9]]
    gone = {*FRENCH[:4], *CROWD[:2]}
    business = sender(people, gone)
    for _ in range(6):
        business.day_at_once()
    assert business.suppressed == gone


def test_a_second_outage_of_a_country_suppresses_nobody_who_was_reached_in_between(sender):
    french = FRENCH[:5]
    business = sender([*french, *CROWD[:8]])
    for outage in (False, True, True, True, False, True, True, True, False):
        business.day_at_once(lambda person: outage and person in french)  # noqa: B023
    assert business.suppressed == set()


def test_the_only_contact_of_a_number_is_suppressed_however_often_it_was_tried(sender, world):
    business = sender(CROWD[:1], CROWD[:1])
    for _ in range(3):
        business.day()
        for _ in range(4):
            business.write(CROWD[0])
        business.look()
    assert business.suppressed == {CROWD[0]}


def test_a_day_on_which_others_are_not_reached_waits_and_counts_when_they_are(sender, world):
    business = sender(CROWD[:3], CROWD[:1]).day().day()
    world.now += DAY
    for person in CROWD[:3]:
        business.write(person, fails=True)
    business.look()
    assert business.suppressed == set()
    for person in (CROWD[1], CROWD[2], CROWD[1]):
        business.write(person)
    business.look(2 * MINUTE)
    assert business.suppressed == {CROWD[0]}
