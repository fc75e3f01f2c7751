"""Planned POSTs: batches, copies, order and retry delays."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.simulator.payloads import TimedChange
from webhook_app.simulator.plan import plan
from webhook_app.simulator.posts import batched, plan_posts, reordered, retry_delays
from webhook_app.simulator.scenarios import SCENARIOS
from webhook_app.whatsapp.receiving.payload import parse

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENTS = tuple(plan(SCENARIOS["opt-outs"], 1, 10, 60, START))


def planned(**how):
    return list(plan_posts(EVENTS, START, random.Random(1), **how))


def every_second(count, gap_s=1.0):
    return [TimedChange(START + timedelta(seconds=i * gap_s), "1", {"number": i}) for i in range(count)]


def numbers(changes):
    return [timed.change["number"] for timed in changes]


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_every_item_is_in_exactly_one_post_whatever_the_batch(batch):
    made = planned(batch=batch)
    assert sum(post.items for post in made) == len(EVENTS)
    assert sum(parse(post.body).received for post in made) == len(EVENTS)
    assert all(post.items <= batch for post in made)


@pytest.mark.parametrize("how", [{}, {"batch": 50}, {"batch": 9, "reorder_s": 3.0, "duplicates": 0.3}])
def test_posts_are_in_the_order_in_which_they_are_due(how):
    due = [post.due_s for post in planned(**how)]
    assert due == sorted(due)


def test_the_same_random_seed_plans_the_same_posts():
    how = {"batch": 5, "duplicates": 0.2, "reorder_s": 2.0}
    assert planned(**how) == planned(**how)


def test_the_keys_of_a_post_are_those_of_the_statuses_in_its_body(statuses_in):
    for post in planned(batch=20, reorder_s=1.0):
        assert set(post.statuses) == statuses_in([json.loads(post.body)])


def test_a_share_of_the_posts_is_sent_again_byte_for_byte_and_not_before():
    made = planned(duplicates=0.25)
    originals = {post.body: post for post in made if not post.copy}
    copies = [post for post in made if post.copy]
    assert 0.2 < len(copies) / len(originals) < 0.3
    assert all(post.due_s >= originals[post.body].due_s for post in copies)
    assert max(Counter(post.body for post in made).values()) == 2


@pytest.mark.parametrize("bound_s", [0.0, 0.5, 5.0, 100.0])
def test_reordering_loses_no_event_and_delays_none_beyond_the_bound(bound_s):
    before = every_second(50)
    after = list(reordered(before, random.Random(2), bound_s))
    assert sorted(numbers(after)) == numbers(before)
    delays = [timed.at - before[timed.change["number"]].at for timed in after]
    assert all(timedelta(0) <= delay <= timedelta(seconds=bound_s) for delay in delays)
    assert [timed.at for timed in after] == sorted(timed.at for timed in after)


@pytest.mark.parametrize(("bound_s", "changed"), [(0.0, False), (5.0, True)])
def test_order_changes_only_when_there_is_a_bound(bound_s, changed):
    after = numbers(reordered(every_second(50), random.Random(2), bound_s))
    assert (after != sorted(after)) is changed


@pytest.mark.parametrize(
    ("count", "gap_s", "size", "sizes"),
    [
        (5, 0.1, 1, [1, 1, 1, 1, 1]),
        (5, 0.1, 2, [2, 2, 1]),
        (5, 0.1, 1000, [5]),
        (4, 10, 1000, [1, 1, 1, 1]),
        (0, 1, 10, []),
    ],
)
def test_a_batch_is_full_or_closed_after_a_second(count, gap_s, size, sizes):
    made = list(batched(every_second(count, gap_s), size))
    assert [len(group) for _, group in made] == sizes
    assert all(timedelta(0) <= due - group[0].at <= timedelta(seconds=1) for due, group in made)


def test_retries_come_at_once_and_then_less_and_less_often_for_seven_days():
    delays = list(retry_delays(compress=1))
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert 6 * 86400 < sum(delays) <= 7 * 86400


def test_compressed_retries_keep_their_proportions():
    assert list(retry_delays(1000)) == pytest.approx([delay / 1000 for delay in retry_delays(1)])


@pytest.mark.parametrize(
    "how", [{"batch": 0}, {"batch": 1001}, {"duplicates": 1.1}, {"duplicates": -0.1}, {"reorder_s": -1}]
)
def test_invalid_figures_are_refused(how):
    with pytest.raises(ValueError, match=r"a POST from Meta|duplicates must be a share"):
        planned(**how)
