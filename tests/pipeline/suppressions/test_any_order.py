"""Suppress, consent and changes: any order and repetition of events gives the suppressions of a simple model."""

import random
from datetime import timedelta

import pytest

from tests.pipeline.world import (
    BLOCKED,
    EXPERIMENT,
    HOUR,
    STOPPED,
    UNREACHABLE,
    WITHHELD,
)
from tests.support.factories import NUMBER, body, message, status
from tests.support.suppressions import replayed
from webhook_app.store.suppressions import suppressions

PEOPLE, STEPS = 30, 14
KINDS = (
    *[("failed", UNREACHABLE)] * 8,
    *[("failed", WITHHELD)] * 3,
    *[("failed", code) for code in (EXPERIMENT, STOPPED, BLOCKED, 131_000)],
    *[("prefer", value) for value in ("stop", "resume")] * 2,
    *[("write", text) for text in ("stop", "start", "cancel", "stop promotions", "hi")],
    *[("reach", what) for what in ("delivered", "read")],
    *[("manual", what) for what in ("put", "lift")],
)


def random_events(chance, now):
    """What happens to somebody within 60 days, each moment another one."""
    hours = chance.sample(range(1, 60 * 24), STEPS)
    found = []
    for place, age in enumerate(hours):
        kind, what = chance.choice(KINDS)
        campaign = chance.choice(["", "a", "b"])
        found.append((kind, what, now - age * HOUR, f"wamid.{place}", campaign))
    return found


def deliver(world, contact, fact):
    kind, what, at, message_id, campaign = fact
    name = f"{message_id}.{contact}"
    age = world.now - at
    if kind == "failed":
        world.store(world.failure(age, what, contact, campaign=campaign, message_id=name))
    elif kind == "prefer":
        world.prefer(age, what, contact)
    elif kind == "write":
        world.store(body(messages=[message(name, at, sender=contact, text=what)]))
    elif kind == "reach":
        world.store(body(status(name, what, at, recipient=contact)))


def decide_by_hand(world, contact, what):
    with world.engine.begin() as connection:
        if what == "put":
            suppressions.put(connection, contact, scope="marketing", actor="ops", now=world.now)
        else:
            suppressions.lift(connection, contact, None, None, "manual", actor="ops", now=world.now)


# The model: the definitions of docs/suppression.md, written down once more without regard for speed or order.


def expected(facts, by_hand, now):  # noqa: C901, PLR0912 - every definition in one place, as on the page
    found = {}
    failures = sorted((at, what, campaign) for kind, what, at, _, campaign in facts if kind == "failed")
    success = max((at for kind, _, at, *_ in facts if kind in ("reach", "write")), default=None)
    wrote = max((at for kind, _, at, *_ in facts if kind == "write"), default=None)

    def since(moment, *codes):
        return [(a, w, c) for a, w, c in failures if w in codes and (moment is None or a > moment)]

    counted, seen = [], set()
    for at, _, campaign in since(success, UNREACHABLE):
        if (campaign, at.date()) not in seen:
            seen.add((campaign, at.date()))
            counted.append(at)
    until, times = None, 0
    for count, at in enumerate(counted, 1):
        if count >= 3 and len({each.date() for each in counted[:count]}) >= 2:
            if until is None or at > until:
                times += 1
            until = at + timedelta(days=min(30 * 2 ** (times - 1), 365))
    if until and until > now:
        found["unreachable", "all"] = (until, times)
    if since(success, BLOCKED):
        found["hard", "all"] = (None, 1)
    if since(wrote, EXPERIMENT):
        found["unreachable", "marketing"] = (None, 1)
    elif withheld := since(None, WITHHELD):
        until, times = None, 0
        for at, *_ in withheld:
            if until is None or at > until:
                times += 1
            until = at + min(timedelta(hours=24 * 2 ** (times - 1)), timedelta(days=30))
        if until > now:
            found["unreachable", "marketing"] = (until, times)
    written = [(at, what) for kind, what, at, *_ in facts if kind == "write" and what != "hi"]
    preferred = [(at, what) for kind, what, at, *_ in facts if kind == "prefer"]
    chosen = [(at, what == "stop") for at, what in preferred]
    chosen += [(at, True) for at, *_ in since(None, STOPPED)]
    said = [(at, what != "start") for at, what in written if what != "stop"]
    said += [(at, False) for at, what in preferred if what == "resume"]
    if any(words and max(words)[1] for words in (chosen, said)):
        found["opted_out", "marketing"] = (None, 1)
    words = [(at, what == "stop") for at, what in written if what in ("stop", "start")]
    if words and max(words)[1]:
        found["opted_out", "all"] = (None, 1)
    if by_hand == "put":
        found["manual", "marketing"] = (None, 1)
    return found


@pytest.mark.parametrize("seed", [1])
def test_any_order_and_repetition_gives_the_state_of_the_model_and_the_audit_replays(world, seed):
    world.rules = ()  # the model knows no outages
    chance = random.Random(seed)
    histories = {f"1606555{place:04}": random_events(chance, world.now) for place in range(PEOPLE)}
    arriving = {contact: chance.sample(facts, STEPS) for contact, facts in histories.items()}
    by_hand = {}
    for step in range(STEPS):
        for contact, facts in arriving.items():
            kind, what, *_ = facts[step]
            if kind == "manual":
                decide_by_hand(world, contact, what)
                by_hand[contact] = what
            else:
                deliver(world, contact, facts[step])
                if chance.random() < 0.3:
                    deliver(world, contact, chance.choice(facts[: step + 1]))
        if chance.random() < 0.6:
            world.run()
    world.run()
    found = {contact: {} for contact in histories}
    for row in world.all():
        assert row.phone_number_id == ("" if row.reason == "manual" else NUMBER)
        found[row.contact][row.reason, row.scope] = (row.until, row.times)
    assert found == {
        contact: expected(facts, by_hand.get(contact), world.now) for contact, facts in histories.items()
    }
    rows = {row.key: row for row in world.all()}
    audit = replayed(world.changes())
    assert audit.keys() == rows.keys()
    same = (
        "code",
        "since",
        "until",
        "times",
        "evidence",
        "seen_as",
        "actor",
        "note",
        "review",
        "half_open_at",
    )
    assert all(getattr(audit[key], name) == getattr(rows[key], name) for key in rows for name in same)
    before = world.changes()
    for contact, facts in histories.items():
        for fact in facts:
            deliver(world, contact, fact)
    world.run()
    assert world.changes() == before
