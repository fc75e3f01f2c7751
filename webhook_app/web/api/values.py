"""The types that queries, bodies and answers are made of: bounded, storable, described. No Structs of one endpoint."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

Time = Annotated[datetime, Meta(tz=True)]

Word = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")]
"""Text that the database can hold."""

PhoneNumberId = Annotated[Word, Meta(description="Meta's id of a business number.")]
Contact = Annotated[
    str,
    Meta(
        description="A phone number with country code (`+49 171 …`, `0049…`, digits) or a business-scoped user id."
    ),
]
Code = Annotated[
    int, Meta(ge=-1, le=2**63 - 1, description="Meta's error code; -1: failures without a code.")
]

Limit = Annotated[int, Meta(ge=1, le=1000, description="How many at most.")]
Cursor = Annotated[str, Meta(max_length=500, description="next_cursor of the page before.")]
NextCursor = Annotated[str | None, Meta(description="Where the next page begins; null on the last one.")]
