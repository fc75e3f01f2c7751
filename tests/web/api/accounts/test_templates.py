"""/v1/templates and the page: each template once, with its state, its parameters, its failures and its history."""

import pytest
from sqlalchemy import text

from tests.support.factories import WABA
from webhook_app.rules.accounts.template_changes import TemplateChange
from webhook_app.store.accounts import templates
from webhook_app.whatsapp.accounts.template_answers import read_template

ROW = {
    "id": "88001", "name": "order_ready", "language": "en_US", "status": "APPROVED", "category": "UTILITY",
    "quality_score": {"score": "GREEN"},
    "components": [
        {"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Hi {{1}}, <b>{{2}}</b>"},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Track", "url": "https://a/{{1}}"}]},
    ],
}  # fmt: skip


@pytest.fixture
def stored(engine, now):
    def save(*changed, changes=()):
        with engine.begin() as connection:
            found = [read_template(ROW | each, WABA) for each in changed]
            templates.save(connection, WABA, found, changes, [], now)
            templates.save_reading(connection, WABA, len(found), now)

    return save


def test_a_template_has_its_state_and_what_each_component_needs(api, stored, now):
    assert api.get("/v1/templates", role="viewer").json == {"templates": [], "next_cursor": None}
    stored({})
    (found,) = api.get("/v1/templates", role="viewer").json["templates"]
    state = [
        found[name]
        for name in ("waba_id", "template_id", "name", "language", "status", "category", "quality")
    ]
    assert state == [WABA, "88001", "order_ready", "en_US", "APPROVED", "UTILITY", "GREEN"]
    needs = [(part["kind"], part["format"], part["parameters"]) for part in found["components"]]
    assert needs == [("header", "IMAGE", ["image"]), ("body", "", ["1", "2"]), ("button", "URL", ["text"])]
    assert (found["parameter_format"], found["failures"]) == ("POSITIONAL", [])


def test_templates_are_listed_in_pages_and_found_by_filters(api, stored):
    stored({}, {"name": "b", "status": "PAUSED"}, {"name": "c", "language": "de"})
    first = api.get("/v1/templates?limit=2", role="viewer").json
    second = api.get(f"/v1/templates?limit=2&cursor={first['next_cursor']}", role="viewer").json
    assert [each["name"] for each in first["templates"] + second["templates"]] == ["b", "c", "order_ready"]
    assert second["next_cursor"] is None
    for query, names in {
        "status=PAUSED": ["b"],
        "name=c": ["c"],
        "language=de": ["c"],
        f"waba_id={WABA}&name=b": ["b"],
        "waba_id=7": [],
    }.items():
        found = api.get(f"/v1/templates?{query}", role="viewer").json["templates"]
        assert [each["name"] for each in found] == names


def test_failures_of_the_last_seven_days_stand_with_their_template(api, engine, stored, now):
    stored({})
    with engine.begin() as connection:
        connection.execute(
            text("""WITH s AS (INSERT INTO series (phone_number_id, waba_id, template, campaign, country)
                               VALUES ('1', :waba, 'order_ready', '', 'DE') RETURNING id)
                    INSERT INTO hourly_failures (hour, error_code, series_id, failures)
                    SELECT date_trunc('hour', CAST(:now AS timestamptz)) - h.age, h.code, s.id, h.failures
                    FROM s, (VALUES (interval '2 hours', 132000, 3), ('3 days', 132000, 4), ('1 day', 131026, 9),
                                    ('9 days', 132000, 50)) AS h(age, code, failures)"""),
            {"waba": WABA, "now": now},
        )
    (found,) = api.get("/v1/templates", role="viewer").json["templates"]
    assert [(each["code"], each["failures"]) for each in found["failures"]] == [(131026, 9), (132000, 7)]


def test_changes_are_listed_newest_first_in_pages(api, stored):
    changes = [
        TemplateChange(name="order_ready", language="en_US", aspect=aspect, before="a", value="b")
        for aspect in ("status", "quality", "category")
    ]
    stored({}, changes=changes)
    first = api.get("/v1/templates/history?limit=2", role="viewer").json
    second = api.get(f"/v1/templates/history?limit=2&cursor={first['next_cursor']}", role="viewer").json
    aspects = [each["aspect"] for each in first["changes"] + second["changes"]]
    assert aspects == ["status", "quality", "category"]
    assert api.get("/v1/templates/history?name=other", role="viewer").json["changes"] == []


def test_a_sender_cannot_list_them(api):
    assert api.get("/v1/templates", role="sender").status_code == 403
    assert api.get("/v1/templates/history", role="sender").status_code == 403


def test_the_page_lists_templates_and_the_changes_of_one(viewer, stored):
    assert "META_ACCESS_TOKEN is not set" in viewer.get("/templates").text
    change = TemplateChange(
        name="order_ready", language="en_US", aspect="status", before="APPROVED", value="PAUSED"
    )
    stored({"status": "PAUSED", "quality_score": {"score": "RED"}}, changes=[change])
    page = viewer.get("/templates").text
    assert "header image: image" in page
    assert 'href="/failures?template=order_ready"' in page
    assert "Before" not in page
    one = viewer.get("/templates?name=order_ready").text
    assert "APPROVED" in one
    assert "No template matches" in viewer.get("/templates?status=REJECTED").text
