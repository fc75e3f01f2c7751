"""What senders reported of their calls about one message: accepted or failed, where to, with what shape."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection


class SendCall(Struct, frozen=True, kw_only=True):
    """One reported call. Error and request are kept without credentials, the request without anybody's text."""

    sent_at: datetime
    registered_at: datetime
    phone_number_id: str
    failed: bool
    error_code: int
    error_subcode: int
    fbtrace_id: str
    error: Any
    endpoint: str
    request: Any


_OF_MESSAGE = text("""
SELECT sent_at, registered_at, phone_number_id, failed, error_code, error_subcode, fbtrace_id, error, endpoint, request
FROM sends WHERE message_id = :message_id ORDER BY sent_at, failed, error_code, phone_number_id
""")


def of_message(connection: Connection, message_id: str) -> list[SendCall]:
    """Every reported call about the message, earliest first."""
    return [SendCall(**row) for row in connection.execute(_OF_MESSAGE, {"message_id": message_id}).mappings()]
