"""The view of settled events reads the bits of `lacks` that settling writes."""

from datetime import datetime
from itertools import product

from sqlalchemy import Connection, text

from webhook_app.store.counts.messages.settled import LACKING, LACKING_BITS

_STORE = text("""
INSERT INTO settled_messages (message_id, sent_at, delivered_at, read_at, sent_received_at, delivered_received_at,
                              read_received_at, series_id, category, callback_data, pricing, lacks)
VALUES (:message_id, :now, :now, :now, :now, :now, :now, 1, 'marketing', 'offer', 7, :lacks)
""")


def test_an_event_of_the_view_lacks_what_its_bit_says_and_no_other_does(
    connection: Connection, now: datetime
) -> None:
    cases = list(product(LACKING_BITS, LACKING))
    places = list(LACKING)
    for status, column in cases:
        lacks = LACKING_BITS[status] << places.index(column)
        values = {"message_id": f"{status} {column}", "now": now, "lacks": lacks}
        connection.execute(_STORE, values)
    events = connection.execute(text("SELECT * FROM settled_events")).mappings().all()
    assert len(events) == len(cases) * len(LACKING_BITS)
    lacking = {
        (each["message_id"], each["status"], name) for each in events for name in LACKING if not each[name]
    }
    assert lacking == {(f"{status} {column}", status, column) for status, column in cases}
