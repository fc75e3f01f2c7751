"""The API under /v1: the table of its endpoints, declared in one file per subject. No decisions, no SQL."""

from flask import Blueprint

from webhook_app.web import auth, security_headers
from webhook_app.web.api.accounts import doctor, health, numbers, templates
from webhook_app.web.api.counts import codes, failure_export, failures, funnels, rates, support_bundle
from webhook_app.web.api.endpoints import ApiContext
from webhook_app.web.api.incidents import alerts, findings, incidents, notifications, pause, rules, silences
from webhook_app.web.api.people import contacts, erasure, messages
from webhook_app.web.api.receiving import books, quarantine
from webhook_app.web.api.routes import add_route
from webhook_app.web.api.sends import preflight, retries, sends
from webhook_app.web.api.suppressions import (
    changes,
    check,
    opt_ins,
    suppression_files,
    suppression_review,
    suppressions,
)

AREAS = (
    check,
    preflight,
    sends,
    retries,
    pause,
    suppressions,
    suppression_review,
    suppression_files,
    opt_ins,
    changes,
    rates,
    funnels,
    messages,
    contacts,
    incidents,
    findings,
    alerts,
    silences,
    rules,
    notifications,
    codes,
    failures,
    failure_export,
    support_bundle,
    health,
    doctor,
    numbers,
    templates,
    books,
    quarantine,
    erasure,
)
ENDPOINTS = tuple(endpoint for area in AREAS for endpoint in area.ENDPOINTS)


def api_blueprint(context: ApiContext) -> Blueprint:
    """Return the blueprint with the route of every endpoint."""
    blueprint = Blueprint("api", __name__)
    for endpoint in ENDPOINTS:
        add_route(blueprint, endpoint, context)
    security_headers.secure_api(blueprint)
    blueprint.after_request(auth.challenge)
    return blueprint
