"""What every page goes through: who is signed in, may they, is the form ours; then one transaction, and headers."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import structlog
from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request
from msgspec import Struct, to_builtins
from werkzeug.exceptions import Forbidden, HTTPException

from webhook_app.rules.incidents.alerts import Rule
from webhook_app.store.operations import audit
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.errors import EngineUnavailable
from webhook_app.web import auditing
from webhook_app.web.api.endpoints import ApiContext, Call
from webhook_app.web.errors import ApiError, error_response
from webhook_app.web.pages.charts import Chart
from webhook_app.web.pages.operations.sessions import PageMessage, Session, Sessions

log = structlog.get_logger()

MAX_FORM_BYTES = 64 * 1024
_DATA = "/dashboard/"

_HEADERS = {
    # No 'unsafe-inline' for plotly.js: dashboard.css stands in for the <style> elements it would add. The one it tries
    # to add all the same, for maps that we do not draw, is refused, which the browser's console mentions.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class PageContext(Struct, frozen=True):
    """What the pages work with, made once."""

    room: ApiContext
    sessions: Sessions
    rules: Mapping[str, Rule]


class PageRequest(Struct, frozen=True):
    """One request of somebody signed in; the transaction ends with the view."""

    connection: Connection
    now: datetime
    session: Session
    token: str
    """What our forms carry."""
    sessions: Sessions


View = Callable[..., Response]


def add_page(
    blueprint: Blueprint,
    desk: PageContext,
    path: str,
    view: View,
    *,
    method: str = "GET",
    form_bytes: int = MAX_FORM_BYTES,
) -> None:
    """Serve the view to whoever may see it.

    What changes something (POST) is for admins, out of our own forms of at most `form_bytes`, and written down before
    it is done.
    """
    engine, sessions = desk.room.engine, desk.sessions

    def visit(connection: Connection, session: Session, now: datetime) -> PageRequest:
        return PageRequest(connection, now, session, sessions.form_token(session.nonce), sessions)

    def show(**parts: Any) -> Response:
        now = desk.room.clock()
        with engine.begin() as connection:
            session = sessions.read(request, connection, now)
            return view(visit(connection, session, now), **parts) if session else _sign_in_first()

    def act(**parts: Any) -> Response:
        now = desk.room.clock()
        with engine.begin() as connection:
            session = sessions.read(request, connection, now)
        if session is None:
            return _sign_in_first()
        request.max_content_length = form_bytes if session.is_admin else MAX_FORM_BYTES
        _ = request.form  # taken whole before anything else: a slow upload holds no connection
        with engine.begin() as connection:
            entry, fault = _write_down(connection, sessions, session, view.__name__, parts, now)
        if fault:
            raise Forbidden(fault)
        with engine.begin() as connection:
            response = view(visit(connection, session, now), **parts)
            audit.finish(connection, entry, auditing.DONE)
            return response

    blueprint.add_url_rule(path, view.__name__, act if method == "POST" else show, methods=[method])


def render(visit: PageRequest, template: str, **values: Any) -> Response:
    """The template for whoever is signed in, with what the last action had to say."""
    said = visit.sessions.said(request, visit.session)
    response = make_response(render_template(template, visit=visit, now=visit.now, said=said, **values))
    if said is not None:
        visit.sessions.forget_said(request, response)
    return response


def said(visit: PageRequest, path: str, words: str, *, is_good: bool = True) -> Response:
    """Where every POST ends: the page at `path`, which says in one line what was done, or why it was not."""
    response = make_response(redirect(path, code=303))
    visit.sessions.say(request, response, visit.session, PageMessage(words, is_good))
    return response


def call_of(visit: PageRequest, desk: PageContext) -> Call:
    """The visit as a call of the API, for pages that show or do what the API does."""
    room = desk.room
    return Call(lambda: visit.connection, visit.now, visit.session.key, room.settings, room.checks)


def live_answer(
    visit: PageRequest, headline: str, parts: dict[str, str], chart: Chart | None, *, shape: str
) -> Response:
    """The JSON that static/dashboard.js reads. When `shape` is another than the page's, the page is loaded anew."""
    return jsonify(
        at=visit.now.isoformat(), headline=headline, shape=shape, parts=parts, chart=to_builtins(chart)
    )


def _write_down(
    connection: Connection,
    sessions: Sessions,
    session: Session,
    action: str,
    parts: Mapping[str, Any],
    now: datetime,
) -> tuple[int, str]:
    """The audit's entry of what this form asks for, and why it is refused, if it is."""
    fault = ""
    if not sessions.is_our_form(session.nonce, request.form.get("token", "")):
        fault = "This form is out of date. Go back, reload the page and try again."
    elif not session.is_admin:
        fault = f"This needs an admin key; {session.key.name} has the role {session.key.role}."
    about = {"contact": request.form.get("contact", ""), **parts}
    outcome = auditing.REFUSED if fault else ""
    return auditing.write(connection, session.key, "page", action, about, now, outcome), fault


def _sign_in_first() -> Response:
    if request.path.startswith(_DATA):
        return error_response(401, "unauthorized", "Sign in first.")
    if request.method == "POST":
        raise Forbidden("You are not signed in any more. Sign in and try again.")
    wanted = request.full_path if request.query_string else request.path
    return make_response(redirect(f"/login?next={quote(wanted, safe='')}", code=303))


def secure(blueprint: Blueprint) -> None:
    """Headers on every answer; errors as pages, or as JSON where a script asked."""

    @blueprint.after_request
    def attach(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @blueprint.errorhandler(ApiError)
    def refused(error: ApiError) -> Response:
        return _error(error.status, error.message)

    @blueprint.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        return _error(error.code or 500, error.description or "")

    @blueprint.errorhandler(EngineUnavailable)
    def away(error: EngineUnavailable) -> Response:
        log.error("the database is away", fault=type(error.orig).__name__)
        return _error(
            503, "The database cannot be reached. Webhooks are refused meanwhile, and Meta sends them again."
        )

    @blueprint.errorhandler(Exception)
    def ours(error: Exception) -> Response:
        log.error("a page failed", exc_info=error)
        return _error(500, "Something went wrong on our side; it has been logged.")


def _error(status: int, message: str) -> Response:
    if request.path.startswith(_DATA):
        response = jsonify({"error": {"code": str(status), "message": message, "details": None}})
    else:
        response = make_response(render_template("error.html", status=status, message=message))
    response.status_code = status
    return response
