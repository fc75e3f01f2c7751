"""Whether a delivery comes from Meta: HMAC-SHA256 over the bytes as received, before anything is decoded.

Knows no request and no settings; a refusal is a value that says which kind, never an exception.
"""

import hmac
import re
from collections.abc import Sequence
from enum import StrEnum

_PREFIX = "sha256="
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
"""Lowercase only, as Meta sends it: no proxy changes a header's value, so another spelling is not Meta's."""


class SignatureFault(StrEnum):
    """Why a delivery was refused."""

    MISSING = "missing"
    MALFORMED = "malformed"
    MISMATCH = "mismatch"


def sign(body: bytes, secret: bytes) -> str:
    """The value of X-Hub-Signature-256 that Meta sends with this body."""
    return _PREFIX + hmac.digest(secret, body, "sha256").hex()


def verify(body: bytes, header: str | None, app_secrets: Sequence[bytes]) -> SignatureFault | None:
    """None when one of the secrets signed the body, else the fault; every secret is always tried."""
    if not header:
        return SignatureFault.MISSING
    if _SIGNATURE.fullmatch(header) is None:
        return SignatureFault.MALFORMED
    given = bytes.fromhex(header[len(_PREFIX) :])
    good = False
    for secret in app_secrets:
        # An empty secret is known to everybody, so a match with it proves nothing.
        good |= hmac.compare_digest(hmac.digest(secret, body, "sha256"), given) and secret != b""
    return None if good else SignatureFault.MISMATCH
