"""Pages over HTTP: checks session, role and form token, writes the audit entry, runs the view in a transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import structlog
from flask import Blueprint, Response, make_response, redirect, request
from werkzeug.exceptions import Forbidden, NotFound

from webhook_app.logs import RateLimitedLog
from webhook_app.store.operations import audit
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.web import auditing
from webhook_app.web.errors import error_response
from webhook_app.web.pages.operations.sessions import Session
from webhook_app.web.pages.page import (
    MAX_FORM_BYTES,
    PUBLIC_FORM_BYTES,
    PUBLIC_FORM_FIELDS,
    SCRIPT_PATHS,
    STALE_FORM,
    Page,
    PageContext,
    PageRequest,
    PublicRequest,
)
from webhook_app.web.throttle import AttemptCounts

MAX_REFUSALS = 30
"""How many refused forms of a key one process records in a minute."""

_LARGEST_ID = 2**63 - 1

log = structlog.get_logger()


class _Refusals(AttemptCounts):
    """The refused forms of each key, and the log of those that are not recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.log = RateLimitedLog(log.warning, "refused forms not recorded")


def add_page(blueprint: Blueprint, page: Page, context: PageContext) -> None:
    """Serve the page."""
    serve = _public if page.is_public else _read if page.method == "GET" else _change

    def handler(**path: Any) -> Response:
        for name, value in path.items():
            if name.endswith("_id") and isinstance(value, int) and value > _LARGEST_ID:
                raise NotFound(f"There is no {name.removesuffix('_id')} {value}.")
        return serve(page, context, **path)

    blueprint.add_url_rule(page.path, page.view.__name__, handler, methods=[page.method])


def _public(page: Page, context: PageContext, **path: Any) -> Response:
    request.max_content_length, request.max_form_parts = PUBLIC_FORM_BYTES, PUBLIC_FORM_FIELDS
    answer = page.view(PublicRequest(request, context.api.clock(), context), **path)
    return answer if isinstance(answer, Response) else answer()


def _read(page: Page, context: PageContext, **path: Any) -> Response:
    now = context.api.clock()
    with context.api.engine.begin() as connection:
        session = context.sessions.read(request, connection, now)
        if session is None:
            return _sign_in_first()
        answer = page.view(PageRequest(request, now, context, connection, session), **path)
    return answer if isinstance(answer, Response) else answer()


def _change(page: Page, context: PageContext, **path: Any) -> Response:
    """Run the view of a form. The audit entry is committed before it runs, and completed with it."""
    now, engine = context.api.clock(), context.api.engine
    with engine.begin() as connection:
        session = context.sessions.read(request, connection, now)
    if session is None:
        return _sign_in_first()
    request.max_content_length = page.max_form_bytes if session.is_admin else MAX_FORM_BYTES
    _ = request.form  # read whole before anything else: a slow upload holds no connection
    if fault := _fault(session):
        _record_refusal(context, session.key, page.view.__name__, path, now)
        raise Forbidden(fault)
    about = {"contact": request.form.get("contact", ""), **path}
    with engine.begin() as connection:
        entry = auditing.record(connection, session.key, "page", page.view.__name__, about, now)
    with engine.begin() as connection:
        answer = page.view(PageRequest(request, now, context, connection, session), **path)
        if isinstance(answer, Response):
            audit.finish(connection, entry, auditing.DONE)
            return answer
    response = answer()
    with engine.begin() as connection:
        audit.finish(connection, entry, auditing.DONE)
    return response


def _fault(session: Session) -> str:
    """Why the form is refused; empty when it is not."""
    if not session.is_own_form(request.form.get("token", "")):
        return STALE_FORM
    return (
        ""
        if session.is_admin
        else f"This needs an admin key; {session.key.name} has the role {session.key.role}."
    )


def _record_refusal(
    context: PageContext, key: ApiKey, action: str, path: Mapping[str, Any], now: datetime
) -> None:
    """Record it without a contact: a viewer may type any. Beyond the limit it is only counted in the log."""
    refusals = context.cache(_Refusals)
    if refusals.add(key.name.encode(), now).count > MAX_REFUSALS:
        refusals.log(key.name)
        return
    about = {name: value for name, value in path.items() if name != "contact"}
    with context.api.engine.begin() as connection:
        auditing.record(connection, key, "page", action, about, now, auditing.REFUSED)


def _sign_in_first() -> Response:
    if request.path.startswith(SCRIPT_PATHS):
        return error_response(401, "unauthorized", "Sign in first.")
    if request.method == "POST":
        raise Forbidden("You are signed out. Sign in and try again.")
    wanted = request.full_path if request.query_string else request.path
    return make_response(redirect(f"/login?next={quote(wanted, safe='')}", code=303))
