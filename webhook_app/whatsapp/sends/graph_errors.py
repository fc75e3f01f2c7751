"""Parses the error in a Graph API response to a send call. No decisions; the catalogue explains codes.

Format from Meta's page on handling errors: {"error": {message, type, code, error_subcode, error_user_title,
error_user_msg, error_data, is_transient, fbtrace_id}}, with `error_data.details` for WhatsApp.
"""

import json
import re
from typing import Any

import msgspec
from msgspec import Struct

from webhook_app.whatsapp.json_text import scrub
from webhook_app.whatsapp.receiving.statuses import bounded_in_normal_form, bounded_text, read_code
from webhook_app.whatsapp.sends.call_redaction import without_credentials

_MAX_BYTES = 8 * 1024  # Meta's are below one kilobyte
_CODE_PREFIX = re.compile(r"^\(#\d+\)\s*")


class GraphError(Struct, frozen=True):
    """One error response. -1 and empty texts mean absent."""

    code: int
    subcode: int
    title: str
    details: str
    fbtrace_id: str
    json: str
    """The complete object as text, without credentials."""


def read_graph_error(raw: Any) -> GraphError:
    """Parse Meta's error object, bare or inside `{"error": …}`. The text of a ValueError is for the API caller."""
    error = raw.get("error", raw) if type(raw) is dict else raw
    if type(error) is not dict:
        raise ValueError("expected Meta's error object, `{code, message, …}`, bare or inside `error`")
    if not any(key in error for key in ("code", "message", "title", "error_subcode", "type")):
        raise ValueError("expected Meta's error object: it has neither code nor message")
    check_size(error, _MAX_BYTES)
    redacted = without_credentials(scrub(error))
    data = redacted.get("error_data")
    details = data.get("details") if type(data) is dict else data
    title = redacted.get("title") or redacted.get("error_user_title") or redacted.get("message")
    return GraphError(
        code=read_code(redacted.get("code")),
        subcode=read_code(redacted.get("error_subcode")),
        title=_CODE_PREFIX.sub("", bounded_text(title, 500)),
        details=bounded_in_normal_form(details or redacted.get("error_user_msg"), 4000),
        fbtrace_id=bounded_text(redacted.get("fbtrace_id"), 200),
        json=_as_text(redacted),
    )


def check_size(value: Any, limit: int) -> None:
    """Raise ValueError for a value that is larger than `limit` bytes of JSON, before anything walks through it."""
    try:
        size = len(msgspec.json.encode(value))
    except (OverflowError, ValueError, msgspec.MsgspecError):  # numbers or texts that `scrub` replaces
        size = len(json.dumps(value))
    if size > limit:
        raise ValueError(f"larger than {limit} bytes")


def _as_text(error: dict[str, Any]) -> str:
    encoded = msgspec.json.encode(error)
    if len(encoded) > _MAX_BYTES:  # the redaction may have made it longer
        raise ValueError(f"larger than {_MAX_BYTES} bytes")
    return encoded.decode()
