"""/v1/preflight: it predicts what Meta answers, refuses nothing that Meta takes, and knows who may not be messaged."""

import json
import time
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.factories import body, document, handed_over, handover, number_change
from tests.support.factories import message as inbound
from tests.support.fake_messages import FakeMessages
from tests.support.generated_messages import (
    STRANGER,
    USER,
    WRITER,
    generate,
    message,
    template,
    template_rows,
    texts,
)
from webhook_app.rules.accounts.doctor_check import Checked
from webhook_app.simulator.graph_api.account import TOKEN, SimulatedAccount
from webhook_app.simulator.graph_api.graph import GraphCall, SimulatedGraph
from webhook_app.simulator.messages import BusinessNumber
from webhook_app.store.accounts import doctor, numbers, templates
from webhook_app.store.accounts.numbers import ListedNumber
from webhook_app.whatsapp.accounts.template_answers import read_template

NUMBER, WABA, DIGITS = "106000000000", "555000100000", "49301234567"
UPLOADED = ("a sticker", "a voice message", "an image to a stranger")
"""Generated messages with the id of a file that the simulated Graph API does not have."""
HELLO = message("text", {"body": "Hello"})


@pytest.fixture
def known(engine, deliver, now):
    """Store what a reading of the Graph API found `minutes` ago, and that WRITER wrote to the number."""

    def store(minutes=0, rows=(), faults=(), **number):
        at = now - timedelta(minutes=minutes)
        described = {"display_phone_number": "+49 30 1234567", "verified_name": "Acme", "status": "CONNECTED",
                     "mode": "LIVE"} | number  # fmt: skip
        with engine.begin() as connection:
            numbers.save(
                connection, [ListedNumber(phone_number_id=NUMBER, waba_id=WABA, read_at=at, **described)]
            )
            found = [read_template(row, WABA) for row in rows or template_rows()]
            templates.save(connection, WABA, found, [], [], at)
            templates.save_reading(connection, WABA, len(found), at)
            doctor.save(connection, list(faults), at)
        deliver(
            body(
                messages=[inbound("wamid.IN", now - timedelta(minutes=1), sender=WRITER)],
                number=NUMBER,
                waba=WABA,
                display="+49 30 1234567",
            )
        )

    return store


@pytest.fixture
def judge(api):
    """The result of one message."""

    def ask(given, number=NUMBER, **more):
        asked = {"phone_number_id": number, "messages": [given], **more}
        (result,) = api.post("/v1/preflight", json=asked, role="sender").json["results"]
        return result

    return ask


@pytest.fixture
def predict(api):
    """(what, Meta's code, the result) of generated messages."""

    def run(meta, seed, count=600):
        sent = [(what, number or NUMBER, given) for what, number, given in generate(seed, count)]
        found = []
        for number in sorted({number for _, number, _ in sent}):
            some = [each for each in sent if each[1] == number]
            asked = {"phone_number_id": number, "messages": [given for _, _, given in some]}
            results = api.post("/v1/preflight", json=asked, role="sender").json["results"]
            found += [
                (what, meta.code(number, given), result)
                for (what, _, given), result in zip(some, results, strict=True)
            ]
        return found

    return run


def fake(**more):
    return FakeMessages(NUMBER, DIGITS, template_rows(), {WRITER, USER}, **more)


def unpredicted(found):
    """Messages of which Meta answers another code than expected; of several mistakes it may name any one first."""
    return [
        (what, code, result["expected_code"])
        for what, code, result in found
        if code
        not in {each["code"] for each in result["problems"] if each["expected"]} | {result["expected_code"]}
    ]


def refused_wrongly(found):
    return {what for what, code, result in found if code is None and not result["allowed"]}


@pytest.mark.parametrize("seed", [1, 2])
def test_it_predicts_what_meta_answers_and_refuses_nothing_that_meta_takes(known, predict, make_app, seed):
    known()
    found = predict(fake(), seed)
    assert len(unpredicted(found)) <= 0.02 * len(found), unpredicted(found)
    assert refused_wrongly(found) == set()
    codes = {code for _, code, _ in found}
    assert codes >= {None, 100, 131008, 131009, 131021, 131047, 131058, 131062, 132000, 132001, 132005, 132012, 132015,
                     132016, 132018}  # fmt: skip


class SimulatedMeta:
    """The simulated Graph API, which counts an error that follows by webhook like one in the answer."""

    def __init__(self, now):
        account = SimulatedAccount(
            numbers=(BusinessNumber(WABA, NUMBER, DIGITS, "json"),), templates=tuple(template_rows())
        )
        self.graph, self.now = SimulatedGraph(account), now
        self.graph.inbound({"from": WRITER, "phone_number_id": NUMBER}, now)

    def code(self, number, given):
        self.now += timedelta(seconds=30)  # Meta takes one message to a person every six seconds
        call = GraphCall(method="POST", path=f"{number}/messages", token=TOKEN, body=given)
        found = self.graph.answer(call, self.now)
        if found.answer.status != 200:
            return found.answer.body["error"]["code"]
        statuses = [each for change in found.changes for each in change.change["value"].get("statuses", ())]
        return next((each["errors"][0]["code"] for each in statuses if "errors" in each), None)


def test_it_agrees_with_the_simulated_graph_api(known, predict, now):
    known()
    found = [
        each for each in predict(SimulatedMeta(now), 6) if "by id" not in each[0] and each[0] not in UPLOADED
    ]
    assert len(found) >= 500
    assert len(unpredicted(found)) <= 0.02 * len(found), unpredicted(found)
    assert refused_wrongly(found) == set()


@pytest.mark.parametrize(
    ("number", "fault", "meta"),
    [
        ({"status": "DISCONNECTED"}, None, {"status": "DISCONNECTED"}),
        ({"mode": "SANDBOX"}, None, {"mode": "SANDBOX"}),
        ({}, Checked("account", WABA).warning("marketing", "Off.", "Use it.", 131063), {"marketing": False}),
    ],
)
def test_the_state_of_number_and_account_is_predicted(known, predict, number, fault, meta):
    known(faults=[fault] if fault else [], **number)
    found = predict(fake(**meta), 3, 200)
    assert len(unpredicted(found)) <= 0.02 * len(found), unpredicted(found)
    assert refused_wrongly(found) == set()


def test_what_may_have_changed_since_the_reading_refuses_nothing_that_meta_takes(known, predict):
    changed = [
        row
        | {"status": "REJECTED" if place % 2 else "PAUSED", "components": [{"type": "BODY", "text": "{{9}}"}]}
        for place, row in enumerate(template_rows())
    ]
    fault = Checked("account", WABA).broken("account", "The account is DISABLED.", "Appeal.", 131031)
    known(180, changed[3:], [fault], status="BANNED")
    found = predict(fake(), 4, 300)
    assert refused_wrongly(found) == set()


def test_without_any_knowledge_nothing_is_refused_that_meta_takes(predict):
    found = predict(fake(), 5, 300)
    assert refused_wrongly(found) == set()


def test_each_problem_has_its_code_its_place_and_the_remedy(known, judge):
    known()
    result = judge(template("order", texts("body", "Ana")))
    assert (result["allowed"], result["verdict"], result["expected_code"]) == (False, "refuse", 132000)
    (problem,) = result["problems"]
    assert (problem["code"], problem["field"], problem["severity"]) == (
        132000,
        "template.components[0]",
        "refuse",
    )
    assert problem["message"] == "The body needs 2 parameters (1, 2); given are 1."
    assert "one value for each placeholder" in problem["fix"]


def test_a_right_message_has_no_problem(known, judge):
    known()
    for given in (HELLO, template("order", texts("body", "Ana", "7"))):
        result = judge(given)
        assert (result["allowed"], result["verdict"], result["problems"]) == (True, "send", [])
    assert result["check"]["verdict"] == "send"


def test_while_the_window_is_closed_a_template_is_proposed(known, judge):
    known()
    result = judge(HELLO | {"to": STRANGER})
    assert (result["allowed"], result["expected_code"]) == (True, 131047)
    assert result["fallback_templates"] == [{"name": name, "language": "en_US"} for name in ("plain", "site")]
    assert judge(HELLO)["fallback_templates"] == []
    assert judge(template("paused"))["fallback_templates"] != []


def test_what_a_webhook_said_of_a_template_since_the_reading_counts(known, judge, deliver):
    known()
    paused = {"event": "PAUSED", "message_template_id": 1000, "message_template_name": "plain",
              "message_template_language": "en_US", "reason": "NONE"}  # fmt: skip
    deliver(json.dumps(document(paused, field="message_template_status_update", waba=WABA)).encode())
    result = judge(template("plain"))
    assert (result["allowed"], result["expected_code"]) == (False, 132015)
    assert [each["name"] for each in result["fallback_templates"]] == ["site"]


def test_the_check_is_part_of_it(api, known, judge):
    known()
    api.put(f"/v1/suppressions/+{STRANGER}", json={"scope": "marketing"})
    refused = judge(template("coupon", to=STRANGER))
    assert (refused["check"]["verdict"], refused["allowed"]) == ("suppressed", False)
    assert judge(template("plain"))["check"]["verdict"] == "send"
    assert judge(template("plain"), category="marketing")["check"]["verdict"] == "suppressed"


def test_a_group_has_no_check(known, judge):
    known()
    assert judge(HELLO | {"to": "a group", "recipient_type": "group"})["check"] is None


def test_a_conversation_of_another_app_is_a_warning_for_all_but_templates(known, judge, deliver, now):
    known()
    deliver(handed_over(handover("control_taken", now, sender=WRITER, number=NUMBER, role="escalation")))
    found = judge(HELLO)
    assert (found["allowed"], found["verdict"], found["expected_code"]) == (True, "warn", 131070)
    assert found["check"]["conversation_owner"]["is_you"] is False
    assert judge(template("plain", to=WRITER))["problems"] == []
    deliver(handed_over(handover("control_passed", now + timedelta(seconds=1), sender=WRITER, number=NUMBER)))
    assert judge(HELLO)["problems"] == []


def test_opt_ins_are_a_condition_only_if_they_are_required(make_app, keys, known, api, now):
    known()
    asked = {"phone_number_id": NUMBER, "messages": [template("plain"), HELLO]}
    headers = {"Authorization": f"Bearer {keys['sender']}"}
    required = make_app(opt_in="required").test_client()

    def allowed(client):
        results = client.post("/v1/preflight", json=asked, headers=headers).json["results"]
        return [each["allowed"] for each in results]

    assert allowed(make_app().test_client()) == [True, True]
    assert allowed(required) == [False, True]
    api.put(f"/v1/opt-ins/+{STRANGER}", json={"channel": "shop"})
    assert allowed(required) == [True, True]


def test_an_opt_in_counts_for_the_person_who_agreed_after_a_change_of_number(
    make_app, keys, known, api, deliver, now
):
    known()
    new = "4915112340002"
    agreed = (now - timedelta(days=9)).isoformat()
    api.put(f"/v1/opt-ins/+{STRANGER}", json={"channel": "shop", "opted_in_at": agreed})
    deliver(number_change(STRANGER, new, now - timedelta(days=2)))
    required = make_app(opt_in="required").test_client()
    headers = {"Authorization": f"Bearer {keys['sender']}"}
    asked = {"phone_number_id": NUMBER, "messages": [template("plain", to=to) for to in (STRANGER, new)]}
    results = required.post("/v1/preflight", json=asked, headers=headers).json["results"]
    assert [each["allowed"] for each in results] == [False, True]


def test_faults_of_the_token_and_the_limit_are_warnings(engine, known, judge, now):
    token = Checked("token").warning(
        "token", "The access token is valid until tomorrow.", "Make a new one.", 190
    )
    known(faults=[token])
    with engine.begin() as connection:
        connection.execute(
            text("""INSERT INTO alerts (rule, kind, severity, state, group_key, "group", codes, covers_from, started_at,
                                        evaluated_at, explanation)
                    VALUES ('tier', 'tier', 'warning', 'firing', 'k', CAST(:part AS jsonb), '{}',
                            :now, :now, :now, '{"finding": "90 % of the limit is used", "advice": "Wait."}')"""),
            {"part": json.dumps({"waba_id": WABA}), "now": now},
        )
    result = judge(HELLO)
    assert (result["allowed"], result["verdict"], result["expected_code"]) == (True, "warn", None)
    assert [(each["code"], each["field"]) for each in result["problems"]] == [
        (190, "token"),
        (131048, "phone_number_id"),
    ]


def test_an_id_of_the_account_says_so(known, judge):
    known()
    (problem,) = judge(HELLO, WABA)["problems"][:1]
    assert problem["message"] == "This is the id of the account, not of a business number."


@pytest.mark.parametrize(
    ("given", "file", "code"),
    [
        (message("image", {"id": "7"}), {"mime_type": "image/gif"}, 131053),
        (message("image", {"id": "7"}), {"bytes": 6_000_000}, 131053),
        (message("image", {"link": "https://a.example/a.gif?x=1"}), None, 131053),
        (message("image", {"id": "7"}), {"mime_type": "image/png", "bytes": 1000}, None),
        (message("document", {"id": "7"}), {"mime_type": "application/zip"}, None),
    ],
)
def test_files_are_judged_as_far_as_they_are_described(known, judge, given, file, code):
    known()
    result = judge(given, files=[file])
    assert [each["code"] for each in result["problems"]] == ([code] if code else [])
    assert result["allowed"]


def test_a_thousand_messages_are_judged_in_their_order(api, known):
    known()
    given = [HELLO | {"to": f"49151{n:08}"} for n in range(999)] + [HELLO]
    answer = api.post(
        "/v1/preflight", json={"phone_number_id": NUMBER, "messages": given}, role="sender"
    ).json
    assert [each["check"]["input"] for each in answer["results"]] == [each["to"] for each in given]
    assert answer["summary"] == {"send": 1, "warn": 999, "refuse": 0}


@pytest.mark.parametrize(
    "asked",
    [
        {"messages": [HELLO]}, {"phone_number_id": NUMBER}, {"phone_number_id": NUMBER, "messages": []},
        {"phone_number_id": NUMBER, "messages": [HELLO] * 1001}, {"phone_number_id": NUMBER, "messages": ["a"]},
        {"phone_number_id": NUMBER, "messages": [HELLO], "files": []},
        {"phone_number_id": NUMBER, "messages": [template(f"t{n}") for n in range(101)]},
    ],
)  # fmt: skip
def test_a_request_in_another_form_is_refused(api, asked):
    assert api.post("/v1/preflight", json=asked, role="sender").status_code == 400


@pytest.mark.parametrize(
    "odd",
    [
        {}, {"to": 7}, {"to": ["a"]}, {"to": {"a": 1}}, {"type": 7}, {"type": "text", "text": "x", "to": "1"},
        {"type": "template", "template": {"name": 7, "language": "de"}}, {"status": 5, "to": "\0"},
        {"type": "template", "template": {"name": "a\0", "language": {"code": "\ufffd"}}, "to": WRITER},
        {"type": "template", "to": WRITER, "template": {"name": "order", "language": {"code": "en_US"},
         "components": [7, {"type": 5, "parameters": [1]}, {"type": "body", "parameters": {"a": 1}}]}},
        {"type": "interactive", "interactive": {"type": "list", "action": {"sections": [{"rows": 5}, 7]}}},
        {"type": "contacts", "to": WRITER, "contacts": [5]}, {"type": "image", "to": WRITER, "image": {"link": 5}},
        {"recipient_type": "group", "to": "x"}, {"recipient": USER},
    ],
)  # fmt: skip
def test_an_odd_message_is_judged_like_any_other(known, judge, odd):
    known()
    assert judge(odd)["verdict"] in ("warn", "refuse", "send")


@pytest.mark.parametrize(
    "given",
    [
        template("hello")
        | {"template": {"name": "a", "language": {"code": "en"}, "components": [1] * 40_000}},
        HELLO | {"text": {"body": "x" * 70_000}},
    ],
)
def test_a_message_larger_than_any_is_refused_before_it_is_read(api, given):
    asked = {"phone_number_id": NUMBER, "messages": [HELLO, given]}
    found = api.post("/v1/preflight", json=asked, role="sender")
    assert (found.status_code, found.json["error"]["message"]) == (
        400,
        "messages[1]: larger than 65536 bytes.",
    )


def test_what_stands_in_place_of_a_word_is_not_spelt_for_every_parameter(api, known):
    """The type of the component is a list of 10 000 numbers; each of 2 000 parameters asks for it."""
    known()
    component = {"type": [1] * 10_000, "index": [1] * 10_000, "parameters": [{"text": "\n"}] * 2_000}
    given = template("no_such_template") | {"to": WRITER}
    given["template"]["components"] = [component]
    began = time.process_time()
    api.post("/v1/preflight", json={"phone_number_id": NUMBER, "messages": [given]}, role="sender")
    assert time.process_time() - began < 1, "0.02 s; 2 s if the list is spelt for each"


def test_a_message_that_is_refused_leaves_the_probe_to_one_that_can_be_sent(api, known, engine, now):
    known()
    with engine.begin() as connection:
        values = {"contact": STRANGER.removeprefix("+"), "now": now}
        connection.execute(
            text(
                "INSERT INTO suppressions (contact, phone_number_id, scope, reason, code, since, half_open_at)"
                " VALUES (:contact, '', 'all', 'unreachable', 131026, :now - interval '40 days', :now)"
            ),
            values,
        )
    given = [{"to": STRANGER}, template("unknown"), template("unknown")]
    asked = {"phone_number_id": NUMBER, "messages": given}
    results = api.post("/v1/preflight", json=asked, role="sender").json["results"]
    assert not results[0]["allowed"]
    assert [each["check"]["verdict"] for each in results] == ["send", "send", "wait"]
