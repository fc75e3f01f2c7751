"""Who is signed in at a browser: a signed cookie that names a key, and tokens that prove a form is ours.

The cookie holds no secret and no role: the key is looked up on every request, so a revoked one is out at once.
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
_VISIT = "webhook_app_visit"
_SAID = "webhook_app_said"
_LONGEST = 1000  # of what is said: a cookie holds 4 kB
_OPERATOR_ID = 0  # no row of the table has it: the key in ADMIN_API_KEY
_LABEL = b"webhook_app dashboard sessions, 1"


class Session(Struct, frozen=True):
    """A signed-in browser."""

    key: ApiKey
    nonce: str

    @property
    def is_admin(self) -> bool:
        return is_enough(self.key.role, "admin")


class PageMessage(Struct, frozen=True):
    """What was just done, or why it was not: one line on the page that follows."""

    words: str
    is_good: bool


class Sessions:
    """Makes and reads the cookies. Its secrets come from settings that every process and host has."""

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
        """Who is signed in; None when nobody is, the week is over or the key was revoked."""
        try:
            key_id, nonce, ends = self._signer.loads(request.cookies.get(_SESSION, ""))
        except (BadSignature, ValueError):
            return None
        key = self._operator(now) if key_id == _OPERATOR_ID else _key(connection, key_id)
        if now.timestamp() >= ends or key is None or not is_enough(key.role, "viewer"):
            return None
        return Session(key, nonce)

    def visit(self, request: Request) -> str:
        """What stands in for a session before there is one, in the sign-in form."""
        return request.cookies.get(_VISIT, "") or secrets.token_urlsafe(16)

    def keep_visit(self, request: Request, response: Response, nonce: str) -> None:
        """Have the browser send the same `visit` with the form."""
        _set_cookie(request, response, _VISIT, nonce, timedelta(hours=12))

    def say(self, request: Request, response: Response, session: Session, said: PageMessage) -> None:
        """Have the next page of this session say it."""
        value = self._signer.dumps([session.nonce, said.words[:_LONGEST], said.is_good], salt=_SAID)
        _set_cookie(request, response, _SAID, str(value), timedelta(minutes=5))

    def said(self, request: Request, session: Session) -> PageMessage | None:
        """What the last page wanted said."""
        try:
            nonce, words, is_good = self._signer.loads(request.cookies.get(_SAID, ""), salt=_SAID)
        except (BadSignature, ValueError):
            return None
        return PageMessage(words, is_good) if nonce == session.nonce else None

    def forget_said(self, request: Request, response: Response) -> None:
        """It was said."""
        _set_cookie(request, response, _SAID, "", timedelta(0))

    def form_token(self, nonce: str) -> str:
        """What a form of ours carries, for this session or visit alone."""
        return hmac.new(self._forms, f"form {nonce}".encode(), hashlib.sha256).hexdigest()

    def is_our_form(self, nonce: str, token: str) -> bool:
        """Whether the form was made for this session or visit."""
        return bool(nonce) and hmac.compare_digest(self.form_token(nonce).encode(), token.encode())

    def _operator(self, now: datetime) -> ApiKey | None:
        return self._keyring.find(self._admin_api_key, now)


def _key(connection: Connection, key_id: int) -> ApiKey | None:
    held = (key for key in api_keys.list_keys(connection) if key.id == key_id)
    return next((key for key in held if key.revoked_at is None), None)


def _derive(app_secret: bytes, admin_api_key: str) -> bytes:
    """A key of its own for this purpose; a new admin key ends every session."""
    admin = hashlib.sha256(admin_api_key.encode()).digest()
    return hmac.new(app_secret, _LABEL + admin, hashlib.sha256).digest()


def _set_cookie(request: Request, response: Response, name: str, value: str, age: timedelta) -> None:
    # A proxy we do not know may end TLS; believing its word here can only make the cookie stricter.
    forwarded = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
    response.set_cookie(
        name,
        value,
        max_age=age,
        secure=request.is_secure or forwarded == "https",
        httponly=True,
        samesite="Strict",
    )
