"""Meta's webhook: the verification GET and the signed POST. Answers 200 only after the commit.

Statuses: 200 stored (or a retry cannot help), 401 bad signature, 403 refused origin, 413 too large, 400 incomplete,
503 send again. A POST is handled before Flask creates a request, which would take a third more processor time; only a
delivery that was not stored goes on to the route, which answers with the reason.
"""

import hmac
from collections.abc import Iterable, Sequence
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from flask import Blueprint, Flask, Response, request
from prometheus_client import Counter
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from webhook_app.logs import RateLimitedLog
from webhook_app.pipeline.receiving.ingest import AWAY, FAILED, QUEUE_FULL, GroupCommit, NotStoredError
from webhook_app.web.receiving.origin import Origin
from webhook_app.web.security_headers import bare_headers
from webhook_app.whatsapp.receiving.signature import SignatureFault, header_fault, verify

log = structlog.get_logger()

MAX_BODY_BYTES = 3 * 2**20  # Meta's own limit, webhook overview of September 2026

REFUSED = Counter(
    "webhook_app_deliveries_refused", "Deliveries refused, by what was wrong with them", ["kind"]
)
PUT_OFF = Counter("webhook_app_deliveries_put_off", "Deliveries answered 503, to be sent again", ["reason"])
for _kind in (*SignatureFault, "too large", "cut short"):
    REFUSED.labels(str(_kind))  # rate() would miss the first event of a series that starts with it
for _reason in (QUEUE_FULL, AWAY, FAILED):
    PUT_OFF.labels(_reason)


PATH = "/webhook"
_FAULT = "webhook_app.fault"


class Refusal(Exception):  # noqa: N818  the sender's error
    """A refused delivery; `kind` says why. `counted`: store the count, because it may be an attack."""

    def __init__(self, kind: str, status: int, *, counted: bool) -> None:
        super().__init__(kind)
        self.kind, self.status, self.counted = kind, status, counted


class DeliveryReceiver:
    """Verifies deliveries and submits them to ingest."""

    def __init__(self, ingest: GroupCommit, app_secrets: Sequence[bytes], origin: Origin) -> None:
        self._ingest = ingest
        self._secrets = app_secrets
        self._origin = None if origin.is_open else origin

    def receive(self, environ: WSGIEnvironment) -> None:
        """Return once the delivery is committed. Raises Refusal, or NotStoredError when Meta should send it again."""
        if self._origin is not None and (fault := self._origin.fault(environ)):
            raise Refusal(fault, 403, counted=True)
        signature = environ.get("HTTP_X_HUB_SIGNATURE_256")
        try:
            announced = _announced_length(environ)
            wrong = header_fault(signature)  # no memory for the body of a client that has not signed it
            if wrong is None:
                body = _read_body(environ, announced)
                wrong = verify(body, signature, self._secrets)
        except RequestEntityTooLarge:
            raise Refusal("too large", 413, counted=False) from None
        except (ClientDisconnected, OSError):
            raise Refusal("cut short", 400, counted=False) from None
        if wrong is not None:
            raise Refusal(f"signature {wrong.value}", 401, counted=True)
        self._ingest.submit(body)


def receive_before_flask(app: Flask, receiver: DeliveryReceiver, public_url: str) -> None:
    """Wrap the application so that deliveries are stored before Flask; it gets the others, with the reason.

    Slashes around /webhook are removed here, so that every method and every log line sees one path.
    """
    # No body: it would be sent as a separate packet.
    headers = [("Content-Length", "0"), *bare_headers(public_url)]
    rest: WSGIApplication = app.wsgi_app

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Without a path, as in `GET http://host`, Flask would redirect to the host that the client wrote.
        path = environ["PATH_INFO"] = environ["PATH_INFO"] or "/"
        if path != PATH and path.strip("/") == "webhook":  # a proxy or a person added slashes
            path = environ["PATH_INFO"] = PATH
        if path == PATH and environ["REQUEST_METHOD"] == "POST":
            try:
                receiver.receive(environ)
            except Exception as fault:  # noqa: BLE001  the route answers, and logs our own errors
                environ[_FAULT] = fault
            else:
                start_response("200 OK", headers)
                return ()
        try:
            return rest(environ, start_response)
        finally:  # whichever route answered: the fault's traceback would keep the body alive
            environ.pop(_FAULT, None)

    app.wsgi_app = serve  # type: ignore[method-assign]


def receive_blueprint(ingest: GroupCommit, verify_token: str) -> Blueprint:
    """The two routes of /webhook."""
    blueprint = Blueprint("receive", __name__)
    token = verify_token.encode()
    reject = _Rejections(ingest)

    @blueprint.get(PATH)
    def confirm() -> Response:
        """Echo the challenge byte for byte to a caller that knows the verify token."""
        given = request.args.get("hub.verify_token", "").encode()
        challenge = request.args.get("hub.challenge")
        known = hmac.compare_digest(given, token) and request.args.get("hub.mode") == "subscribe"
        if not known or challenge is None:
            return _plain("the verify token or the mode is wrong\n", 403)
        return Response(challenge, content_type="text/plain; charset=utf-8")

    @blueprint.post(PATH)
    def explain() -> Response:
        """Answer with the reason why the delivery was not stored."""
        try:
            raise request.environ.pop(_FAULT)  # else its traceback keeps the environment and the body alive
        except Refusal as refusal:
            return reject(refusal)
        except NotStoredError as not_stored:
            PUT_OFF.labels(str(not_stored)).inc()
            response = _plain(f"{not_stored}\n", 503)
            response.headers["Retry-After"] = str(not_stored.retry_after)
            return response

    return blueprint


def _announced_length(environ: WSGIEnvironment) -> int | None:
    """The length in the head, None for a chunked body. Raises RequestEntityTooLarge above the limit."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return None
    announced = environ.get("CONTENT_LENGTH") or "0"
    length = int(announced) if announced.isdecimal() and len(announced) < 19 else MAX_BODY_BYTES + 1
    if length > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    return length


def _read_body(environ: WSGIEnvironment, length: int | None) -> bytes:
    """The raw bytes of the body.

    Raises RequestEntityTooLarge one byte after the limit of a chunked body, OSError or ClientDisconnected when the
    body is incomplete.
    """
    body: bytes = environ["wsgi.input"].read(MAX_BODY_BYTES + 1 if length is None else length)
    if length is None and len(body) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    if length is not None and len(body) < length:
        raise ClientDisconnected
    return body


class _Rejections:
    """Answers refused deliveries; counts them by kind and logs them at a limited rate."""

    def __init__(self, ingest: GroupCommit) -> None:
        self._ingest = ingest
        self._log = RateLimitedLog(log.warning, "deliveries refused")

    def __call__(self, refusal: Refusal) -> Response:
        """Answer a refusal. What may be an attack or a wrong setting of ours is also counted in the database."""
        kind = refusal.kind.removeprefix("signature ")
        if refusal.counted:
            self._ingest.reject(kind)
        REFUSED.labels(kind).inc()
        self._log(refusal.kind)
        return _plain(f"{refusal.kind}\n", refusal.status)


def _plain(text: str, status: int) -> Response:
    return Response(text, status=status, content_type="text/plain; charset=utf-8")
