"""One call in, its answer and the webhooks that follow out."""

from datetime import timedelta

import pytest

from webhook_app.simulator.graph_api.account import EXPIRED_TOKEN
from webhook_app.simulator.graph_api.limits import Allowed
from webhook_app.simulator.graph_api.triggers import read_triggers
from webhook_app.whatsapp.sends.graph_errors import read_graph_error

NUMBER = "590238114470021"


def error(result):
    return result.answer.body["error"]


def code(result):
    """The code of the answer, or of the webhook that follows; 0 without."""
    if "error" in result.answer.body:
        return error(result)["code"]
    return statuses(result)[-1].get("errors", [{"code": 0}])[0]["code"]


def statuses(result):
    return [change.change["value"]["statuses"][0] for change in result.changes]


@pytest.fixture
def order(component):
    """What order_update needs."""
    return (
        "order_update",
        component("body", "Ana", "7"),
        component("button", "x7", sub_type="url", index="0"),
    )


def test_an_accepted_template_is_sent_delivered_and_read(sender, order):
    result = sender.template(*order, to="+49 (151) 1234-5678", biz_opaque_callback_data="order=7")
    message_id = result.answer.body["messages"][0]["id"]
    assert result.answer.body == {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "+49 (151) 1234-5678", "wa_id": "4915112345678"}],
        "messages": [{"id": message_id, "message_status": "accepted"}],
    }
    assert [(each["status"], each["id"], each["biz_opaque_callback_data"]) for each in statuses(result)] == [
        (name, message_id, "order=7") for name in ("sent", "delivered", "read")
    ]
    assert [change.at - sender.now for change in result.changes] == [timedelta(seconds=n) for n in (1, 2, 3)]
    assert statuses(result)[0]["pricing"]["category"] == "utility"


def test_messages_of_two_runs_have_different_ids(make_sender, order):
    ids = {make_sender().template(*order).answer.body["messages"][0]["id"] for _ in range(5)}
    assert len(ids) == 5


@pytest.mark.parametrize(("version", "has_conversation"), [(23, True), (24, False)])
def test_conversations_are_described_until_v23(sender, order, version, has_conversation):
    body = {"messaging_product": "whatsapp", "to": "4915112345678", "type": "template"}
    name, *components = order
    body["template"] = {"name": name, "language": {"code": "en_US"}, "components": components}
    sent, delivered, _ = statuses(sender.post(body, version=version))
    assert ("conversation" in sent, "conversation" in delivered) == (has_conversation, has_conversation)
    if has_conversation:
        assert sent["conversation"]["origin"] == {"type": "utility"}
        assert int(sent["conversation"]["expiration_timestamp"]) > int(sent["timestamp"])


@pytest.mark.parametrize("wanted", [131026, 131049, 130472, 131053, 131042, 131050])
def test_a_code_that_comes_by_webhook_follows_an_accepted_send(sender, wanted):
    result = sender.text(f"4915100{wanted}")
    assert result.answer.status == 200
    (status,) = statuses(result)
    assert (status["status"], status["errors"][0]["code"]) == ("failed", wanted)
    assert status["errors"][0]["error_data"]["details"]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        *(
            (190, 401),
            (10, 403),
            (200, 403),
            (131005, 403),
            (100, 400),
            (4, 400),
            (131008, 400),
            (131009, 400),
        ),
        *(
            (132000, 400),
            (132001, 404),
            (132005, 400),
            (132012, 400),
            (132015, 400),
            (132016, 400),
            (132018, 400),
        ),
        *(
            (130429, 400),
            (131056, 400),
            (131021, 400),
            (131030, 400),
            (133010, 400),
            (131016, 500),
            (131057, 500),
        ),
    ],
)
def test_a_code_of_the_send_call_is_answered(sender, wanted, status):
    result = sender.text(f"4915100{wanted}" if wanted > 9999 else f"491510099{wanted:04}")
    assert (result.answer.status, result.changes) == (status, ())
    assert error(result)["code"] == wanted
    assert error(result)["type"] == "OAuthException"
    assert error(result)["fbtrace_id"].startswith("A")
    assert read_graph_error(result.answer.body).code == wanted


def test_a_number_of_the_list_fails_with_its_code(make_sender):
    sender = make_sender(triggers=read_triggers(["+49 151 12345678=131049", "US.1349=131026"], []))
    assert code(sender.text("4915112345678")) == 131049
    assert (
        code(sender.post({"messaging_product": "whatsapp", "recipient": "US.1349", "text": {"body": "a"}}))
        == 131026
    )


def test_a_rate_fails_its_share_of_the_sends(make_sender):
    sender = make_sender(
        triggers=read_triggers([], ["131026=0.3", "131016=0.2"]),
        windows_are_open=True,
        allowed=Allowed(10_000, 10_000),
    )
    found = [code(sender.text()) for _ in range(2000)]
    assert found.count(131026) == pytest.approx(600, abs=80)
    assert found.count(131016) == pytest.approx(400, abs=80)
    assert found.count(0) == len(found) - found.count(131026) - found.count(131016)


class TestTokens:
    def test_another_token_is_refused(self, sender):
        result = sender.post({}, token="EAAother")
        assert (result.answer.status, error(result)["code"]) == (401, 190)
        assert "error_subcode" not in error(result)
        assert "EAAother" not in str(result.answer.body)

    def test_an_expired_token_is_refused_with_its_subcode(self, sender):
        result = sender.post({}, token=EXPIRED_TOKEN)
        assert (result.answer.status, error(result)["code"], error(result)["error_subcode"]) == (
            401,
            190,
            463,
        )

    def test_a_proof_with_another_secret_is_refused(self, sender):
        result = sender.post({}, query={"appsecret_proof": "0" * 64})
        assert "appsecret_proof" in error(result)["message"]


class TestWindows:
    def test_a_text_fails_by_webhook_until_its_recipient_writes(self, sender):
        assert code(sender.text()) == 131047
        sender.inbound()
        assert code(sender.text()) == 0

    def test_a_window_closes_after_24_hours(self, sender):
        sender.inbound()
        sender.now += timedelta(hours=24, seconds=-1)
        assert code(sender.text()) == 0
        sender.now += timedelta(seconds=1)
        assert code(sender.text()) == 131047

    def test_a_window_is_of_one_business_number(self, sender):
        sender.inbound(phone_number_id="590238114470077")
        assert code(sender.text()) == 131047

    def test_a_window_is_open_for_every_spelling_and_for_the_user_id(self, sender):
        inbound = sender.inbound("525512345678")
        assert inbound.answer.body["from"] == "5215512345678"
        assert code(sender.text("+52 1 55 1234 5678")) == 0
        (item,) = inbound.changes[0].change["value"]["messages"]
        to_user = {"messaging_product": "whatsapp", "recipient": item["from_user_id"], "text": {"body": "a"}}
        assert code(sender.post(to_user)) == 0

    def test_a_template_needs_no_window(self, sender, order):
        assert code(sender.template(*order)) == 0

    def test_every_window_can_be_open(self, make_sender):
        assert code(make_sender(windows_are_open=True).text()) == 0

    def test_an_inbound_message_is_posted(self, sender):
        (change,) = sender.inbound(button=True, text="Stop promotions").changes
        (item,) = change.change["value"]["messages"]
        assert (item["from"], item["button"]["text"]) == ("4915112345678", "Stop promotions")

    @pytest.mark.parametrize("wrong", [{"sender": ""}, {"sender": "0049151"}, {"phone_number_id": "1"}])
    def test_an_inbound_message_needs_a_number(self, sender, wrong):
        result = sender.inbound(**wrong)
        assert (result.answer.status, result.changes) == (400, ())

    @pytest.mark.parametrize("body", [None, [], "text"])
    def test_an_inbound_message_needs_an_object(self, sender, body):
        assert sender.graph.inbound(body, sender.now).answer.status == 400


class TestLimits:
    def test_more_sends_in_a_second_than_the_number_may_make_are_refused(self, make_sender, order):
        sender = make_sender(allowed=Allowed(sends_per_second=3))
        assert [code(sender.template(*order)) for _ in range(4)] == [0, 0, 0, 130429]
        sender.now += timedelta(seconds=1)
        assert code(sender.template(*order)) == 0

    def test_more_messages_to_one_recipient_than_the_pair_may_have_are_refused(self, make_sender, order):
        sender = make_sender(allowed=Allowed(pair_burst=2))
        assert [code(sender.template(*order)) for _ in range(3)] == [0, 0, 131056]
        assert code(sender.template(*order, to="4915112345679")) == 0
        sender.now += timedelta(seconds=5.9)
        assert code(sender.template(*order)) == 131056
        sender.now += timedelta(seconds=0.1)
        assert [code(sender.template(*order)) for _ in range(2)] == [0, 131056]

    def test_more_calls_in_an_hour_than_the_app_may_make_are_refused(self, make_sender):
        sender = make_sender(allowed=Allowed(calls_per_hour=4))
        assert [sender.get(NUMBER).status for _ in range(4)] == [200] * 4
        assert sender.graph.limits.used_percent == 100
        assert code(sender.text()) == 4
        sender.now += timedelta(hours=1)
        assert code(sender.text()) == 131047


class TestRecipients:
    @pytest.mark.parametrize(
        ("to", "wa_id"),
        [
            *(("525512345678", "5215512345678"), ("541112345678", "5491112345678")),
            *(("5511987654321", "551187654321"), ("4915112345678", "4915112345678")),
        ],
    )
    def test_the_answer_has_meta_s_spelling_of_the_number(self, sender, to, wa_id):
        result = sender.text(to)
        assert result.answer.body["contacts"] == [{"input": to, "wa_id": wa_id}]
        assert statuses(result)[0]["recipient_id"] == wa_id

    def test_a_send_to_a_user_id_has_no_number(self, sender):
        body = {
            "messaging_product": "whatsapp",
            "recipient": "US.13491208655302741918",
            "text": {"body": "a"},
        }
        result = sender.post(body)
        user_id = {"user_id": "US.13491208655302741918"}
        assert result.answer.body["contacts"] == [{"input": "US.13491208655302741918"} | user_id]
        assert "recipient_id" not in statuses(result)[0]
        assert statuses(result)[0]["recipient_user_id"] == "US.13491208655302741918"

    def test_a_number_wins_over_a_user_id(self, sender):
        contact = sender.text(recipient="US.13491208655302741918").answer.body["contacts"][0]
        assert contact == {
            "input": "4915112345678",
            "wa_id": "4915112345678",
            "user_id": "US.13491208655302741918",
        }

    @pytest.mark.parametrize("to", ["", None, "US.13491208655302741918"])
    def test_without_a_number_or_with_a_user_id_in_its_place_the_recipient_is_missing(self, sender, to):
        assert error(sender.text(to))["message"] == "(#100) The parameter to is required."

    @pytest.mark.parametrize(
        "to", ["004915112345678", "015112345678", "tel:+4915112345678", "12", "4" * 16, "٤٩١٥١١٢٣٤٥٦٧", []]
    )
    def test_a_number_that_is_none_is_refused(self, sender, to):
        assert code(sender.text(to)) == 100

    def test_a_number_cannot_write_to_itself(self, sender):
        assert code(sender.text("+1 312 555 0199")) == 131021

    def test_marketing_to_the_usa_is_withheld(self, sender, component):
        coupon = component(
            "button", {"type": "coupon_code", "coupon_code": "A1"}, sub_type="copy_code", index=0
        )
        assert code(sender.template("we_miss_you", coupon, to="12025550117")) == 131049
        assert code(sender.template("we_miss_you", coupon)) == 0


class TestPaths:
    @pytest.mark.parametrize(
        "path", ["384610027715590/messages", "4930123/messages", f"{NUMBER}/nothing", NUMBER]
    )
    def test_an_id_that_is_no_number_of_ours_is_refused(self, sender, path):
        result = sender.post({}, path=path)
        assert (result.answer.status, error(result)["code"], error(result)["error_subcode"]) == (400, 100, 33)
        assert error(result)["type"] == "GraphMethodException"

    def test_a_read_receipt_is_no_message(self, sender):
        receipt = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"}
        assert sender.post(receipt).answer.body == {"success": True}
        assert code(sender.post({"messaging_product": "whatsapp", "status": "read"})) == 100

    def test_uploaded_media_can_be_sent(self, make_sender):
        sender = make_sender(windows_are_open=True)
        image = {"messaging_product": "whatsapp", "to": "4915112345678", "type": "image"}
        assert code(sender.post(image | {"image": {"id": "1"}})) == 100
        media_id = sender.post(None, path=f"{NUMBER}/media").answer.body["id"]
        assert code(sender.post(image | {"image": {"id": media_id}})) == 0

    def test_only_sent_follows_a_reaction(self, make_sender):
        sender = make_sender(windows_are_open=True)
        body = {"messaging_product": "whatsapp", "to": "4915112345678", "type": "reaction"}
        result = sender.post(body | {"reaction": {"message_id": "wamid.1", "emoji": "👍"}})
        assert [each["status"] for each in statuses(result)] == ["sent"]
