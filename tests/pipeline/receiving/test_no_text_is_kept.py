"""The text of messages is nowhere in the database, however a signed body writes it."""

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.support.factories import body, document, handed_over, handover, message, status, value
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.receiving.ingest import GroupCommit
from webhook_app.store.postgres.engine import connect
from webhook_app.store.receiving.archive import unpack

SECRET = "the words of a person"
INBOUND = message("wamid.IN", text=SECRET)
PLAIN = body(messages=[INBOUND])
ITEM = json.dumps(INBOUND).encode()
VALUES = b"1," * 250_001 + b"1"


def kept_texts(engine: Engine) -> list[bytes]:
    """Return all bodies of the archive and all columns of the quarantine."""
    with engine.connect() as connection:
        archive = connection.execute(text("SELECT body, packed FROM deliveries")).all()
        quarantine = connection.execute(text("SELECT * FROM quarantine")).all()
    found = [each for row in archive for each in unpack(bytes(row[0]), packed=row[1])]
    assert found
    columns = [column for row in quarantine for column in row]
    return found + [bytes(c) if isinstance(c, (bytes, memoryview)) else str(c).encode() for c in columns]


def names_secret(kept: bytes) -> bool:
    """Whether the bytes hold the secret in UTF-8, UTF-16 or as escapes."""
    plain = kept.replace(b"\0", b"")
    return SECRET.encode() in plain or b"words of" in plain or escaped(SECRET).encode() in plain.lower()


def escaped(written: str) -> str:
    """Write every character as a JSON escape."""
    return "".join(f"\\u{ord(each):04x}" for each in written)


def beside(key: bytes, held: bytes, raw: bytes) -> bytes:
    """Put one more key in front of another."""
    assert key in raw
    return raw.replace(key, held + b"," + key, 1)


STATUSES = body(status("wamid.S"))
SHAPES = {
    "escaped key": PLAIN.replace(b'"messages": [', b'"m\\u0065ssages": ['),
    "escaped key in capitals": PLAIN.replace(b'"messages": [', b'"messa\\u0067\\u0065s": ['),
    "NUL in a key": PLAIN.replace(b'"messages": [', b'"mess\0ages": ['),
    "escaped NUL in a key": PLAIN.replace(b'"messages": [', b'"mess\\u0000ages": ['),
    "repeated key": PLAIN.replace(b"]}}]}]}", b'], "messages": []}}]}]}'),
    "repeated key of the text": PLAIN.replace(b'"text": {', b'"text": {"body": "stop"}, "text": {', 1),
    "repeated value": PLAIN.replace(b"}]}]}", b', "value": {}}]}]}'),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "UTF-16": PLAIN.decode().encode("utf-16"),
    "UTF-16 without a mark": PLAIN.decode().encode("utf-16-be"),
    "truncated": PLAIN[:-3],
    "truncated in the text": PLAIN[: PLAIN.index(SECRET.encode()) + 12],
    "one byte more": PLAIN + b"x",
    "a quote in front": b'"' + PLAIN,
    "deep nesting": beside(b'"messages": [', b'"odd": ' + b"[" * 3000 + b"]" * 3000, PLAIN),
    "deep nesting without an end": PLAIN[:-6] + b', "odd": ' + b"[" * 3000,
    "many values and an escaped key": beside(
        b'"m\\u0065ssages": [', b'"odd": [' + VALUES + b"]", PLAIN.replace(b'"messages": [', b'"m\\u0065ssages": [')
    ),
    "many values that are no JSON": b'"' + beside(b'"messages": [', b'"odd": [' + VALUES + b"]", PLAIN),
    "many values in UTF-16": beside(b'"messages": [', b'"odd": [' + VALUES + b"]", PLAIN).decode().encode("utf-16-le"),
    "messages of an entry": beside(b'"changes"', b'"messages": [' + ITEM + b"]", STATUSES),
    "messages of the document": beside(b'"object"', b'"messages": [' + ITEM + b"]", STATUSES),
    "text of a status": body(status("wamid.S", text={"body": SECRET})),
    "messages of a status": body(status("wamid.S", messages=[INBOUND])),
    "repeated statuses": beside(b'"statuses"', b'"statuses": [{"text": "' + SECRET.encode() + b'"}]', STATUSES),
    "messages of an error": body(status("wamid.S", "failed", errors=[{"code": 1, "messages": [INBOUND]}])),
    "repeated errors": body(status("wamid.S", "failed", code=131026)).replace(
        b'"errors"', b'"errors": [{"text": "' + SECRET.encode() + b'"}], "errors"'
    ),
    "messages of a conversation": body(status("wamid.S", conversation={"id": "c", "messages": [INBOUND]})),
    "messages of a profile": body(status("wamid.S"), contacts=[{"profile": {"messages": [INBOUND]}, "wa_id": "1"}]),
    "metadata of a handover": handed_over(handover(control_passed={"metadata": SECRET})),
    "another key of a handover": handed_over(handover(control_passed={"said": {"id": [SECRET]}})),
    "escaped key of a handover": handed_over(handover(control_passed={"metadata": SECRET})).replace(
        b'"control_passed": {', b'"control_\\u0070assed": {'
    ),
    "metadata of a handover of an unknown kind": handed_over(handover(type="x", control_taken={"metadata": SECRET})),
    "messages of a test": json.dumps(document(value(messages=[INBOUND]), waba="0")).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_no_shape_of_a_body_leaves_text_in_the_archive_or_the_quarantine(
    database_url: str, engine: Engine, name: str
) -> None:
    ingest = GroupCommit(lambda: connect(database_url, application="test"), lambda: datetime.now(UTC), slot=0)
    ingest.submit(SHAPES[name])
    ingest.close()
    assert not any(map(names_secret, kept_texts(engine)))


def rewritten(random: Random, held: Any) -> str:
    """Write the value as JSON with random escapes, spaces and repeated keys."""
    space = random.choice(("", " ", "\n\t"))
    if isinstance(held, dict):
        pairs = [(key, inner) for key, inner in held.items() for _ in range(random.choice((1, 1, 1, 2)))]
        if random.random() < 0.3:
            pairs += [(key, random.choice(({}, [], None, "x"))) for key in held if random.random() < 0.3]
        parts = [f"{rewritten(random, key)}{space}:{space}{rewritten(random, inner)}" for key, inner in pairs]
        return "{" + f"{space},{space}".join(parts) + space + "}"
    if isinstance(held, list):
        return "[" + f"{space},".join(rewritten(random, inner) for inner in held) + "]"
    if isinstance(held, str) and random.random() < 0.3:
        return '"' + "".join(escaped(c) if random.random() < 0.3 else json.dumps(c)[1:-1] for c in held) + '"'
    return json.dumps(held)


DOCUMENTS = (
    document(value(messages=[INBOUND])),
    document(value(status("wamid.S"), messages=[INBOUND])),
    document(value(status("wamid.S", text={"body": SECRET}, caption=SECRET))),
    document(value(status("wamid.S"))) | {"messages": [INBOUND]},
    document(value(message_echoes=[INBOUND]), field="smb_message_echoes"),
    document(handover("control_taken", control_taken={"metadata": SECRET}), field="messaging_handovers"),
)


@settings(
    deadline=None,
    derandomize=True,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**63))
def test_no_way_to_write_a_body_leaves_its_text_in_what_is_kept(seed: int) -> None:
    random = Random(seed)
    raw = rewritten(random, random.choice(DOCUMENTS)).encode()
    if random.random() < 0.3:
        raw = raw[: random.randrange(len(raw))]
    raw = (
        random.choice((b"", b"", b"", b"\xef\xbb\xbf", b"\xff", b'"'))
        + raw
        + random.choice((b"", b"", b"x", b"}"))
    )
    delivery = Delivery(raw)
    kept = [delivery.body, *(each.body for each in delivery.parsed.unreadable)]
    kept += [
        (each.item_json + each.document_json + each.reason).encode() for each in delivery.parsed.unreadable
    ]
    assert not any(map(names_secret, kept))
    assert not any(SECRET in as_text(each) for each in kept)


def as_text(kept: bytes) -> str:
    """Decode the escapes in it."""
    try:
        return json.dumps(json.loads(kept), ensure_ascii=False)
    except ValueError:
        return kept.decode("latin-1")


def test_what_is_kept_of_a_body_with_escapes_is_read_the_same_when_it_is_replayed() -> None:
    raw = body(status("wamid.S"), messages=[message("wamid.IN", text="stop")])
    delivery = Delivery(raw.replace(b'"messages": [', b'"m\\u0065ssages": [').replace(b"stop", b"st\\u006fp"))
    again = Delivery(delivery.body)
    assert (again.body, again.parsed) == (delivery.body, delivery.parsed)
    assert [len(delivery.parsed.statuses), *(each.keyword for each in delivery.parsed.inbound)] == [1, "stop"]
