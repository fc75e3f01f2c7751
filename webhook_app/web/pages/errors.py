"""Errors of pages: shown as pages, or as JSON where a script asked."""

import structlog
from flask import Blueprint, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from webhook_app.store.postgres.errors import UNAVAILABLE, driver_fault
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.page import SCRIPT_PATHS

log = structlog.get_logger()


def install(blueprint: Blueprint) -> None:
    """Answer the errors of this blueprint's views."""

    @blueprint.errorhandler(ApiError)
    def _api(error: ApiError) -> Response:
        return _answer(error.status, error.message)

    @blueprint.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        return _answer(error.code or 500, error.description or "")

    def _database(error: Exception) -> Response:
        log.error("the database is unavailable", fault=type(driver_fault(error)).__name__)
        message = "The database cannot be reached. Webhooks are refused meanwhile; Meta sends them again."
        return _answer(503, message)

    for fault in UNAVAILABLE:
        blueprint.register_error_handler(fault, _database)

    @blueprint.errorhandler(Exception)
    def _own(error: Exception) -> Response:
        log.error("a page failed", exc_info=error)
        return _answer(500, "Something went wrong on our side; it has been logged.")


def _answer(status: int, message: str) -> Response:
    if request.path.startswith(SCRIPT_PATHS):
        response = jsonify({"error": {"code": str(status), "message": message, "details": None}})
    else:
        response = make_response(render_template("error.html", status=status, message=message))
    response.status_code = status
    return response
