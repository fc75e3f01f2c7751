"""Redaction removes the text of messages and does not change the parsed items."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support.factories import body, handed_over, handover, message, status
from tests.support.folders import PAYLOADS
from webhook_app.whatsapp.people.keywords import DEFAULT
from webhook_app.whatsapp.receiving.payload import parse_any
from webhook_app.whatsapp.receiving.redaction import REMOVED, redact_text, remove_strings

SAMPLES = sorted(PAYLOADS.glob("*.json"))
TEXT_KEYS = ("body", "caption", "emoji", "description", "formatted_name", "response_json", "url", "text")


def texts_in(value: Any) -> list[str]:
    """Return the texts of a sample that are not keywords and too long to occur elsewhere by chance."""
    if isinstance(value, dict):
        texts = [text for key, text in value.items() if key in TEXT_KEYS and isinstance(text, str)]
        found = [text for text in texts if len(text) > 8 and not DEFAULT.may_mean(text)]
        return found + [text for inner in value.values() for text in texts_in(inner)]
    return [text for inner in value for text in texts_in(inner)] if isinstance(value, list) else []


def messages_of(document: Any) -> Any:
    """Return the messages of a document."""
    if isinstance(document, dict):
        return [
            inner if key in ("messages", "message_echoes") else messages_of(inner)
            for key, inner in document.items()
        ]
    return [messages_of(inner) for inner in document] if isinstance(document, list) else []


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_redacted_samples_have_no_text_and_parse_the_same(path: Path) -> None:
    before = path.read_bytes()
    after = redact_text(before)
    kept = json.dumps(json.loads(after), ensure_ascii=False)
    for text in texts_in(messages_of(json.loads(before))):
        assert text not in kept, text
    whole, rest = parse_any(before), parse_any(after)
    assert (rest.statuses, rest.inbound, rest.number_changes) == (
        whole.statuses,
        whole.inbound,
        whole.number_changes,
    )
    assert rest.ignored == whole.ignored
    assert redact_text(after) == after


def test_a_delivery_of_statuses_stays_byte_for_byte() -> None:
    before = body(status("wamid.A"), status("wamid.B"))
    assert redact_text(before) is before


@pytest.mark.parametrize(
    ("text", "kept"), [("Stop!", "Stop!"), ("please stop by at five", REMOVED), ("", REMOVED)]
)
def test_only_keywords_are_kept(text: str, kept: str) -> None:
    document = json.loads(redact_text(body(messages=[message("wamid.I") | {"text": {"body": text}}])))
    assert document["entry"][0]["changes"][0]["value"]["messages"][0]["text"]["body"] == kept


def test_only_keywords_are_kept_of_the_answers_in_a_flow() -> None:
    answers = json.dumps({"name": "Somebody", "choice": "unsubscribe", "more": "weekly"})
    item = message("wamid.I") | {
        "type": "interactive",
        "interactive": {"type": "nfm_reply", "nfm_reply": {"name": "flow", "response_json": answers}},
    }
    kept = redact_text(body(messages=[item]))
    assert b"Somebody" not in kept
    assert b"unsubscribe" in kept


def test_locations_are_removed() -> None:
    item = message("wamid.I") | {
        "type": "location",
        "location": {"latitude": 52.516, "longitude": 13.377, "name": "Gate", "address": "Square 1"},
    }
    kept = redact_text(body(messages=[item]))
    assert not any(part in kept for part in (b"52.5", b"13.3", b"Gate", b"Square"))


def test_text_beside_deep_nesting_is_removed() -> None:
    raw = body(messages=[message("wamid.I", text="my secret") | {"odd": "BOMB"}])
    kept = redact_text(raw.replace(b'"BOMB"', b"[" * 5000 + b"]" * 5000))
    assert b"secret" not in kept
    assert b"wamid.I" in kept


@pytest.mark.parametrize("odd", [b"", b"no json", b"[" * 100_000, b'{"statuses":'])
def test_invalid_bodies_that_name_no_text_are_returned_unchanged(odd: bytes) -> None:
    assert redact_text(odd) == odd


@pytest.mark.parametrize(
    "odd", [b'{"messages":', b'{"messages": ' + b"[" * 100_000, b"no json \xff", "no json".encode("utf-16")]
)
def test_of_invalid_bodies_that_may_hold_text_length_and_digest_are_kept(odd: bytes) -> None:
    kept = redact_text(odd)
    assert (
        kept == f"not JSON in UTF-8, not kept: {len(odd)} bytes, SHA-256 {sha256(odd).hexdigest()}".encode()
    )
    assert redact_text(kept) == kept


def test_text_below_the_errors_of_a_message_is_removed_and_the_words_of_meta_stay() -> None:
    errors = [{"code": 131051, "title": "Unknown type", "body": "my secret"}]
    kept = redact_text(body(messages=[message("wamid.I") | {"errors": errors}]))
    assert b"Unknown type" in kept
    assert b"secret" not in kept


def test_a_body_with_too_many_values_loses_places_as_well_as_strings() -> None:
    kept = remove_strings(
        b'{"messages":[{"location":{"latitude":52.5,"longitude":-1.3e1},"name":"x y","n":12}]}'
    )
    assert json.loads(kept)["messages"] == [
        {"location": {"latitude": None, "longitude": None}, "name": REMOVED, "n": 12}
    ]


def test_the_cards_of_other_people_are_removed_and_the_card_sent_on_request_keeps_its_number():
    card = {
        "name": {"first_name": "Ada"},
        "phones": [{"phone": "+12025550199", "wa_id": "12025550199", "type": "Home"}],
    }
    shared = {"id": "wamid.A", "type": "contacts", "contacts": [card]}
    own = shared | {"origin": "contact_request"}
    first, second = json.loads(redact_text(json.dumps({"messages": [shared, own]}).encode()))["messages"]
    gone = {"phone": "[removed]", "wa_id": "[removed]", "type": "[removed]"}
    assert first["contacts"] == [{"name": {"first_name": "[removed]"}, "phones": [gone]}]
    kept = gone | {"phone": "+12025550199", "wa_id": "12025550199"}
    assert second["contacts"] == [{"name": {"first_name": "[removed]"}, "phones": [kept]}]


def test_a_place_in_whole_numbers_and_the_address_book_of_a_phone_are_removed():
    place = {"id": "wamid.A", "type": "location", "location": {"latitude": 52, "longitude": 13}}
    [found] = json.loads(redact_text(json.dumps({"messages": [place]}).encode()))["messages"]
    assert found["location"] == {"latitude": None, "longitude": None}
    entry = {
        "type": "contact",
        "action": "add",
        "contact": {"full_name": "Ada Byron", "phone_number": "12025550199"},
    }
    redacted = redact_text(json.dumps({"state_sync": [entry]}).encode())
    assert b"Ada" not in redacted
    assert b"12025550199" not in redacted


@pytest.mark.parametrize("kind", ["control_passed", "control_taken"])
def test_of_a_handover_only_the_owners_are_kept_of_what_the_other_app_wrote(kind: str) -> None:
    owners = {"previous_owner_role": "ai_agent", "new_owner_role": "escalation", "previous_owner_app_id": "9"}
    said = {"metadata": "stop", "summary": {"id": "Ann has diabetes", "age": 41}, "notes": ["a", 1.5]}
    before = handover(kind, **{kind: owners | said})
    (after,) = json.loads(redact_text(handed_over(before)))["entry"][0]["changes"]
    assert after["value"] == before | {
        kind: owners
        | {"metadata": REMOVED, "summary": {"id": REMOVED, "age": None}, "notes": [REMOVED, None]}
    }


def test_the_metadata_of_a_business_number_is_kept() -> None:
    before = body(status("wamid.A"), messages=[message(text="hello")])
    assert json.loads(redact_text(before))["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"]
