"""The client against the real application: checks, reports, retries and errors."""

import socket
from datetime import timedelta

import httpx
import pytest

from tests.support.factories import handed_over, handover
from webhook_app.client import Client, RefusedError, Send, UnreachableError
from webhook_app.client import client as client_module
from webhook_app.client.client import CurrentOwner
from webhook_app.store.suppressions import suppressions

NUMBER = "590238114470021"


@pytest.fixture
def suppressed(engine, now):
    with engine.begin() as connection:
        suppressions.put(
            connection,
            "12025550117",
            phone_number_id="",
            scope="all",
            until=None,
            seen_as="12025550117",
            actor="ann",
            note="asked by phone",
            now=now,
        )


def test_contacts_are_checked_in_their_order_in_several_calls(sender, suppressed, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_CONTACTS", 2)
    answers = sender.check(
        ["+12025550118", "(1) 202 555-0117", "nobody"], phone_number_id=NUMBER, category="utility"
    )
    assert [answer.verdict for answer in answers] == ["send", "suppressed", "invalid"]
    assert [answer.allowed for answer in answers] == [True, False, False]
    assert (answers[1].reason, answers[1].contact) == ("manual", "+12025550117")
    assert sender.check([]) == []


def test_a_check_names_the_owner_of_the_conversation(sender, traffic, now):
    at = now.replace(microsecond=0)
    traffic.deliver(handed_over(handover("control_taken", at, role="escalation")), at=now)
    found, other = sender.check(["+12025550117", "+12025550118"], phone_number_id=NUMBER)
    assert found.conversation_owner == CurrentOwner(is_you=False, role="escalation", since=at)
    assert other.conversation_owner is None


def test_messages_are_judged_in_their_order_in_several_calls(sender, suppressed, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_MESSAGES", 2)
    text = {"messaging_product": "whatsapp", "type": "text", "text": {"body": "Hello"}}
    found = sender.preflight(
        [text | {"to": "12025550118"}, text | {"to": "12025550117"}, text], phone_number_id=NUMBER
    )
    assert [(each.allowed, each.verdict) for each in found] == [
        (True, "warn"),
        (False, "refuse"),
        (False, "refuse"),
    ]
    assert found[1].check.reason == "manual"
    assert (found[2].problems[-1].field, found[2].expected_code) == ("to", 100)


def test_sends_and_failed_calls_are_stored_once_however_often_they_are_reported(sender, now, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_SENDS", 1)
    error = {"code": 190, "error_subcode": 463, "message": "Session has expired", "fbtrace_id": "Abc"}
    sends = [
        Send(
            contact="+12025550117",
            phone_number_id=NUMBER,
            message_id="wamid.A",
            template="offer",
            sent_at=now,
        ),
        Send(contact="+12025550118", phone_number_id=NUMBER, error=error, sent_at=now),
        Send(contact="nobody", message_id="wamid.B"),
    ]
    stored, failed, invalid = sender.report(sends)
    assert (stored.result, stored.message_id, stored.meaning) == ("stored", "wamid.A", None)
    assert (failed.meaning.title, failed.retry_advice.kind) == ("Expired", "after_fix")
    assert (invalid.result, invalid.reason.split(":")[0]) == ("invalid", "contact")
    assert [report.result for report in sender.report(sends)] == ["duplicate", "duplicate", "invalid"]


def test_retries_are_claimed_and_reported(sender, traffic, now):
    earlier = now - timedelta(seconds=10)
    for number in ("1111", "2222", "3333"):
        traffic.failed(1, earlier, 130429, number=number)
    (sent,) = sender.claim_retries(phone_number_id="1111", lease_seconds=30)
    assert (sent.attempt, sent.code, sent.phone_number_id) == (1, 130429, "1111")
    assert sender.report_retry(sent, message_id="wamid.B").state == "sent"
    failed, given_up = sender.claim_retries()
    limit = {"error": {"code": 130429, "message": "Rate limit hit"}}
    assert sender.report_retry(failed, error=limit).due_at > now
    assert sender.report_retry(given_up).reason == "gave_up"
    with pytest.raises(RefusedError, match="lease_lost"):
        sender.report_retry(given_up, message_id="wamid.C")
    assert sender.claim_retries(template="offer") == []


def test_a_code_is_explained(sender):
    assert sender.explain(190, 463).title == "Expired"
    assert sender.explain(131026).failure_class == "unreachable"


def test_a_refusal_has_its_code_and_is_not_retried(url, keys):
    waits = []
    with Client(url, "wrong", sleep=waits.append) as stranger, pytest.raises(RefusedError) as caught:
        stranger.check(["+12025550117"])
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    assert waits == []


def test_a_short_outage_is_retried_until_it_ends(url, keys):
    """The first attempt gets no answer, the second a 503; the third reaches the application."""
    real, attempts = httpx.HTTPTransport(), []

    def flaky(request):
        attempts.append(request)
        if len(attempts) == 1:
            raise httpx.ConnectError("refused")
        if len(attempts) == 2:
            return httpx.Response(503, headers={"Retry-After": "5"})
        return real.handle_request(request)

    waits = []
    with Client(url, keys["sender"], transport=httpx.MockTransport(flaky), sleep=waits.append) as sender:
        assert sender.check(["+12025550117"])[0].allowed
    assert len(attempts) == 3
    assert 0.25 <= waits[0] <= 0.5
    assert waits[1] == 5
    real.close()


def test_an_unreachable_service_raises_after_the_last_attempt():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    waits = []
    with (
        Client(url, "key", tries=3, sleep=waits.append) as sender,
        pytest.raises(UnreachableError, match="failed 3 times"),
    ):
        sender.check(["+12025550117"])
    assert len(waits) == 2
    assert waits[1] > waits[0] / 2


def test_a_response_from_another_server_raises(keys):
    page = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>A proxy's page</html>"))
    with Client("http://localhost", "key", transport=page) as sender, pytest.raises(UnreachableError):
        sender.check(["+12025550117"])
    page = httpx.MockTransport(lambda _: httpx.Response(404, text="<html>Not here</html>"))
    with Client("http://localhost", "key", transport=page) as sender, pytest.raises(RefusedError) as caught:
        sender.check(["+12025550117"])
    assert (caught.value.status, caught.value.code) == (404, "unknown")
