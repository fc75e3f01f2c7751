"""The report as value, text and JSON."""

import json

from webhook_app.simulator.posts import Post, StatusKey
from webhook_app.simulator.report import Tally, as_json, as_text


def key(number, status="sent", code=-1):
    return StatusKey("590238114470021", f"wamid.{number}", status, 1_793_000_000 + number, code)


def tally(*answers):
    """A run in which each (post, code, seconds) came to pass."""
    made = Tally()
    for post, code, seconds in answers:
        made.offer(post)
        made.answer(post, code, seconds)
    return made


FIRST = Post(0.0, b"{}", 2, (key(1), key(2, "failed", 131026)))
SECOND = Post(1.0, b"{}", 1, (key(3, "failed", 131026),))
THIRD = Post(2.0, b"{}", 1, (key(4, "failed", 131000),))


def test_only_acknowledged_items_are_counted():
    report = tally((FIRST, 200, 0.1), (SECOND, 200, 0.1), (THIRD, 503, 0.1)).report("steady", 1, 3.0)
    assert (report.offered_posts, report.acknowledged_posts, report.unacknowledged_posts) == (3, 2, 1)
    assert (report.offered_items, report.acknowledged_items) == (4, 3)
    assert report.statuses == {"failed": 2, "sent": 1}
    assert report.error_codes == {131026: 2}
    assert report.acknowledged == {*FIRST.statuses, *SECOND.statuses}


def test_a_copy_adds_a_post_but_no_status():
    copy = Post(0.5, b"{}", 2, FIRST.statuses, copy=True)
    report = tally((FIRST, 200, 0.1), (copy, 200, 0.1)).report("steady", 1, 1.0)
    assert (report.acknowledged_posts, report.copied_posts) == (2, 1)
    assert len(report.acknowledged) == 2


def test_latency_covers_answers_in_milliseconds():
    answers = [(FIRST, 200, number / 1000) for number in range(1, 101)]
    report = tally(*answers, (SECOND, None, 9.0)).report("steady", 1, 1.0)
    assert (report.latency_ms.p50, report.latency_ms.p99, report.latency_ms.max) == (51.0, 100.0, 100.0)


def test_an_empty_run_has_a_report_too():
    report = Tally().report("silence", 1, 0.0)
    assert report.complete
    assert "0 POSTs with 0 items" in as_text(report)


def test_the_text_shows_what_was_never_acknowledged():
    text = as_text(tally((FIRST, 200, 0.1), (SECOND, 503, 0.1), (THIRD, None, 0.1)).report("outage", 7, 3.0))
    assert "scenario outage, seed 7, 3.0 s" in text
    assert "2 POSTs were never answered with 200" in text
    assert "503 \u00d71, no answer \u00d71" in text
    assert "131026 \u00d71" in text


def test_the_text_of_a_good_run_has_no_warning():
    text = as_text(tally((FIRST, 200, 0.1)).report("steady", 1, 1.0))
    assert "never answered" not in text
    assert "behind" not in text
    assert "interrupted" not in text


def test_the_text_warns_when_the_rate_was_not_reached():
    late = tally((FIRST, 200, 0.1))
    late.behind_s = 4.2
    assert "up to 4.2 s" in as_text(late.report("steady", 1, 1.0))


def test_an_interrupted_run_is_not_complete():
    cut = tally((FIRST, 200, 0.1))
    cut.interrupted = True
    report = cut.report("steady", 1, 1.0)
    assert not report.complete
    assert "interrupted" in as_text(report)


def test_the_json_counts_the_statuses_instead_of_listing_them():
    fields = json.loads(as_json(tally((FIRST, 200, 0.1), (SECOND, 500, 0.1)).report("steady", 1, 1.0)))
    assert "acknowledged" not in fields
    assert fields["acknowledged_statuses"] == 2
    assert fields["refused"] == {"500": 1}
    assert fields["error_codes"] == {"131026": 1}
    assert (fields["unacknowledged_posts"], fields["complete"]) == (1, False)


def test_a_progress_line_counts_waiting_posts():
    assert tally((FIRST, 200, 0.1), (SECOND, 503, 0.1)).line(12.0) == (
        "  12 s  3 items offered, 2 acknowledged, 1 POSTs waiting, 0 retries"
    )
