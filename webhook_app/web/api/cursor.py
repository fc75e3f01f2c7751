"""The opaque cursor of lists: where the next page begins, as text that no caller need read."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from webhook_app.web.errors import ApiError

_ID = Annotated[int, Meta(ge=0, le=2**63 - 1)]


def encode(place: object) -> str:
    """A cursor that leads to this place."""
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode_id(cursor: str | None) -> int | None:
    """The row a cursor leads to; None without a cursor. Raises ApiError 400 for what `encode` did not make."""
    place: int | None = _decode(cursor, _ID)
    return place


def decode_texts(cursor: str | None, count: int) -> tuple[str, ...] | None:
    """The same for a place that is `count` texts."""
    place: tuple[str, ...] | None = _decode(cursor, tuple[str, ...])
    if place is not None and (len(place) != count or any("\0" in part for part in place)):
        raise _refusal()
    return place


def decode_as(cursor: str, kind: Any) -> Any:
    """The place that `encode` made of a value of this kind. Raises ApiError 400 for anything else."""
    return _decode(cursor, kind)


def _decode(cursor: str | None, kind: Any) -> Any:
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (ValueError, msgspec.DecodeError):
        raise _refusal() from None


def _refusal() -> ApiError:
    return ApiError(400, "bad_cursor", "cursor: pass back next_cursor as it was given.")
