"""However many messages of a person senders report, each statement of an erasure takes a few hundred."""

import pytest
from sqlalchemy import event, text

from tests.support.factories import NUMBER, body, message, status
from tests.support.reports import report_failed_calls
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.people import erased_messages
from webhook_app.whatsapp.people.traces import Traces

PERSON, OTHER = "12025550117", "12025550118"
MANY, AT_MOST = 1_200, 500


@pytest.fixture
def report(engine, now):
    """Stores reported sends to the person under these ids."""

    def insert(*ids):
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO sends (message_id, phone_number_id, failed, contact, sent_at, registered_at)"
                    " SELECT i, :number, false, :contact, :now, :now FROM unnest(CAST(:ids AS text[])) AS i"
                ),
                {"ids": list(ids), "number": NUMBER, "contact": PERSON, "now": now},
            )

    return insert


@pytest.fixture
def take_out(engine, now):
    """Erases the person from messages; returns the sizes of the lists that statements had as values."""

    def run():
        sizes = []

        def measure(_connection, _cursor, _statement, values, _context, is_many):
            found = [each for each in ([] if is_many else values.values()) if isinstance(each, list)]
            sizes.extend(map(len, [*found, values] if is_many else found))

        event.listen(engine, "before_cursor_execute", measure)
        with engine.begin() as connection:
            traces = Traces([PERSON], erased_messages.message_ids(connection, Traces([PERSON])))
            for ids in erased_messages.parts(list(traces.message_ids)):
                erased_messages.take_out(connection, ids, traces, now)
            for places in erased_messages.parts(erased_messages.reports(connection, traces)):
                erased_messages.take_out_reports(connection, places, traces, now)
        event.remove(engine, "before_cursor_execute", measure)
        return sizes

    return run


@pytest.fixture
def reports(engine):
    def read():
        with engine.connect() as connection:
            return connection.execute(text("SELECT message_id, contact FROM sends")).all()

    return read


def test_reports_that_no_webhook_followed_are_taken_in_parts(report, take_out, reports):
    report(*(f"wamid.{n}" for n in range(MANY)))
    sizes = take_out()
    assert (max(sizes), sizes.count(AT_MOST) > 1) == (AT_MOST, True)
    left = reports()
    assert len({row.message_id for row in left}) == MANY
    assert all(row.message_id.startswith("erased:") and not row.contact for row in left)


def test_messages_with_events_are_taken_in_parts(writer, report, take_out, reports, engine, now):
    ids = [f"wamid.{n}" for n in range(AT_MOST + 10)]
    writer.store([Delivery(body(*(status(each, "sent", now, recipient=PERSON) for each in ids)))], now)
    report(*ids)
    assert max(take_out()) == AT_MOST
    with engine.connect() as connection:
        events = connection.execute(text("SELECT message_id, contact FROM status_events")).all()
    assert set(events) == set(reports())
    assert all(row.message_id.startswith("erased:") and not row.contact for row in events)


def test_a_report_of_another_s_message_loses_the_person_and_keeps_its_id(
    writer, report, take_out, reports, now
):
    writer.store([Delivery(body(status("wamid.X", "sent", now, recipient=OTHER)))], now)
    report("wamid.X")
    take_out()
    assert reports() == [("wamid.X", "")]


def test_a_made_up_failed_call_takes_no_message_that_webhooks_show_of_others(
    writer, take_out, reports, engine, now
):
    """A key reads the id of a message to or from somebody or a group, and reports that its call to C failed."""
    group = status("wamid.GROUP", "delivered", now, recipient="a-group", recipient_type="group",
                   recipient_participant_id=OTHER)  # fmt: skip
    stop = message("wamid.IN", now, sender=OTHER, text="STOP")
    sent = status("wamid.SENT", "sent", now, recipient=OTHER)
    writer.store([Delivery(body(group, sent, messages=[stop]))], now)
    made_up = ("wamid.SENT", "wamid.GROUP", "wamid.IN", "wamid.MINE")
    for each in made_up:
        report_failed_calls(engine, 1, now, 131009, message_id=each, contact=PERSON)
    with engine.connect() as connection:
        assert erased_messages.message_ids(connection, Traces([PERSON])) == ["wamid.MINE"]
    take_out()
    with engine.begin() as connection:
        others = erased_messages.ids_of_others(connection, Traces([PERSON]))
        erased_messages.take_out_others(connection, others, Traces([PERSON]), now)
        left = connection.execute(text(" UNION ALL ".join(
            f"SELECT message_id, contact FROM {name}" for name in ("status_events", "failures", "messages")
        ))).all()  # fmt: skip
    assert PERSON not in {row.contact for row in [*left, *reports()]}
    kept = {(row.message_id, row.contact) for row in left if row.contact}
    assert kept == {("wamid.GROUP", OTHER), ("wamid.SENT", OTHER)}
    assert len([row for row in left if row.message_id.startswith("erased:")]) == 3
