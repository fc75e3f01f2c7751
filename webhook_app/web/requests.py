"""Gives each request an id, for the answer and the log lines, and counts it in the metrics.

Except /webhook: one commit serves many deliveries, and ingest counts them itself.
"""

import re
from functools import lru_cache
from secrets import token_hex
from time import perf_counter

from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from webhook_app.event_loop import PROBE_TURNS, REQUEST_TURNS
from webhook_app.logs import REQUEST_ID

HEADER = "X-Request-Id"
_USABLE = re.compile(r"[A-Za-z0-9_-]{16,64}")
"""UUIDs and trace ids. Phone numbers are shorter and message ids hold a dot, so neither gets into the log."""

REQUESTS = Counter(
    "webhook_app_http_requests",
    "Requests answered, without /webhook; none: no such path",
    ["endpoint", "status"],
)
SECONDS = Histogram(
    "webhook_app_http_request_seconds",
    "Time to answer, without /webhook; for streams, until their first part",
    ["endpoint"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.3, 0.5, 1, 2.5, 10),
)
_ALIVE = "health.alive"
_requests = lru_cache(1000)(REQUESTS.labels)  # looking a series up costs as much as counting
_seconds = lru_cache(1000)(SECONDS.labels)


def begin(given: str) -> str:
    """Set the current request's id: the one in its header if usable, else a new one."""
    request_id = given if _USABLE.fullmatch(given) else token_hex(16)
    REQUEST_ID.set(request_id)
    return request_id


def end(endpoint: str, status: str, began: float) -> None:
    """Count an answered request; `began` is its start by `perf_counter`."""
    _requests(endpoint, status).inc()
    _seconds(endpoint).observe(perf_counter() - began)


def follow_requests(app: Flask) -> None:
    """Give each request its id first, and count it last."""

    @app.before_request
    def at_first() -> None:
        if _is_delivery():
            REQUEST_ID.set("")  # clear that of the connection's previous request
        else:
            g.request_id = begin(request.headers.get(HEADER, ""))
            g.began = perf_counter()
        (PROBE_TURNS if request.endpoint == _ALIVE else REQUEST_TURNS).wait()

    @app.after_request
    def at_last(response: Response) -> Response:
        request.routing_exception = None  # its traceback refers to the request: free both at once
        if _is_delivery():
            return response
        end(request.endpoint or "none", str(response.status_code), g.began)
        response.headers[HEADER] = g.request_id
        return response


def _is_delivery() -> bool:
    return request.path == "/webhook"
