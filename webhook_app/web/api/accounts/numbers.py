"""/v1/numbers: the business numbers with their names, and their state as the Graph API described it last."""

from typing import Annotated

from msgspec import Meta, Struct

from webhook_app.store.accounts import numbers
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time


class NumbersQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = 100
    cursor: Cursor | None = None


class NumberEntry(Struct, kw_only=True):
    """A business number. What nobody has reported is empty."""

    phone_number_id: str
    waba_id: str
    account_name: str
    display_phone_number: str
    verified_name: str
    status: Annotated[
        str, Meta(description="Meta's word, such as CONNECTED; only a connected number can send.")
    ]
    quality: str
    messaging_limit: Annotated[
        str, Meta(description="Meta's word, such as TIER_10K; numbers of a portfolio share it.")
    ]
    throughput: str
    mode: Annotated[str, Meta(description="LIVE, or SANDBOX for a test number.")]
    read_at: Annotated[
        Time | None, Meta(description="When Meta was asked; null if only webhooks named the number.")
    ]


class NumberPage(Struct, kw_only=True):
    """A page of business numbers, by id."""

    numbers: list[NumberEntry]
    next_cursor: NextCursor


def list_numbers(call: Call, query: NumbersQuery) -> NumberPage:
    """List the business numbers that webhooks came from, and those that Meta's Graph API listed.

    States that webhooks reported are at /v1/health.
    """
    after = cursor.decode_texts(query.cursor, 1)
    found = numbers.list_numbers(call.connection, query.limit + 1, after[0] if after else "")
    page, following = cursor.cut(found, query.limit, lambda each: (each.phone_number_id,))
    return NumberPage(numbers=[entry_from(each, NumberEntry) for each in page], next_cursor=following)


ENDPOINTS = (Endpoint("GET", "/v1/numbers", list_numbers, "viewer"),)
