"""Messages by stage, and the time between stages, compared with the previous period."""

from datetime import timedelta

import pytest

from tests.support.factories import body, status
from webhook_app.pipeline.counts.count_funnels import count_stages

HOUR = timedelta(hours=1)


def stages(found):
    return found["sent"], found["delivered"], found["read"], found["failed"]


@pytest.fixture
def messages(deliver, now):
    """Two templates now, one message in the period before."""
    at = now - timedelta(minutes=10)

    def message(name, template, *kinds, at=at):
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

    message("wamid.1", "a", "sent", "delivered", "read")
    message("wamid.2", "a", "sent", "read")
    message("wamid.3", "a", "sent", "failed")
    message("wamid.4", "b", "sent", "delivered", "delivered")
    message("wamid.5", "b", "sent", "failed", "delivered")
    message("wamid.0", "a", "sent", "delivered", at=at - HOUR)


def test_distinct_messages_are_counted_and_read_implies_delivered(api, messages):
    answer = api.get("/v1/funnel?window_minutes=60&group_by=template", role="viewer").json
    assert stages(answer["now"]) == (5, 4, 2, 2)
    assert stages(answer["before"]) == (1, 1, 0, 0)
    assert {g["template"]: stages(g["now"]) for g in answer["groups"]} == {
        "a": (3, 2, 2, 1),
        "b": (2, 2, 0, 1),
    }
    assert {g["template"]: stages(g["before"]) for g in answer["groups"]} == {
        "a": (1, 1, 0, 0),
        "b": (0, 0, 0, 0),
    }
    assert answer["now"]["delivered_share"] == pytest.approx(0.8)
    assert answer["groups"][1]["before"]["read_share"] is None


def test_a_funnel_can_be_filtered_and_left_uncompared(api, messages):
    answer = api.get("/v1/funnel?window_minutes=60&template=b&compare=false").json
    assert (stages(answer["now"]), answer["before"], answer["groups"]) == ((2, 2, 0, 1), None, [])


def test_a_category_of_one_event_applies_to_the_whole_message(api, deliver, now):
    pricing = {"pricing": {"category": "marketing", "pricing_model": "PMP", "billable": True}}
    deliver(body(status("wamid.A", "sent", now, **pricing), status("wamid.A", "delivered", now)))
    deliver(body(status("wamid.B", "sent", now)))
    groups = api.get("/v1/funnel?group_by=category,country").json["groups"]
    assert {(g["category"], g["country"]): stages(g["now"]) for g in groups} == {
        ("marketing", "US"): (1, 1, 0, 0),
        ("", "US"): (1, 0, 0, 0),
    }


def test_a_funnel_is_grouped_and_filtered_by_what_meta_says_about_prices(api, deliver, now, engine):
    def price(*, billable, kind):
        return {
            "pricing": {"category": "utility", "pricing_model": "PMP", "billable": billable, "type": kind}
        }

    paid, free = (
        price(billable=True, kind="regular"),
        price(billable=False, kind="free_customer_service"),
    )
    deliver(body(status("wamid.A", "sent", now, **paid), status("wamid.A", "delivered", now)))
    deliver(body(status("wamid.B", "sent", now, **paid), status("wamid.B", "read", now)))
    deliver(body(status("wamid.C", "sent", now, **paid), status("wamid.C", "failed", now, code=131026)))
    deliver(body(status("wamid.D", "sent", now, **free), status("wamid.E", "failed", now, code=131026)))
    for counted in (False, True):
        if counted:
            count_stages(engine, now)
        groups = api.get("/v1/funnel?group_by=billing,pricing_model,pricing_type").json["groups"]
        found = {(g["billing"], g["pricing_model"], g["pricing_type"]): g["now"] for g in groups}
        assert {key: (*stages(counts), counts["unread"]) for key, counts in found.items()} == {
            ("billable", "PMP", "regular"): (3, 2, 1, 1, 1),
            ("free", "PMP", "free_customer_service"): (1, 0, 0, 0, 0),
            ("", "", ""): (0, 0, 0, 1, 0),
        }
        assert stages(api.get("/v1/funnel?billing=billable").json["now"]) == (3, 2, 1, 1)
    deliver(body(status("wamid.A", "read", now)))
    assert api.get("/v1/funnel?billing=billable").json["now"]["unread"] == 0
    assert api.get("/v1/funnel?billing=cheap").status_code == 400


def test_a_funnel_is_grouped_by_what_senders_reported(api, deliver, now):
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
    assert (group["campaign"], group["category"], stages(group["now"])) == ("autumn", "utility", (1, 0, 0, 0))


def test_a_later_report_regroups_counted_messages(api, deliver, engine, now):
    deliver(body(status("wamid.A", "sent", now), status("wamid.A", "read", now)))
    count_stages(engine, now + HOUR)
    send = {"contact": "+12025550117", "message_id": "wamid.A", "campaign": "autumn", "category": "utility"}
    api.post("/v1/sends", json={"sends": [send]})
    count_stages(engine, now + 2 * HOUR)
    (group,) = api.get("/v1/funnel?group_by=campaign,category").json["groups"]
    assert (group["campaign"], group["category"], stages(group["now"])) == ("autumn", "utility", (1, 1, 1, 0))


def test_latencies_are_between_the_first_events_of_each_stage(api, messages):
    answer = api.get("/v1/latency?window_minutes=60").json
    assert answer["sent_to_delivered"] == {"messages": 4, "p50": 20, "p90": 34, "p95": 37, "p99": 39.4}
    assert answer["delivered_to_read"]["messages"] == 2
    assert answer["delivered_to_read"]["p50"] == 10
    empty = api.get("/v1/latency?template=nothing").json["sent_to_delivered"]
    assert empty == {"messages": 0, "p50": None, "p90": None, "p95": None, "p99": None}


def test_a_window_out_of_range_is_refused(api):
    assert api.get("/v1/funnel?until=0001-01-01T00:00:00Z").status_code == 400
