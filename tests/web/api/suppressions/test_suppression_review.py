"""Review, undo of changes, and undo of an alert's suppressions."""

from datetime import timedelta

import pytest

from tests.support.factories import NUMBER, body, message, status
from tests.support.incidents import store_incident
from tests.support.suppressions import store_suppression
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.suppressions import suppressions
from webhook_app.store.suppressions.suppressions import Suppression

DAY = timedelta(days=1)


def automatic(engine, now, *contacts, **more):
    rows = [
        Suppression(
            contact=contact,
            phone_number_id=NUMBER,
            reason="unreachable",
            code=131026,
            since=now,
            until=now + 30 * DAY,
            actor="system",
            review=True,
            **more,
        )
        for contact in contacts
    ]
    with engine.begin() as connection:
        suppressions.apply(connection, rows, [], now)


def contacts(api, query=""):
    return [row["contact"] for row in api.get(f"/v1/suppressions{query}").json["suppressions"]]


def test_pauses_of_meta_are_not_reviewed_and_stay(api, engine, now):
    paused = {"reason": "unreachable", "scope": "marketing", "review": True}
    store_suppression(engine, now, contact="12025550121", code=131049, until=now + DAY, **paused)
    store_suppression(engine, now, contact="12025550122", code=130472, **paused)
    assert contacts(api, "?review=true") == []
    assert contacts(api, "?review=false") == ["+12025550121", "+12025550122"]
    items = [{"contact": "12025550121"}, {"contact": "12025550122"}]
    answer = api.post("/v1/suppressions/review", json={"action": "lift", "items": items}).json
    assert [each["result"] for each in answer["results"]] == ["nothing", "nothing"]
    assert contacts(api) == ["+12025550121", "+12025550122"]


def test_automatic_suppressions_wait_for_review_until_confirmed_or_lifted(api, engine, now):
    automatic(engine, now, "12025550117", "12025550118", "12025550119")
    with engine.begin() as connection:
        suppressions.put(connection, "12025550120", actor="ops", now=now)
    assert contacts(api, "?review=true") == ["+12025550117", "+12025550118", "+12025550119"]
    items = [{"contact": "+1 202 555 0117"}, {"contact": "12025550120"}, {"contact": "x"}]
    answer = api.post("/v1/suppressions/review", json={"action": "confirm", "items": items}).json
    assert [row["result"] for row in answer["results"]] == ["confirmed", "nothing", "invalid"]
    items = [
        {"contact": "12025550118", "reason": "unreachable"},
        {"contact": "12025550119", "reason": "hard"},
    ]
    answer = api.post("/v1/suppressions/review", json={"action": "lift", "items": items, "note": "n"}).json
    assert [row["result"] for row in answer["results"]] == ["lifted", "nothing"]
    assert contacts(api, "?review=true") == ["+12025550119"]
    assert contacts(api) == ["+12025550117", "+12025550119", "+12025550120"]
    api.post("/v1/suppressions/undo", json={"batch": answer["batch"]})
    assert contacts(api, "?review=true") == ["+12025550118", "+12025550119"]


def test_single_changes_are_undone_and_the_audit_shows_both(api):
    api.put("/v1/suppressions/+12025550117", json={"scope": "marketing"})
    api.put("/v1/suppressions/+12025550117", json={"scope": "marketing", "note": "typo"})
    undone = api.post("/v1/suppressions/undo", json={"changes": [2]}).json
    assert [row["result"] for row in undone["results"]] == ["restored"]
    assert api.post("/v1/suppressions/undo", json={"changes": [1]}).json["results"][0]["result"] == (
        "changed_since"
    )
    api.delete("/v1/suppressions/+12025550117")
    lifted = api.get("/v1/changes").json["changes"][-1]["seq"]
    assert (
        api.post("/v1/suppressions/undo", json={"changes": [lifted]}).json["results"][0]["result"]
        == "restored"
    )
    actions = [change["action"] for change in api.get("/v1/changes").json["changes"]]
    assert actions == ["suppress", "extend", "extend", "lift", "restore"]


def test_a_stop_that_an_operator_lifted_and_restored_is_active(api, deliver, engine, now):
    deliver(body(messages=[message(at=now - DAY, text="STOP")]))
    suppress(engine, (), Thresholds(), now)
    assert api.post("/v1/suppressions/undo", json={"changes": [1]}).status_code == 409
    api.delete("/v1/suppressions/+12025550117?note=asked")
    assert contacts(api) == []
    api.post("/v1/suppressions/undo", json={"changes": [2], "note": "wrong person"})
    deliver(body(messages=[message("wamid.2", at=now - 2 * DAY, text="stop")]))
    suppress(engine, (), Thresholds(), now)
    assert contacts(api) == ["+12025550117"]


def test_an_undo_without_a_target_is_refused(api):
    assert api.post("/v1/suppressions/undo", json={}).status_code == 400
    assert api.post("/v1/suppressions/undo", json={"batch": "b", "changes": [1]}).status_code == 400
    assert api.post("/v1/suppressions/undo", json={"batch": "unknown"}).json["results"] == []


def incident(engine, now, kind="rate"):
    """Store an incident whose alert has fired for three weeks; returns its id."""
    old = now - 20 * DAY
    group = {"code": 131026, "phone_number_id": NUMBER}
    member = {
        "kind": kind,
        "group": group,
        "codes": [131026],
        "covers_from": old,
        "started_at": old,
        "fired_at": old,
    }
    return store_incident(engine, now, member, kind=kind, codes=[131026], began_at=old, opened_at=old)


@pytest.fixture
def suppressed_in_spite_of_an_incident(deliver, engine, now):
    """An incident of three weeks explains nothing any more; one of two was confirmed."""
    incident_id = incident(engine, now)
    for contact in ("12025550117", "12025550118"):
        for age in (3, 2, 1):
            deliver(
                body(
                    status(
                        f"wamid.{contact}.{age}", "failed", now - age * DAY, recipient=contact, code=131026
                    )
                )
            )
    suppress(engine, (), Thresholds(), now)
    with engine.begin() as connection:
        suppressions.put(
            connection, "12025550118", phone_number_id=NUMBER, reason="unreachable", actor="ops", now=now
        )
    return incident_id


def test_undoing_an_incident_lifts_what_rests_on_it_for_good(
    api, deliver, engine, now, suppressed_in_spite_of_an_incident
):
    assert contacts(api) == ["+12025550117", "+12025550118"]
    path = f"/v1/incidents/{suppressed_in_spite_of_an_incident}/undo-suppressions"
    done = api.post(path).json
    assert (done["excused_failures"], done["lifted"]) == (6, 1)
    assert contacts(api) == ["+12025550118"]
    last = api.get("/v1/changes").json["changes"][-1]
    assert (last["action"], last["actor"]) == ("lift", "admin")
    deliver(body(status("wamid.new", "failed", now, code=131026)))
    suppress(engine, (), Thresholds(), now)
    assert contacts(api) == ["+12025550118"]
    assert api.post(path).json["lifted"] == 0


def test_only_incidents_with_alerts_about_failures_have_something_to_undo(api, engine, now):
    other = incident(engine, now, kind="health")
    answer = api.post(f"/v1/incidents/{other}/undo-suppressions")
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "nothing_to_undo")
    assert api.post("/v1/incidents/4711/undo-suppressions").status_code == 404
    assert api.post("/v1/incidents/4711/undo-suppressions", role="viewer").status_code == 403
