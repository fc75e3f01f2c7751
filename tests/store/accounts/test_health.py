"""What webhooks reported about each account, number and template."""

import json

from sqlalchemy import text

from tests.support.factories import document, status, value
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.accounts.health import MOST_REPORTS, HealthFilters, reported_health, subjects


def test_a_number_that_was_first_reported_without_its_digits_is_a_subject_of_its_own(writer, engine, now):
    bodies = []
    for metadata in ({"display_phone_number": "13125550199"}, {}):
        held = document(value(status(str(metadata), "sent", now)))
        held["entry"][0]["changes"][0]["value"]["metadata"] = metadata | {"phone_number_id": " "}
        bodies.append(Delivery(json.dumps(held).encode()))
    writer.store(bodies, now)
    with engine.connect() as connection:
        found = subjects(connection, HealthFilters(), 10)
        assert [each.subject_id for each in found if each.subject == "number"] == [" ", "+13125550199"]
        assert set(reported_health(connection, found)) == {(each.subject, each.subject_id) for each in found}


def test_of_an_aspect_that_changed_very_often_only_the_latest_reports_are_read(engine, now):
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, received_at)"
                " SELECT 'template', '7', aspect, :now - n * interval '1 minute', 'V' || n, :now"
                " FROM generate_series(1, 200) n, unnest(ARRAY['status', 'quality']) aspect"
            ),
            {"now": now},
        )
        found = subjects(connection, HealthFilters(), 10)
        reports = reported_health(connection, found)["template", "7"]
    latest = {f"V{n}" for n in range(1, MOST_REPORTS + 1)}
    assert {(r.aspect, r.value) for r in reports} == {
        (aspect, value) for aspect in ("status", "quality") for value in latest
    }
