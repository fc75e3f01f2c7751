"""The opaque cursor of lists: where the next page begins, as text that no caller need read."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TypeVar

import msgspec

from webhook_app.web.errors import ApiError

Place = TypeVar("Place")


def encode(place: object) -> str:
    """A cursor that leads to this place."""
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode(cursor: str, kind: type[Place]) -> Place:
    """The place a cursor leads to. Raises ApiError 400 for anything that `encode` did not make of such a place."""
    try:
        return msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (ValueError, msgspec.DecodeError):
        raise ApiError(400, "bad_cursor", "cursor: pass back next_cursor as it was given.") from None
