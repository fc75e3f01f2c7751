"""The opaque cursor of lists: the position of the next page, encoded as text."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from webhook_app.web.api.values import check_times
from webhook_app.web.errors import ApiError

Row = TypeVar("Row")

_ID = Annotated[int, Meta(ge=0, le=2**63 - 1)]


def encode(position: object) -> str:
    """Return a cursor for this position."""
    return urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def cut(
    found: Sequence[Row], limit: int, position: Callable[[Row], object]
) -> tuple[Sequence[Row], str | None]:
    """Return at most `limit` rows, and the cursor after them if more were found."""
    page = found[:limit]
    return page, encode(position(page[-1])) if len(found) > limit else None


def decode_id(cursor: str | None) -> int | None:
    """Return the row id in a cursor; None without a cursor. Raises ApiError 400 for an invalid cursor."""
    position: int | None = decode_as(cursor, _ID)
    return position


def decode_texts(cursor: str | None, count: int) -> tuple[str, ...] | None:
    """Return the `count` texts in a cursor; None without a cursor. Raises ApiError 400 for an invalid cursor."""
    position: tuple[str, ...] | None = decode_as(cursor, tuple[str, ...])
    if position is not None and (len(position) != count or any("\0" in part for part in position)):
        raise invalid_cursor()
    return position


def decode_as(cursor: str | None, kind: Any) -> Any:
    """Return the value of this kind in a cursor; None without a cursor. Raises ApiError 400 for an invalid cursor."""
    if cursor is None:
        return None
    try:
        position = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
        check_times(position)
    except (ValueError, msgspec.DecodeError):
        raise invalid_cursor() from None
    return position


def invalid_cursor() -> ApiError:
    return ApiError(400, "bad_cursor", "cursor: pass next_cursor exactly as you received it.")
