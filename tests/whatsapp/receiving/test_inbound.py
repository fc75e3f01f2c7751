"""Inbound items have sender, time, kind and what their words say about messages, but no text."""

import json

import msgspec
import pytest

from tests.support.factories import body, message
from webhook_app.rules.suppressions.keywords_file import read_keywords
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


def tap(title, payload):
    return message() | {"type": "button", "button": {"text": title, "payload": payload}}


@pytest.mark.parametrize(
    ("item", "kind", "keyword"),
    [
        (message(text="STOP"), "text", "stop"),
        (message(text=" ¡Baja! "), "text", "stop"),
        (message(text="Start"), "text", "start"),
        (message(text="Cancel"), "text", "ambiguous"),
        (message(text="Stop promotions"), "text", "stop_marketing"),
        (message(text="please do not stop"), "text", ""),
        (message(text="STOP") | {"group_id": "Y2FwaQ"}, "text", ""),
        (message(text="Start") | {"group_id": ""}, "text", ""),
        (tap("Stop promotions", "x"), "button", "stop_marketing"),
        (tap("إيقاف عمليات الترويج", "Stop promotions"), "button", "stop_marketing"),
        (tap("Weiter", "stop promotions"), "button", "stop_marketing"),
        (tap("Stop promotions", "x") | {"group_id": "Y2FwaQ"}, "button", ""),
        (tap("Stop", "STOP"), "button", ""),
        (tap("No, thanks", "OPT_OUT"), "button", ""),
        (tap("Start", "START"), "button", ""),
        (
            reply(type="button_reply", button_reply={"id": "unsubscribe", "title": "Unsubscribe"}),
            "button_reply",
            "",
        ),
        (reply(type="list_reply", list_reply={"id": "end", "title": "End"}), "list_reply", ""),
        (form('{"flow_token":"t","choice":"Stop"}'), "nfm_reply", ""),
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
    if keyword != "stop":
        assert found.opens_window is ("group_id" not in item)


@pytest.mark.parametrize(
    ("item", "keyword"),
    [
        (tap("No, thanks", "OPT_OUT"), "stop"),
        (tap("Fewer news", "1"), "stop_marketing"),
        (reply(type="button_reply", button_reply={"id": "opt-out", "title": "No more"}), "stop"),
        (reply(type="list_reply", list_reply={"id": "2", "title": "fewer news!"}), "stop_marketing"),
        (reply(type="list_reply", list_reply={"id": "AGAIN", "title": "x"}), "start"),
        (form('{"flow_token":"t","choice":"OPT_OUT"}'), "stop"),
        (form('{"topics":["news","again"]}'), "start"),
        (form('{"flow_token":"OPT_OUT","choice":"weekly"}'), ""),
        (form('["OPT_OUT"]'), ""),
        (message(text="OPT_OUT"), "stop"),
        (message(text="again"), ""),
    ],
)
def test_buttons_rows_and_answers_count_when_the_file_names_them(item, keyword):
    named = '[buttons]\nstop = ["OPT_OUT"]\nstop_marketing = ["Fewer news"]\nstart = ["AGAIN"]'
    (found,) = parse(body(messages=[item]), read_keywords(named)).inbound
    assert found.keyword == keyword


@pytest.mark.parametrize(
    ("sender", "keyword"),
    [
        ({"from": "12025550117"}, "stop"),
        ({"from_user_id": USER}, "stop"),
        ({"from": "4915112345678"}, "ambiguous"),
        ({}, "stop"),
    ],
)
def test_the_number_of_the_sender_decides_about_words_of_a_country(sender, keyword):
    words = read_keywords('["+1"]\nstop = ["cancel"]')
    item = {key: value for key, value in message(text="Cancel").items() if key != "from"} | sender
    (found,) = parse(body(messages=[item], contacts=[{"wa_id": "12025550199"}]), words).inbound
    assert found.keyword == keyword


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
