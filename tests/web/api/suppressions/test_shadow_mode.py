"""With SUPPRESS=shadow rules record suppressions, show them everywhere and block nobody; people still decide."""

from datetime import timedelta

import pytest

from tests.support.suppressions import store_suppression

GONE, STOPPED, BANNED, FREE = "12025550117", "12025550118", "12025550119", "12025550120"


@pytest.fixture
def recorded(engine, now):
    """One contact suppressed by a rule, one who opted out, one suppressed by hand."""
    until = now + timedelta(days=30)
    store_suppression(engine, now, contact=GONE, reason="unreachable", code=131026, until=until, review=True)
    store_suppression(engine, now, contact=STOPPED, reason="opted_out")
    store_suppression(engine, now, contact=BANNED, reason="manual")


@pytest.fixture
def service(make_app):
    """Returns a client of a service with this mode."""
    made = {}

    def get(mode):
        if mode not in made:
            made[mode] = make_app(suppress=mode).test_client()
        return made[mode]

    return get


@pytest.fixture
def ask(service, operator):
    """Returns the JSON that a service with this mode answers."""
    return lambda mode, path: service(mode).get(path, headers=operator).json


def allowed(ask, mode):
    return {
        each: ask(mode, f"/v1/check/{each}?category=utility")["allowed"]
        for each in (GONE, STOPPED, BANNED, FREE)
    }


def test_rules_block_nobody_in_shadow_mode_and_block_again_after_it(ask, recorded):
    people = {STOPPED: False, BANNED: False, FREE: True}
    for mode in ("on", "shadow", "on", "shadow"):
        assert allowed(ask, mode) == people | {GONE: mode == "shadow"}


def test_the_check_says_what_would_be(ask, recorded, now):
    found = ask("shadow", f"/v1/check/{GONE}")
    real = ask("on", f"/v1/check/{GONE}")
    assert (found["verdict"], found["reason"]) == ("send", None)
    assert found["would_be"] == {name: real[name] for name in found["would_be"]}
    assert found["would_be"]["verdict"] == "suppressed"
    assert set(found["would_be"]) >= {"reason", "why", "code", "since", "until", "matched_on"}
    assert "would_be" not in real
    assert all("would_be" not in ask("shadow", f"/v1/check/{each}") for each in (STOPPED, BANNED, FREE))


def test_many_contacts_are_counted_by_the_verdict_in_force(service, operator, recorded):
    body = {"contacts": [GONE, STOPPED, BANNED, FREE]}
    answer = service("shadow").post("/v1/check", json=body, headers=operator).json
    assert answer["summary"] == {"send": 2, "suppressed": 2, "wait": 0, "invalid": 0}
    assert ["would_be" in each for each in answer["results"]] == [True, False, False, False]


def test_lists_the_feed_and_exports_show_what_would_be(ask, service, operator, recorded):
    listed = ask("shadow", "/v1/suppressions")["suppressions"]
    assert [(each["contact"], each["shadow"]) for each in listed] == [
        (f"+{GONE}", True),
        (f"+{STOPPED}", False),
        (f"+{BANNED}", False),
    ]
    assert not any(each["shadow"] for each in ask("on", "/v1/suppressions")["suppressions"])
    feed = ask("shadow", "/v1/changes")
    assert (feed["suppress"], [each["contact"] for each in feed["changes"]]) == (
        "shadow",
        [f"+{GONE}", f"+{STOPPED}", f"+{BANNED}"],
    )
    assert ask("on", "/v1/changes")["suppress"] == "on"
    export = service("shadow").get("/v1/suppressions/export", headers=operator)
    assert export.headers["X-Suppress"] == "shadow"
    assert f"+{GONE}" in export.text


def test_a_reader_of_the_feed_notices_the_change_of_mode(service, operator, recorded):
    before = service("on").get("/v1/changes?since=3", headers=operator)
    known = operator | {"If-None-Match": before.headers["ETag"]}
    assert service("on").get("/v1/changes?since=3", headers=known).status_code == 304
    assert service("shadow").get("/v1/changes?since=3", headers=known).status_code == 200
