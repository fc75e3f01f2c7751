"""/login and /logout: an API key for a session. Wrong keys are counted; the key itself is never stored or logged."""

from datetime import timedelta

import structlog
from flask import Response, jsonify, make_response, redirect, render_template
from werkzeug.exceptions import Forbidden

from webhook_app.store.operations import sessions
from webhook_app.store.operations.api_keys import OPERATOR, ApiKey
from webhook_app.web import auditing
from webhook_app.web.auth import is_enough
from webhook_app.web.pages.appearance import own_path
from webhook_app.web.pages.operations.sessions import (
    Session,
    form_token,
    is_own_form,
    keep_sign_in_nonce,
    sign_in_nonce,
)
from webhook_app.web.pages.page import STALE_FORM, Page, PublicRequest
from webhook_app.web.throttle import (
    KEY_LIMIT,
    KEY_SIGN_INS,
    SIGN_IN_LIMIT,
    SignInThrottle,
    caller_address,
    key_caller,
    right_key_caller,
    sign_in_caller,
)

log = structlog.get_logger()


def login(request: PublicRequest) -> Response:
    """The sign-in form; with a session, a redirect to the wanted page."""
    return _go_on(request) if _session(request) else _form(request)


def sign_in(request: PublicRequest) -> Response:
    """Begin a session for the key of the form.

    Wrong keys are counted by address and by their start. An address over its limit adds no rows for keys that it makes
    up. A right key of the database, which cannot be guessed, is accepted whatever others do with its start.
    """
    now = request.now
    if not is_own_form(_secret(request), sign_in_nonce(request.http), request.form.get("token", "")):
        return _form(request, 403, "This form was out of date. Please try again.")
    engine, secret = request.context.api.engine, request.form.get("key", "").strip()
    environ, proxies = request.http.environ, request.settings.trusted_proxies
    callers = sign_in_caller(environ, proxies), key_caller(secret)
    throttle = request.context.cache(SignInThrottle)
    if wait := throttle.reserve(engine, callers[0], SIGN_IN_LIMIT, now):
        return _slow_down(request, wait)
    wait = throttle.reserve(engine, callers[1], KEY_LIMIT, now)
    key = request.context.api.keyring.find(secret, now)
    if wait and (key is None or key is OPERATOR):
        return _slow_down(request, wait)
    if key is None:
        log.warning("sign-in refused", address=caller_address(environ, proxies))
        return _form(request, 401, "The key is unknown or revoked.")
    throttle.release(engine, callers, now)
    return _begin_session(request, key)


def _begin_session(request: PublicRequest, key: ApiKey) -> Response:
    """Sign the browser in. Limited, because each sign-in adds a session and an entry to the audit log."""
    engine, now = request.context.api.engine, request.now
    if not is_enough(key.role, "viewer"):
        return _form(request, 403, f"{key.name} is a {key.role} key: pages need a viewer or an admin key.")
    throttle = request.context.cache(SignInThrottle)
    if wait := throttle.reserve(engine, right_key_caller(key), KEY_SIGN_INS, now):
        return _slow_down(request, wait, "Too many sign-ins with this key.")
    response = _go_on(request)
    with engine.begin() as connection:
        auditing.record(connection, key, "page", "sign in", {}, now, auditing.DONE)
        request.context.sessions.begin(request.http, response, connection, key, now)
    return response


def logout(request: PublicRequest) -> Response:
    """End the session."""
    response = make_response(redirect("/login", code=303))
    session = _session(request)
    if session is None:
        return response
    if not session.is_own_form(request.form.get("token", "")):
        raise Forbidden(STALE_FORM)
    with request.context.api.engine.begin() as connection:
        auditing.record(connection, session.key, "page", "sign out", {}, request.now, auditing.DONE)
        request.context.sessions.end(request.http, response, connection)
    return response


def signed_in(request: PublicRequest) -> Response:
    """Whether this browser is signed in. A link from another site sends no cookie; our sign-in page's script does."""
    return jsonify(signed_in=_session(request) is not None)


def _session(request: PublicRequest) -> Session | None:
    with request.context.api.engine.begin() as connection:
        return request.context.sessions.read(request.http, connection, request.now)


def _secret(request: PublicRequest) -> bytes:
    with request.context.api.engine.begin() as connection:
        return sessions.secret(connection, request.now)


def _form(request: PublicRequest, status: int = 200, refusal: str = "") -> Response:
    """The form, bound to this browser."""
    nonce = sign_in_nonce(request.http)
    token = form_token(_secret(request), nonce)
    page = render_template("login.html", token=token, target=_target(request), refusal=refusal)
    response = make_response(page, status)
    keep_sign_in_nonce(request.http, response, nonce)
    return response


def _slow_down(request: PublicRequest, wait: timedelta, why: str = "Too many wrong keys.") -> Response:
    seconds = int(wait.total_seconds()) + 1
    response = _form(request, 429, f"{why} Try again in {seconds} s.")
    response.headers["Retry-After"] = str(seconds)
    return response


def _go_on(request: PublicRequest) -> Response:
    return make_response(redirect(_target(request), code=303))


def _target(request: PublicRequest) -> str:
    return own_path(request.http.values.get("next", ""))


PAGES = (
    Page("GET", "/login", login, is_public=True),
    Page("POST", "/login", sign_in, is_public=True),
    Page("POST", "/logout", logout, is_public=True),
    Page("GET", "/dashboard/session", signed_in, is_public=True),
)
