"""Failure rates of a window and over time, from webhooks posted to the application."""

from datetime import timedelta

import pytest

from tests.support.factories import NUMBER, WABA, body, status

OTHER_NUMBER = "590238114470099"
PAUSED, UNDELIVERABLE, WITHHELD = 132015, 131026, 131049


@pytest.fixture
def minute(now):
    """A minute that is over, so that the window cannot move past it during the test."""
    return now.replace(second=0) - timedelta(minutes=2)


@pytest.fixture
def traffic(deliver, minute):
    """Twenty sent on one number, three of which fail each in another way; two sent on a second number, one fails."""
    sent = [
        status(f"wamid.{n}", "sent", minute, biz_opaque_callback_data='{"template":"offer"}')
        for n in range(20)
    ]
    failed = [
        status("wamid.0", "failed", minute, code=PAUSED, biz_opaque_callback_data='{"template":"offer"}'),
        status(
            "wamid.1", "failed", minute, code=UNDELIVERABLE, biz_opaque_callback_data='{"template":"offer"}'
        ),
        status("wamid.2", "failed", minute, code=WITHHELD, biz_opaque_callback_data='{"template":"offer"}'),
    ]
    deliver(body(*sent, *failed))
    deliver(body(status("wamid.3", "delivered", minute), status("wamid.3", "read", minute)))
    others = [status(f"wamid.o{n}", "sent", minute, recipient="491715550117") for n in range(2)]
    failure = {**status("wamid.o0", "failed", minute, recipient="491715550117"), "errors": []}
    deliver(body(*others, failure, number=OTHER_NUMBER))


@pytest.mark.usefixtures("traffic")
def test_a_window_has_attempts_failures_rate_interval_and_classes(api):
    answer = api.get("/v1/rates", role="viewer").json
    assert (answer["attempts"], answer["failures"]) == (22, 3)
    assert answer["classes"] == {"broken": 2, "withheld": 1, "unreachable": 1}
    assert answer["rate"] == pytest.approx(3 / 22)
    assert 0 < answer["low"] < answer["rate"] < answer["high"] < 1
    assert answer["groups"] == []


def test_the_window_is_the_last_full_minutes_and_the_current_one(api):
    answer = api.get("/v1/rates?window_minutes=15&until=2026-11-21T10:00:59Z").json
    assert (answer["from"], answer["to"]) == ("2026-11-21T09:45:00Z", "2026-11-21T10:01:00Z")


@pytest.mark.usefixtures("traffic")
def test_groups_have_their_dimensions_and_rate_the_worst_first(api):
    groups = api.get("/v1/rates?group_by=phone_number_id").json["groups"]
    found = [(group["phone_number_id"], group["attempts"], group["failures"]) for group in groups]
    assert found == [(NUMBER, 20, 2), (OTHER_NUMBER, 2, 1)]
    assert set(groups[0]) == {"phone_number_id", "attempts", "failures", "rate", "low", "high"}


@pytest.mark.usefixtures("traffic")
@pytest.mark.parametrize("path", ["/v1/rates?", "/v1/funnel?window_minutes=60&"])
def test_a_dimension_that_is_named_twice_counts_once(api, path):
    once = api.get(f"{path}group_by=template").json["groups"]
    assert once
    assert api.get(f"{path}group_by=template,template&group_by=template").json["groups"] == once


@pytest.mark.usefixtures("traffic")
def test_the_rate_of_a_code_is_over_the_attempts_of_its_group(api):
    groups = api.get("/v1/rates?group_by=code,phone_number_id").json["groups"]
    found = {
        (group["code"], group["phone_number_id"]): (group["failures"], group["attempts"]) for group in groups
    }
    assert found == {
        (PAUSED, NUMBER): (1, 20),
        (UNDELIVERABLE, NUMBER): (1, 20),
        (WITHHELD, NUMBER): (1, 20),
        (None, OTHER_NUMBER): (1, 2),
    }


@pytest.mark.usefixtures("traffic")
@pytest.mark.parametrize(
    ("query", "attempts", "failures"),
    [
        (f"phone_number_id={NUMBER}", 20, 2),
        ("phone_number_id=unknown", 0, 0),
        (f"waba_id={WABA}", 22, 3),
        ("template=offer", 20, 2),
        ("template=", 2, 1),
        ("country=DE", 2, 1),
        (f"code={WITHHELD}", 22, 1),
        ("code=-1", 22, 1),
        ("until=2020-01-01T00:00:00Z", 0, 0),
        ("campaign=null", 0, 0),
    ],
)
def test_a_window_can_be_filtered(api, query, attempts, failures):
    answer = api.get(f"/v1/rates?{query}").json
    assert (answer["attempts"], answer["failures"]) == (attempts, failures)


def test_a_redelivered_failure_counts_once_and_in_its_own_minute(api, deliver, minute):
    failed = status("wamid.F", "failed", minute - timedelta(hours=3), code=PAUSED)
    for _ in range(2):
        deliver(body(failed))
    assert api.get("/v1/rates").json["failures"] == 0
    assert api.get("/v1/rates?window_minutes=240").json["failures"] == 1


@pytest.mark.usefixtures("traffic")
def test_a_series_has_a_point_for_every_step_and_adds_up_to_the_window(api, minute):
    until = minute.isoformat().replace("+00:00", "Z")
    answer = api.get(f"/v1/series?window_minutes=59&step_minutes=15&until={until}").json
    assert answer["step_minutes"] == 15
    points = answer["points"]
    assert len(points) == 4
    assert points[0]["at"] == answer["from"]
    assert [point["attempts"] for point in points] == [0, 0, 0, 22]
    last = points[-1]
    assert (last["failures"], last["sent"], last["delivered"], last["read"]) == (3, 22, 1, 1)
    assert last["rate"] == pytest.approx(3 / 22)
    assert last["classes"] == {"broken": 2, "withheld": 1, "unreachable": 1}
    window = api.get(f"/v1/rates?window_minutes=59&until={until}").json
    assert (window["from"], window["to"]) == (answer["from"], answer["to"])
    assert (last["low"], last["high"]) == (window["low"], window["high"])
