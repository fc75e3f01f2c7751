"""Incidents excuse a person's failures twice. Somebody who fails alone in a third one is unreachable."""

import pytest

from tests.pipeline.world import CROWD, DAY, HOUR, MINUTE, UNREACHABLE
from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.suppressions.undo import undo_incident

FRENCH = [f"3312345{place:04}" for place in range(25)]
GONE = CROWD[:3]


class Blasts:
    """A business that writes to all its people at once; each time an incident begins, and ends after 20 hours."""

    def __init__(self, world, people, number=NUMBER):
        self.world, self.people, self.number = world, people, number
        self.incidents = []

    def blast(self, unreached, after=7 * DAY):
        self.world.now += after
        incident = self.begin()
        self.write(unreached)
        self.end(incident)

    def begin(self):
        group = {"code": UNREACHABLE, "phone_number_id": self.number}
        return self.world.alert(MINUTE, group=group)

    def write(self, unreached):
        sent = []
        for person in self.people:
            message_id = f"wamid.{next(self.world.ids)}"
            if person in unreached:
                sent.append(status(message_id, "failed", self.world.now, recipient=person, code=UNREACHABLE))
            else:
                sent += [
                    status(message_id, what, self.world.now, recipient=person)
                    for what in ("sent", "delivered")
                ]
        self.world.store(body(*sent, number=self.number))
        self.world.run(MINUTE)

    def end(self, incident):
        self.world.end_incident(incident, -20 * HOUR)
        self.world.run(20 * HOUR)
        self.incidents.append(incident)

    @property
    def suppressed(self):
        return {row.contact for row in self.world.all()}


@pytest.fixture
def blasts(world, now):
    world.now = now - 80 * DAY
    return lambda people=(*CROWD[:7], *FRENCH[:5]), number=NUMBER: Blasts(world, people, number)


@pytest.mark.parametrize("after", [7 * DAY, 30 * DAY])
def test_the_unreachable_people_of_a_bad_list_are_suppressed_after_the_third_incident(blasts, after):
    business = blasts()
    business.blast(GONE, after)
    business.blast(GONE, after)
    assert business.suppressed == set()
    business.blast(GONE, after)
    assert business.suppressed == set(GONE)


def test_failures_wait_while_the_third_incident_is_open(blasts, world):
    business = blasts()
    business.blast(GONE)
    business.blast(GONE)
    world.now += 7 * DAY
    incident = business.begin()
    business.write(GONE)
    world.run(19 * HOUR)
    assert business.suppressed == set()
    business.end(incident)
    assert business.suppressed == set(GONE)


def test_failures_that_arrive_after_the_end_of_the_third_incident_count_at_once(blasts, world):
    business = blasts()
    business.blast(GONE)
    business.blast(GONE)
    business.people = business.people[len(GONE) :]
    business.blast(())
    for person in GONE:
        world.fail(0 * DAY, contact=person)
    world.run(21 * HOUR)
    assert business.suppressed == set(GONE)


@pytest.mark.parametrize("unreached", [(*CROWD[:7], *FRENCH[:5]), FRENCH[:5]])
def test_an_outage_of_an_hour_that_returns_suppresses_nobody_of_the_number_or_country(
    blasts, world, unreached
):
    business, others = blasts(), blasts([*CROWD[20:60], *FRENCH[5:]])
    for _ in range(3):
        world.now += 7 * DAY
        others.write(())
        business.blast(unreached, 2 * HOUR)
    assert business.suppressed == set()


def test_an_outage_of_an_account_that_returns_suppresses_nobody_although_its_numbers_write_to_few(
    blasts, world
):
    numbers = [blasts([person], f"10{place}") for place, person in enumerate(CROWD[:4])]
    for _ in range(3):
        world.now += 7 * DAY
        incidents = [each.begin() for each in numbers]
        for each in numbers:
            each.write(each.people)
        for each, incident in zip(numbers, incidents, strict=True):
            each.end(incident)
    assert numbers[0].suppressed == set()


def test_the_bad_list_of_one_account_affects_nobody_else(blasts, world):
    good, bad = blasts(CROWD[:9]), blasts(CROWD[:9], "2")
    for _ in range(3):
        bad.blast(GONE)
        good.write(())
    assert {(row.contact, row.phone_number_id) for row in world.all()} == {(each, "2") for each in GONE}


def test_an_outage_of_days_that_hits_some_people_only_suppresses_nobody(blasts):
    business = blasts()
    for _ in range(3):
        business.blast(GONE, DAY)
    business.blast((), DAY)
    assert business.suppressed == set()


def test_who_is_reached_between_two_incidents_is_excused_again(blasts):
    business = blasts()
    for unreached in (GONE, GONE, (), GONE, GONE):
        business.blast(unreached)
    assert business.suppressed == set()


def undo(world, incident):
    with world.engine.begin() as connection:
        now = world.now + DAY
        return undo_incident(connection, incident, world.thresholds, actor="ops", now=now, batch="b")


def test_an_undo_lifts_suppressions_by_failures_that_the_incident_had_excused(blasts, world):
    business = blasts()
    for _ in range(3):
        business.blast(GONE)
    incident = business.incidents[-1]
    done = undo(world, incident)
    assert (done.excused, done.lifted, done.changed) == (3, 3, 0)
    assert {c.note for c in world.changes() if c.action == "lift"} == {f"explained by incident {incident}"}
    world.run(2 * DAY)
    assert business.suppressed == set()


def test_failures_of_an_undone_incident_never_count(blasts, world):
    business = blasts()
    business.blast(GONE)
    business.blast(GONE)
    undo(world, business.incidents[-1])
    business.blast(GONE)
    assert business.suppressed == set()
    business.blast(GONE)
    assert business.suppressed == set(GONE)
    assert {len(row.evidence) for row in world.all()} == {3}
