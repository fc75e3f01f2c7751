"""The comparison of what webhooks show with and without made-up reports finds differences, and none in some outages."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from tests.fuzzing.made_up_reports import BROKEN, KEYS, MadeUp, Outage, Plan, Seen, Told, World, faults

NUMBER, OTHER = "590238114470021", "590238114470022"
PLAN = Plan(
    per_minute={NUMBER: 8, OTHER: 8, "590238114470077": 0.3},
    outages=[Outage(code=BROKEN, share=0.5, start=6, end=16, number=NUMBER)],
    made_up=[
        MadeUp(key=KEYS[0], code=BROKEN, calls=60, minutes=range(3, 14, 5), number=OTHER, template="order"),
        MadeUp(key=KEYS[0], code=BROKEN, calls=200, minutes=range(8, 9), number=NUMBER, template="made_up"),
    ],
    minutes=20,
)


def test_an_outage_is_judged_as_it_is_without_made_up_reports_beside_it(
    database_url: str, now: datetime
) -> None:
    begin = now.replace(second=0) - timedelta(hours=6)
    world = World(database_url)
    alone = world.play(1, PLAN, begin, is_made_up=False)
    world.empty()
    beside = world.play(1, PLAN, begin, is_made_up=True)
    world.engine.dispose()
    assert [each.codes for each in alone.told if each.reason == "fired"] == [(BROKEN,)]
    assert list(faults(PLAN, alone, beside)) == []


TOLD = Told(10, "fired", "131053 Media upload error", (BROKEN,))
SEEN = Seen(
    told=[TOLD, Told(40, "resolved", TOLD.title, (BROKEN,))],
    paused={10: {(190, NUMBER)}},
    open={10: {BROKEN}},
    excused={"wamid.1"},
)


@pytest.mark.parametrize(
    ("beside", "fault"),
    [
        (replace(SEEN, told=[replace(TOLD, minute=14), SEEN.told[1]]), "not told in time"),
        (replace(SEEN, told=[TOLD]), "no end in time"),
        (replace(SEEN, told=[*SEEN.told, replace(TOLD, title="template made_up")]), "a made-up place"),
        (replace(SEEN, open={}), "not open at minute 10: [131053]"),
        (replace(SEEN, paused={}), "no pause at minute 10"),
        (replace(SEEN, paused=SEEN.paused | {20: {(190, OTHER)}}), "a pause at minute 20"),
        (replace(SEEN, excused=set()), "1 fewer failures are excused"),
        (replace(SEEN, excused={"wamid.1", "wamid.2"}), "1 more failures are excused"),
    ],
)
def test_every_difference_is_a_fault(beside: Seen, fault: str) -> None:
    assert list(faults(PLAN, SEEN, SEEN)) == []
    [found] = faults(PLAN, SEEN, beside)
    assert found.startswith(fault)


def test_incidents_without_codes_are_told_apart_by_what_they_say() -> None:
    missing = replace(TOLD, title="Delivery reports are missing, country US", codes=())
    silent = replace(missing, title="No webhooks in 30 min, country US")
    alone = replace(SEEN, told=[missing])
    assert list(faults(PLAN, alone, replace(SEEN, told=[replace(missing, title=f"{missing.title}!")]))) == []
    [found] = faults(PLAN, alone, replace(SEEN, told=[silent]))
    assert found.startswith("not told in time: Delivery reports are missing")
