"""Changes, documents and bytes as Meta sends them."""

import json
import random
from datetime import UTC, datetime, timedelta

from webhook_app.simulator.messages import NUMBERS, SEASONAL_OFFER, SimulatedMessage, status_events, wamid
from webhook_app.simulator.payloads import (
    TimedChange,
    envelope,
    inbound_change,
    item_count,
    status_change,
    template_paused_change,
    wire,
)
from webhook_app.simulator.people import Person

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PERSON = Person("12025550117", "US.70411938265500174423", "Contact 1 \u2600", "contact.1", "US", True, 0)


def message_changes(number=NUMBERS[0], code=None):
    rng = random.Random(8)
    message = SimulatedMessage(wamid(rng, PERSON), number, PERSON, SEASONAL_OFFER, "autumn", NOW)
    return [
        TimedChange(event.due, number.waba_id, status_change(message, event.status))
        for event in status_events(rng, message, code)
    ]


def inbound(text="hi", number=NUMBERS[0]):
    change = inbound_change(random.Random(1), number, PERSON, NOW, text, button=False)
    return TimedChange(NOW, number.waba_id, change)


def paused(number=NUMBERS[0], at=NOW):
    return TimedChange(at, number.waba_id, template_paused_change(SEASONAL_OFFER))


def test_the_wire_form_is_one_line_of_escaped_ascii():
    body = wire({"text": "N\u00e3o http://a.test/x ana@mail.test \U0001f64f"})
    assert body == b'{"text":"N\\u00e3o http:\\/\\/a.test\\/x ana\\u0040mail.test \\ud83d\\ude4f"}'


def test_the_wire_form_decodes_to_the_document():
    document = envelope([*message_changes(), inbound("24/7 @ you\n")])
    assert json.loads(wire(document)) == document


def test_a_single_change_has_an_entry_to_itself():
    (first, *_) = message_changes()
    assert envelope([first]) == {
        "object": "whatsapp_business_account",
        "entry": [{"id": NUMBERS[0].waba_id, "changes": [first.change]}],
    }


def test_statuses_of_one_number_share_a_change_and_contacts_lists_each_person_once():
    group = message_changes() + message_changes()
    (entry,) = envelope(group)["entry"]
    (change,) = entry["changes"]
    assert change["value"]["statuses"] == [timed.change["value"]["statuses"][0] for timed in group]
    assert [contact["wa_id"] for contact in change["value"]["contacts"]] == ["12025550117"]


def test_failed_statuses_alone_have_no_contacts():
    failed = [timed for timed in message_changes(code=131026) if "contacts" not in timed.change["value"]]
    (change,) = envelope(failed * 2)["entry"][0]["changes"]
    assert len(change["value"]["statuses"]) == 2
    assert "contacts" not in change["value"]


def test_numbers_of_one_account_share_an_entry_and_other_accounts_have_their_own():
    document = envelope([message_changes(number)[0] for number in NUMBERS])
    assert [(entry["id"], len(entry["changes"])) for entry in document["entry"]] == [
        (NUMBERS[0].waba_id, 2),
        (NUMBERS[2].waba_id, 1),
    ]


def test_statuses_and_messages_of_a_number_are_separate_changes():
    (entry,) = envelope([message_changes()[0], inbound(), message_changes()[1]])["entry"]
    assert [[*change["value"]][-1] for change in entry["changes"]] == ["statuses", "messages"]


def test_only_notices_have_an_entry_time():
    document = envelope([message_changes()[0], paused(), paused(at=NOW + timedelta(seconds=5))])
    assert [entry.get("time") for entry in document["entry"]] == [
        None,
        int(NOW.timestamp()),
        int(NOW.timestamp()) + 5,
    ]


def test_two_notices_of_the_same_time_are_both_sent():
    (entry,) = envelope([paused(), paused()])["entry"]
    assert len(entry["changes"]) == 2


def test_merging_does_not_modify_the_changes():
    group = message_changes() + message_changes()
    before = json.dumps([timed.change for timed in group])
    envelope(group)
    assert json.dumps([timed.change for timed in group]) == before


def test_items_are_statuses_messages_and_preferences_and_a_notice_is_one():
    (change,) = envelope(message_changes() * 2)["entry"][0]["changes"]
    assert item_count(change) == 2 * len(message_changes())
    assert item_count(inbound().change) == 1
    assert item_count(paused().change) == 1
