"""Keys that a unique index compares: what an alert or a finding is about, as canonical JSON."""

import hashlib
from collections.abc import Mapping
from json import JSONEncoder
from typing import Any

MAX_KEY_BYTES = 2_000
"""An entry of an index of Postgres holds 2704 bytes, of which the rule's name takes up to 400."""

_encode_sorted = JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def index_key(about: Mapping[str, Any]) -> str:
    """Return canonical JSON of what the row is about; its hash, as JSON, if it does not fit into an index."""
    key = _encode_sorted(about)
    encoded = key.encode()
    if len(encoded) <= MAX_KEY_BYTES:
        return key
    return _encode_sorted({"sha256": hashlib.sha256(encoded).hexdigest()})
