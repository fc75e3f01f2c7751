"""What people wrote goes, what can be acted on stays, and reading the rest gives the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.factories import body, message, status
from tests.folders import PAYLOADS
from webhook_app.whatsapp.json_text import shallow
from webhook_app.whatsapp.people.keywords import keyword_in
from webhook_app.whatsapp.receiving.payload import read_any
from webhook_app.whatsapp.receiving.redaction import REMOVED, without_text

SAMPLES = sorted(PAYLOADS.glob("*.json"))
WRITTEN = ("body", "caption", "emoji", "description", "formatted_name", "response_json", "url", "text")


def written_in(value: Any) -> list[str]:
    """What people wrote in a sample, if it is no keyword and long enough not to stand elsewhere by chance."""
    if isinstance(value, dict):
        texts = [text for key, text in value.items() if key in WRITTEN and isinstance(text, str)]
        found = [text for text in texts if len(text) > 8 and not keyword_in(text)]
        return found + [text for inner in value.values() for text in written_in(inner)]
    return [text for inner in value for text in written_in(inner)] if isinstance(value, list) else []


def messages_of(document: Any) -> Any:
    """The parts of a document in which people speak."""
    if isinstance(document, dict):
        return [
            inner if key in ("messages", "message_echoes") else messages_of(inner)
            for key, inner in document.items()
        ]
    return [messages_of(inner) for inner in document] if isinstance(document, list) else []


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_no_sample_keeps_what_people_wrote_and_reads_the_same(path: Path) -> None:
    before = path.read_bytes()
    after = without_text(before)
    kept = json.dumps(json.loads(after), ensure_ascii=False)
    for text in written_in(messages_of(json.loads(before))):
        assert text not in kept, text
    whole, rest = read_any(before), read_any(after)
    assert (rest.statuses, rest.inbound, rest.number_changes) == (
        whole.statuses,
        whole.inbound,
        whole.number_changes,
    )
    assert rest.ignored == whole.ignored
    assert without_text(after) == after


def test_a_delivery_of_statuses_stays_as_it_was_byte_for_byte() -> None:
    before = body(status("wamid.A"), status("wamid.B"))
    assert without_text(before) is before


@pytest.mark.parametrize(
    ("said", "kept"), [("Stop!", "Stop!"), ("please stop by at five", REMOVED), ("", REMOVED)]
)
def test_only_a_keyword_survives(said: str, kept: str) -> None:
    document = json.loads(without_text(body(messages=[message("wamid.I") | {"text": {"body": said}}])))
    assert document["entry"][0]["changes"][0]["value"]["messages"][0]["text"]["body"] == kept


def test_of_the_answers_in_a_flow_only_keywords_survive() -> None:
    answers = json.dumps({"name": "Somebody", "choice": "unsubscribe"})
    item = message("wamid.I") | {
        "type": "interactive",
        "interactive": {"type": "nfm_reply", "nfm_reply": {"name": "flow", "response_json": answers}},
    }
    kept = without_text(body(messages=[item]))
    assert b"Somebody" not in kept
    assert b"unsubscribe" in kept


def test_a_place_does_not_survive() -> None:
    item = message("wamid.I") | {
        "type": "location",
        "location": {"latitude": 52.516, "longitude": 13.377, "name": "Gate", "address": "Square 1"},
    }
    kept = without_text(body(messages=[item]))
    assert not any(part in kept for part in (b"52.5", b"13.3", b"Gate", b"Square"))


def test_a_depth_bomb_beside_a_message_does_not_save_its_text() -> None:
    raw = body(messages=[message("wamid.I", text="my secret") | {"odd": "BOMB"}])
    kept = without_text(raw.replace(b'"BOMB"', b"[" * 5000 + b"]" * 5000))
    assert b"secret" not in kept
    assert b"wamid.I" in kept


@pytest.mark.parametrize(
    "odd", [b"", b'{"messages":', b'{"messages": ' + b"[" * 100_000, b'{"messages": "\xff"}']
)
def test_what_cannot_be_read_comes_back_as_it_is_or_clean(odd: bytes) -> None:
    assert without_text(odd) in (odd, shallow(odd), b'{"messages":"[removed]"}')
