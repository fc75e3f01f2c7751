"""Inbound items have sender, time, kind and STOP or START keyword, but no text."""

import json

import msgspec
import pytest

from tests.support.factories import body, message
from webhook_app.whatsapp.events import InboundMessage
from webhook_app.whatsapp.receiving.payload import parse

USER = "US.70411938265500174423"


def read(item, **beside) -> InboundMessage:
    (found,) = parse(body(messages=[item], **beside)).inbound
    return found


def reply(**part):
    return message() | {"type": "interactive", "interactive": part}


def form(answers, **more):
    return reply(type="nfm_reply", nfm_reply={"name": "flow", "response_json": answers} | more)


@pytest.mark.parametrize(
    ("item", "kind", "keyword"),
    [
        (message(text="STOP"), "text", "stop"),
        (message(text=" ¡Baja! "), "text", "stop"),
        (message(text="Start"), "text", "start"),
        (message(text="please do not stop"), "text", ""),
        (
            message() | {"type": "button", "button": {"text": "Stop promotions", "payload": "x"}},
            "button",
            "stop",
        ),
        (
            message() | {"type": "button", "button": {"text": "No, thanks", "payload": "OPT_OUT"}},
            "button",
            "stop",
        ),
        (message() | {"type": "button", "button": {"text": "Yes", "payload": "GO"}}, "button", ""),
        (
            reply(type="button_reply", button_reply={"id": "unsubscribe", "title": "No more"}),
            "button_reply",
            "stop",
        ),
        (
            reply(type="button_reply", button_reply={"id": "1", "title": "Unsubscribe"}),
            "button_reply",
            "stop",
        ),
        (reply(type="list_reply", list_reply={"id": "weekly", "title": "Weekly"}), "list_reply", ""),
        (reply(type="list_reply", list_reply={"id": "resume", "title": "Again"}), "list_reply", "start"),
        (form('{"flow_token":"t","choice":"Stop"}'), "nfm_reply", "stop"),
        (form('{"topics":["news","stop"]}'), "nfm_reply", "stop"),
        (form('{"flow_token":"stop","choice":"weekly"}'), "nfm_reply", ""),
        (form("no json"), "nfm_reply", ""),
        (form('["stop"]'), "nfm_reply", ""),
        (form({"choice": "stop"}), "nfm_reply", ""),
        (form("[" * 100_000), "nfm_reply", ""),
        (reply(type="a_reply_of_2027"), "interactive", ""),
        (reply(type=["list_reply"]), "interactive", ""),
        (message() | {"type": "interactive", "interactive": "text"}, "interactive", ""),
        (
            message() | {"type": "contacts", "origin": "contact_request", "contacts": []},
            "contact_request",
            "",
        ),
        (message() | {"type": "contacts", "contacts": []}, "contacts", ""),
        (message() | {"type": "unsupported", "errors": [{"code": 131051}]}, "unsupported", ""),
        (message() | {"type": None}, "unknown", ""),
    ],
)
def test_kind_and_keyword_are_recognised(item, kind, keyword):
    found = read(item)
    assert (found.kind, found.keyword) == (kind, keyword)
    assert found.opens_window


@pytest.mark.parametrize("kind", ["reaction", "edit", "revoke"])
def test_reactions_edits_and_deletions_open_no_window(kind):
    assert not read(message() | {"type": kind}).opens_window


def test_parsed_items_contain_no_message_text():
    text = "my secret 4929"
    listed = {"type": "list_reply", "list_reply": {"id": text, "description": text}}
    filled = {"type": "nfm_reply", "nfm_reply": {"response_json": json.dumps({"a": text})}}
    changed = {"type": "user_changed_number", "wa_id": "12025550129", "body": text}
    items = [
        message("wamid.1", text=text),
        message("wamid.2") | {"type": "button", "button": {"text": text, "payload": text}},
        message("wamid.3") | {"type": "interactive", "interactive": listed},
        message("wamid.4") | {"type": "interactive", "interactive": filled},
        message("wamid.5") | {"type": "image", "image": {"caption": text}},
        message("wamid.6") | {"type": "system", "system": changed},
    ]
    contacts = [{"wa_id": "12025550117", "profile": {"name": text, "username": text}}]
    parsed = parse(body(messages=items, contacts=contacts))
    assert parsed.received == len(items)
    assert "secret" not in repr(msgspec.structs.asdict(parsed))


@pytest.mark.parametrize(
    ("fields", "contact"),
    [
        ({"from": "12025550117", "from_user_id": USER}, "12025550117"),
        ({"from_user_id": USER}, USER),
        ({}, "12025550199"),
        ({"from": ["odd"], "from_user_id": 7}, "12025550199"),
    ],
)
def test_the_sender_is_in_the_message_or_is_the_only_contact(fields, contact):
    item = {key: value for key, value in message().items() if key != "from"} | fields
    assert read(item, contacts=[{"wa_id": "12025550199"}]).contact == contact
    assert read(item, contacts=[{"wa_id": "1"}, {"wa_id": "2"}]).contact == (
        "" if "9" in contact[-2:] else contact
    )


def call(**fields):
    item = {"id": "wacid.1", "from": "12025550117", "event": "connect", "timestamp": "1793001105"}
    value = {"metadata": {"phone_number_id": "1"}, "calls": [item | {"direction": "USER_INITIATED"} | fields]}
    change = {"field": "calls", "value": value}
    document = {"object": "whatsapp_business_account", "entry": [{"id": "2", "changes": [change]}]}
    return parse(json.dumps(document).encode())


def test_a_call_by_the_person_opens_the_window():
    (found,) = call().inbound
    assert (found.kind, found.contact, found.opens_window) == ("call", "12025550117", True)


@pytest.mark.parametrize("fields", [{"direction": "BUSINESS_INITIATED"}, {"event": "terminate"}])
def test_other_call_events_open_no_window(fields):
    parsed = call(**fields)
    assert parsed.inbound == []
    assert parsed.received == 1
