"""Numbers change hands: suppressions move with the person, and every check gives the state of who has the number now.

The model follows the people themselves: each has a number, a user id and what they said and missed. Webhooks of all of
them arrive in any order, repeated and batched.
"""

import json
import random
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.pipeline.world import (
    CONTACT,
    DAY,
    HOUR,
    MINUTE,
    UNREACHABLE,
    others_sent,
)
from tests.support.factories import NUMBER, body, document, message, status, value
from tests.support.suppressions import replayed, store_suppression
from webhook_app.store.postgres.engine import connect, driver
from webhook_app.store.suppressions import suppressions
from webhook_app.store.suppressions.changes import ChangeEvidence
from webhook_app.store.suppressions.checks import CheckRequest, read_facts, read_facts_of_thousands

NEW, ALSO_NEW = "491715550117", "491715550118"


def change_number(world, age, old=CONTACT, new=NEW, message_id="wamid.moved"):
    moved = {"body": "changed", "wa_id": new, "type": "user_changed_number"}
    item = message(message_id, world.now - age, sender=old) | {"type": "system", "system": moved}
    del item["text"]
    world.store(body(messages=[item]))


def test_suppressions_move_with_a_number_change(world, engine, now):
    world.write(5 * DAY, "stop")
    world.fail(3 * DAY, 2 * DAY, DAY)
    with engine.begin() as connection:
        suppressions.put(connection, CONTACT, actor="ops", note="lawyer", now=now)
    world.run()
    assert {row.reason for row in world.rows()} == {"opted_out", "unreachable", "manual"}
    change_number(world, HOUR)
    world.run()
    assert world.rows() == []
    assert {row.reason: row.note for row in world.rows(NEW)} == {
        "opted_out": "moved along with the person",
        "unreachable": "moved along with the person",
        "manual": "lawyer",
    }
    world.run(MINUTE)
    assert len(world.rows(NEW)) == 3
    item = message("wamid.start", now, sender=NEW, text="start")
    world.store(body(messages=[item]))
    world.run(MINUTE)
    assert [row.reason for row in world.rows(NEW)] == ["manual"]


def test_a_late_stop_from_before_the_number_change_counts(world):
    change_number(world, HOUR)
    world.run()
    world.write(2 * HOUR, "stop")
    world.run()
    assert [row.contact for row in world.all()] == [NEW]


def test_suppressions_move_back_with_a_return_to_the_old_number(world):
    world.write(5 * HOUR, "stop")
    change_number(world, 2 * HOUR)
    world.run()
    change_number(world, HOUR, old=NEW, new=CONTACT, message_id="wamid.back")
    world.run()
    assert [row.contact for row in world.all()] == [CONTACT]


USER = "US.7041abc"


def link(world, contact=CONTACT, user=USER):
    """A webhook shows both keys as one person's."""
    world.store(body(status("wamid.linked", "sent", world.now, recipient=contact, recipient_user_id=user)))


@pytest.mark.parametrize("endless", [USER, CONTACT])
def test_of_two_decisions_about_one_person_the_one_that_ends_later_stays(world, engine, now, endless):
    for contact in (USER, CONTACT):
        until, note = (None, "court order") if contact == endless else (now + HOUR, "cooling")
        store_suppression(engine, now - DAY, contact=contact, until=until, actor=contact, note=note)
    link(world)
    (row,) = world.all()
    assert (row.contact, row.until, row.actor) == (CONTACT, None, endless)
    assert row.note == "court order; cooling"


def test_of_two_decisions_that_end_the_later_end_stays(world, engine, now):
    for contact, hours in ((CONTACT, 1), (USER, 2)):
        store_suppression(engine, now - DAY, contact=contact, until=now + hours * HOUR)
    link(world)
    assert [(row.contact, row.until) for row in world.all()] == [(CONTACT, now + 2 * HOUR)]


@pytest.mark.parametrize("endless", [CONTACT, NEW])
def test_a_decision_without_an_end_goes_along_to_a_number_with_one_that_ends(world, engine, now, endless):
    store_suppression(engine, now - DAY, contact=CONTACT, until=None if endless == CONTACT else now + HOUR)
    store_suppression(engine, now - DAY, contact=NEW, until=None if endless == NEW else now + HOUR)
    change_number(world, HOUR)
    assert [(row.contact, row.until) for row in world.all()] == [(NEW, None)]
    change_number(world, MINUTE, old=NEW, new=ALSO_NEW, message_id="wamid.further")
    assert [(row.contact, row.until) for row in world.all()] == [(ALSO_NEW, None)]


def test_a_suppression_moves_to_a_number_where_one_of_somebody_else_ends(world, engine, now):
    for contact in (CONTACT, NEW):
        evidence = (ChangeEvidence(now - DAY, f"wamid.{contact}", 131000),)
        store_suppression(engine, now - DAY, contact=contact, reason="hard", evidence=evidence)
    change_number(world, HOUR)
    (row,) = world.all()
    assert (row.contact, [each.message_id for each in row.evidence]) == (NEW, [f"wamid.{CONTACT}"])


@pytest.mark.parametrize("confirmed", [USER, CONTACT])
def test_of_two_suppressions_of_one_person_a_confirmed_one_stays_confirmed(world, engine, now, confirmed):
    for contact, days in ((CONTACT, 1), (USER, 2)):
        store_suppression(
            engine,
            now - DAY,
            contact=contact,
            reason="unreachable",
            code=UNREACHABLE,
            until=now + days * DAY,
            times=days,
            evidence=(ChangeEvidence(now - days * DAY, f"wamid.{contact}", UNREACHABLE),),
            actor="system",
            review=contact != confirmed,
        )
    link(world)
    (row,) = world.all()
    assert (row.contact, row.until, row.times, row.review) == (CONTACT, now + 2 * DAY, 2, False)
    assert [each.message_id for each in row.evidence] == [f"wamid.{USER}", f"wamid.{CONTACT}"]


@pytest.mark.parametrize("beside", ["nothing", "half-open", "closed"])
def test_a_half_open_suppression_moves_with_its_person_and_opens_no_closed_one(world, engine, now, beside):
    row = {"reason": "unreachable", "code": UNREACHABLE, "review": True}
    for contact in (USER, *(() if beside == "nothing" else (CONTACT,))):
        evidence = (ChangeEvidence(now - 9 * DAY, f"wamid.{contact}", UNREACHABLE),)
        until = now + DAY if (contact, beside) == (CONTACT, "closed") else now - HOUR
        store_suppression(engine, now - 9 * DAY, contact=contact, until=until, evidence=evidence, **row)
    world.run()
    assert [each.half_open_at is None for each in world.rows(USER)] == [False]
    link(world)
    world.run()
    (row,) = world.all()
    assert (row.contact, row.half_open_at, row.until) == (
        (CONTACT, None, now + DAY) if beside == "closed" else (CONTACT, now - HOUR, None)
    )


def test_an_opt_out_whose_cause_is_no_longer_stored_outlives_an_older_start_of_another_key(
    world, engine, now
):
    for contact, days in ((CONTACT, 9), (USER, 1)):
        store_suppression(engine, now - days * DAY, contact=contact, reason="opted_out", actor="person")
    link(world)
    world.write(3 * DAY, "start")
    assert [row.contact for row in world.all()] == [CONTACT]
    world.write(HOUR, "start")
    assert world.all() == []


def test_an_opt_out_of_another_key_that_ended_ends_no_stop(world, engine, now):
    world.write(5 * HOUR, "stop")
    store_suppression(
        engine, now - DAY, contact=USER, phone_number_id=NUMBER, reason="opted_out", until=now - HOUR
    )
    world.run()
    link(world)
    world.run()
    assert [(row.contact, row.until) for row in world.all()] == [(CONTACT, None)]


def test_a_stop_to_which_somebody_gave_an_end_does_not_come_back_with_a_link(world, engine, now):
    world.write(5 * HOUR, "stop")
    with engine.begin() as connection:
        suppressions.put(
            connection,
            CONTACT,
            phone_number_id=NUMBER,
            reason="opted_out",
            until=now - HOUR,
            actor="ops",
            now=now - 2 * HOUR,
        )
    world.run()
    link(world)
    world.run()
    assert world.all() == []


def test_an_opt_out_under_another_key_keeps_its_note_and_confirmation(world, engine, now):
    link(world)
    store_suppression(
        engine,
        now - DAY,
        contact=USER,
        phone_number_id=NUMBER,
        scope="marketing",
        reason="opted_out",
        note="asked on the phone",
        seen_as=CONTACT,
        evidence=(ChangeEvidence(now - DAY, "wamid.said", what="ambiguous"),),
    )
    world.write(HOUR, "cancel")
    (row,) = world.all()
    assert (row.contact, row.note, row.seen_as, row.review) == (
        CONTACT,
        "asked on the phone",
        CONTACT,
        False,
    )


OLD_SPELLINGS = {
    "5511961234567": "551161234567",
    "5491123456789": "541123456789",
    "522221234567": "5212221234567",
    "2250707123456": "22507123456",
    "2290190123456": "22990123456",
}
PHONES = (*OLD_SPELLINGS, "12025550110")
ALSO = "590238114470038"
"""A second business number, which hears of every change of number as well."""
DAYS = 20


@dataclass
class Person:
    phone: str
    user: str
    said: list = field(default_factory=list)  # (time, word) of typed words on the business number
    preferred: list = field(default_factory=list)
    failed: list = field(default_factory=list)
    wrote: list = field(default_factory=list)


class Town:
    """People who move, and the webhooks of what happens to them."""

    def __init__(self, chance, now):
        self.chance, self.now = chance, now
        self.moments = iter(range(10_000))
        self.users = iter(range(10_000))
        self.at = now.replace(microsecond=0) - timedelta(days=DAYS)
        self.people, self.webhooks, self.free = [], [], list(PHONES)
        for _ in range(3):
            self.settle()

    def serial(self):
        return f"wamid.{next(self.moments)}"

    def spelt(self, phone):
        return OLD_SPELLINGS.get(phone, phone) if self.chance.random() < 0.5 else phone

    def settle(self):
        """Somebody new takes a free number and says hello, which shows both keys."""
        if self.free:
            phone = self.free.pop(self.chance.randrange(len(self.free)))
            person = Person(phone, f"US.{next(self.users)}")
            self.people.append(person)
            self.write(person, "hi", both=True)

    def write(self, person, text, *, both=False):
        item = message(self.serial(), self.at, sender=self.spelt(person.phone), text=text)
        if both or self.chance.random() < 0.5:
            item["from_user_id"] = person.user
            if not both and self.chance.random() < 0.5:
                del item["from"]
        self.webhooks.append(body(messages=[item]))
        person.wrote.append(self.at)
        if text != "hi":
            person.said.append((self.at, text))

    def write_in_a_group(self, person):
        item = message(
            self.serial(), self.at, sender=person.phone, text=self.chance.choice(("stop", "start"))
        )
        self.webhooks.append(body(messages=[item | {"group_id": "G"}]))
        person.wrote.append(self.at)

    def prefer(self, person):
        wish = self.chance.choice(("stop", "resume"))
        stated = {"category": "marketing_messages", "value": wish, "timestamp": int(self.at.timestamp())}
        stated |= (
            {"wa_id": self.spelt(person.phone)} if self.chance.random() < 0.5 else {"user_id": person.user}
        )
        held = value(user_preferences=[stated])
        self.webhooks.append(json.dumps(document(held, field="user_preferences")).encode())
        person.preferred.append((self.at, wish))

    def fail(self, person):
        by_phone = self.chance.random() < 0.6
        sent_to = (
            {"recipient": self.spelt(person.phone)}
            if by_phone
            else {"recipient": "", "recipient_user_id": person.user}
        )
        self.webhooks.append(body(status(self.serial(), "failed", self.at, code=UNREACHABLE, **sent_to)))
        person.failed.append(self.at)

    def fail_in_a_group(self, person):
        item = status(self.serial(), "failed", self.at, recipient="G", code=UNREACHABLE)
        item |= {"recipient_type": "group", "recipient_participant_id": person.phone}
        self.webhooks.append(body(item))

    def move(self, person):
        if not self.free:
            return
        new = self.free.pop(self.chance.randrange(len(self.free)))
        system = {"type": "user_changed_number", "wa_id": self.spelt(new)}
        if self.chance.random() < 0.5:
            user = f"US.{next(self.users)}"
            system |= {"user_id": user, "previous_user_id": person.user}
            person.user = user
        for number, later in ((NUMBER, 0), (ALSO, self.chance.randrange(3))):
            item = message(
                self.serial(), self.at + later * timedelta(seconds=1), sender=self.spelt(person.phone)
            )
            del item["text"]
            self.webhooks.append(body(messages=[item | {"type": "system", "system": system}], number=number))
        self.free.append(person.phone)
        person.phone = new

    def live(self, steps):
        for _ in range(steps):
            self.at += timedelta(days=DAYS - 1) // steps
            person = self.chance.choice(self.people)
            what = self.chance.choice(
                (
                    *("stop", "stop", "start", "hi", "prefer", "prefer", "fail", "fail", "fail", "fail"),
                    *("move", "move", "settle", "group", "group failure"),
                )
            )
            if what in ("stop", "start", "hi"):
                self.write(person, what)
            else:
                {
                    "prefer": self.prefer,
                    "fail": self.fail,
                    "move": self.move,
                    "settle": lambda _: self.settle(),
                    "group": self.write_in_a_group,
                    "group failure": self.fail_in_a_group,
                }[what](person)

    def expected(self):
        """The suppressions of each person, under their number and under their user id."""
        found = {}
        for person in self.people:
            state = set()
            if person.said and max(person.said)[1] == "stop":
                state.add(("opted_out", "all"))
            if person.preferred and max(person.preferred)[1] == "stop":
                state.add(("opted_out", "marketing"))
            missed = [at for at in person.failed if at > max(person.wrote)]
            if len({at.date() for at in missed}) >= 3:
                state.add(("unreachable", "all"))
            found[person.phone] = found[person.user] = state
        return found | {key: set() for key in self.free}


def checked(world, database_url, keys):
    """What checks of few and of thousands find for each key."""
    with connect(database_url, application="tests") as beside, world.engine.connect() as held:
        question = CheckRequest(list(keys), NUMBER)
        (few,) = read_facts(driver(held), [question], world.now)
        many = read_facts_of_thousands(driver(held), beside, question, world.now)
    assert few.suppressions == many.suppressions
    assert few.wrote == many.wrote
    return {key: {(row.reason, row.scope) for row in few.suppressions.get(key, ())} for key in keys}


def states(world, database_url, *keys):
    """What a check finds for each key."""
    return {
        key: sorted(reason for reason, _ in found)
        for key, found in checked(world, database_url, keys).items()
    }


def test_failures_at_a_number_that_the_person_left_do_not_count_against_them(world, database_url):
    world.store(*(each for day in range(5) for each in others_sent(world, 9, day * DAY)))
    change_number(world, 4 * DAY)
    world.fail(3 * DAY, 2 * DAY, DAY)
    world.run()
    assert states(world, database_url, CONTACT, NEW) == {CONTACT: ["unreachable"], NEW: []}


def test_a_change_that_arrives_after_the_failures_is_as_good(world, database_url):
    world.store(*(each for day in range(7) for each in others_sent(world, 9, day * DAY)))
    world.fail(5 * DAY, 3 * DAY, 2 * DAY)
    world.run()
    assert states(world, database_url, CONTACT) == {CONTACT: ["unreachable"]}
    change_number(world, 4 * DAY)
    world.run(MINUTE)
    assert states(world, database_url, CONTACT, NEW) == {CONTACT: [], NEW: []}
    assert world.changes()[-1].note == "somebody else held the number"


def test_a_start_of_somebody_who_got_the_number_does_not_lift_the_stop_of_who_left_it(world, database_url):
    world.write(5 * HOUR, "stop")
    change_number(world, 4 * HOUR)
    world.write(3 * HOUR, "start")
    assert states(world, database_url, CONTACT, NEW) == {CONTACT: [], NEW: ["opted_out"]}
    world.write(2 * HOUR, "stop")
    world.write(HOUR, "start", contact=NEW)
    assert states(world, database_url, CONTACT, NEW) == {CONTACT: ["opted_out"], NEW: []}


def test_an_opt_out_at_a_number_before_somebody_moved_to_it_stays_and_failures_do_not(world, database_url):
    world.store(*(each for day in range(7) for each in others_sent(world, 9, day * DAY)))
    world.fail(6 * DAY, 5 * DAY, 4 * DAY, contact=NEW)
    world.write(7 * DAY, "stop", contact=NEW)
    world.run()
    assert states(world, database_url, NEW) == {NEW: ["opted_out", "unreachable"]}
    change_number(world, 3 * DAY)
    assert states(world, database_url, NEW) == {NEW: ["opted_out"]}


def test_a_message_delivered_to_somebody_else_lifts_nothing(world, database_url):
    world.store(*(each for day in range(7) for each in others_sent(world, 9, day * DAY)))
    world.fail(6 * DAY, 5 * DAY, 4 * DAY)
    change_number(world, 3 * DAY)
    world.run()
    world.deliver(2 * DAY)
    world.run()
    assert states(world, database_url, CONTACT, NEW) == {CONTACT: [], NEW: ["unreachable"]}


def test_a_window_that_somebody_else_opened_is_not_open_for_who_left_the_number(world, database_url):
    change_number(world, 3 * HOUR)
    world.write(2 * HOUR)
    with connect(database_url, application="tests") as beside, world.engine.connect() as held:
        question = CheckRequest([CONTACT, NEW], NUMBER)
        (few,) = read_facts(driver(held), [question], world.now)
        assert set(few.wrote) == {CONTACT}
        assert set(read_facts_of_thousands(driver(held), beside, question, world.now).wrote) == {CONTACT}


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_webhooks_gives_each_number_the_state_of_its_holder(world, database_url, seed):
    world.rules = ()
    chance = random.Random(seed)
    town = Town(chance, world.now)
    town.live(40)
    known, town.at = len(town.webhooks), world.now - MINUTE
    for (
        person
    ) in town.people:  # a new failure is decided with everything known, also by a link that came late
        town.fail(person)
    last, town.webhooks = town.webhooks[known:], town.webhooks[:known]
    expected = town.expected()
    for day in range(DAYS):
        world.store(*others_sent(world, 30, timedelta(days=day)))
    arriving = chance.sample(town.webhooks, len(town.webhooks))
    while arriving:
        size = chance.randrange(1, 6)
        some, arriving = arriving[:size], arriving[size:]
        world.store(*some, *chance.sample(some, chance.randrange(2)))
        if chance.random() < 0.3:
            world.run()
    at_once = {key: state - {("unreachable", "all")} for key, state in expected.items()}
    found = checked(world, database_url, expected)
    assert {key: state - {("unreachable", "all")} for key, state in found.items()} == at_once
    world.store(*last)
    world.run(MINUTE)
    assert checked(world, database_url, expected) == expected
    rows, changes = world.all(), world.changes()
    assert replayed(changes).keys() == {row.key for row in rows}
    world.store(*chance.sample(town.webhooks, len(town.webhooks)))
    world.run(2 * MINUTE)
    assert (world.all(), world.changes()) == (rows, changes)
