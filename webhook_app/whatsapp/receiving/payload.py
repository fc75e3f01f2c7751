"""Parses a signed delivery: all items as values, including ignored and unreadable ones.

Never raises and never drops an item: what cannot be parsed becomes Unreadable. Neither stores nor decides.
"""

import hashlib
from collections.abc import Sequence

from msgspec.structs import replace

from webhook_app.whatsapp.accounts import health_signals
from webhook_app.whatsapp.events import Parsed, Unreadable
from webhook_app.whatsapp.json_text import count_values, decode, limit_depth
from webhook_app.whatsapp.people.keywords import DEFAULT, Keywords
from webhook_app.whatsapp.receiving import inbound
from webhook_app.whatsapp.receiving.document_parser import DocumentParser
from webhook_app.whatsapp.receiving.plain_delivery import read_plain
from webhook_app.whatsapp.receiving.redaction import redact_text, remove_strings

MAX_VALUES = 250_000
"""JSON values of a body that is read. A body of 1 000 statuses has 25 000, a chunk of chat history up to 150 000."""


def parse(body: bytes, words: Keywords = DEFAULT) -> Parsed:
    """Parse a verified body."""
    return redact_and_parse(body, words)[1]


def redact_and_parse(body: bytes, words: Keywords = DEFAULT) -> tuple[bytes, Parsed]:
    """Remove the text of messages from a verified body and parse the rest; return both."""
    plain = read_plain(body)
    if plain is not None:
        return body, plain
    if count_values(body) > MAX_VALUES:
        kept = remove_strings(body)
        return kept, Parsed(unreadable=[unreadable_body(kept, f"not read: more than {MAX_VALUES} values")])
    redacted = redact_text(body, words)
    return redacted, parse_any(redacted, words)


def parse_any(body: bytes, words: Keywords = DEFAULT, *, limited: bool = True) -> Parsed:
    """Parse a redacted body without the fast path for ordinary statuses. `limited`: bound the work."""
    try:
        try:
            return _parse(body, words, limited=limited)
        except RecursionError:  # one item nested too deeply must not cost the others
            return _parse(limit_depth(body), words, limited=limited)
    except (ValueError, RecursionError) as fault:
        return Parsed(unreadable=[unreadable_body(body, f"not readable as JSON: {type(fault).__name__}")])


def parse_again(body: bytes, words: Keywords = DEFAULT) -> Parsed:
    """Parse a stored body or webhook, however many items it has."""
    return read_plain(body) or parse_any(redact_text(body, words), words, limited=False)


def _parse(body: bytes, words: Keywords, *, limited: bool) -> Parsed:
    parser = DocumentParser(words, limited=limited)
    parser.read(decode(body))
    parsed = parser.parsed
    if parsed.signals or parsed.preferences or parsed.handovers:
        _identify_by_body(parsed, hashlib.sha256(body).digest())
    return parsed


def _identify_by_body(parsed: Parsed, digest: bytes) -> None:
    """Add the body's digest to the identity of items without id and valid time. A retry repeats the whole body."""
    parsed.signals = [
        health_signals.with_body_digest(s, digest) if s.timestamp is None else s for s in parsed.signals
    ]
    parsed.preferences = [
        inbound.with_body_digest(p, digest) if p.timestamp is None else p for p in parsed.preferences
    ]
    parsed.handovers = [
        inbound.with_body_digest(h, digest) if h.timestamp is None else h for h in parsed.handovers
    ]


def unreadable_body(body: bytes, reason: str) -> Unreadable:
    """Return an Unreadable with the complete body."""
    return Unreadable(reason, "", "", "", hashlib.sha256(body).digest(), body)


def unreadable_part(body: bytes, reason: str, parts: Sequence[Parsed]) -> Unreadable:
    """Return an Unreadable with the complete body, for the items in these parts of it."""
    told = "".join(repr(replace(part, links={}, numbers=set())) for part in parts)
    digest = hashlib.sha256(body + told.encode(errors="backslashreplace")).digest()
    items = sum(part.received for part in parts)
    return Unreadable(reason, "", "", "", digest, body, items=items)
