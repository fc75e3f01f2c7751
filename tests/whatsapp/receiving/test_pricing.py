"""The price of a message as a number: everything Meta says comes back, and a billable message is above a free one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.factories import body, status
from webhook_app.whatsapp.receiving.payload import parse
from webhook_app.whatsapp.receiving.pricing import BILLINGS, OF_BILLING, pricing_number, pricing_of

SAMPLES = Path("tests/payloads")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((True, "PMP", "regular"), ("billable", "PMP", "regular")),
        ((False, "PMP", "free_customer_service"), ("free", "PMP", "free_customer_service")),
        ((False, "PMP", "free_group_customer_service"), ("free", "PMP", "free_group_customer_service")),
        ((True, "CBP", None), ("billable", "CBP", "")),
        ((None, "PMP", "regular"), ("billable", "PMP", "regular")),
        ((None, "PMP", "free_entry_point"), ("free", "PMP", "free_entry_point")),
        ((True, "XYZ", "new_type"), ("billable", "other", "other")),
        ((None, "PMP", "new_type"), ("", "PMP", "other")),
        ((None, None, None), ("", "", "")),
        (("true", 5, {}), ("", "other", "other")),
        ((1, ["PMP"], True), ("", "other", "other")),
    ],
)
def test_what_meta_says_comes_back(given, expected):
    assert pricing_of(pricing_number(*given)) == expected


def test_what_is_billable_is_above_what_is_free():
    numbers = [
        pricing_number(b, m, t) for b in (None, False, True) for m in ("CBP", "PMP") for t in (None, "x")
    ]
    assert numbers == sorted(numbers)
    assert max(numbers) < len(BILLINGS) * OF_BILLING < 2**15


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("status_sent", ("billable", "PMP", "regular")),
        ("status_sent_cbp_legacy", ("billable", "CBP", "")),
        ("status_sent_free_entry_point", ("free", "PMP", "free_entry_point")),
        ("status_delivered_service_free_tier", ("free", "PMP", "free_customer_service")),
        ("status_delivered_max_price_cost", ("billable", "PMP", "regular")),
        ("status_sent_minimal", ("", "", "")),
    ],
)
def test_samples(sample, expected):
    (event,) = parse((SAMPLES / f"{sample}.json").read_bytes()).statuses
    assert pricing_of(event.pricing) == expected


def test_a_direct_send_counts_under_the_id_of_its_template():
    (event,) = parse((SAMPLES / "status_sent_direct_send_template_id.json").read_bytes()).statuses
    assert (event.template, event.category) == ("918273645501928", "utility")


@pytest.mark.parametrize("more", [{}, {"unknown": 1}])
def test_callback_data_names_the_template_before_its_id(now, more):
    given: dict[str, Any] = {"template_id": "42", "biz_opaque_callback_data": "template=hello"} | more
    (event,) = parse(body(status("wamid.A", "sent", now, **given))).statuses
    assert event.template == "hello"


def test_odd_ids_of_templates_are_no_template(now):
    for odd in (None, {}, [], True):
        (event,) = parse(body(status("wamid.A", "sent", now, template_id=odd))).statuses
        assert event.template in ("", "True")
    assert json.loads(body(status("wamid.A", "sent", now)))
