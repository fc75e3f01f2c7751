"""The API under /v1: a table of its endpoints, made of one file per area. Decisions and SQL live below."""

from flask import Blueprint

from webhook_app.web import auth, security_headers
from webhook_app.web.api import (
    alerts,
    books,
    changes,
    check,
    codes,
    contacts,
    erasure,
    failure_export,
    failures,
    funnels,
    health,
    messages,
    notifications,
    pause,
    quarantine,
    rates,
    rules,
    sends,
    silences,
    support_bundle,
    suppression_files,
    suppression_work,
    suppressions,
)
from webhook_app.web.endpoints import Room
from webhook_app.web.routes import add_route

AREAS = (
    check,
    sends,
    pause,
    suppressions,
    suppression_work,
    suppression_files,
    changes,
    rates,
    funnels,
    messages,
    contacts,
    alerts,
    silences,
    rules,
    notifications,
    codes,
    failures,
    failure_export,
    support_bundle,
    health,
    books,
    quarantine,
    erasure,
)
ENDPOINTS = tuple(endpoint for area in AREAS for endpoint in area.ENDPOINTS)


def api_blueprint(room: Room) -> Blueprint:
    """Every endpoint of the table."""
    blueprint = Blueprint("api", __name__)
    for endpoint in ENDPOINTS:
        add_route(blueprint, endpoint, room)
    security_headers.secure_api(blueprint)
    blueprint.after_request(auth.challenge)
    return blueprint
