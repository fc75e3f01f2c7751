"""Meta's webhook: the verification GET and the signed POST. Answers 200 only after the commit.

To Meta an answer is a protocol: 200 stored (or a retry cannot help), 401 bad signature, 413 too large, 503 send again.
"""

import hmac
import time
from collections.abc import Sequence

import structlog
from flask import Blueprint, Response, request
from prometheus_client import Counter
from werkzeug.exceptions import RequestEntityTooLarge

from webhook_app.pipeline.ingest import GroupCommit, NotStoredError
from webhook_app.whatsapp.signature import verify

log = structlog.get_logger()

MAX_BODY_BYTES = 3 * 2**20  # Meta's own limit, webhook overview of September 2026
_LOG_EVERY_S = 10.0

REJECTED = Counter("webhook_app_rejected", "Deliveries refused for their signature", ["kind"])
UNAVAILABLE = Counter("webhook_app_unavailable", "Deliveries answered 503", ["reason"])


def receive_blueprint(ingest: GroupCommit, app_secrets: Sequence[bytes], verify_token: str) -> Blueprint:
    """The two routes of /webhook."""
    blueprint = Blueprint("receive", __name__)
    token = verify_token.encode()
    stored = b"stored\n"
    reject = _Rejections(ingest)

    @blueprint.get("/webhook")
    def confirm() -> Response:
        """Echo the challenge byte for byte to whoever knows the verify token."""
        given = request.args.get("hub.verify_token", "").encode()
        challenge = request.args.get("hub.challenge")
        known = hmac.compare_digest(given, token) and request.args.get("hub.mode") == "subscribe"
        if not known or challenge is None:
            return Response("the verify token or the mode is wrong\n", status=403, content_type="text/plain")
        return Response(challenge, content_type="text/plain; charset=utf-8")

    @blueprint.post("/webhook")
    def take() -> Response:
        """Verify, store, answer."""
        try:
            body = _read_body()
        except RequestEntityTooLarge:
            return Response("more than 3 MB\n", status=413, content_type="text/plain")
        fault = verify(body, request.environ.get("HTTP_X_HUB_SIGNATURE_256"), app_secrets)
        if fault is not None:
            return reject(fault.value)
        try:
            ingest.submit(body)
        except NotStoredError as not_stored:
            UNAVAILABLE.labels(str(not_stored)).inc()
            response = Response(f"{not_stored}\n", status=503, content_type="text/plain")
            response.headers["Retry-After"] = str(not_stored.retry_after)
            return response
        return Response(stored, content_type="text/plain")

    return blueprint


def _read_body() -> bytes:
    """The raw bytes. A chunked body is cut off once it passes the limit, whatever it announced.

    The usual body tells its length; it is read straight from the server, which saves a layer on the hot path.
    """
    environ = request.environ
    length = environ.get("CONTENT_LENGTH", "")
    if length.isdecimal() and int(length) <= MAX_BODY_BYTES and "HTTP_TRANSFER_ENCODING" not in environ:
        body: bytes = environ["wsgi.input"].read(int(length))
        return body
    request.max_content_length = MAX_BODY_BYTES
    return request.get_data(cache=False)


class _Rejections:
    """Counts refused deliveries and logs at most one line per kind in ten seconds."""

    def __init__(self, ingest: GroupCommit) -> None:
        self._ingest = ingest
        self._logged: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def __call__(self, kind: str) -> Response:
        REJECTED.labels(kind).inc()
        self._ingest.reject(kind)
        now = time.monotonic()
        self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
        if now - self._logged.get(kind, -_LOG_EVERY_S) >= _LOG_EVERY_S:
            self._logged[kind] = now
            log.warning("delivery refused", signature=kind, count=self._unlogged.pop(kind))
        return Response(f"signature {kind}\n", status=401, content_type="text/plain")
