"""Reads the TLS certificate of the callback URL, as Meta meets it when it delivers a webhook."""

import asyncio
import ssl
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from webhook_app.http_exchange import run_to_end
from webhook_app.rules.accounts.doctor_check import CertificateFacts

_TOTAL_S = 10.0


def read_certificate(
    url: str, *, context: ssl.SSLContext | None = None, total_s: float = _TOTAL_S
) -> CertificateFacts | None:
    """What the server of this address shows; None without https, or if the server cannot be reached from here."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError:
        return None
    if parts.scheme != "https" or not host:
        return None
    trusted = context or ssl.create_default_context()
    try:
        shown = run_to_end(partial(_shown, host, port, trusted, total_s))
    except ssl.SSLCertVerificationError as fault:
        return CertificateFacts(host=host, fault=fault.verify_message)
    except (OSError, TimeoutError, UnicodeError):  # a name may be no name of DNS
        return None
    return CertificateFacts(host=host, begins_at=_time(shown["notBefore"]), ends_at=_time(shown["notAfter"]))


async def _shown(host: str, port: int, context: ssl.SSLContext, total_s: float) -> dict[str, str]:
    async with asyncio.timeout(total_s):
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    found: dict[str, str] = writer.get_extra_info("peercert")
    writer.transport.abort()
    return found


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
