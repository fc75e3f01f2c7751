"""Field types that several endpoints share, with bounds and descriptions."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Raw, Struct, ValidationError, inspect

_Item = TypeVar("_Item")

Time = Annotated[datetime, Meta(tz=True)]
_EARLIEST, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

Word = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")]
"""Text that the database can store."""

PhoneNumberId = Annotated[Word, Meta(description="Meta's id of a business phone number.")]
Contact = Annotated[
    str,
    Meta(
        description="A phone number with country code (`+49 171 …`, `0049…`, digits) or a business-scoped user id."
    ),
]
Code = Annotated[
    int,
    Meta(
        ge=-2,
        le=2**63 - 1,
        description="Meta's error code; -1 for failures without a code, -2 in counts for codes beyond a ceiling.",
    ),
]

Limit = Annotated[int, Meta(ge=1, le=1000, description="Maximum number of items to return.")]
Cursor = Annotated[str, Meta(max_length=500, description="`next_cursor` of the previous page.")]
NextCursor = Annotated[
    str | None, Meta(description="Pass as `cursor` to get the next page; null on the last page.")
]


def decode_item(item: Raw, decode: Callable[[Raw], _Item], limit: int) -> _Item:
    """Decode one item of a body by itself, so that a body of millions of values is never decoded at once.

    Raises ValueError, also for an item of more than `limit` bytes.
    """
    if len(memoryview(item)) > limit:
        raise ValueError(f"larger than {limit} bytes")
    try:
        return decode(item)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_times(value: object) -> None:
    """Raise msgspec's ValidationError if a time in the value is outside the years 1970 to 9998, with its location.

    At the ends of the calendar, sums of times overflow in Python and other zones in Postgres.
    """
    for location, time in _times(value):
        if not _EARLIEST <= time < _END:
            raise ValidationError(f"Expected a time of the years 1970 to 9998 - at `${location}`")


@cache
def has_times(kind: Any) -> bool:
    """Whether values of this type can hold a time."""
    return _has_times(inspect.type_info(kind), set())


def _times(value: object) -> Iterator[tuple[str, datetime]]:
    if isinstance(value, datetime):
        yield "", value
    elif isinstance(value, Struct):
        for field, name in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            for location, time in _times(getattr(value, field)):
                yield f".{name}{location}", time
    elif isinstance(value, list | tuple):
        for position, each in enumerate(value):
            for location, time in _times(each):
                yield f"[{position}]{location}", time


def _has_times(kind: inspect.Type, seen: set[type]) -> bool:
    parts: Iterable[inspect.Type] = ()
    match kind:
        case inspect.StructType() if kind.cls not in seen:
            seen.add(kind.cls)
            parts = [field.type for field in kind.fields]
        case inspect.UnionType():
            parts = kind.types
        case inspect.TupleType():
            parts = kind.item_types
        case inspect.CollectionType():
            parts = [kind.item_type]
        case inspect.Metadata():
            parts = [kind.type]
    return isinstance(kind, inspect.DateTimeType) or any(_has_times(part, seen) for part in parts)
