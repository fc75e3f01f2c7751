"""Suppressions move with people who change their number."""

from tests.pipeline.world import (
    CONTACT,
    DAY,
    HOUR,
    MINUTE,
)
from tests.support.factories import body, message
from webhook_app.store.suppressions import suppressions

NEW = "491715550117"


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
