"""Silences over HTTP: added, listed, ended, and refused when invalid."""

from datetime import datetime, timedelta

import pytest

from webhook_app.store.incidents import silences


def make(api, **changed):
    return api.post("/v1/silences", json={"matchers": {"code": 131026}, "minutes": 60} | changed)


def test_a_silence_has_author_matchers_and_end(api, now):
    made = make(api, comment="known trouble").json
    assert (made["author"], made["comment"], made["active"]) == ("admin", "known trouble", True)
    assert made["matchers"] == {"code": 131026}
    assert now + timedelta(minutes=59) < datetime.fromisoformat(made["until"]) < now + timedelta(minutes=65)
    assert api.get("/v1/silences?active=true", role="viewer").json["silences"] == [made]


def test_an_ended_silence_stays_listed(api):
    made = make(api).json
    ended = api.delete(f"/v1/silences/{made['id']}").json
    assert (ended["active"], ended["ended_by"]) == (False, "admin")
    assert api.delete(f"/v1/silences/{made['id']}").json == ended
    assert api.get("/v1/silences?active=true").json["silences"] == []
    assert api.get("/v1/silences").json["silences"] == [ended]
    assert api.delete("/v1/silences/999").status_code == 404


def test_an_expired_silence_is_not_active_and_cannot_be_ended(api, engine, now):
    with engine.begin() as connection:
        over = silences.add(
            connection,
            matchers={"rule": "r"},
            author="a",
            comment="",
            since=now - timedelta(hours=2),
            until=now - timedelta(hours=1),
        )
    answer = api.delete(f"/v1/silences/{over.id}").json
    assert (answer["active"], answer["ended_at"]) == (False, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"matchers": {}},
        {"matchers": {"contact": "49171"}},
        {"matchers": {"code": "131026"}},
        {"minutes": 0},
        {"minutes": None},
        {"until": "2020-01-01T00:00:00Z", "minutes": None},
        {"until": "2999-01-01T00:00:00Z", "minutes": None},
        {"until": "2999-01-01T00:00:00Z"},
    ],
)
def test_an_invalid_silence_is_refused(api, wrong):
    assert make(api, **wrong).status_code == 400


def test_only_an_admin_adds_and_ends_silences(api):
    assert make(api).status_code == 200
    assert api.post("/v1/silences", role="viewer", json={}).status_code == 403
    assert api.delete("/v1/silences/1", role="viewer").status_code == 403


def test_silences_are_listed_newest_first_by_page(api):
    ids = [make(api).json["id"] for _ in range(5)]
    seen, cursor = [], ""
    while True:
        page = api.get(f"/v1/silences?limit=2{cursor}").json
        seen += [silence["id"] for silence in page["silences"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
