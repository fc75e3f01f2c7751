"""One reading of the Graph API: each fault appears, keeps its start, and goes away when it is mended."""

from datetime import timedelta

import pytest

from tests.support.factories import body, status
from tests.support.fake_graph import APP_ID, APP_SECRET, NUMBER, OURS, TOKEN, WABA, FakeGraph, error
from webhook_app.graph.client import GraphClient
from webhook_app.pipeline.accounts.read_graph import examine
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.rules.accounts.doctor_check import Expected
from webhook_app.store.accounts import doctor, health, numbers

EXPECTED = Expected(app_id=APP_ID, callback_url=OURS)


@pytest.fixture
def graph():
    with FakeGraph() as running:
        yield running


@pytest.fixture
def look(engine, graph, now):
    """Read once, `minutes` after now; returns the stored checks that are not ok."""

    def run(minutes=0, expected=EXPECTED):
        client = GraphClient(TOKEN, app_secrets=[APP_SECRET], url=graph.url, sleep=lambda _: None)
        examine(engine, client, expected, now + timedelta(minutes=minutes))
        with engine.connect() as connection:
            return [
                each
                for each in doctor.list_checks(connection)
                if each.status != "ok" and each.kind != "clock"
            ]

    return run


def test_a_healthy_setup_has_only_ok_checks(engine, look):
    assert look() == []
    with engine.connect() as connection:
        found = {(each.kind, each.subject_id, each.name) for each in doctor.list_checks(connection)}
    assert {("account", WABA, "Acme EU"), ("number", NUMBER, "Acme +49 30 1234567")} < found


def break_token(graph):
    graph.token["is_valid"] = False


def break_callback(graph):
    graph.subscription["callback_url"] = "https://old.example/webhook"


def break_app(graph):
    graph.edges[f"{WABA}/subscribed_apps"] = []


def break_number(graph):
    graph.number["status"] = "DISCONNECTED"


def break_account(graph):
    del graph.nodes[WABA]


def break_payment(graph):
    blocked = {
        "entity_type": "WABA",
        "id": WABA,
        "can_send_message": "BLOCKED",
        "errors": [{"error_code": 141006}],
    }
    graph.nodes[WABA]["health_status"] = {"entities": [blocked]}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (break_token, "token"), (break_callback, "callback"), (break_app, "account_app"), (break_number, "number"),
        (break_account, "account"), (break_payment, "health_waba"),
    ],
)  # fmt: skip
def test_a_fault_appears_keeps_its_start_and_goes_away_when_it_is_mended(graph, look, now, fault, kind):
    before = (
        dict(graph.token),
        dict(graph.subscription),
        dict(graph.number),
        dict(graph.nodes),
        dict(graph.edges),
    )
    account = dict(graph.nodes[WABA])
    look()
    fault(graph)
    (found,) = look(60)
    (still,) = look(120)
    assert (found.kind, found.status) == (kind, "warning" if fault is break_account else "broken")
    assert still.since == found.since == now + timedelta(minutes=60)
    graph.token, graph.subscription, number, graph.nodes, graph.edges = before
    graph.number.update(number)
    graph.nodes[WABA] = account
    assert look(180) == []


@pytest.mark.parametrize("answer", [(503, b"away"), error(429, 4, "(#4) Application request limit reached")])
def test_a_graph_that_is_away_or_limited_forgets_nothing(engine, graph, look, answer):
    break_number(graph)
    look()
    graph.script.extend([answer] * 40)
    assert {each.kind for each in look(60)} == {"number", "unread_token"}
    graph.script.clear()
    assert [each.kind for each in look(120)] == ["number"]


def test_one_account_that_cannot_be_read_hides_no_other(graph, look, engine):
    graph.token["granular_scopes"][0]["target_ids"] = [WABA, "555000200000"]
    assert [(each.kind, each.subject_id, each.code) for each in look()] == [("account", "555000200000", 100)]
    with engine.connect() as connection:
        assert "number" in {each.kind for each in doctor.list_checks(connection)}


def test_a_change_of_hundreds_of_numbers_takes_a_limited_number_of_reads(graph, look):
    graph.page_size = 100
    graph.edges[f"{WABA}/phone_numbers"] = [graph.number | {"id": str(n)} for n in range(300)]
    look()
    assert len(graph.requests) <= 120


def test_the_token_is_in_no_row(engine, graph, look):
    graph.script.append(error(400, 190, f"Cannot parse {TOKEN}"))
    look()
    with engine.connect() as connection:
        assert "EAA" not in repr(doctor.list_checks(connection))


def test_numbers_and_accounts_get_their_names(engine, writer, graph, look, now):
    other = body(status("wamid.A", at=now), number="106100000000", waba="555000900000")
    writer.store([Delivery(other)], now)
    look()
    with engine.connect() as connection:
        listed = {each.phone_number_id: each for each in numbers.list_numbers(connection, 9)}
        names = numbers.names(connection, f"{NUMBER} 106100000000, {WABA} and 17")
    assert (listed[NUMBER].verified_name, listed[NUMBER].account_name) == ("Acme", "Acme EU")
    assert listed["106100000000"].read_at is None
    assert names == {NUMBER: "Acme +49 30 1234567", "106100000000": "+13125550199", WABA: "Acme EU"}


@pytest.mark.parametrize("part", [WABA, f"{WABA}/phone_numbers"])
@pytest.mark.parametrize("answer", [error(429, 4, "limit"), error(500, 2, "away"), error(403, 200, "no")])
def test_a_part_that_cannot_be_read_keeps_what_was_known_of_it(graph, look, now, part, answer):
    break_number(graph)
    (found,) = look()
    read = graph.answer
    graph.answer = lambda path, query, bearer: answer if path == part else read(path, query, bearer)
    kept = {each.kind: each for each in look(60)}
    assert kept["number"].since == kept["number"].checked_at == found.since
    assert any(each.code == answer[1]["error"]["code"] for each in kept.values())
    graph.answer = read
    assert [each.kind for each in look(120)] == ["number"]


@pytest.mark.parametrize("odd", ["a\x01b", "../../evil", "me/accounts?fields=access_token", "1" * 40, ""])
def test_an_id_that_is_none_of_meta_s_is_not_asked_for(writer, graph, look, now, odd):
    graph.token["granular_scopes"] = []
    writer.store([Delivery(body(status("wamid.A", at=now), waba=odd)), Delivery(body(waba=WABA))], now)
    look()
    known = {"debug_token", f"{APP_ID}/subscriptions", WABA, NUMBER, *graph.edges}
    assert {path for path, _ in graph.requests} <= known


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800b", "x" * 5000, 10**40, {"deep": [1]}])
def test_odd_texts_of_an_answer_stop_nothing(graph, look, odd):
    graph.nodes[WABA]["name"] = graph.number["verified_name"] = graph.number["display_phone_number"] = odd
    assert look() == []


@pytest.mark.parametrize("usage", ["[" * 60_000, '{"call_count":1' + "0" * 400 + "}", '{"call_count":NaN}'])
def test_odd_usage_headers_stop_nothing(graph, look, usage):
    graph.headers = {"X-App-Usage": usage}
    assert look() == []


def test_a_text_that_repeats_a_secret_is_stored_without_it(engine, graph, look):
    graph.nodes[WABA]["name"] = f"Acme {TOKEN} {APP_SECRET.decode()}"
    look()
    with engine.connect() as connection:
        stored = repr(doctor.list_checks(connection))
    assert "Acme *** ***" in stored
    assert APP_SECRET.decode() not in stored


def test_the_use_of_the_messaging_limit_is_measured_and_the_limit_is_reported(
    graph, look, traffic, engine, now
):
    graph.nodes[WABA]["whatsapp_business_manager_messaging_limit"] = "TIER_50"
    traffic.sent(39, now - timedelta(hours=2), waba=WABA)
    assert look() == []
    traffic.sent(1, now - timedelta(hours=1), waba=WABA)
    (found,) = look(1)
    assert (found.kind, found.status, found.subject_id) == ("messaging_limit", "warning", WABA)
    assert "80 %" in found.message
    graph.nodes[WABA]["whatsapp_business_manager_messaging_limit"] = "TIER_250"
    assert look(60) == []
    with engine.connect() as connection:
        reports = health.history(connection, health.HealthFilters(waba_id=WABA), 10)
    assert [(each.value, each.detail) for each in reports if each.aspect == "tier"] == [
        ("TIER_250", {"limit": 250, "before": "TIER_50"}),
        ("TIER_50", {"limit": 50}),
    ]
