"""What is kept of a body does not grow with escapes and copies, whatever its large texts are made of."""

import json
import random

import msgspec
import pytest

from tests.support.factories import body, document, message, status, value
from webhook_app.store.postgres.compression import pack
from webhook_app.whatsapp.accounts.health_signals import MAX_PAYLOAD
from webhook_app.whatsapp.receiving.payload import parse, parse_again, redact_and_parse
from webhook_app.whatsapp.receiving.statuses import MAX_ERRORS

SIZE = 200_000
CHOICE = random.Random(1).choice
FILLINGS = {
    "emoji": "".join(CHOICE("😀😃😄😁😆😅🤣😂") for _ in range(SIZE // 4)).encode(),
    "escapes": b"".join(CHOICE((rb"\\", rb"\"", b"aa")) for _ in range(SIZE // 2)),
    "bytes that are not UTF-8": b"\xff" * SIZE,
    "control characters": b"\x01" * SIZE,
    "digits": "".join(CHOICE("0123456789") for _ in range(SIZE)).encode(),
}


def test_no_object_of_very_many_keys_is_sorted(monkeypatch):
    sizes = []

    def noted(held, **options):
        sizes.append(len(encoded := original(held, **options)))
        return encoded

    original = json.dumps
    monkeypatch.setattr(json, "dumps", noted)
    odd = {f"{n * 7919 % 20_011:06x}": 1 for n in range(20_000)}
    for held in (value({"id": 5, "status": "sent", "x": odd}), value(errors=[{"code": 1, "x": odd}])):
        parsed = parse(msgspec.json.encode(document(held)))
        assert len(parsed.unreadable) + len(parsed.signals) == 1
    parsed = parse(msgspec.json.encode(document({"event": "X", "x": odd}, field="account_update")))
    assert len(parsed.signals) == 1
    assert max(sizes, default=0) < 2**16


MANY = b"{" + b",".join(b'"%06x":1' % n for n in range(150_000)) + b"}"
FORM = {
    "type": "interactive",
    "interactive": {"type": "nfm_reply", "nfm_reply": {"response_json": MANY.decode()}},
}


@pytest.mark.parametrize(
    ("raw", "readable"),
    [
        (body(status("wamid.?", x="MANY")).replace(b"?", b"\xff"), True),
        (b"\xef\xbb\xbf" + body(status("wamid.A", x="MANY")), True),
        (body(status("wamid.A", x="MANY", y="NaN")), False),
        (body(status("wamid.A", x="MANY", y="1" * 200)), False),
        (body(messages=[message() | FORM]), True),
    ],
)
def test_no_text_of_very_many_values_is_read_in_one_slow_piece(monkeypatch, raw, readable):
    counts = []

    def noted(held, **options):
        counts.append(held.count(","))
        return original(held, **options)

    original = json.loads
    monkeypatch.setattr(json, "loads", noted)
    for marked, plain in ((b'"MANY"', MANY), (b'"NaN"', b"NaN"), (b'"' + b"1" * 200 + b'"', b"1" * 200)):
        raw = raw.replace(marked, plain)
    parsed = redact_and_parse(raw)[1]
    assert len(parsed.statuses) + len(parsed.inbound) == readable
    assert len(parsed.unreadable) == (not readable)
    assert max(counts, default=0) < 100_000


def filled(raw, filling, size=SIZE):
    return raw.replace(b"FILLING", FILLINGS[filling][:size])


@pytest.mark.parametrize("filling", FILLINGS)
def test_a_large_item_is_kept_once_and_takes_no_more_than_was_received(filling):
    raw = filled(body(status("wamid.A"), {"id": 5, "status": "sent", "x": "FILLING"}), filling)
    parsed = parse(raw)
    [kept] = parsed.unreadable
    assert (kept.item_json, kept.document_json, len(parsed.statuses)) == ("", "", 1)
    assert len(pack(kept.body)) < len(raw)
    [again] = parse_again(kept.body).unreadable
    assert (again.reason, again.identity, again.body) == (kept.reason, kept.identity, kept.body)
    assert parse(raw + b" ").unreadable[0].identity == kept.identity


@pytest.mark.parametrize("filling", FILLINGS)
def test_items_that_are_large_together_are_kept_once_too(filling):
    items = [{"id": n, "status": f"odd {n % 20}", "x": "FILLING"} for n in range(150)]
    raw = filled(body(*items), filling, SIZE // 100)
    parsed = parse(raw)
    assert sum(each.items for each in parsed.unreadable) == 150
    assert sum(len(each.item_json) + len(each.document_json) for each in parsed.unreadable) < 6 * 2**16
    assert sum(len(each.body) for each in parsed.unreadable) < 6 * len(raw)
    assert all(len(pack(each.body)) < 2**16 for each in parsed.unreadable)


@pytest.mark.parametrize("filling", FILLINGS)
@pytest.mark.parametrize("errors", [[{"code": 131026, "title": "odd", "x": "FILLING"}], ["FILLING"]])
def test_of_large_error_objects_only_their_length_is_kept(filling, errors):
    [event] = parse(filled(body(status("wamid.A", "failed", errors=errors)), filling)).statuses
    assert "bytes of JSON" in event.errors_json
    assert (event.error_code, event.error_title) == ((131026, "odd") if errors[0] != "FILLING" else (-1, ""))
    [usual] = parse(
        body(status("wamid.A", "failed", errors=[{"code": 1, "x": "a" * (MAX_ERRORS - 50)}]))
    ).statuses
    assert "aaa" in usual.errors_json


@pytest.mark.parametrize("filling", FILLINGS)
def test_of_a_large_signal_only_its_length_is_kept_and_it_stays_different_from_others(filling):
    ban = {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}, "x": "FILLING"}
    changed = json.dumps(document(ban, field="account_update")).encode()
    for raw in (changed, json.dumps(document(value(errors=[{"code": 1, "x": "FILLING"}]))).encode()):
        [signal] = parse(filled(raw, filling)).signals
        [other] = parse(filled(raw, filling).replace(b'"x"', b'"y"')).signals
        assert "bytes of JSON" in signal.payload_json
        assert signal.identity != other.identity
        assert signal.changes == other.changes
    [usual] = parse(changed.replace(b"FILLING", b"a" * (MAX_PAYLOAD - 200))).signals
    assert "aaa" in usual.payload_json
