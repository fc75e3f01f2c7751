"""What people did on an incident stays, whatever the evaluation writes meanwhile."""

from datetime import timedelta

from msgspec.structs import replace
from sqlalchemy import Engine

from tests.support.incidents import store_incident
from webhook_app.store.incidents import incidents
from webhook_app.store.incidents.incidents import Incident

HOUR = timedelta(hours=1)


def read(engine: Engine, incident_id: int) -> Incident:
    with engine.connect() as connection:
        found = incidents.get(connection, incident_id)
    assert found is not None
    return found


def test_an_evaluation_does_not_change_what_people_wrote(engine, now):
    incident_id = store_incident(engine, now)
    before = read(engine, incident_id)
    with engine.begin() as connection:
        assert incidents.acknowledge(connection, incident_id, "ops", now)
        assert incidents.snooze(connection, incident_id, now + HOUR, "kim")
        incidents.save_all(connection, [replace(before, severity="critical", total_failures=7)])
    after = read(engine, incident_id)
    assert (after.severity, after.total_failures) == ("critical", 7)
    assert (after.acknowledged_at, after.acknowledged_by) == (now, "ops")
    assert (after.snoozed_until, after.snoozed_by) == (now + HOUR, "kim")


def test_the_first_acknowledgement_stays_until_the_incident_opens_again(engine, now):
    incident_id = store_incident(engine, now)
    with engine.begin() as connection:
        incidents.acknowledge(connection, incident_id, "first", now)
        incidents.acknowledge(connection, incident_id, "second", now + HOUR)
    assert (read(engine, incident_id).acknowledged_at, read(engine, incident_id).acknowledged_by) == (
        now,
        "first",
    )
    with engine.begin() as connection:
        incidents.clear_acknowledgement(connection, incident_id)
    assert read(engine, incident_id).acknowledged_by == ""


def test_an_incident_that_has_ended_is_neither_acknowledged_nor_snoozed(engine, now):
    incident_id = store_incident(engine, now, state="ended", ended_at=now, ended_how="recovered")
    with engine.begin() as connection:
        assert not incidents.acknowledge(connection, incident_id, "ops", now)
        assert not incidents.snooze(connection, incident_id, now + HOUR, "ops")


def test_incidents_that_ended_are_listed_with_the_open_ones_for_a_time(engine, now):
    opened = store_incident(engine, now)
    late = store_incident(engine, now, state="ended", ended_at=now - HOUR, ended_how="quiet")
    store_incident(engine, now, state="ended", ended_at=now - 3 * HOUR, ended_how="quiet")
    with engine.connect() as connection:
        found = incidents.open_or_ended_since(connection, now - 2 * HOUR)
    assert [each.id for each in found] == [opened, late]
