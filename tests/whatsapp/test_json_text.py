"""Decoded JSON is safe for the database and for recursive code."""

import json

import pytest

from tests.support.factories import body, status
from webhook_app.whatsapp.json_text import bounded_bytes, has_long_numbers, limit_depth
from webhook_app.whatsapp.receiving.payload import parse


@pytest.mark.parametrize("depth", [65, 100, 1000, 5000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_nested_too_deeply_becomes_a_text_and_the_rest_stays(depth, opening, closing):
    bomb = opening * depth + "1" + closing * depth
    found = json.loads(limit_depth(f'[{bomb}, {{"x": "[[{{\\"", "y": [{bomb}]}}, 2]'.encode()))
    assert found[1]["x"] == '[[{"'
    assert found[2] == 2
    assert "nested too deeply" in json.dumps(found[0])
    assert "nested too deeply" in json.dumps(found[1]["y"])


@pytest.mark.parametrize("plain", [b"", b"1", b'"[[["', b'{"a": [1, {"b": "]"}]}', b"[" * 64 + b"]" * 64])
def test_shallow_json_stays_byte_for_byte(plain):
    assert limit_depth(plain) == plain


@pytest.mark.parametrize(
    "broken", [b"[" * 100, b"]" * 100, b'"' + b'\\"' * 100_000, b"{" * 70 + b'"', b"[}" * 200]
)
def test_invalid_json_stays_invalid_and_is_processed_fast(broken):
    with pytest.raises(ValueError):
        json.loads(limit_depth(broken))


@pytest.mark.parametrize("depth", [60, 200, 900, 990, 100_000])
def test_deep_nesting_in_one_status_does_not_affect_the_others(depth):
    raw = body(
        status("wamid.A"), status("wamid.B", errors="BOMB"), status("wamid.C", "failed", errors="BOMB")
    )
    parsed = parse(raw.replace(b'"BOMB"', b"[" * depth + b"]" * depth))
    assert [event.message_id for event in parsed.statuses] == ["wamid.A", "wamid.B", "wamid.C"]


def test_a_text_is_cut_to_bytes_and_stays_different_from_others_that_begin_alike():
    assert bounded_bytes("promo", 5) == "promo"
    long = ["\U00020000" * 200 + last for last in "ab"]
    one, other = (bounded_bytes(text, 400) for text in long)
    assert one != other
    assert {len(one.encode()), len(other.encode())} <= {397, 398, 399, 400}
    assert one.startswith("\U00020000" * 90)


@pytest.mark.parametrize("before", range(0, 45, 3))
@pytest.mark.parametrize("begin", [b",", b":-", b" ", b"["])
def test_a_number_of_200_digits_in_a_large_body_is_found_wherever_it_is(before, begin):
    rest = b"x" * 2**17
    digits = b"".join(b"%d" % (1 + place % 9) for place in range(200))
    assert has_long_numbers(b"x" * before + begin + digits + rest)
    assert not has_long_numbers(b"x" * before + begin + digits[1:] + rest)
    assert not has_long_numbers(b"x" * before + digits + rest), "digits of a text"
    assert not has_long_numbers(begin + digits), "a small body"
