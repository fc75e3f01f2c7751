"""Pages over HTTP: checks session, role and form token, writes the audit entry, runs the view in a transaction."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, make_response, redirect, request
from werkzeug.exceptions import Forbidden

from webhook_app.store.operations import audit
from webhook_app.web import auditing
from webhook_app.web.errors import error_response
from webhook_app.web.pages.page import (
    MAX_FORM_BYTES,
    SCRIPT_PATHS,
    STALE_FORM,
    Page,
    PageContext,
    PageRequest,
    PublicRequest,
)


def add_page(blueprint: Blueprint, page: Page, context: PageContext) -> None:
    """Serve the page."""
    serve = _public if page.is_public else _read if page.method == "GET" else _change
    handler = partial(serve, page, context)
    blueprint.add_url_rule(page.path, page.view.__name__, handler, methods=[page.method])


def _public(page: Page, context: PageContext, **path: Any) -> Response:
    request.max_content_length = page.max_form_bytes
    return page.view(PublicRequest(request, context.api.clock(), context), **path)


def _read(page: Page, context: PageContext, **path: Any) -> Response:
    now = context.api.clock()
    with context.api.engine.begin() as connection:
        session = context.sessions.read(request, connection, now)
        if session is None:
            return _sign_in_first()
        return page.view(PageRequest(request, now, context, connection, session), **path)


def _change(page: Page, context: PageContext, **path: Any) -> Response:
    """Run the view of a form. The audit entry is committed before it runs, and completed with it."""
    now, engine = context.api.clock(), context.api.engine
    with engine.begin() as connection:
        session = context.sessions.read(request, connection, now)
    if session is None:
        return _sign_in_first()
    request.max_content_length = page.max_form_bytes if session.is_admin else MAX_FORM_BYTES
    _ = request.form  # read whole before anything else: a slow upload holds no connection
    with engine.begin() as connection:
        form = PageRequest(request, now, context, connection, session)
        entry, fault = _record(form, page.view.__name__, path)
    if fault:
        raise Forbidden(fault)
    with engine.begin() as connection:
        response = page.view(PageRequest(request, now, context, connection, session), **path)
        audit.finish(connection, entry, auditing.DONE)
        return response


def _record(form: PageRequest, action: str, path: Mapping[str, Any]) -> tuple[int, str]:
    """The id of the new audit entry, and why the form is refused; empty when it is not."""
    session, fault = form.session, ""
    if not session.is_own_form(form.form.get("token", "")):
        fault = STALE_FORM
    elif not session.is_admin:
        fault = f"This needs an admin key; {session.key.name} has the role {session.key.role}."
    about = {"contact": form.form.get("contact", ""), **path}
    outcome = auditing.REFUSED if fault else ""
    return auditing.record(form.connection, session.key, "page", action, about, form.now, outcome), fault


def _sign_in_first() -> Response:
    if request.path.startswith(SCRIPT_PATHS):
        return error_response(401, "unauthorized", "Sign in first.")
    if request.method == "POST":
        raise Forbidden("You are signed out. Sign in and try again.")
    wanted = request.full_path if request.query_string else request.path
    return make_response(redirect(f"/login?next={quote(wanted, safe='')}", code=303))
