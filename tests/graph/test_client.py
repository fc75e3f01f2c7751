"""The client of the Graph API: fields, pages, repetition, limits, and a token that appears nowhere."""

import logging

import pytest

from tests.channels.connections.odd_servers import sends, server
from tests.support.fake_graph import APP_ID, APP_SECRET, NUMBER, TOKEN, WABA, FakeGraph, error
from webhook_app.graph import client as client_module
from webhook_app.graph.client import GraphClient, LimitReachedError
from webhook_app.whatsapp.accounts.graph_answers import GraphReadError


@pytest.fixture
def graph():
    with FakeGraph() as running:
        yield running


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def client(graph, pauses):
    return GraphClient(TOKEN, app_secrets=[APP_SECRET], url=graph.url, version="v25.0", sleep=pauses.append)


def test_an_optional_field_that_meta_does_not_know_is_left_out(client, graph):
    rows = client.edge(f"{WABA}/phone_numbers", ("id", "status"), ("throughput", "account_mode"))
    assert rows[0]["status"] == "CONNECTED"
    assert [query["fields"] for _, query in graph.requests] == [
        "id,status,throughput,account_mode",
        "id,status,account_mode",
    ]


def test_a_needed_field_that_meta_does_not_know_is_an_error(client, graph):
    graph.unknown_fields.add("status")
    with pytest.raises(GraphReadError, match="nonexisting field"):
        client.node(WABA, ("id", "status"))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_every_page_of_an_edge_is_read(client, graph, count):
    graph.edges["1/phone_numbers"] = [{"id": str(place)} for place in range(count)]
    assert [row["id"] for row in client.edge("1/phone_numbers", ("id",))] == [str(n) for n in range(count)]
    assert all("access_token" not in query for _, query in graph.requests)


def test_a_cursor_that_leads_in_a_circle_ends(client, graph, monkeypatch):
    monkeypatch.setattr(client_module, "_MAX_PAGES", 5)
    graph.page_size = 0
    graph.edges["1/phone_numbers"] = [{"id": "1"}]
    with pytest.raises(GraphReadError, match="too long"):
        client.edge("1/phone_numbers", ("id",))


@pytest.mark.parametrize("limit", [("_MAX_ROWS", 4), ("_MAX_EDGE_BYTES", 100)])
def test_an_endless_list_is_not_read_to_its_end(client, graph, monkeypatch, limit):
    monkeypatch.setattr(client_module, *limit)
    graph.edges["1/message_templates"] = [{"id": str(place)} for place in range(99)]
    with pytest.raises(GraphReadError, match="too long"):
        client.edge("1/message_templates", ("id",))
    assert len(graph.requests) <= 3


def test_a_page_that_is_too_large_is_asked_for_again_with_half_as_many_rows(client, graph, pauses):
    graph.edges["1/message_templates"] = [{"id": str(place)} for place in range(3)]
    graph.script.extend([error(500, 1, "Please reduce the amount of data you're asking for, then retry")] * 2)
    assert len(client.edge("1/message_templates", ("id",))) == 3
    assert [query["limit"] for _, query in graph.requests] == ["100", "50", "25", "25"]
    assert pauses == []


def test_subscriptions_are_read_as_the_app(client, graph):
    assert client.subscriptions(APP_ID)[0]["object"] == "whatsapp_business_account"


@pytest.mark.parametrize(
    "answer", [(503, b"<html>"), error(500, 2, "Service temporarily unavailable"), error(400, 131016, "x")]
)
def test_a_fault_that_passes_is_tried_again_after_a_pause(client, graph, pauses, answer):
    graph.script.extend([answer, answer])
    assert client.node(WABA, ("id", "name"))["name"] == "Acme EU"
    assert pauses == [1, 2]


def test_a_fault_that_stays_ends_after_four_tries(client, graph, pauses):
    graph.script.extend([(502, b"")] * 9)
    with pytest.raises(GraphReadError, match="answered 502 without JSON"):
        client.node(WABA, ("id",))
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize("code", [190, 10, 200, 100])
def test_a_refusal_is_not_tried_again(client, graph, pauses, code):
    graph.script.append(error(400, code, "no"))
    with pytest.raises(GraphReadError) as raised:
        client.node(WABA, ("id",))
    assert raised.value.code == code
    assert pauses == []


@pytest.mark.parametrize("code", [4, 17, 613, 80007, 80008])
def test_a_used_up_limit_ends_the_reading(client, graph, pauses, code):
    graph.script.append(error(429, code, "too many calls"))
    with pytest.raises(LimitReachedError):
        client.node(WABA, ("id",))
    assert pauses == []


@pytest.mark.parametrize(
    "headers",
    [
        {"X-App-Usage": '{"call_count":91,"total_cputime":3}'},
        {"X-Business-Use-Case-Usage": '{"5550001":[{"type":"whatsapp","call_count":1},{"total_time":95}]}'},
    ],
)
def test_it_stops_before_the_limit_is_reached(client, graph, headers):
    graph.headers = headers
    client.node(WABA, ("id",))
    with pytest.raises(LimitReachedError):
        client.node(NUMBER, ("id",))
    assert len(graph.requests) == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"5550001":7}', '{"5550001":[8]}', '{"call_count":"many"}']
)
def test_an_odd_usage_header_is_ignored(client, graph, text):
    graph.headers = {"X-App-Usage": text, "X-Business-Use-Case-Usage": text, "Retry-After": text}
    assert client.node(WABA, ("id",)) == {"id": WABA}


@pytest.mark.parametrize(
    ("begin", "repeated"), [(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), (b"", b"HTTP/1.1 102 Processing\r\n\r\n")]
)
def test_an_answer_that_does_not_end_is_given_up_after_the_total_time(begin, repeated):
    with server(lambda connection: sends(connection, begin, repeated, 0.05)) as port:
        url = f"http://127.0.0.1:{port}"
        client = GraphClient(TOKEN, url=url, sleep=lambda _: None, total_s=0.1)
        with pytest.raises(GraphReadError, match="cannot be reached"):
            client.node(WABA, ("id",))


def test_the_second_app_secret_is_tried_when_the_first_is_another_app_s(graph):
    graph.script.append(error(400, 100, "Invalid appsecret_proof provided in the API argument"))
    client = GraphClient(TOKEN, app_secrets=[b"of another app..", APP_SECRET], url=graph.url)
    assert client.node(WABA, ("id",)) == {"id": WABA}
    assert client.subscriptions(APP_ID)


def test_the_token_is_in_no_error_and_no_log(client, graph, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    graph.script.append(error(400, 190, f"Cannot parse access token {TOKEN} in ?access_token={TOKEN}&x=1"))
    with pytest.raises(GraphReadError) as refused:
        client.debug_token("")
    nobody = GraphClient(TOKEN, app_secrets=[APP_SECRET], url="http://127.0.0.1:1", sleep=lambda _: None)
    with pytest.raises(GraphReadError) as away:
        nobody.debug_token("")
    for fault in (refused.value, away.value):
        assert "EAA" not in repr(fault)
        assert fault.__cause__ is None
    assert "EAA" not in caplog.text
    assert APP_SECRET.decode() not in caplog.text


def test_the_token_is_in_no_answer_however_it_is_written(client, graph):
    written = "".join(f"\\u{ord(each):04x}" for each in TOKEN)
    body = f'{{"id": "1", "name": "{written} \\ud800 {TOKEN}"}}'.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    with server(lambda connection: sends(connection, head + body)) as port:
        found = GraphClient(TOKEN, url=f"http://127.0.0.1:{port}").node("1", ("id",))
    assert found["name"] == "*** \ud800 ***"


def test_a_page_has_no_more_rows_than_were_asked_for(client, graph):
    graph.page_size = 10**6
    graph.edges["1/phone_numbers"] = [{"id": str(place)} for place in range(1_000)]
    assert len(client.edge("1/phone_numbers", ("id",))) == 100


def test_a_reading_ends_after_its_time_and_when_it_has_to_stop(graph, monkeypatch):
    going_on = [True, True, False]
    client = GraphClient(TOKEN, url=graph.url, go_on=lambda: going_on.pop(0))
    client.node(WABA, ("id",))
    client.node(WABA, ("id",))
    with pytest.raises(LimitReachedError):
        client.node(WABA, ("id",))
    monkeypatch.setattr(client_module, "_READING_S", -1.0)
    with pytest.raises(LimitReachedError):
        GraphClient(TOKEN, url=graph.url).node(WABA, ("id",))
    assert len(graph.requests) == 2
