"""Who is signed in at a browser: a signed cookie that names a key, and tokens that prove a form is ours.

The cookie holds no secret and no role: each request looks the key up, so a revoked key signs out at once.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from flask import Request, Response
from itsdangerous import BadSignature, URLSafeSerializer
from msgspec import Struct

from webhook_app.store.operations import api_keys
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.auth import Keyring, is_enough

LIFETIME = timedelta(days=7)

_SESSION = "webhook_app_session"
_SIGN_IN = "webhook_app_sign_in"
_MESSAGE = "webhook_app_message"
_MAX_MESSAGE = 1000  # a cookie holds 4 kB
_OPERATOR_ID = 0  # no row of the table has it: the key in ADMIN_API_KEY
_LABEL = b"webhook_app dashboard sessions, 1"


class Session(Struct, frozen=True):
    """A signed-in browser."""

    key: ApiKey
    nonce: str
    form_token: str
    """The hidden field of our forms."""

    @property
    def is_admin(self) -> bool:
        return is_enough(self.key.role, "admin")

    def is_own_form(self, token: str) -> bool:
        """Whether a form with this token was made for this session."""
        return hmac.compare_digest(self.form_token.encode(), token.encode())


class PageMessage(Struct, frozen=True):
    """One line on the next page: what was done, or why it was not."""

    words: str
    is_good: bool


class Sessions:
    """Makes and reads the cookies. Every process and host derives the same secrets from its settings."""

    def __init__(self, app_secrets: Sequence[bytes], admin_api_key: str, keyring: Keyring) -> None:
        self._admin_api_key = admin_api_key
        self._keyring = keyring
        derived = [_derive(secret, admin_api_key) for secret in app_secrets]
        self._forms = derived[0]
        # The last one signs, all are accepted: adding an app secret signs nobody out.
        self._signer = URLSafeSerializer(derived[::-1], signer_kwargs={"digest_method": hashlib.sha256})

    def begin(self, request: Request, response: Response, key: ApiKey, now: datetime) -> None:
        """Sign this browser in with the key, for a week."""
        ends = int((now + LIFETIME).timestamp())
        value = self._signer.dumps([key.id, secrets.token_urlsafe(16), ends])
        _set_cookie(request, response, _SESSION, str(value), LIFETIME)

    def end(self, request: Request, response: Response) -> None:
        """Sign this browser out."""
        _set_cookie(request, response, _SESSION, "", timedelta(0))

    def read(self, request: Request, connection: Connection, now: datetime) -> Session | None:
        """The session of this browser; None without one, after its week, or when its key was revoked."""
        try:
            key_id, nonce, ends = self._signer.loads(request.cookies.get(_SESSION, ""))
        except (BadSignature, ValueError):
            return None
        key = self._operator(now) if key_id == _OPERATOR_ID else _key(connection, key_id)
        if now.timestamp() >= ends or key is None or not is_enough(key.role, "viewer"):
            return None
        return Session(key, nonce, self.form_token(nonce))

    def sign_in_nonce(self, request: Request) -> str:
        """The nonce to which the sign-in form is bound, before there is a session."""
        return request.cookies.get(_SIGN_IN, "") or secrets.token_urlsafe(16)

    def keep_sign_in_nonce(self, request: Request, response: Response, nonce: str) -> None:
        """Make the browser send this nonce with the sign-in form."""
        _set_cookie(request, response, _SIGN_IN, nonce, timedelta(hours=12))

    def leave_message(
        self, request: Request, response: Response, session: Session, message: PageMessage
    ) -> None:
        """Show the message on the session's next page."""
        value = self._signer.dumps(
            [session.nonce, message.words[:_MAX_MESSAGE], message.is_good], salt=_MESSAGE
        )
        _set_cookie(request, response, _MESSAGE, str(value), timedelta(minutes=5))

    def message(self, request: Request, session: Session) -> PageMessage | None:
        """The message that the last action left for this session."""
        try:
            nonce, words, is_good = self._signer.loads(request.cookies.get(_MESSAGE, ""), salt=_MESSAGE)
        except (BadSignature, ValueError):
            return None
        return PageMessage(words, is_good) if nonce == session.nonce else None

    def clear_message(self, request: Request, response: Response) -> None:
        """Show the message no second time."""
        _set_cookie(request, response, _MESSAGE, "", timedelta(0))

    def form_token(self, nonce: str) -> str:
        """The token of forms made for this nonce."""
        return hmac.new(self._forms, f"form {nonce}".encode(), hashlib.sha256).hexdigest()

    def is_own_form(self, nonce: str, token: str) -> bool:
        """Whether a form with this token was made for this nonce."""
        return bool(nonce) and hmac.compare_digest(self.form_token(nonce).encode(), token.encode())

    def _operator(self, now: datetime) -> ApiKey | None:
        return self._keyring.find(self._admin_api_key, now)


def _key(connection: Connection, key_id: int) -> ApiKey | None:
    held = (key for key in api_keys.list_keys(connection) if key.id == key_id)
    return next((key for key in held if key.revoked_at is None), None)


def _derive(app_secret: bytes, admin_api_key: str) -> bytes:
    """A key for this purpose only; a new admin key ends every session."""
    admin = hashlib.sha256(admin_api_key.encode()).digest()
    return hmac.new(app_secret, _LABEL + admin, hashlib.sha256).digest()


def _set_cookie(request: Request, response: Response, name: str, value: str, age: timedelta) -> None:
    # An unknown proxy may end TLS. Believing its header here can only make the cookie stricter.
    forwarded = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
    response.set_cookie(
        name,
        value,
        max_age=age,
        secure=request.is_secure or forwarded == "https",
        httponly=True,
        samesite="Strict",
    )
