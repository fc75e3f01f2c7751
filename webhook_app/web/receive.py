"""Meta's webhook: the verification GET and the signed POST. Answers 200 only after the commit.

To Meta an answer is a protocol: 200 stored (or a retry cannot help), 401 bad signature, 403 wrong place, 413 too
large, 400 cut short, 503 send again.
"""

import hmac
from collections.abc import Sequence

import structlog
from flask import Blueprint, Response, request
from prometheus_client import Counter
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from webhook_app.logs import Sparingly
from webhook_app.pipeline.ingest import AWAY, FAILED, QUEUE_FULL, GroupCommit, NotStoredError
from webhook_app.web.origin import Origin
from webhook_app.whatsapp.signature import SignatureFault, verify

log = structlog.get_logger()

MAX_BODY_BYTES = 3 * 2**20  # Meta's own limit, webhook overview of September 2026

REFUSED = Counter(
    "webhook_app_deliveries_refused", "Deliveries refused, by what was wrong with them", ["kind"]
)
PUT_OFF = Counter("webhook_app_deliveries_put_off", "Deliveries answered 503, to be sent again", ["reason"])
for _kind in (*SignatureFault, "too large", "cut short"):
    REFUSED.labels(str(_kind))  # a series that begins at its first event hides that event from rate()
for _reason in (QUEUE_FULL, AWAY, FAILED):
    PUT_OFF.labels(_reason)


def receive_blueprint(
    ingest: GroupCommit, app_secrets: Sequence[bytes], verify_token: str, origin: Origin
) -> Blueprint:
    """The two routes of /webhook."""
    blueprint = Blueprint("receive", __name__)
    token = verify_token.encode()
    reject = _Rejections(ingest)
    open_to_all = origin.is_open

    @blueprint.get("/webhook")
    def confirm() -> Response:
        """Echo the challenge byte for byte to whoever knows the verify token."""
        given = request.args.get("hub.verify_token", "").encode()
        challenge = request.args.get("hub.challenge")
        known = hmac.compare_digest(given, token) and request.args.get("hub.mode") == "subscribe"
        if not known or challenge is None:
            return _plain("the verify token or the mode is wrong\n", 403)
        return Response(challenge, content_type="text/plain; charset=utf-8")

    @blueprint.post("/webhook")
    def take() -> Response:
        """Verify, store, answer."""
        if not open_to_all and (fault := origin.fault(request.environ)):
            return reject(fault, 403)
        try:
            body = _read_body()
        except RequestEntityTooLarge:
            return reject.uncounted("too large", 413)
        except (ClientDisconnected, OSError):
            return reject.uncounted("cut short", 400)
        wrong = verify(body, request.environ.get("HTTP_X_HUB_SIGNATURE_256"), app_secrets)
        if wrong is not None:
            return reject(f"signature {wrong.value}", 401)
        try:
            ingest.submit(body)
        except NotStoredError as not_stored:
            PUT_OFF.labels(str(not_stored)).inc()
            response = _plain(f"{not_stored}\n", 503)
            response.headers["Retry-After"] = str(not_stored.retry_after)
            return response
        # No body: header and body would leave in two packets. A named type saves looking for one.
        return Response(status=200, mimetype="text/plain")

    return blueprint


def _read_body() -> bytes:
    """The raw bytes, straight from the server, which saves a layer on the hot path.

    Raises RequestEntityTooLarge as soon as that is known: by what is announced, or, of a chunked body, when one byte
    more than allowed has come. Raises OSError or ClientDisconnected when it ends before its end.
    """
    environ = request.environ
    stream = environ["wsgi.input"]
    if "HTTP_TRANSFER_ENCODING" in environ:
        body: bytes = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        return body
    announced = environ.get("CONTENT_LENGTH") or "0"
    length = int(announced) if announced.isdecimal() and len(announced) < 19 else MAX_BODY_BYTES + 1
    if length > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    body = stream.read(length)
    if len(body) < length:
        raise ClientDisconnected
    return body


class _Rejections:
    """Refuses deliveries: counted by kind, logged now and then, told in three words."""

    def __init__(self, ingest: GroupCommit) -> None:
        self._ingest = ingest
        self._log = Sparingly(log.warning, "deliveries refused")

    def __call__(self, kind: str, status: int) -> Response:
        """Refuse what may be an attack, or our own misconfiguration: the books of rejections count it."""
        self._ingest.reject(kind.removeprefix("signature "))
        return self.uncounted(kind, status)

    def uncounted(self, kind: str, status: int) -> Response:
        """Refuse what never came whole."""
        REFUSED.labels(kind.removeprefix("signature ")).inc()
        self._log(kind)
        return _plain(f"{kind}\n", status)


def _plain(text: str, status: int) -> Response:
    return Response(text, status=status, content_type="text/plain; charset=utf-8")
