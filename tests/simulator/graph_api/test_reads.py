"""Reads of the simulated Graph API, and this service's own reader of Meta's account against it."""

import pytest

from webhook_app.simulator.graph_api.account import APP_ID, EXPIRED_TOKEN, TOKEN, read_templates

WABA = "384610027715590"
NUMBER = "590238114470021"


def data(answer):
    return answer.body["data"]


def test_the_token_is_described(sender):
    described = data(sender.get("debug_token", input_token=TOKEN))
    assert (described["is_valid"], described["app_id"], described["type"]) == (True, APP_ID, "SYSTEM_USER")


@pytest.mark.parametrize(("token", "subcode"), [(EXPIRED_TOKEN, 463), ("EAAother", None)])
def test_a_bad_token_is_described_with_status_200(sender, token, subcode):
    answer = sender.get("debug_token", input_token=token)
    assert (answer.status, data(answer)["is_valid"]) == (200, False)
    assert (data(answer)["error"]["code"], data(answer)["error"].get("subcode")) == (190, subcode)


def test_only_the_app_may_read_its_subscriptions(sender):
    path = f"{APP_ID}/subscriptions"
    assert sender.get(path).body["error"]["code"] == 15
    (row,) = data(sender.get(path, token=sender.account.app_token))
    assert row["callback_url"] == "https://hooks.example/webhook"


def test_a_node_has_the_fields_that_are_asked_for(sender):
    assert sender.get(WABA, fields="name,currency").body == {"id": WABA, "name": "Acme", "currency": "EUR"}
    assert sender.get(NUMBER, fields="status").body == {"id": NUMBER, "status": "CONNECTED"}


def test_one_unknown_field_fails_the_read(sender):
    answer = sender.get(f"{WABA}/phone_numbers", fields="id,nonsense")
    message = "(#100) Tried accessing nonexisting field (nonsense) on node type (WhatsAppBusinessPhoneNumber)"
    assert (answer.status, answer.body["error"]["message"]) == (400, message)


def test_an_unknown_id_is_answered_as_meta_does(sender):
    answer = sender.get("4711")
    error = answer.body["error"]
    assert (answer.status, error["code"], error["error_subcode"]) == (400, 100, 33)


def test_an_edge_has_pages(sender):
    path = f"{WABA}/message_templates"
    names, after = [], "0"
    while after:
        answer = sender.get(path, limit="3", after=after, fields="name")
        names += [row["name"] for row in data(answer)]
        after = answer.body["paging"]["cursors"]["after"] if "next" in answer.body["paging"] else ""
    assert len(names) == len(set(names)) == 8
    assert TOKEN not in str(answer.body)
    assert "next" not in sender.get(path, limit="8").body["paging"]
    assert sender.get(path, after="8").body == {"data": []}


def test_templates_can_be_filtered(sender):
    found = data(sender.get(f"{WABA}/message_templates", name="login_code", language="en_US"))
    assert [row["category"] for row in found] == ["AUTHENTICATION"]
    assert data(sender.get(f"{WABA}/message_templates", status="PAUSED"))[0]["name"] == "paused_offer"


def test_templates_of_a_file_are_those_of_the_account():
    (row,) = read_templates(
        '{"data": [{"name": "mine", "language": "de", "components": [{"type": "BODY"}]}]}'
    )
    assert (row["status"], row["components"]) == ("APPROVED", [{"type": "BODY"}])
    assert row["id"].isdecimal()


@pytest.mark.parametrize("text", ["", "[]", '{"data": 5}', '["a"]', '[{"name": "a"}]', "[" * 100_000])
def test_a_file_without_templates_is_refused(text):
    with pytest.raises(ValueError, match=r"JSON|expected|no name"):
        read_templates(text)
