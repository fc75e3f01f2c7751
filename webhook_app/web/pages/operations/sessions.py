"""Who is signed in at a browser: a random token in a cookie that names a row, and tokens for our forms.

The row names a key, so the role is that of the key at the time of each request. Signing out, revoking the key and
"Sign out everywhere" end a session at once.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from flask import Request, Response, current_app
from itsdangerous import BadSignature, URLSafeSerializer
from msgspec import Struct

from webhook_app.store.operations import sessions
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.auth import is_enough

_SESSION = "webhook_app_session"
_SIGN_IN = "webhook_app_sign_in"
_MESSAGE = "webhook_app_message"
_TOKEN_BYTES = 32
_TOKEN_CHARACTERS = 43  # of 32 bytes in base64
_MAX_MESSAGE = 1000  # a cookie holds 4 kB


class Session(Struct, frozen=True):
    """A browser that is signed in."""

    key: ApiKey
    token: str
    secret: bytes

    @property
    def is_admin(self) -> bool:
        return is_enough(self.key.role, "admin")

    @property
    def form_token(self) -> str:
        """The hidden field of the forms made for this session."""
        return form_token(self.secret, self.token)

    def is_own_form(self, token: str) -> bool:
        """Whether a form with this token was made for this session."""
        return is_own_form(self.secret, self.token, token)


class PageMessage(Struct, frozen=True):
    """One line on the next page: what was done, or why it was not."""

    words: str
    is_good: bool


class Sessions:
    """The sessions of an application with this ADMIN_API_KEY."""

    def __init__(self, admin_api_key: str) -> None:
        self._admin_api_key = admin_api_key

    def begin(
        self, request: Request, response: Response, connection: Connection, key: ApiKey, now: datetime
    ) -> None:
        """Sign this browser in for a week; ends its earlier session."""
        self._end_row(request, connection)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        sessions.add(connection, token, key.id, now, admin_api_key=self._admin_api_key)
        _set_cookie(request, response, _SESSION, token, sessions.LIFETIME)

    def end(self, request: Request, response: Response, connection: Connection) -> None:
        """Sign this browser out."""
        self._end_row(request, connection)
        _set_cookie(request, response, _SESSION, "", timedelta(0))

    def read(self, request: Request, connection: Connection, now: datetime) -> Session | None:
        """The session of this browser; None if there is none, it has ended or its key is revoked."""
        token = _cookie(request, _SESSION)
        if len(token) != _TOKEN_CHARACTERS:
            return None
        found = sessions.find(connection, token, now, admin_api_key=self._admin_api_key)
        if found is None or not is_enough(found.key.role, "viewer"):
            return None
        return Session(found.key, token, found.secret)

    def _end_row(self, request: Request, connection: Connection) -> None:
        if token := _cookie(request, _SESSION):
            sessions.end(connection, token)


def sign_in_nonce(request: Request) -> str:
    """The nonce to which the sign-in form is bound, before there is a session."""
    return _cookie(request, _SIGN_IN) or secrets.token_urlsafe(16)


def keep_sign_in_nonce(request: Request, response: Response, nonce: str) -> None:
    """Make the browser send this nonce with the sign-in form."""
    _set_cookie(request, response, _SIGN_IN, nonce, timedelta(hours=12))


def form_token(secret: bytes, nonce: str) -> str:
    """The token of forms made for this nonce."""
    return hmac.new(secret, f"form {nonce}".encode(), hashlib.sha256).hexdigest()


def is_own_form(secret: bytes, nonce: str, token: str) -> bool:
    """Whether a form with this token was made for this nonce."""
    return bool(nonce) and hmac.compare_digest(form_token(secret, nonce).encode(), token.encode())


def leave_message(request: Request, response: Response, session: Session, message: PageMessage) -> None:
    """Show the message on the session's next page."""
    value = _signer(session).dumps([message.words[:_MAX_MESSAGE], message.is_good])
    _set_cookie(request, response, _MESSAGE, str(value), timedelta(minutes=5))


def read_message(request: Request, session: Session) -> PageMessage | None:
    """The message that the last action left for this session."""
    try:
        words, is_good = _signer(session).loads(_cookie(request, _MESSAGE))
    except (BadSignature, ValueError):
        return None
    return PageMessage(words, is_good)


def clear_message(request: Request, response: Response) -> None:
    """Delete the message, so that it is shown only once."""
    _set_cookie(request, response, _MESSAGE, "", timedelta(0))


def _signer(session: Session) -> URLSafeSerializer:
    key = hmac.new(session.secret, f"message {session.token}".encode(), hashlib.sha256).digest()
    return URLSafeSerializer(key, signer_kwargs={"digest_method": hashlib.sha256})


def is_secure(request: Request) -> bool:
    """Whether a cookie for this browser must only be sent over https."""
    # An unknown proxy may end TLS. Believing its header here can only make the cookie stricter.
    forwarded = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
    is_public_https = bool(current_app.config["SESSION_COOKIE_SECURE"])
    return is_public_https or request.is_secure or forwarded == "https"


def _cookie(request: Request, name: str) -> str:
    return request.cookies.get(_name(request, name), "")


def _name(request: Request, name: str) -> str:
    """The cookie's name. Browsers accept the prefix from this host over https only, so no other host can set one."""
    return f"__Host-{name}" if is_secure(request) else name


def _set_cookie(request: Request, response: Response, name: str, value: str, age: timedelta) -> None:
    response.set_cookie(
        _name(request, name),
        value,
        max_age=age,
        secure=is_secure(request),
        httponly=True,
        samesite="Strict",
    )
