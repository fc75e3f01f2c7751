"""The export of failures as CSV and NDJSON."""

import csv
import io
import json
from datetime import timedelta

import pytest

from tests.support.factories import body, status
from webhook_app.web.api.counts import failure_export


@pytest.fixture
def failed(deliver, now):
    details = ["=cmd()", 'a "quoted", text\nof two lines', "Größe", "+49 is no formula here", ""]
    deliver(
        body(
            *(
                status(f"wamid.{n}", "failed", now - timedelta(seconds=n), code=131053, details=text)
                for n, text in enumerate(details)
            ),
            status("wamid.other", "failed", now, code=131026),
        )
    )
    return details


def rows(response):
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


def test_csv_contains_every_matching_failure_in_the_order_of_the_list(api, failed, monkeypatch):
    monkeypatch.setattr(failure_export, "_PAGE", 2)
    response = api.get("/v1/failures/export?code=131053", role="viewer")
    assert response.mimetype == "text/csv"
    assert 'attachment; filename="failures-' in response.headers["Content-Disposition"]
    found = rows(response)
    listed = api.get("/v1/failures?code=131053").json["failures"]
    assert [row["id"] for row in found] == [failure["id"] for failure in listed]
    assert [row["details"] for row in found] == ["'=cmd()", failed[1], "Größe", "'+49 is no formula here", ""]
    assert found[0]["contact"] == "+12025550117"
    assert {row["number_name"] for row in found} == {"+13125550199"}
    assert found[0]["occurred_at"] == listed[0]["occurred_at"]
    assert (found[0]["dead_letter"], found[0]["subcode"], found[0]["retry_at"]) == ("false", "", "")
    assert json.loads(found[1]["errors"]) == listed[1]["errors"]


def test_ndjson_contains_the_failures_as_in_the_list(api, failed, monkeypatch):
    monkeypatch.setattr(failure_export, "_PAGE", 3)
    response = api.get("/v1/failures/export?format=ndjson")
    assert response.mimetype == "application/x-ndjson"
    assert [json.loads(line) for line in response.text.splitlines()] == api.get("/v1/failures").json[
        "failures"
    ]


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_other_requests_are_answered_between_the_rows_of_an_export(api, failed, turns, kind):
    assert len(api.get(f"/v1/failures/export?format={kind}").text.splitlines()) > len(failed)
    assert len(turns) >= len(failed)


def test_an_empty_file_has_its_columns(api):
    assert api.get("/v1/failures/export").text.strip().split(",") == list(failure_export.COLUMNS)
    assert api.get("/v1/failures/export?format=ndjson").text == ""


@pytest.mark.parametrize("query", ["?format=xml", "?limit=5", "?contact=nobody", "?class=odd"])
def test_an_invalid_query_is_refused_before_anything_is_sent(api, query):
    assert api.get(f"/v1/failures/export{query}").status_code == 400


def test_a_sender_cannot_export(api):
    assert api.get("/v1/failures/export", role="sender").status_code == 403
