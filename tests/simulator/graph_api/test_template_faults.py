"""What Meta answers to a template message that is wrong in one way."""

import pytest

IMAGE = {"type": "image", "image": {"link": "https://a.example/a.png"}}
VIDEO = {"type": "video", "video": {"link": "https://a.example/a.mp4"}}


def text(value, name=None):
    return {"type": "text", "text": value} | ({"parameter_name": name} if name else {})


def part(kind, *parameters, **more):
    made = [text(each) if isinstance(each, str) else each for each in parameters]
    return {"type": kind, "parameters": made} | more


TRACK = part("button", "x7", sub_type="url", index="0")
CODE = part("button", "123456", sub_type="URL", index=0)
PLACE = part("HEADER", text("Berlin", "place"))
RIGHT = {
    "order_update": [part("body", "Ana", "7"), TRACK],
    "seasonal_offer": [part("header", IMAGE), part("body", "Ana")],
    "login_code": [part("body", "123456"), CODE],
    "appointment": [PLACE, part("body", text("Friday", "day"), text("Ana", "name"))],
}


@pytest.mark.parametrize(("name", "components"), RIGHT.items())
def test_a_right_template_is_accepted(sender, name, components):
    answer = sender.template(name, *components).answer
    assert answer.status == 200, answer.body


MONEY = {"type": "currency", "currency": {"fallback_value": "5 €", "code": "EUR", "amount_1000": 5000}}


def test_money_has_the_text_of_its_fallback(sender):
    assert sender.template("order_update", part("body", MONEY, "7"), TRACK).answer.status == 200


WRONG = [
    ("order_update", [], 132000, "body: number of localizable_params (0) does not match"),
    ("order_update", [part("body", "1", "2", "3"), TRACK], 132000, "the expected number of params (2)"),
    ("order_update", [part("body", "Ana", ""), TRACK], 131008, "missing text value"),
    ("order_update", [part("body", "Ana", "a\nb"), TRACK], 132018, "new-line/tab"),
    ("order_update", [part("body", "Ana", "a     b"), TRACK], 132018, "4 consecutive spaces"),
    ("order_update", [part("body", "Ana", "a" * 1024), TRACK], 132005, "1024"),
    ("order_update", [part("body", text("Ana", "1"), "7"), TRACK], 132012, "have no names"),
    ("order_update", [part("body", IMAGE, "7"), TRACK], 132012, "expected TEXT, received IMAGE"),
    ("order_update", [part("body", "Ana", "7")], 131008, "buttons: Button at index 0 of type Url requires a parameter"),
    ("order_update", [part("body", "Ana", "7"), part("button", "", index=0)], 131008, "Button at index 0"),
    ("seasonal_offer", [part("body", "Ana")], 132012, "header: Format mismatch, expected IMAGE, received UNKNOWN"),
    ("seasonal_offer", [part("header", VIDEO), part("body", "Ana")], 132012, "expected IMAGE, received VIDEO"),
    ("seasonal_offer", [part("header", {"type": "image"}), part("body", "Ana")], 100, "image['id'] or image['link']"),
    ("seasonal_offer", [part("header", IMAGE | {"image": {"id": "1"}}), part("body", "Ana")], 100, "image['id']"),
    ("we_miss_you", [part("body", "Ana")], 132000, "(1) does not match the expected number of params (0)"),
    ("order_update", [part("header", "Ana"), part("body", "Ana", "7"), TRACK], 132000, "header: number of"),
    ("we_miss_you", [], 131008, "Button at index 0 of type Copy_Code requires a parameter"),
    ("login_code", [part("body", "123456")], 131008, "Button at index 0 of type Url requires a parameter"),
    ("appointment", [part("body", text("a", "name"), text("b", "day"))], 132000, "header: number"),
    ("appointment", [PLACE, part("body", "a", "b")], 100, "Parameter name is missing or empty"),
    ("appointment", [PLACE, part("body", text("a", "name"), text("b", "when"))], 100, "no parameter when"),
    ("nothing", [], 132001, "template name (nothing) does not exist in en_US"),
    ("pending_offer", [], 132001, "template name (pending_offer) does not exist in en_US"),
    ("paused_offer", [], 132015, ""),
    ("disabled_offer", [], 132016, ""),
    ("hello_world", [], 131058, ""),
    ("", [], 100, "The parameter template['name'] is required."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "components", "code", "said"), WRONG, ids=[f"{row[2]} {row[0]}" for row in WRONG]
)
def test_a_wrong_template_is_refused_with_meta_s_words(sender, name, components, code, said):
    result = sender.template(name, *components)
    error = result.answer.body["error"]
    assert error["code"] == code
    assert said in error["message"] + error.get("error_data", {}).get("details", "")
    assert result.changes == ()


@pytest.mark.parametrize("language", ["en", "en-US", "EN_US", "de"])
def test_a_template_exists_in_its_own_language_only(sender, language):
    answer = sender.template("order_update", language=language).answer
    assert (answer.status, answer.body["error"]["code"]) == (404, 132001)


def test_an_authentication_template_cannot_be_sent_to_a_user_id(sender):
    user = {"to": None, "recipient": "US.13491208655302741918"}
    assert sender.template("login_code", *RIGHT["login_code"], **user).answer.body["error"]["code"] == 131062
    assert sender.template("order_update", *RIGHT["order_update"], **user).answer.status == 200


@pytest.mark.parametrize("odd", [{}, [], "a", [None, 5, {"type": "body", "parameters": "x"}]])
def test_odd_components_are_refused_without_a_fault(sender, odd):
    body = {"messaging_product": "whatsapp", "to": "4915112345678", "type": "template"}
    body["template"] = {"name": "order_update", "language": {"code": "en_US"}, "components": odd}
    assert sender.post(body).answer.body["error"]["code"] == 132000
