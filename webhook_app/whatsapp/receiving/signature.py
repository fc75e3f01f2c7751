"""Signs and verifies deliveries: HMAC-SHA256 over the raw bytes, before decoding.

A failed check is returned as a value, never raised.
"""

import hmac
import re
from collections.abc import Sequence
from enum import StrEnum

_PREFIX = "sha256="
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
"""Lowercase only, as Meta sends it. Proxies do not change header values, so any other form is not from Meta."""


class SignatureFault(StrEnum):
    """Why a delivery was refused."""

    MISSING = "missing"
    MALFORMED = "malformed"
    MISMATCH = "mismatch"


def sign(body: bytes, secret: bytes) -> str:
    """Return the X-Hub-Signature-256 header that Meta sends with this body."""
    return _PREFIX + hmac.digest(secret, body, "sha256").hex()


def header_fault(header: str | None) -> SignatureFault | None:
    """Return what is wrong with the form of the header: that much is known before the body is read."""
    if not header:
        return SignatureFault.MISSING
    return None if _SIGNATURE.fullmatch(header) else SignatureFault.MALFORMED


def verify(body: bytes, header: str | None, app_secrets: Sequence[bytes]) -> SignatureFault | None:
    """Return None if one of the secrets signed the body, else the fault. Always tries every secret."""
    if (fault := header_fault(header)) or not header:
        return fault
    given = bytes.fromhex(header[len(_PREFIX) :])
    good = False
    for secret in app_secrets:
        # Anybody can sign with an empty secret, so a match with it proves nothing.
        good |= hmac.compare_digest(hmac.digest(secret, body, "sha256"), given) and secret != b""
    return None if good else SignatureFault.MISMATCH
