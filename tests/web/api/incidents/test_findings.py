"""Findings over HTTP: lists with filters and pages, and one of them."""

from datetime import datetime, timedelta

from sqlalchemy import Engine

from tests.support.factories import utc_text
from tests.support.findings import store_finding
from tests.web.conftest import Api
from webhook_app.store.incidents import findings

DAY = timedelta(days=1)


def test_a_finding_says_what_is_so_since_when_and_what_to_do(api: Api, engine: Engine, now: datetime) -> None:
    finding_id = store_finding(engine, now)
    [listed] = api.get("/v1/findings", role="viewer").json["findings"]
    assert listed == api.get(f"/v1/findings/{finding_id}", role="viewer").json
    assert (listed["id"], listed["kind"], listed["state"]) == (finding_id, "chronic", "open")
    assert (listed["codes"], listed["slice"]) == ([131026], {"phone_number_id": ["n0"]})
    assert listed["impact"] == {"failures": 84, "share": 0.04}
    assert listed["since"] == utc_text(now - 7 * DAY)
    assert (listed["advice"], listed["notified_at"], listed["fixed_at"]) == ("Clean the list.", None, None)


def test_findings_are_listed_by_state_and_kind_in_pages(api: Api, engine: Engine, now: datetime) -> None:
    ids = [store_finding(engine, now, key=str(place)) for place in range(3)]
    other = store_finding(engine, now, kind="template_quality", key="9")
    with engine.begin() as connection:
        findings.fix(connection, ids[:1], now)

    def listed(query: str) -> list[int]:
        return [each["id"] for each in api.get(f"/v1/findings?{query}", role="viewer").json["findings"]]

    assert listed("") == [other, *ids[::-1]]
    assert listed("state=fixed") == ids[:1]
    assert listed("kind=template_quality") == [other]
    assert listed("state=open&kind=chronic") == ids[:0:-1]
    first = api.get("/v1/findings?limit=3", role="viewer").json
    assert [each["id"] for each in first["findings"]] == [other, *ids[:0:-1]]
    assert listed(f"limit=3&cursor={first['next_cursor']}") == ids[:1]


def test_an_unknown_finding_is_404(api: Api) -> None:
    answer = api.get("/v1/findings/7", role="viewer")
    assert answer.status_code == 404
    assert answer.json["error"]["code"] == "not_found"


def test_an_unknown_kind_is_400(api: Api) -> None:
    assert api.get("/v1/findings?kind=other", role="viewer").status_code == 400
