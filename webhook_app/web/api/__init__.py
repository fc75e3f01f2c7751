"""The API under /v1: a table of its endpoints, made of one file per area. Decisions and SQL live below."""

from flask import Blueprint

from webhook_app.web import auth, security_headers
from webhook_app.web.api import alerts, books, changes, check, codes, messages, rates, suppressions
from webhook_app.web.endpoints import Room, add_route

AREAS = (check, suppressions, changes, rates, messages, alerts, codes, books)
ENDPOINTS = tuple(endpoint for area in AREAS for endpoint in area.ENDPOINTS)


def api_blueprint(room: Room) -> Blueprint:
    """Every endpoint of the table."""
    blueprint = Blueprint("api", __name__)
    for endpoint in ENDPOINTS:
        add_route(blueprint, endpoint, room)
    security_headers.secure_api(blueprint)
    blueprint.after_request(auth.challenge)
    return blueprint
