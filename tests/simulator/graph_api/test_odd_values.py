"""Whatever a sender writes in place of a value, it is an answer of Meta's and no fault of ours."""

import copy
import json

import pytest

from webhook_app.simulator.graph_api.limits import Allowed

ODD = (
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    "\ud800\n",
    [],
    {},
    [None],
    [[]],
    {"type": "text"},
    10**40,
    float("nan"),
)
TEXT = {"type": "text", "text": "Ana"}
IMAGE = {"type": "image", "image": {"link": "https://a.example/a.png", "caption": "c"}}
TRACK = {"type": "button", "sub_type": "url", "index": "0", "parameters": [TEXT]}
PLACE = {"type": "header", "parameters": [TEXT | {"parameter_name": "place"}]}
NAMED = [TEXT | {"parameter_name": name} for name in ("name", "day")]
BUTTONS = [{"type": "reply", "reply": {"id": "1", "title": "Yes"}}]
ROWS = [{"id": "1", "title": "One", "description": "d"}]


def template(name, *components):
    return {"template": {"name": name, "language": {"code": "en_US"}, "components": list(components)}}


RIGHT = [
    {"text": {"body": "Hello"}, "recipient": "US.1349", "biz_opaque_callback_data": "a"},
    {"image": IMAGE["image"]},
    {"location": {"latitude": 1, "longitude": 2}},
    {"contacts": [{"name": {"formatted_name": "Ana"}}]},
    {"reaction": {"message_id": "wamid.1", "emoji": "👍"}},
    {
        "interactive": {
            "type": "button",
            "body": {"text": "b"},
            "footer": {"text": "f"},
            "action": {"buttons": BUTTONS},
        }
    },
    {
        "interactive": {
            "type": "list",
            "body": {"text": "b"},
            "action": {"button": "b", "sections": [{"rows": ROWS}]},
        }
    },
    {
        "interactive": {
            "type": "cta_url",
            "body": {"text": "b"},
            "header": IMAGE,
            "action": {"name": "cta_url"},
        }
    },
    template("order_update", {"type": "body", "parameters": [TEXT, TEXT]}, TRACK),
    template(
        "seasonal_offer", {"type": "header", "parameters": [IMAGE]}, {"type": "body", "parameters": [TEXT]}
    ),
    template("appointment", PLACE, {"type": "body", "parameters": NAMED}),
]


def changed(value):
    """Every copy of the value in which one part is odd."""
    yield from ODD
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, inner in list(places):
        for each in changed(inner):
            made = copy.copy(value)
            made[place] = each
            yield made


@pytest.mark.parametrize("body", RIGHT, ids=[str(place) for place in range(len(RIGHT))])
def test_an_odd_value_has_an_answer(make_sender, body):
    kind = next(iter(body))
    right = {"messaging_product": "whatsapp", "to": "4915112345678", "type": kind} | body
    sender = make_sender(windows_are_open=True, allowed=Allowed(10**6, 10**6))
    assert sender.post(right).answer.status == 200
    for odd in changed(right):
        answer = sender.post(odd).answer
        assert answer.status in (200, 400, 404), odd
        json.dumps(answer.body)


@pytest.mark.parametrize("kind", ["interactive", "template", "contacts"])
def test_an_object_of_another_type_is_not_looked_at(make_sender, kind):
    sender = make_sender(windows_are_open=True, allowed=Allowed(10**6, 10**6))
    for odd in ODD:
        assert sender.text(**{kind: odd}).answer.status == 200
