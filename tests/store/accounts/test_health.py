"""What webhooks reported about each account, number and template."""

import json

from tests.support.factories import document, status, value
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.accounts.health import HealthFilters, reported_health, subjects


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
