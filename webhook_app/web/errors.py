"""Errors as HTTP: one JSON form for the caller's errors and for ours. No logic."""

from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from webhook_app.store.postgres.errors import UNAVAILABLE, driver_fault

log = structlog.get_logger()


class ApiError(Exception):
    """An error of the caller, or a temporary one: HTTP status, a code for programs and a message for people."""

    def __init__(
        self, status: int, code: str, message: str, details: Any = None, *, retry_seconds: int = 0
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details
        self.retry_seconds = retry_seconds


def error_response(status: int, code: str, message: str, details: Any = None) -> Response:
    response = jsonify({"error": {"code": code, "message": message, "details": details}})
    response.status_code = status
    return response


def install(app: Flask) -> None:
    """Answer every error in the documented form."""

    @app.errorhandler(ApiError)
    def _api(error: ApiError) -> Response:
        response = error_response(error.status, error.code, error.message, error.details)
        if error.retry_seconds:
            response.headers["Retry-After"] = str(error.retry_seconds)
        return response

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        status = error.code or 500
        code = HTTPStatus(status).phrase.lower().replace(" ", "_")
        response = error_response(status, code, error.description or "")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or []))
        return response

    def _database(error: Exception) -> Response:
        log.error("the database is unavailable", fault=type(driver_fault(error)).__name__)
        response = error_response(503, "database_away", "The database is unavailable; try again.")
        response.headers["Retry-After"] = "5"
        return response

    for fault in UNAVAILABLE:
        app.register_error_handler(fault, _database)

    @app.errorhandler(Exception)
    def _ours(error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return error_response(500, "internal", "Internal error; it has been logged.")
