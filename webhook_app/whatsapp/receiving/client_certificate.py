"""Whose client certificate a TLS proxy saw, from the certificate's subject. Meta's webhooks can come with one (mTLS).

The proxy verifies the certificate against Meta's CA; this only looks at the name.
"""

import re

META_NAME = "client.webhooks.fbclientcerts.com"
"""The common name of Meta's webhook client; Graph API webhooks page, mid-2026."""

_ATTRIBUTE = re.compile(
    r"""\s*([A-Za-z][A-Za-z0-9-]*|[0-9.]+)\s*=\s*("(?:[^"\\]|\\.)*"\s*|(?:[^,+;"\\]|\\.)*)(?:[,+;]|$)"""
)


def is_meta(subject: str) -> bool:
    """Whether the subject (RFC 4514 text, or the common name alone) has Meta's common name, and no other."""
    return common_names(subject) == [META_NAME]


def common_names(subject: str) -> list[str]:
    """Every common name of a subject in the order written; none when the text cannot be read to its end."""
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
