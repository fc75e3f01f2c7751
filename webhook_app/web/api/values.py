"""Field types that several endpoints share, with bounds and descriptions."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

Time = Annotated[datetime, Meta(tz=True)]

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
    int, Meta(ge=-1, le=2**63 - 1, description="Meta's error code; -1 for failures without a code.")
]

Limit = Annotated[int, Meta(ge=1, le=1000, description="Maximum number of items to return.")]
Cursor = Annotated[str, Meta(max_length=500, description="`next_cursor` of the previous page.")]
NextCursor = Annotated[
    str | None, Meta(description="Pass as `cursor` to get the next page; null on the last page.")
]
