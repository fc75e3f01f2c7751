"""No poison: whatever one item is, its neighbours are applied, the books balance, and nothing raises.

Hypothesis looks for the smallest mutation that breaks this, within a fixed number of examples.
"""

from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.fuzzing.mutations import as_json, deliver, garble, mutate
from tests.support.factories import body, document, status, value
from webhook_app.pipeline.receiving import batch_writer
from webhook_app.whatsapp.receiving.payload import parse, parse_any
from webhook_app.whatsapp.receiving.plain_delivery import read_plain

NOW = datetime.now(UTC).replace(microsecond=0)
randoms = st.integers(0, 2**63).map(Random)
budget = settings(
    deadline=None,
    derandomize=True,
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def clean(held: Any) -> bool:
    """Whether every text in it is one that Postgres takes."""
    if isinstance(held, str):
        return "\0" not in held and held == held.encode("utf-8", "replace").decode()
    if isinstance(held, dict):
        return all(clean(key) and clean(inner) for key, inner in held.items())
    if isinstance(held, (list, tuple, set)):
        return all(clean(inner) for inner in held)
    return True


@budget
@given(random=randoms)
def test_a_mutated_item_is_sorted_and_its_neighbours_are_applied(random):
    made = deliver(random, "x", int(NOW.timestamp()))
    parsed = parse(made.body)
    assert set(made.statuses) <= {event.message_id for event in parsed.statuses}
    assert set(made.messages) <= {event.message_id for event in parsed.inbound}
    assert clean(
        [msgspec.structs.asdict(each) for kind in (parsed.statuses, parsed.inbound) for each in kind]
    )


@budget
@given(random=randoms)
def test_what_the_reader_of_plain_deliveries_takes_it_reads_as_the_other_does(random):
    item = status(
        "wamid.A", random.choice(("sent", "delivered", "failed")), code=random.choice((None, 131026))
    )
    odd = mutate(random, item | {"recipient_user_id": "US.1", "pricing": {"category": "marketing"}})
    raw = as_json(document(value(status("wamid.B"), odd)), ascii_only=True)
    plain = read_plain(raw)
    assert plain is None or plain == parse_any(raw)


@budget
@given(random=randoms)
def test_a_garbled_body_is_sorted_too(random):
    whole = deliver(random, "x", int(NOW.timestamp())).body
    parsed = parse(garble(random, whole))
    assert parsed.received >= 0
    assert clean(
        [msgspec.structs.asdict(each) for kind in (parsed.statuses, parsed.unreadable) for each in kind]
    )


@settings(budget, max_examples=120)
@given(seed=st.integers(0, 2**63))
def test_mutations_that_share_a_commit_with_good_deliveries_harm_none_of_them(writer, engine, seed):
    random = Random(seed)
    made = [deliver(random, f"{seed}.{n}", int(NOW.timestamp())) for n in range(8)]
    good = [body(status(f"wamid.other.{seed}.{n}")) for n in range(8)]
    raw = [each for pair in zip((m.body for m in made), good, strict=True) for each in pair]
    writer.store([batch_writer.Delivery(each) for each in [*raw, garble(random, raw[0])]], NOW)
    wanted = {message_id for each in made for message_id in each.statuses}
    wanted |= {f"wamid.other.{seed}.{n}" for n in range(8)}
    with engine.connect() as connection:
        stored = set(connection.execute(text("SELECT message_id FROM status_events")).scalars())
        wrote = set(connection.execute(text("SELECT message_id FROM inbound_messages")).scalars())
        received, sorted_out = connection.execute(
            text("SELECT sum(received), sum(applied + duplicate + ignored + quarantined) FROM books")
        ).one()
    assert wanted <= stored
    assert {message_id for each in made for message_id in each.messages} <= wrote
    assert received == sorted_out
