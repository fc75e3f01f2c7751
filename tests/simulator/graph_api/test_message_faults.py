"""What Meta answers to a message that is wrong in one way."""

import pytest

BASE = {"messaging_product": "whatsapp", "to": "4915112345678"}
BUTTON = {"type": "reply", "reply": {"id": "1", "title": "Yes"}}
ROW = {"id": "1", "title": "One"}


def interactive(kind="button", **parts):
    action = {"buttons": [BUTTON]} if kind == "button" else {"button": "Menu", "sections": [{"rows": [ROW]}]}
    part = {"type": kind, "body": {"text": "Which?"}, "action": action}
    return {"type": "interactive", "interactive": part | parts}


def buttons(*titles):
    made = [
        {"type": "reply", "reply": {"id": str(place), "title": title}} for place, title in enumerate(titles)
    ]
    return interactive(action={"buttons": made})


def rows(*titles, **more):
    made = [{"id": str(place), "title": title} | more for place, title in enumerate(titles)]
    return interactive("list", action={"button": "Menu", "sections": [{"rows": made}]})


RIGHT = {
    "text": {"text": {"body": "a" * 4096}},
    "text whose length counts in code points": {"text": {"body": "😀" * 4096}},
    "image": {"type": "image", "image": {"link": "https://a.example/a.png", "caption": "c" * 1024}},
    "location": {"type": "location", "location": {"latitude": "1.5", "longitude": 0}},
    "contacts": {"type": "contacts", "contacts": [{"name": {"formatted_name": "Ana", "first_name": "Ana"}}]},
    "removed reaction": {"type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": ""}},
    "buttons": buttons("Yes", "No", "Later"),
    "list": rows(*(f"Row {n}" for n in range(10)), description="d" * 72),
    "list with a long body": interactive("list", body={"text": "b" * 4096}),
    "location request": interactive("location_request_message", action={"name": "send_location"}),
    "unknown keys": {"text": {"body": "a"}, "message_activity_sharing": True},
}


@pytest.mark.parametrize("body", RIGHT.values(), ids=RIGHT)
def test_a_right_message_is_accepted(make_sender, body):
    result = make_sender(windows_are_open=True).post(BASE | body)
    assert result.answer.status == 200, result.answer.body
    assert [len(change.change["value"]["statuses"]) for change in result.changes]


CALL_TO_ACTION = {
    "type": "cta_url",
    "body": {"text": "b"},
    "header": {"type": "image", "image": {"id": "1"}},
    "action": {"name": "cta_url", "parameters": {}},
}
WRONG = [
    (None, 100, "The parameter messaging_product is required."),
    ([], 100, "The parameter messaging_product is required."),
    ({"messaging_product": ""}, 100, "The parameter messaging_product is required."),
    ({"messaging_product": "telegram"}, 100, "must be one of {WHATSAPP}"),
    ({"recipient_type": "group"}, 131041, ""),
    ({"type": "poll"}, 100, "Param type must be one of {AUDIO, CONTACTS, DOCUMENT"),
    ({"type": ["text"]}, 100, "Param type must be one of"),
    ({"type": "text"}, 100, "Parameter 'text' is mandatory for type 'text'"),
    ({"text": "Hello"}, 100, "Parameter 'text' is mandatory for type 'text'"),
    ({"text": {}}, 100, "The parameter text['body'] is required."),
    ({"text": {"body": ""}}, 100, "The parameter text['body'] is required."),
    ({"text": {"body": 5}}, 100, "Param text['body'] must be a string."),
    ({"text": {"body": "a" * 4097}}, 100, "Param text['body'] must be at most 4096 characters long."),
    ({"text": {"body": "a"}, "biz_opaque_callback_data": "a" * 513}, 100, "at most 512 characters"),
    ({"type": "image", "image": {}}, 100, "image['id'] or image['link']"),
    ({"type": "image", "image": {"id": "1", "link": "https://a.example"}}, 100, "Only one of"),
    (
        {"type": "video", "video": {"id": "1"}},
        100,
        "Param video['id'] is not a valid whatsapp business account media",
    ),
    ({"type": "image", "image": {"link": "https://a.example", "caption": "a" * 1025}}, 100, "at most 1024"),
    ({"type": "location", "location": {"latitude": 1}}, 100, "location['longitude']"),
    ({"type": "contacts", "contacts": {}}, 100, "Parameter 'contacts' is mandatory"),
    ({"type": "contacts", "contacts": []}, 100, "1 to 257"),
    ({"type": "contacts", "contacts": ["Ana"]}, 100, "formatted_name"),
    ({"type": "reaction", "reaction": {"emoji": "a"}}, 100, "reaction['message_id']"),
    (interactive(type=None), 100, "interactive['type']"),
    (interactive(body={}), 131009, "Body text length invalid. Min length: 1, Max length: 1024"),
    (
        interactive(footer={"text": "f" * 61}),
        131009,
        "Footer text length invalid. Min length: 0, Max length: 60",
    ),
    (interactive(action={}), 100, "'action' is mandatory"),
    (buttons(), 131009, "Invalid buttons count"),
    (buttons("1", "2", "3", "4"), 131009, "Invalid buttons count"),
    (buttons("a" * 21), 131009, "Button title length invalid. Min length: 1, Max length: 20"),
    (buttons("Yes", "Yes"), 131009, "Duplicated title"),
    (rows(), 131009, "At least one row"),
    (rows(*"abcdefghijk"), 131009, "Total row count exceed max allowed count: 10"),
    (rows("a" * 25), 131009, "Row title is too long. Max length is 24"),
    (rows("a", description="d" * 73), 131009, "Row description length invalid"),
    (rows("a", "b", id="1"), 131009, "Duplicated id of row"),
    (interactive("product"), 131009, "No catalog"),
    ({"type": "interactive", "interactive": CALL_TO_ACTION}, 131008, "header image must contain link."),
]


@pytest.mark.parametrize(("body", "code", "said"), WRONG, ids=[str(place) for place in range(len(WRONG))])
def test_a_wrong_message_is_refused_with_meta_s_words(make_sender, body, code, said):
    given = BASE | body if isinstance(body, dict) else body
    result = make_sender(windows_are_open=True).post(given)
    error = result.answer.body["error"]
    assert error["code"] == code
    assert said in error["message"] + error.get("error_data", {}).get("details", "")
    assert result.changes == ()
