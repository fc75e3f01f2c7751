"""The form of a message: what Meta certainly refuses, what it probably refuses, and what is left to it."""

import pytest

from tests.support.generated_messages import link, list_of, message, reply_buttons
from webhook_app.rules.sends.message_format import is_receipt, judge_format, type_of
from webhook_app.rules.sends.preflight_facts import MediaFile


def found(given, file=None):
    return [(each.code, each.field, each.severity, each.expected) for each in judge_format(given, file)]


def changed(content, **more):
    return message("interactive", content | more)


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        (message("image", {"id": "7", "caption": "x" * 1025}), "image.caption", 100),
        (message("image", {"link": "ftp://a.example/a.jpg"}), "image.link", 100),
        (message("contacts", [{"name": {"first_name": "Ana"}}]), "contacts[0].name.formatted_name", 100),
        (message("contacts", [{"name": {"formatted_name": "A"}}] * 258), "contacts", 131009),
        (message("sketch", {"id": "7"}), "type", 100),
        (message("text", {"body": "a"}) | {"biz_opaque_callback_data": "x" * 513}, "biz_opaque_callback_data", 100),
        (changed(reply_buttons("Yes"), body={"text": "x" * 1025}), "interactive.body.text", 131009),
        (changed(reply_buttons("Yes"), body={}), "interactive.body.text", 131009),
        (changed(reply_buttons()), "interactive.action.buttons", 131009),
        (changed(list_of(0)), "interactive.action.sections", 131009),
        (changed(list_of(3), action=list_of(3)["action"] | {"button": "x" * 21}), "interactive.action.button", 131009),
        (changed(link({}), action={"parameters": {"display_text": "Open"}}),
         "interactive.action.parameters.url", 131009),
        (changed(link({}), action={"parameters": {"url": "https://a", "display_text": "x" * 21}}),
         "interactive.action.parameters.display_text", 131009),
    ],
)  # fmt: skip
def test_what_meta_probably_refuses_is_expected_but_not_refused(given, field, code):
    assert found(given) == [(code, field, "warn", True)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (message("contacts", []), "contacts"),
        (changed({"body": {"text": "a"}}), "interactive.type"),
        (message("location", {"latitude": "", "longitude": 1}), "location.latitude"),
        (message("video", {}), "video"),
        (message("text", "Hello"), "text"),
        ({"messaging_product": "whatsapp", "to": "1"}, "text"),
    ],
)
def test_what_is_missing_is_refused(given, field):
    assert found(given) == [(100, field, "refuse", True)]


@pytest.mark.parametrize(
    "given",
    [
        message("interactive", {"type": "flow", "body": {"text": "a"}, "action": {"name": "flow"}}),
        message("interactive", {"type": "something_new", "action": {"name": "new"}}),
        message("image", {"id": "7", "caption": "x" * 1024}),
        message("document", {"link": "https://a.example/a.zip"}),
        message("text", {"body": "x", "preview_url": True})
        | {"category": "new", "recipient_type": "individual"},
        message("text", {"body": "😀" * 4096}),
        message("text", {"body": "a"}) | {"type": "TEXT"},
    ],
)
def test_what_is_right_or_not_known_has_no_problem(given):
    assert found(given) == []


@pytest.mark.parametrize(
    ("kind", "file", "is_fine"),
    [
        ("image", MediaFile(mime_type="image/jpeg; q=1", bytes=5_000_000), True),
        ("image", MediaFile(bytes=5_000_001), False),
        ("audio", MediaFile(mime_type="audio/ogg; codecs=opus"), True),
        ("audio", MediaFile(mime_type="audio/wav"), False),
        ("document", MediaFile(mime_type="application/x-new", bytes=100_000_000), True),
        ("sticker", MediaFile(mime_type="image/png"), False),
        ("video", MediaFile(mime_type="VIDEO/MP4"), True),
    ],
)
def test_a_file_that_meta_will_not_take_is_a_warning(kind, file, is_fine):
    expected = [] if is_fine else [(131053, kind, "warn", False)]
    assert found(message(kind, {"id": "7"}), file) == expected


def test_marking_a_message_as_read_is_no_message():
    assert is_receipt({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"})
    assert not is_receipt(message("text", {"body": "read"}))
    assert (type_of({}), type_of({"type": "Image"}), type_of({"type": 7})) == ("text", "image", "")
