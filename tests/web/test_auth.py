"""A key must be known, unrevoked and of a sufficient role; what it was refused for is said."""

import re
from datetime import timedelta

from flask import Flask
from sqlalchemy import text

from tests.web.conftest import token_of
from webhook_app.store.operations import api_keys
from webhook_app.web import auth
from webhook_app.web.api import ENDPOINTS
from webhook_app.web.auth import Keyring

NOT_A_KEY = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wa_wrong",
    "Bearer wa_" + "A" * 43,
    "Bearer nul\0byte",
    "Bearer \xfc\xff",
    "Basic YTpi",
    "Bearer  ",
]


def test_without_a_known_key_the_answer_is_401_with_the_scheme(client):
    for header in NOT_A_KEY:
        response = client.get("/v1/books", headers={} if header is None else {"Authorization": header})
        assert response.status_code == 401, header
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.json["error"]["code"] == "unauthorized"


def test_the_scheme_of_a_known_key_must_be_bearer(client, keys):
    assert client.get("/v1/books", headers={"Authorization": f"Basic {keys['admin']}"}).status_code == 401
    assert client.get("/v1/books", headers={"Authorization": f"bearer {keys['admin']}"}).status_code == 200


def test_the_operators_key_is_an_admin_and_an_empty_one_is_none(client, make_app, operator):
    assert client.put("/v1/suppressions/+12025550117", json={}, headers=operator).status_code == 200
    without = make_app(admin_api_key="").test_client()
    assert without.get("/v1/books", headers={"Authorization": "Bearer "}).status_code == 401
    assert without.get("/v1/books", headers=operator).status_code == 401


PARAMETERS = {"contact": "12025550117", "message_id": "x"}  # the others are numbers


def test_every_endpoint_refuses_who_has_no_key_and_whose_role_is_too_low(api):
    for endpoint in ENDPOINTS:
        path = re.sub(r"\{(\w+)\}", lambda name: PARAMETERS.get(name[1], "1"), endpoint.path)
        more = {"json": {"hours": 0.1}} if endpoint.name == "backtest_rules" else {}  # a day takes seconds
        assert api.ask(endpoint.method, path, role="").status_code == 401, endpoint.name
        answers = {role: api.ask(endpoint.method, path, role=role, **more) for role in auth.ROLES}
        refused = {role for role, answer in answers.items() if answer.status_code == 403}
        too_low = set(auth.ROLES[: auth.ROLES.index(endpoint.role)])
        assert refused == too_low | ({"viewer"} if endpoint.changes else set()), endpoint.name


NO_CHANGE = {"/v1/check", "/v1/preflight"}
"""Questions with a body."""
WITHOUT_A_ROLE = {"/webhook", "/slack/interactions", "/login", "/logout", "/theme"}


def test_a_viewer_changes_nothing_by_any_route(app, client, keys, viewer):
    """Every route of the application but those for Meta, Slack and one's own session, new ones included."""
    token = token_of(viewer.get("/system"))
    answers = {}
    for rule in app.url_map.iter_rules():
        if rule.rule in WITHOUT_A_ROLE:
            continue
        path = re.sub(r"<(?:[^:>]+:)?(\w+)>", lambda name: PARAMETERS.get(name[1], "1"), rule.rule)
        for method in rule.methods - {"GET", "HEAD", "OPTIONS"}:
            header = {"Authorization": f"Bearer {keys['viewer']}"}
            if path.startswith("/v1/"):
                answer = client.open(path, method=method, headers=header, json={})
            else:
                answer = viewer.open(path, method=method, headers=header, data={"token": token})
            answers[method, rule.rule] = answer.status_code
    answered = {path for (_, path), found in answers.items() if found != 403}
    assert answered == NO_CHANGE
    assert {("POST", "/v1/sends"), ("PUT", "/v1/opt-ins/<path:contact>")} <= answers.keys()


def test_what_a_viewer_is_refused_names_the_role_that_is_needed(api):
    answer = api.post("/v1/sends", json={"sends": []}, role="viewer")
    assert answer.status_code == 403
    assert answer.json["error"]["details"] == {"role": "viewer", "needed": "sender"}


ALLOWED = [
    ("sender", "POST", "/v1/check", 400),
    ("sender", "GET", "/v1/check/12025550117", 200),
    ("sender", "GET", "/v1/changes", 200),
    ("sender", "GET", "/v1/codes/131026", 200),
    ("sender", "GET", "/v1/messages/x", 404),
    ("sender", "GET", "/v1/suppressions", 403),
    ("sender", "GET", "/v1/rates", 403),
    ("viewer", "GET", "/v1/suppressions", 200),
    ("viewer", "GET", "/v1/quarantine", 200),
    ("viewer", "POST", "/v1/check", 400),
    ("viewer", "PUT", "/v1/suppressions/12025550117", 403),
    ("viewer", "DELETE", "/v1/suppressions/12025550117", 403),
    ("viewer", "POST", "/v1/alerts/1/acknowledge", 403),
    ("viewer", "POST", "/v1/sends", 403),
    ("viewer", "POST", "/v1/retries/claim", 403),
    ("admin", "DELETE", "/v1/suppressions/12025550117", 200),
]


def test_senders_check_viewers_read_and_admins_do_everything(api):
    answered = [(role, method, path, api.ask(method, path, role=role)) for role, method, path, _ in ALLOWED]
    assert [(role, method, path, r.status_code) for role, method, path, r in answered] == ALLOWED
    for role, *_, response in answered:
        if response.status_code == 403:
            assert response.json["error"]["details"]["role"] == role


def test_a_revoked_key_is_remembered_for_at_most_ten_seconds(engine, now):
    keyring = Keyring(engine)
    with engine.begin() as connection:
        made = api_keys.create(connection, "shop", "sender", now)
    assert keyring.find(made.secret, now).name == "shop"
    with engine.begin() as connection:
        assert api_keys.revoke(connection, made.key.id, now)
    assert keyring.find(made.secret, now + timedelta(seconds=9.9)) is not None
    assert keyring.find(made.secret, now + timedelta(seconds=10)) is None


def test_the_time_of_use_is_written_at_most_once_a_minute(engine, now):
    with engine.begin() as connection:
        secret = api_keys.create(connection, "shop", "sender", now).secret
    seen = []
    for seconds in (0, 30, 59, 60, 90, 121):
        Keyring(engine).find(secret, now + timedelta(seconds=seconds))
        with engine.connect() as connection:
            seen.append((api_keys.find(connection, secret).used_at - now).total_seconds())
    assert seen == [0, 0, 0, 60, 60, 121]


def test_only_a_hash_of_the_key_is_stored(engine, keys):
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT api_keys::text FROM api_keys")).scalars().all()
    assert len(rows) == len(keys)
    for row in rows:
        assert not any(secret[10:] in row for secret in keys.values())


def test_keys_are_long_random_and_can_be_told_apart(engine, now):
    with engine.begin() as connection:
        made = [api_keys.create(connection, f"key {n}", "viewer", now) for n in range(3)]
        listed = api_keys.list_keys(connection)
    assert listed == [new.key for new in made]
    assert len({new.secret for new in made}) == 3
    assert all(api_keys.is_plausible(new.secret) and new.secret.startswith(new.key.prefix) for new in made)


def test_a_key_can_be_revoked_once(engine, now):
    with engine.begin() as connection:
        key = api_keys.create(connection, "shop", "sender", now).key
        assert api_keys.revoke(connection, key.id, now)
        assert not api_keys.revoke(connection, key.id, now)
        assert not api_keys.revoke(connection, key.id + 1, now)


def test_only_two_light_hooks_run_around_the_webhook(app: Flask):
    """Every delivery pays for them: request ids only look at its path, the headers are written once."""
    running = {
        hook.__module__.rpartition(".")[2]
        for hooks in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
        for name in (None, "receive")
        for hook in hooks.get(name, ())
    }
    assert running == {"requests", "security_headers"}
    assert not app.teardown_appcontext_funcs
