"""Sending, against a receiver on the loopback."""

import os
import random
import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.simulator.delivery import posts
from webhook_app.simulator.plan import plan
from webhook_app.simulator.posting import Pace, deliver
from webhook_app.simulator.report import NO_ANSWER, Tally
from webhook_app.simulator.scenarios import SCENARIOS
from webhook_app.whatsapp.receiving.signature import sign

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
IMPATIENT = Pace(connections=4, compress=100_000, patience_s=5.0, timeout_s=2.0)


def sent(url, *, count=60, pace=IMPATIENT, secret="the app secret", progress=lambda _line: None, **how):
    """Every POST of a short plan, due at once."""
    changes = [*plan(SCENARIOS["steady"], 1, 5, 60, START)][:count]
    planned = list(posts(changes, START + timedelta(minutes=1), random.Random(1), batch=3, **how))
    tally = Tally()
    deliver(planned, url, lambda body: sign(body, secret.encode()), pace, tally, progress)
    return planned, tally.report("steady", 1, 1.0)


def test_everything_is_signed_and_acknowledged(receiver, statuses_in):
    server = receiver()
    planned, report = sent(server.url)
    assert server.badly_signed == 0
    assert report.complete
    assert report.offered_posts == report.acknowledged_posts == len(planned) == len(server.bodies)
    assert report.offered_items == report.acknowledged_items == 60
    assert report.acknowledged == statuses_in(server.acknowledged)
    assert report.retries == 0
    assert report.refused == {}


def test_what_is_refused_is_sent_again_until_it_is_acknowledged(receiver, statuses_in):
    server = receiver([503] * 30)
    planned, report = sent(server.url)
    assert report.complete
    assert report.retries == 30
    assert report.refused == {"503": 30}
    assert len(server.bodies) == len(planned) + 30
    assert sorted(set(server.bodies)) == sorted(post.body for post in planned)
    assert report.acknowledged == statuses_in(server.acknowledged)


@pytest.mark.parametrize("code", [201, 204, 301, 400, 404, 413, 429, 500])
def test_nothing_but_200_is_an_acknowledgement(receiver, code):
    server = receiver([code])
    _, report = sent(server.url, count=6)
    assert report.refused == {str(code): 1}
    assert report.complete


def test_a_connection_closed_without_an_answer_is_tried_again(receiver):
    server = receiver([0, 0])
    _, report = sent(server.url)
    assert report.refused == {NO_ANSWER: 2}
    assert report.complete


def test_copies_are_posts_of_their_own_but_their_statuses_count_once(receiver, statuses_in):
    server = receiver()
    planned, report = sent(server.url, duplicates=1.0)
    assert report.acknowledged_posts == len(planned) == 2 * report.copied_posts
    assert report.acknowledged_items == 120
    assert sum(report.statuses.values()) == len(report.acknowledged) == len(statuses_in(server.acknowledged))


def test_a_receiver_that_never_accepts_leaves_every_post_counted_as_unacknowledged(receiver):
    server = receiver()
    pace = Pace(connections=2, compress=100_000, patience_s=0.05, timeout_s=2.0)
    planned, report = sent(server.url, count=9, secret="wrong", pace=pace)
    assert report.unacknowledged_posts == len(planned)
    assert report.acknowledged == frozenset()
    assert not report.complete
    assert set(report.refused) == {"401"}
    assert report.retries == len(server.bodies) - len(planned)


def test_when_seven_compressed_days_are_over_meta_gives_up(receiver):
    server = receiver()
    pace = Pace(connections=2, compress=1e9, patience_s=30.0, timeout_s=2.0)
    planned, report = sent(server.url, count=3, secret="wrong", pace=pace)
    assert report.unacknowledged_posts == len(planned) == 1
    assert 10 < report.retries == report.refused["401"] - 1


def test_nobody_listening_is_no_answer():
    pace = Pace(connections=2, compress=100_000, patience_s=0.02, timeout_s=0.5)
    planned, report = sent("http://127.0.0.1:9/webhook", count=3, pace=pace)
    assert report.unacknowledged_posts == len(planned)
    assert set(report.refused) == {NO_ANSWER}
    assert report.latency_ms.max == 0


def test_requests_go_out_side_by_side_but_no_more_than_there_are_connections(receiver):
    server = receiver()
    together = threading.Barrier(3)
    under_way, most = [], []

    def wait_for_two_more():
        under_way.append(1)
        most.append(len(under_way))
        together.wait(timeout=5)
        under_way.pop()

    server.on_post = wait_for_two_more
    planned, report = sent(server.url, count=54, pace=Pace(connections=3, patience_s=5.0))
    assert len(planned) == 18
    assert report.complete
    assert max(most) == 3


@pytest.fixture
def listening_to_ctrl_c():
    """As in a terminal; what a shell starts in the background ignores it from birth."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening_to_ctrl_c")
def test_ctrl_c_ends_the_run_with_its_counts(receiver):
    server = receiver()
    seen = iter(range(10_000))

    def interrupt():
        if next(seen) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    server.on_post = interrupt
    pace = Pace(connections=1, compress=1, patience_s=5.0, timeout_s=2.0)
    _, report = sent(server.url, count=300, pace=pace)
    assert report.interrupted
    assert not report.complete
    assert report.acknowledged_posts == len(server.acknowledged) >= 6
    assert report.unacknowledged_posts == report.offered_posts - report.acknowledged_posts
