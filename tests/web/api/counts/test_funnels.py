"""How far messages got, counted as distinct messages, and how fast, beside the period before."""

from datetime import timedelta

import pytest

from tests.factories import body, status
from webhook_app.pipeline.counts.count_funnels import count_steps

HOUR = timedelta(hours=1)


def steps(found):
    return found["sent"], found["delivered"], found["read"], found["failed"]


@pytest.fixture
def told(deliver, now):
    """Two templates now, one message in the period before."""
    at = now - timedelta(minutes=10)

    def life(name, template, *kinds, at=at):
        callback = {"biz_opaque_callback_data": f"template={template}"}
        deliver(
            body(
                *(
                    status(
                        name,
                        kind,
                        at + timedelta(seconds=20 * i),
                        code=131026 if kind == "failed" else None,
                        **callback,
                    )
                    for i, kind in enumerate(kinds)
                )
            )
        )

    life("wamid.1", "a", "sent", "delivered", "read")
    life("wamid.2", "a", "sent", "read")
    life("wamid.3", "a", "sent", "failed")
    life("wamid.4", "b", "sent", "delivered", "delivered")
    life("wamid.5", "b", "sent", "failed", "delivered")
    life("wamid.0", "a", "sent", "delivered", at=at - HOUR)


def test_distinct_messages_are_counted_and_read_implies_delivered(api, told):
    answer = api.get("/v1/funnel?window_minutes=60&group_by=template", role="viewer").json
    assert steps(answer["now"]) == (5, 4, 2, 2)
    assert steps(answer["before"]) == (1, 1, 0, 0)
    assert {g["template"]: steps(g["now"]) for g in answer["groups"]} == {
        "a": (3, 2, 2, 1),
        "b": (2, 2, 0, 1),
    }
    assert {g["template"]: steps(g["before"]) for g in answer["groups"]} == {
        "a": (1, 1, 0, 0),
        "b": (0, 0, 0, 0),
    }
    assert answer["now"]["delivered_share"] == pytest.approx(0.8)
    assert answer["groups"][1]["before"]["read_share"] is None


def test_it_can_be_narrowed_and_left_uncompared(api, told):
    answer = api.get("/v1/funnel?window_minutes=60&template=b&compare=false").json
    assert (steps(answer["now"]), answer["before"], answer["groups"]) == ((2, 2, 0, 1), None, [])


def test_a_category_that_came_with_one_event_holds_for_the_message(api, deliver, now):
    pricing = {"pricing": {"category": "marketing", "pricing_model": "PMP", "billable": True}}
    deliver(body(status("wamid.A", "sent", now, **pricing), status("wamid.A", "delivered", now)))
    deliver(body(status("wamid.B", "sent", now)))
    groups = api.get("/v1/funnel?group_by=category,country").json["groups"]
    assert {(g["category"], g["country"]): steps(g["now"]) for g in groups} == {
        ("marketing", "US"): (1, 1, 0, 0),
        ("", "US"): (1, 0, 0, 0),
    }


def test_what_senders_told_is_what_it_is_grouped_by(api, deliver, now):
    api.post(
        "/v1/sends",
        json={
            "sends": [
                {
                    "contact": "+12025550117",
                    "message_id": "wamid.A",
                    "campaign": "autumn",
                    "category": "utility",
                }
            ]
        },
    )
    deliver(body(status("wamid.A", "sent", now)))
    (group,) = api.get("/v1/funnel?group_by=campaign,category").json["groups"]
    assert (group["campaign"], group["category"], steps(group["now"])) == ("autumn", "utility", (1, 0, 0, 0))


def test_what_senders_tell_later_moves_what_was_counted(api, deliver, engine, now):
    deliver(body(status("wamid.A", "sent", now), status("wamid.A", "read", now)))
    count_steps(engine, now + HOUR)
    told = {"contact": "+12025550117", "message_id": "wamid.A", "campaign": "autumn", "category": "utility"}
    api.post("/v1/sends", json={"sends": [told]})
    count_steps(engine, now + 2 * HOUR)
    (group,) = api.get("/v1/funnel?group_by=campaign,category").json["groups"]
    assert (group["campaign"], group["category"], steps(group["now"])) == ("autumn", "utility", (1, 1, 1, 0))


def test_latencies_are_between_the_first_of_each_step(api, told):
    answer = api.get("/v1/latency?window_minutes=60").json
    assert answer["sent_to_delivered"] == {"messages": 4, "p50": 20, "p90": 34, "p95": 37, "p99": 39.4}
    assert answer["delivered_to_read"]["messages"] == 2
    assert answer["delivered_to_read"]["p50"] == 10
    empty = api.get("/v1/latency?template=nothing").json["sent_to_delivered"]
    assert empty == {"messages": 0, "p50": None, "p90": None, "p95": None, "p99": None}


def test_a_window_out_of_time_is_refused(api):
    assert api.get("/v1/funnel?until=0001-01-01T00:00:00Z").status_code == 400
