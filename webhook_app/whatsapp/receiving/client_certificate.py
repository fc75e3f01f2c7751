"""Recognises Meta's client certificate (mTLS) by its subject, as passed on by a TLS proxy.

The proxy verifies the certificate against Meta's CA; this module only checks the name.
"""

import re

META_NAME = "client.webhooks.fbclientcerts.com"
"""The common name of Meta's webhook client; Graph API webhooks page, mid-2026."""

_MAX_LENGTH = 1024
_ATTRIBUTE = re.compile(
    r"""\s*+([A-Za-z][A-Za-z0-9-]*+|[0-9.]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"\s*+|(?:[^,+;"\\]|\\.)*+)(?:[,+;]|$)"""
)
"""No part of it gives back what it has taken, so that matching takes linear time."""


def is_meta(subject: str) -> bool:
    """Whether Meta's is the only common name in the subject (RFC 4514 text, or the common name alone)."""
    return common_names(subject) == [META_NAME]


def common_names(subject: str) -> list[str]:
    """All common names of a subject, in order; empty if any part of the text is invalid or the text is too long."""
    if len(subject) > _MAX_LENGTH:
        return []
    if "=" not in subject:
        return [subject.strip()] if subject.strip() else []
    found = []
    position = 0
    while position < len(subject):
        attribute = _ATTRIBUTE.match(subject, position)
        if attribute is None:
            return []
        name, value = attribute.groups()
        if name.upper() in ("CN", "2.5.4.3"):
            found.append(value.strip().strip('"'))
        position = attribute.end()
    return found
