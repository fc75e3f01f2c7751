"""Ingest, links and suppress: any order of webhooks gives the same people and suppressions.

The model joins the keys of each webhook and shares no code with the store. Numbers that change hands have a test of
their own.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.support.factories import body, document, message, status, utc_text
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.people.contacts import keys_of, links_of_many, main_keys
from webhook_app.store.postgres.engine import DriverConnection, connect

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
PHONES = ("12025550110", "5511961234567", "5491123456789", "522221234567", "2250707123456", "2290190123456")
SPELLINGS = {
    "5511961234567": "551161234567",
    "5491123456789": "541123456789",
    "522221234567": "5212221234567",
    "2250707123456": "22507123456",
    "2290190123456": "22990123456",
}
USERS = ("US.1", "US.2", "BR.3", "AR.4")
PARENTS = ("US.ENT.1", "BR.ENT.2")

Shown = tuple[bytes, frozenset[str]]
"""A webhook, and the keys that it shows to be one person's."""

phones, users, parents = (st.sampled_from(keys) for keys in (PHONES, USERS, PARENTS))
spelt = st.tuples(phones, st.booleans()).map(
    lambda drawn: SPELLINGS.get(drawn[0], drawn[0]) if drawn[1] else drawn[0]
)
moments = st.integers(0, 3000).map(lambda seconds: START + timedelta(seconds=seconds))
canonical = {other: phone for phone, other in SPELLINGS.items()}


def shown(webhook: bytes, *keys: str | None) -> Shown:
    return webhook, frozenset(canonical.get(key, key) for key in keys if key)


@st.composite
def webhooks(draw: st.DrawFn) -> Shown:
    phone, user, parent, at = draw(spelt), draw(users), draw(st.none() | parents), draw(moments)
    serial = f"wamid.{draw(st.integers(0, 10**6))}"
    person = {"wa_id": phone, "user_id": user} | ({"parent_user_id": parent} if parent else {})
    match draw(st.integers(0, 7)):
        case 0:  # a failure carries the key it was sent to, and no other
            key = draw(st.sampled_from((phone, user)))
            sent_to = {"recipient": key} if key == phone else {"recipient": "", "recipient_user_id": key}
            found = shown(body(status(serial, "failed", at, code=131026, **sent_to)), key)
        case 1:
            parent_key = draw(st.sampled_from(("recipient_parent_user_id", "parent_recipient_user_id")))
            more = {"recipient_user_id": user} | ({parent_key: parent} if parent else {})
            found = shown(body(status(serial, "delivered", at, recipient=phone, **more)), phone, user, parent)
        case 2:  # sent to a BSUID while the phone is withheld
            more = {"recipient_user_id": user, "recipient_parent_user_id": parent}
            found = shown(body(status(serial, "read", at, recipient="", **more)), user, parent)
        case 3:  # an older status, the contact beside it knows more
            found = shown(
                body(status(serial, "sent", at, recipient=phone), contacts=[person]), phone, user, parent
            )
        case 4:
            item = message(serial, at, sender=phone) | {"from_user_id": user, "from_parent_user_id": parent}
            found = shown(body(messages=[item]), phone, user, parent)
        case 5:
            said = person | {
                "category": "marketing_messages",
                "value": "stop",
                "timestamp": int(at.timestamp()),
            }
            held = {"metadata": {"phone_number_id": "1"}, "user_preferences": [said]}
            found = shown(json.dumps(document(held, field="user_preferences")).encode(), phone, user, parent)
        case 6:
            card = {
                "type": "contacts",
                "origin": "contact_request",
                "contacts": [{"phones": [{"phone": "+" + phone}]}],
            }
            item = {"id": serial, "timestamp": utc_text(at), "from_user_id": user} | card
            found = shown(body(messages=[item]), phone, user)
        case _:
            new_user = draw(users.filter(lambda new: new != user))
            system = {"type": "user_changed_user_id", "user_id": new_user, "previous_user_id": user}
            system |= {"parent_user_id": parent} if parent else {}
            item = {"id": serial, "timestamp": utc_text(at), "type": "system", "system": system}
            found = shown(body(messages=[item]), user, new_user, parent)
    return found


def people(seen: Sequence[Shown]) -> set[frozenset[str]]:
    """The model: keys shown together are one person's, and so on."""
    found: set[frozenset[str]] = set()
    for _, keys in seen:
        touched = {person for person in found if person & keys}
        found = (found - touched) | {keys.union(*touched)}
    return found


Outcome = tuple[set[frozenset[str]], dict[str, str]]


@pytest.fixture
def connections(database_url: str) -> Iterator[Sequence[DriverConnection]]:
    """Connections of two writers, for all outcomes: opening them takes longer than a commit."""
    with (
        connect(database_url, application="tests") as one,
        connect(database_url, application="tests") as other,
    ):
        yield one, other


def outcome(
    engine: Engine, connections: Sequence[DriverConnection], batches: Sequence[Sequence[bytes]]
) -> Outcome:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM contact_links"))
        connection.execute(text("DELETE FROM number_changes"))
    writers = [BatchWriter(lambda each=each: each, slot) for slot, each in enumerate(connections)]
    for number, batch in enumerate(batches):
        writers[number % 2].store([Delivery(each) for each in batch], START)
    everybody = [*PHONES, *USERS, *PARENTS]
    with engine.connect() as connection:
        found = {frozenset(keys) for keys in links_of_many(connection, everybody).values()}
        assert all(frozenset(keys_of(connection, key)) in found for key in everybody)
        return found, main_keys(connection, everybody)


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seen=st.lists(webhooks(), min_size=1, max_size=12), data=st.data())
def test_any_order_of_webhooks_gives_the_same_people(
    engine: Engine, connections: Sequence[DriverConnection], seen: list[Shown], data: Any
) -> None:
    bodies = [webhook for webhook, _ in seen]
    again = data.draw(st.permutations(bodies + bodies[:3]))
    size = data.draw(st.integers(1, 5))
    first = outcome(engine, connections, [bodies])
    second = outcome(engine, connections, [again[i : i + size] for i in range(0, len(again), size)])
    assert first == second
    found, mains = first
    known = people(seen)
    assert {person for person in found if person & frozenset().union(*known)} == known
    assert all(len({mains[key] for key in person}) == 1 for person in found)


def test_a_failure_by_one_key_counts_for_all_keys_of_the_person(
    engine: Engine, connections: Sequence[DriverConnection], now: datetime
) -> None:
    by_phone = body(status("wamid.1", "failed", now, recipient="551161234567", code=131026))
    by_user = body(status("wamid.2", "failed", now, recipient="", recipient_user_id="BR.3", code=131026))
    link = body(status("wamid.3", "sent", now, recipient="5511961234567", recipient_user_id="BR.3"))
    for order in ([by_phone, by_user, link], [link, by_user, by_phone]):
        found, mains = outcome(engine, connections, [[each] for each in order])
        assert frozenset({"5511961234567", "BR.3"}) in found
        assert mains["BR.3"] == mains["5511961234567"] == "5511961234567"
        with engine.connect() as connection:
            keys = keys_of(connection, "BR.3")
            failed = connection.execute(
                text("SELECT message_id FROM failures WHERE contact = ANY(:keys) ORDER BY 1"),
                {"keys": list(keys)},
            )
            assert list(failed.scalars()) == ["wamid.1", "wamid.2"]
