"""A scenario from handshake to report, in a fraction of a second."""

import pytest

from webhook_app.simulator.run import HandshakeError, handshake, run
from webhook_app.simulator.sending import Pace

QUICK = Pace(connections=4, compress=100_000, patience_s=5.0, timeout_s=2.0, progress_s=0.01)
SECRET, TOKEN = "the app secret", "let me in"


def short_run(url, **how):
    chosen = {"scenario": "outage", "rate": 200, "duration": 0.6, "batch": 5, "reorder": 0.1}
    return run(url=url, app_secret=SECRET, pace=QUICK, **{**chosen, **how})


def test_a_run_passes_the_handshake_and_every_post_is_acknowledged(receiver, statuses_in):
    server = receiver([503] * 5)
    report = short_run(server.url, verify_token=TOKEN, history=3)
    assert report.complete
    assert report.acknowledged == statuses_in(server.acknowledged)
    assert report.retries == 5
    assert report.statuses["failed"] >= 6  # three people, two days
    assert report.statuses["sent"] > 0
    assert report.seconds < 5
    assert server.badly_signed == 0


def test_a_wrong_verify_token_stops_the_run_before_anything_is_sent(receiver):
    server = receiver()
    with pytest.raises(HandshakeError, match="answered 403") as refusal:
        short_run(server.url, verify_token="guess")
    assert refusal.value.permanent
    assert server.bodies == []


def test_an_unanswered_handshake_may_be_repeated():
    with pytest.raises(HandshakeError, match="no answer") as refusal:
        handshake("http://127.0.0.1:9/webhook", TOKEN, timeout_s=0.5)
    assert not refusal.value.permanent


def test_progress_is_reported_during_the_run(receiver):
    lines = []
    short_run(receiver().url, progress=lines.append)
    assert lines
    assert "items offered" in lines[0]


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ({"scenario": "weather"}, "unknown scenario 'weather'; choose one of steady, bad-list"),
        ({"url": "localhost:8000"}, "is not an http or https URL"),
        ({"rate": 0}, "must be positive"),
        ({"batch": 2000}, "1 to 1000"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_sent(receiver, how, complaint):
    server = receiver()
    with pytest.raises(ValueError, match=complaint):
        short_run(**{"url": server.url, **how})
    assert server.bodies == []
