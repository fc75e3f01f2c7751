"""The simulated Graph API over HTTP: with the real receiver, with this service's own reader, and with refusals."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import text
from werkzeug.serving import make_server

from tests.support.waiting import wait_for
from tests.web.conftest import SECRET
from webhook_app.graph.client import GraphClient
from webhook_app.pipeline.accounts.read_graph import read
from webhook_app.rules.accounts.doctor import judge
from webhook_app.rules.accounts.doctor_check import Expected
from webhook_app.simulator.graph_api.account import (
    APP_ID,
    APP_SECRET,
    TOKEN,
    SimulatedAccount,
    example_templates,
)
from webhook_app.simulator.graph_api.graph import SimulatedGraph
from webhook_app.simulator.graph_api.limits import Allowed
from webhook_app.simulator.graph_api.server import graph_server
from webhook_app.simulator.graph_api.webhook_poster import WebhookPoster
from webhook_app.whatsapp.accounts.template_answers import read_template

NUMBER = "590238114470021"
HOOK = "https://hooks.example/webhook"


@pytest.fixture
def serve(running):
    @contextmanager
    def start(poster=None, show=lambda _line: None, **options):
        account = SimulatedAccount(templates=example_templates(), callback_url=HOOK)
        graph = SimulatedGraph(account, delay_s=0.02, **options)
        with graph_server(graph, poster, show=show) as server, running(server) as url:
            yield httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)

    return start


def message(to, **more):
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hello"}} | more


def coupon(to):
    button = {"type": "button", "sub_type": "copy_code", "index": 0}
    button["parameters"] = [{"type": "coupon_code", "coupon_code": "A1"}]
    template = {"name": "we_miss_you", "language": {"code": "en_US"}, "components": [button]}
    return message(to, type="template", template=template, biz_opaque_callback_data="template=we_miss_you")


STORED = """
SELECT e.contact, e.status, e.error_code, s.template FROM status_events e JOIN series s ON s.id = e.series_id
ORDER BY e.contact, e.status"""


def test_the_receiver_stores_what_follows_a_send(serve, running, app, engine):
    def stored():
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(text(STORED))]
        return found if len(found) == 5 else None

    shown = []
    with (
        running(make_server("127.0.0.1", 0, app, threaded=True)) as hook,
        WebhookPoster(f"{hook}/webhook", SECRET.decode(), show=shown.append) as poster,
        serve(poster) as box,
    ):
        for body in (coupon("4915112345678"), coupon("4915100131026"), message("4915112345679")):
            assert box.post(f"/v25.0/{NUMBER}/messages", json=body).status_code == 200
        found = wait_for(stored, 10)
    assert shown == []
    assert found == [
        ("4915100131026", "failed", 131026, "we_miss_you"),
        ("4915112345678", "delivered", -1, "we_miss_you"),
        ("4915112345678", "read", -1, "we_miss_you"),
        ("4915112345678", "sent", -1, "we_miss_you"),
        ("4915112345679", "failed", 131047, ""),
    ]


def test_our_own_reader_finds_everything_in_order(serve):
    with serve() as box:
        url = str(box.base_url).rstrip("/")
        client = GraphClient(TOKEN, app_secrets=[APP_SECRET.encode()], url=url)
        expected = Expected(app_id=APP_ID, callback_url=HOOK)
        reading = read(client, [], expected, datetime.now(UTC))
        listed = client.edge("384610027715590/message_templates", ("id", "name", "language", "components"))
    checks = judge(reading, expected)
    assert {check.status for check in checks} == {"ok"}, [each for each in checks if each.status != "ok"]
    assert {check.subject for check in checks} >= {"token", "app", "account", "number", "service"}
    parameters = {row["name"]: [part.parameters for part in read_template(row, "1").parts] for row in listed}
    assert parameters["order_update"] == [("1", "2"), ("text",)]


def test_a_refused_webhook_is_posted_again_signed(serve, receiver):
    hook = receiver([500, 0], secret="the app secret")
    shown = []
    with (
        WebhookPoster(hook.url, "the app secret", show=shown.append, compress=10_000) as poster,
        serve(poster) as box,
    ):
        box.post(f"/v25.0/{NUMBER}/messages", json=message("4915100131026"))
        (document,) = wait_for(lambda: hook.acknowledged)
    assert len(hook.bodies) == 3
    assert len(set(hook.bodies)) == 1
    assert hook.badly_signed == 0
    assert document["entry"][0]["changes"][0]["value"]["statuses"][0]["errors"][0]["code"] == 131026
    assert [line.partition(";")[0] for line in shown] == [
        "webhook: 500 instead of 200",
        "webhook: RemoteProtocolError instead of 200",
    ]


def test_calls_are_read_as_meta_reads_them(serve):
    with serve(allowed=Allowed(calls_per_hour=10)) as box:
        form = box.post(f"/{NUMBER}/messages", data={"messaging_product": "whatsapp"})
        assert form.json()["error"]["message"] == "(#100) The parameter messaging_product is required."
        assert form.headers["X-App-Usage"] == '{"call_count": 10, "total_cputime": 0, "total_time": 0}'
        broken = box.post(
            f"/v25.0/{NUMBER}/messages", content=b"{", headers={"Content-Type": "application/json"}
        )
        assert broken.json()["error"]["code"] == 100
        refused = box.get(f"/v25.0/{NUMBER}", headers={"Authorization": "Bearer other"})
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith('OAuth "Facebook Platform" "invalid_request"')
        by_query = httpx.get(box.base_url.join(f"/v25.0/{NUMBER}?access_token={TOKEN}"), trust_env=False)
        assert by_query.json() == {"id": NUMBER}
        upload = box.post(
            f"/v25.0/{NUMBER}/media", files={"file": b"x"}, data={"messaging_product": "whatsapp"}
        )
        assert upload.json()["id"].isdecimal()
        assert (
            box.post("/simulator/inbound", data={"from": "4915112345678"}).json()["from"] == "4915112345678"
        )
        of_page = {"Origin": "https://example.org"}
        found = box.post("/simulator/inbound", data={"from": "4915112345678"}, headers=of_page)
        assert found.status_code == 403
        assert box.post("/v25.0/x%0Ay/messages", json={}).json()["error"]["error_subcode"] == 33


def test_what_a_sender_writes_breaks_no_line_of_the_terminal(serve):
    shown = []
    with serve(show=shown.append) as box:
        body = json.dumps(message("4915112345678", type="a\n\ud800\x1b[2Jb"))
        box.post(f"/{NUMBER}/messages", content=body, headers={"Content-Type": "application/json"})
    assert shown[0].endswith('got "a???[2Jb".')
