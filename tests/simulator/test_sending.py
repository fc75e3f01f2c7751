"""Sending, against a receiver on the loopback."""

import os
import random
import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.simulator.plan import plan
from webhook_app.simulator.posts import plan_posts
from webhook_app.simulator.report import NO_ANSWER, Tally
from webhook_app.simulator.scenarios import SCENARIOS
from webhook_app.simulator.sending import Pace, send_posts
from webhook_app.whatsapp.receiving.signature import sign

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
IMPATIENT = Pace(connections=4, compress=100_000, patience_s=5.0, timeout_s=2.0)


def sent(url, *, count=60, pace=IMPATIENT, secret="the app secret", progress=lambda _line: None, **how):
    """Send every POST of a short plan, all due at once."""
    events = [*plan(SCENARIOS["steady"], 1, 5, 60, START)][:count]
    planned = list(plan_posts(events, START + timedelta(minutes=1), random.Random(1), batch=3, **how))
    tally = Tally()
    send_posts(planned, url, lambda body: sign(body, secret.encode()), pace, tally, progress)
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


def test_a_refused_post_is_repeated_until_it_is_acknowledged(receiver, statuses_in):
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


def test_a_post_is_repeated_after_its_connection_closed_without_an_answer(receiver):
    server = receiver([0, 0])
    _, report = sent(server.url)
    assert report.refused == {NO_ANSWER: 2}
    assert report.complete


def test_copies_count_as_posts_but_their_statuses_count_once(receiver, statuses_in):
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


def test_retries_end_after_seven_compressed_days(receiver):
    server = receiver()
    pace = Pace(connections=2, compress=1e9, patience_s=30.0, timeout_s=2.0)
    planned, report = sent(server.url, count=3, secret="wrong", pace=pace)
    assert report.unacknowledged_posts == len(planned) == 1
    assert 10 < report.retries == report.refused["401"] - 1


def test_a_refused_connection_counts_as_no_answer():
    pace = Pace(connections=2, compress=100_000, patience_s=0.02, timeout_s=0.5)
    planned, report = sent("http://127.0.0.1:9/webhook", count=3, pace=pace)
    assert report.unacknowledged_posts == len(planned)
    assert set(report.refused) == {NO_ANSWER}
    assert report.latency_ms.max == 0


def test_requests_are_sent_in_parallel_up_to_the_number_of_connections(receiver):
    server = receiver()
    together = threading.Barrier(3)
    in_progress, most = [], []

    def wait_for_two_more():
        in_progress.append(1)
        most.append(len(in_progress))
        together.wait(timeout=5)
        in_progress.pop()

    server.on_post = wait_for_two_more
    planned, report = sent(server.url, count=54, pace=Pace(connections=3, patience_s=5.0))
    assert len(planned) == 18
    assert report.complete
    assert max(most) == 3


@pytest.fixture
def ctrl_c_enabled():
    """Handle Ctrl-C as in a terminal; a process that a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_enabled")
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
