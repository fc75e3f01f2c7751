"""/login and /logout: an API key for a session. Wrong keys are counted; the key itself is never kept or logged."""

import structlog
from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request
from werkzeug.exceptions import Forbidden

from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.web import auditing
from webhook_app.web.auth import is_enough
from webhook_app.web.pages.appearance import our_page
from webhook_app.web.pages.frame import MAX_FORM_BYTES, PageContext
from webhook_app.web.pages.operations.sessions import Session
from webhook_app.web.pages.operations.throttle import Throttle, origin

log = structlog.get_logger()


class _SignIn:
    """The routes that need no session."""

    def __init__(self, desk: PageContext) -> None:
        self._desk = desk
        self._sessions = desk.sessions
        self._clock = desk.room.clock
        self._throttle = Throttle()

    def show(self) -> Response:
        return self._go_on() if self._session() else self._form()

    def take(self) -> Response:
        request.max_content_length = MAX_FORM_BYTES
        if not self._sessions.is_our_form(self._sessions.visit(request), request.form.get("token", "")):
            return self._form(403, "This form was out of date. Please try again.")
        now, address = (
            self._clock(),
            origin(request.remote_addr or "", request.headers.get("X-Forwarded-For", "")),
        )
        if wait := self._throttle.wait(address, now):
            return self._slow_down(int(wait.total_seconds()) + 1)
        key = self._desk.room.keyring.find(request.form.get("key", "").strip(), now)
        if key is None:
            self._throttle.count(address, now)
            log.warning("sign-in refused", address=address)
            return self._form(401, "That key is not known, or it was revoked.")
        if not is_enough(key.role, "viewer"):
            return self._form(403, f"{key.name} is a {key.role} key: pages need a viewer or an admin key.")
        self._note(key, "sign in")
        response = self._go_on()
        self._sessions.begin(request, response, key, now)
        return response

    def leave(self) -> Response:
        request.max_content_length = MAX_FORM_BYTES
        session = self._session()
        if session and not self._sessions.is_our_form(session.nonce, request.form.get("token", "")):
            raise Forbidden("This form is out of date. Go back, reload the page and try again.")
        if session:
            self._note(session.key, "sign out")
        response = make_response(redirect("/login", code=303))
        self._sessions.end(request, response)
        return response

    def tell(self) -> Response:
        """Links on other sites arrive without the cookie, a call from our own sign-in page does not."""
        return jsonify(signed_in=self._session() is not None)

    def _session(self) -> Session | None:
        with self._desk.room.engine.begin() as connection:
            return self._sessions.read(request, connection, self._clock())

    def _note(self, key: ApiKey, action: str) -> None:
        with self._desk.room.engine.begin() as connection:
            auditing.write(connection, key, "page", action, {}, self._clock(), auditing.DONE)

    def _form(self, status: int = 200, message: str = "") -> Response:
        """The page; its form is bound to this browser."""
        nonce = self._sessions.visit(request)
        token = self._sessions.form_token(nonce)
        page = render_template("login.html", token=token, target=_target(), message=message)
        response = make_response(page, status)
        self._sessions.keep_visit(request, response, nonce)
        return response

    def _slow_down(self, seconds: int) -> Response:
        response = self._form(429, f"Too many wrong keys. Try again in {seconds} s.")
        response.headers["Retry-After"] = str(seconds)
        return response

    @staticmethod
    def _go_on() -> Response:
        return make_response(redirect(_target(), code=303))


def add_sign_in(blueprint: Blueprint, desk: PageContext) -> None:
    """The form, what it posts to, the way out, and whether somebody is signed in."""
    pages = _SignIn(desk)
    blueprint.add_url_rule("/login", "login", pages.show, methods=["GET"])
    blueprint.add_url_rule("/login", "sign_in", pages.take, methods=["POST"])
    blueprint.add_url_rule("/logout", "logout", pages.leave, methods=["POST"])
    blueprint.add_url_rule("/dashboard/session", "signed_in", pages.tell, methods=["GET"])


def _target() -> str:
    return our_page(request.values.get("next", ""))
