"""/v1/health: the state of accounts, numbers and templates, in whatever order the webhooks arrive."""

import json
from datetime import timedelta

import pytest

from tests.support.factories import NUMBER, WABA, body, document
from tests.support.folders import PAYLOADS

DISPLAY = "+13125550199"


@pytest.fixture
def post_health(deliver, now):
    def post(field, minutes_ago=0, waba=WABA, **value):
        held = document(value, field=field, waba=waba)
        held["entry"][0]["time"] = int((now - timedelta(minutes=minutes_ago)).timestamp())
        deliver(json.dumps(held).encode())

    return post


def template(post_health, minutes_ago, event, template_id=7, name="promo", **more):
    named = {
        "message_template_id": template_id,
        "message_template_name": name,
        "message_template_language": "en_US",
    }
    post_health("message_template_status_update", minutes_ago, event=event, **named, **more)


def test_without_webhooks_nothing_is_known(api):
    answer = api.get("/v1/health", role="viewer").json
    assert (answer["accounts"], answer["numbers"], answer["templates"]) == ([], [], [])
    assert answer["next_cursor"] is None
    assert api.get("/v1/health/history", role="viewer").json == {"changes": [], "next_cursor": None}


def test_a_sender_cannot_read_health(api):
    assert api.get("/v1/health", role="sender").status_code == 403


def test_a_template_has_its_current_state_since_when_and_its_history(api, post_health, now):
    template(post_health, 1, "PAUSED", other_info={"title": "SECOND_PAUSE"})  # the late ones come first
    template(post_health, 3, "PAUSED", other_info={"title": "FIRST_PAUSE"})
    template(post_health, 9, "APPROVED", message_template_category="MARKETING")
    (found,) = api.get("/v1/health?template=promo").json["templates"]
    assert found["template_id"] == "7"
    assert (found["name"], found["language"], found["waba_id"]) == ("promo", "en_US", WABA)
    assert found["status"]["value"] == "PAUSED"
    assert found["status"]["since"] == f"{now - timedelta(minutes=3):%Y-%m-%dT%H:%M:%SZ}"
    assert found["status"]["told_at"] == f"{now - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"
    assert found["status"]["concern"] == "warning"
    assert found["status"]["detail"]["title"] == "SECOND_PAUSE"
    assert found["category"]["value"] == "MARKETING"
    assert found["last_change_at"] == found["status"]["since"]
    assert [(c["aspect"], c["value"]) for c in found["history"]] == [
        ("status", "PAUSED"),
        ("status", "PAUSED"),
        ("category", "MARKETING"),
        ("status", "APPROVED"),
    ]
    assert found["quality"] is None


def test_a_number_reported_by_digits_or_by_id_is_one_number(api, deliver, post_health):
    event = {"event": "FLAGGED", "current_limit": "TIER_10K"}
    post_health("phone_number_quality_update", display_phone_number="+1 312-555-0199", **event)
    post_health(
        "account_alerts",
        entity_type="PHONE_NUMBER",
        entity_id=NUMBER,
        alert_info={"alert_type": "OBA_APPROVED", "alert_status": "NONE"},
    )
    deliver(body(messages=[]))  # carries the id and the digits together
    (found,) = api.get("/v1/health").json["numbers"]
    assert (found["phone_number_id"], found["display_phone_number"]) == (NUMBER, DISPLAY)
    assert found["quality"]["value"] == "FLAGGED"
    assert found["tier"]["detail"] == {"limit": 10_000}
    assert set(found["states"]) == {"quality", "tier", "alert oba_approved"}
    assert api.get(f"/v1/health?phone_number_id={NUMBER}").json["numbers"] == [found]
    assert api.get("/v1/health?phone_number_id=1").json["numbers"] == []


def test_errors_without_a_message_have_their_meaning(api, deliver, now):
    error = {"code": 130429, "title": "Rate limit hit"}
    for minutes in (5, 2):
        held = json.loads(body(errors=[error]))
        held["entry"][0]["time"] = int((now - timedelta(minutes=minutes)).timestamp())
        deliver(json.dumps(held).encode())
    (number,) = api.get("/v1/health").json["numbers"]
    (found,) = number["errors"]
    assert (found["code"], found["count"]) == (130429, 2)
    assert found["summary"]
    assert found["action"]
    assert found["last_at"] == f"{now - timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}"


def test_an_account_shows_its_tier_status_and_restrictions(api, post_health, now):
    until = int((now + timedelta(days=7)).timestamp())
    post_health("business_capability_update", 5, max_daily_conversations_per_business=10_000)
    post_health(
        "account_update", 4, event="DISABLED_UPDATE", ban_info={"waba_ban_state": "SCHEDULE_FOR_DISABLE"}
    )
    post_health("account_update", 1, event="DISABLED_UPDATE", ban_info={"waba_ban_state": "REINSTATE"})
    restriction = {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": until}
    post_health("account_update", 2, event="ACCOUNT_RESTRICTION", restriction_info=[restriction])
    (found,) = api.get(f"/v1/health?waba_id={WABA}").json["accounts"]
    assert found["tier"]["value"] == "TIER_10K"
    assert (found["status"]["value"], found["status"]["concern"]) == ("ACTIVE", "")
    assert found["states"]["restriction biz_initiated_messaging"]["concern"] == "critical"


def test_filters_select_by_account_and_template(api, post_health):
    template(post_health, 1, "APPROVED", template_id=1, name="a")
    template(post_health, 1, "APPROVED", template_id=2, name="b")
    post_health("account_review_update", 1, waba="999", decision="REJECTED")
    assert [t["name"] for t in api.get("/v1/health?template=2").json["templates"]] == ["b"]
    assert api.get("/v1/health?template=b").json["accounts"] == []
    answer = api.get("/v1/health?waba_id=999").json
    assert [a["waba_id"] for a in answer["accounts"]] == ["999"]
    assert answer["templates"] == []
    kinds = [c["kind"] for c in api.get("/v1/health/history?waba_id=999").json["changes"]]
    assert kinds == ["account"]


def test_pages_contain_every_subject_once_in_a_stable_order(api, deliver):
    for path in sorted(PAYLOADS.glob("*.json")):
        deliver(path.read_bytes())
    kinds = ("accounts", "numbers", "templates")

    def names(page):
        return [(kind, each.get("template_id") or each.get("display_phone_number") or each["waba_id"])
                for kind in kinds for each in page[kind]]  # fmt: skip

    whole = names(api.get("/v1/health").json)
    paged, cursor = [], ""
    while cursor is not None:
        page = api.get("/v1/health?limit=1" + (f"&cursor={cursor}" if cursor else "")).json
        paged += names(page)
        cursor = page["next_cursor"]
    assert paged == whole
    assert len(set(whole)) == len(whole) >= 4


def test_the_history_is_paged_the_newest_first(api, deliver):
    for path in sorted(PAYLOADS.glob("*.json")):
        deliver(path.read_bytes())
    whole = api.get("/v1/health/history").json["changes"]
    paged, cursor = [], ""
    while cursor is not None:
        page = api.get("/v1/health/history?limit=7" + (f"&cursor={cursor}" if cursor else "")).json
        paged += page["changes"]
        cursor = page["next_cursor"]
    assert paged == whole
    assert len(whole) > 40
    assert [c["occurred_at"] for c in whole] == sorted((c["occurred_at"] for c in whole), reverse=True)


@pytest.mark.parametrize("path", ["/v1/health", "/v1/health/history"])
@pytest.mark.parametrize("cursor", ["x", "WyJhIl0", "bnVsbA", "WyJ4IiwiYSIsImIiLCJjIiwiZCJd"])
def test_an_invented_cursor_is_refused(api, path, cursor):
    response = api.get(f"{path}?cursor={cursor}")
    assert response.status_code == 400
    assert response.json["error"]["code"] == "bad_cursor"
