"""Signing in, and the sessions it makes: who is signed in, for how long, and what ends a session."""

import hashlib
import hmac

import pytest
from itsdangerous import URLSafeSerializer
from sqlalchemy import text

from tests.web.conftest import ADMIN_KEY, SECRET, sign_in, token_of
from tests.web.pages.conftest import PAGES
from webhook_app.store.operations import api_keys, sessions
from webhook_app.web.throttle import KEY_SIGN_INS

COOKIE = "webhook_app_session"


class TestSignIn:
    @pytest.mark.parametrize("path", [*PAGES, "/incidents/1", "/alerts/1"])
    def test_without_a_session_a_page_redirects_to_the_sign_in_form_with_its_address(self, client, path):
        response = client.get(path)
        assert response.status_code == 303
        wanted = path.replace("/", "%2F").replace("?", "%3F").replace("=", "%3D")
        assert response.location == f"/login?next={wanted}"

    @pytest.mark.parametrize("path", ["/dashboard/data", "/dashboard/incidents/1", "/dashboard/alerts/1"])
    def test_a_script_without_a_session_gets_an_error_in_json(self, client, path):
        response = client.get(path)
        assert (response.status_code, response.json["error"]["code"]) == (401, "unauthorized")

    def test_the_operators_key_opens_the_pages_and_is_not_in_the_cookie(self, admin):
        assert admin.get("/").status_code == 200
        assert ADMIN_KEY not in admin.get_cookie("webhook_app_session").value

    def test_a_viewers_key_opens_the_pages(self, viewer):
        assert "viewer (viewer)" in viewer.get("/").text

    @pytest.mark.parametrize(
        ("key", "status", "words"),
        [("wrong", 401, "unknown"), ("", 401, "unknown"), (None, 403, "sender")],
    )
    def test_other_keys_open_nothing(self, client, keys, key, status, words):
        response = sign_in(client, keys["sender"] if key is None else key)
        assert response.status_code == status
        assert words in response.text
        assert client.get("/").status_code == 303

    @pytest.mark.parametrize("is_https", [True, False])
    def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(self, client, is_https):
        base = "https://localhost" if is_https else "http://localhost"
        form = {"token": token_of(client.get("/login", base_url=base)), "key": ADMIN_KEY}
        cookie = client.post("/login", data=form, base_url=base).headers["Set-Cookie"]
        assert cookie.startswith("__Host-webhook_app_session=" if is_https else "webhook_app_session=")
        assert "Path=/;" in cookie + ";"
        assert "Domain" not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert ("Secure" in cookie) is is_https

    def test_over_https_a_cookie_that_another_host_may_have_set_signs_nobody_in(self, app):
        browser, base = app.test_client(), "https://localhost"
        form = {"token": token_of(browser.get("/login", base_url=base)), "key": ADMIN_KEY}
        browser.post("/login", data=form, base_url=base)
        assert browser.get("/", base_url=base).status_code == 200
        token = browser.get_cookie(f"__Host-{COOKIE}").value
        victim = app.test_client()
        victim.set_cookie(COOKIE, token)
        assert victim.get("/", base_url=base).status_code == 303
        assert victim.get("/").status_code == 200

    def test_an_https_public_address_makes_every_cookie_secure_whatever_the_proxy_says(self, make_app):
        client = make_app(public_url="https://hooks.example.com").test_client()
        form = {"token": token_of(client.get("/login", base_url="https://localhost")), "key": ADMIN_KEY}
        name = "__Host-webhook_app_sign_in"
        client.set_cookie(name, client.get_cookie(name).value)
        response = client.post("/login", data=form)
        assert response.status_code == 303
        assert all("Secure" in cookie for cookie in response.headers.getlist("Set-Cookie"))

    @pytest.mark.parametrize("path", ["/alerts//5", "/alerts//", "/alerts/", "/dashboard//data"])
    def test_doubled_slashes_lead_to_no_other_host_or_scheme(self, client, path):
        response = client.get(path, headers={"Host": "evil.example"})
        assert response.status_code == 404
        assert "Location" not in response.headers

    @pytest.mark.parametrize(
        ("wanted", "target"),
        [
            ("/alerts/7", "/alerts/7"),
            ("", "/"),
            ("https://elsewhere.example/", "/"),
            ("//elsewhere.example/", "/"),
            ("/\\elsewhere.example/", "/"),
            ("/\t/elsewhere.example/", "/"),
            ("javascript:alert(1)", "/"),
            ("//[x", "/"),
            ("//a\u2100b", "/"),
        ],
    )
    def test_it_leads_to_pages_of_ours_only(self, client, wanted, target):
        assert sign_in(client, ADMIN_KEY, next=wanted).location == target

    def test_a_form_of_another_browser_is_refused(self, app):
        page = app.test_client().get("/login")
        response = app.test_client().post("/login", data={"token": token_of(page), "key": ADMIN_KEY})
        assert response.status_code == 403

    def test_a_revoked_key_is_out_at_once(self, viewer, engine, now):
        with engine.begin() as connection:
            (key,) = (key for key in api_keys.list_keys(connection) if key.name == "viewer")
            api_keys.revoke(connection, key.id, now)
        assert viewer.get("/").status_code == 303

    def test_sign_ins_with_a_key_are_limited_over_all_workers_and_those_above_it_leave_no_row(
        self, make_app, engine, keys
    ):
        workers = [make_app(), make_app()]
        browsers = [workers[number % 2].test_client() for number in range(KEY_SIGN_INS + 1)]
        *accepted, refused = [sign_in(browser, keys["viewer"]) for browser in browsers]
        assert [response.status_code for response in accepted] == [303] * KEY_SIGN_INS
        assert (refused.status_code, "Too many sign-ins with this key" in refused.text) == (429, True)
        assert 0 < int(refused.headers["Retry-After"]) <= 61
        assert browsers[-1].get("/").status_code == 303
        assert _rows(engine) == (KEY_SIGN_INS, KEY_SIGN_INS)
        assert sign_in(browsers[-1], ADMIN_KEY).status_code == 303

    def test_signing_out_needs_the_form_and_ends_the_session(self, admin):
        page = admin.get("/")
        assert admin.post("/logout").status_code == 403
        assert admin.get("/").status_code == 200
        assert admin.post("/logout", data={"token": token_of(page)}).status_code == 303
        assert admin.get("/").status_code == 303


class TestSessions:
    @pytest.mark.parametrize("admin_key", ["", ADMIN_KEY])
    def test_the_app_secret_is_no_key(self, make_app, engine, keys, admin_key):
        """Everybody who builds the Meta app knows its secret: it must open no page."""
        client = make_app(admin_api_key=admin_key).test_client()
        with engine.connect() as connection:
            ids = [0, *(key.id for key in api_keys.list_keys(connection))]
        for secret in (SECRET, _derived(SECRET, admin_key)):
            signer = URLSafeSerializer(secret, signer_kwargs={"digest_method": hashlib.sha256})
            for key_id in ids:
                client.set_cookie(COOKIE, signer.dumps([key_id, "nonce", 4_000_000_000]))
                assert client.get("/alerts").status_code == 303

    def test_only_a_hash_of_the_token_is_stored(self, admin, engine):
        token = admin.get_cookie(COOKIE).value
        with engine.connect() as connection:
            (row,) = connection.execute(text("SELECT sessions::text FROM sessions")).scalars()
        assert token not in row
        assert token.encode().hex() not in row

    def test_two_browsers_have_different_tokens(self, app):
        browsers = [app.test_client() for _ in range(2)]
        for browser in browsers:
            sign_in(browser, ADMIN_KEY)
        assert len({browser.get_cookie(COOKIE).value for browser in browsers}) == 2

    @pytest.mark.parametrize(
        ("changed", "status"),
        [
            ({}, 200),
            ({"meta_app_secret": (b"a newer app secret",)}, 200),
            ({"admin_api_key": "another admin key"}, 303),
            ({"admin_api_key": ""}, 303),
        ],
    )
    def test_a_session_outlives_a_restart_but_not_its_admin_key(self, admin, make_app, changed, status):
        other = make_app(**changed).test_client()
        other.set_cookie(COOKIE, admin.get_cookie(COOKIE).value)
        assert other.get("/").status_code == status

    def test_signing_out_ends_the_session_and_not_only_the_cookie(self, admin):
        stolen = admin.get_cookie(COOKIE).value
        admin.post("/logout", data={"token": token_of(admin.get("/"))})
        admin.set_cookie(COOKIE, stolen)
        assert admin.get("/").status_code == 303

    def test_signing_in_again_ends_the_earlier_session_of_this_browser(self, app, admin):
        earlier = admin.get_cookie(COOKIE).value
        form = {"token": token_of(_without_session(app, admin).get("/login")), "key": ADMIN_KEY}
        assert admin.post("/login", data=form).status_code == 303
        assert admin.get_cookie(COOKIE).value != earlier
        admin.set_cookie(COOKIE, earlier)
        assert admin.get("/").status_code == 303

    def test_it_ends_after_a_week(self, admin, engine):
        with engine.begin() as connection:
            connection.execute(text("UPDATE sessions SET expires_at = now() + interval '1 minute'"))
        assert admin.get("/").status_code == 200
        with engine.begin() as connection:
            connection.execute(text("UPDATE sessions SET expires_at = now() - interval '1 second'"))
        assert admin.get("/").status_code == 303

    def test_an_admin_signs_out_everybody(self, app, admin, keys):
        other = app.test_client()
        sign_in(other, keys["viewer"])
        page = admin.get("/system")
        assert "Sign out everywhere" in page.text
        assert "2 browsers are signed in" in page.text
        response = admin.post("/system/sessions/end", data={"token": token_of(page)})
        assert (response.status_code, response.location) == (303, "/login")
        assert [browser.get("/").status_code for browser in (admin, other)] == [303, 303]

    def test_a_viewer_cannot_sign_out_other_browsers(self, app, admin, keys):
        viewer = app.test_client()
        sign_in(viewer, keys["viewer"])
        page = viewer.get("/system")
        assert "Sign out everywhere" not in page.text
        assert viewer.post("/system/sessions/end", data={"token": token_of(page)}).status_code == 403
        assert admin.get("/").status_code == 200

    def test_rotating_the_secret_ends_sessions_and_forms(self, app, admin, engine, now):
        stranger = app.test_client()
        form = {"token": token_of(stranger.get("/login")), "key": ADMIN_KEY}
        with engine.begin() as connection:
            assert sessions.rotate(connection, now) == 1
        assert admin.get("/").status_code == 303
        assert stranger.post("/login", data=form).status_code == 403


class TestForms:
    def test_a_token_of_another_session_is_refused(self, app, admin):
        other = app.test_client()
        sign_in(other, ADMIN_KEY)
        token = token_of(other.get("/system"))
        assert admin.post("/system/sessions/end", data={"token": token}).status_code == 403


def _rows(engine):
    """The number of audit entries and of sessions."""
    with engine.connect() as connection:
        counts = "SELECT (SELECT count(*) FROM audit), (SELECT count(*) FROM sessions)"
        return tuple(connection.execute(text(counts)).one())


def _derived(app_secret, admin_key):
    """The key that signed cookies before sessions were rows."""
    admin = hashlib.sha256(admin_key.encode()).digest()
    return hmac.new(app_secret, b"webhook_app dashboard sessions, 1" + admin, hashlib.sha256).digest()


def _without_session(app, browser):
    """A browser with the same sign-in form and no session."""
    other = app.test_client()
    if nonce := browser.get_cookie("webhook_app_sign_in"):
        other.set_cookie("webhook_app_sign_in", nonce.value)
    return other
