"""A client for senders: checks contacts, reports send calls, claims retries. HTTP and values only.

with Client("https://alerts.example", key) as client:
    answers = client.check(contacts, phone_number_id=number, category="marketing")
    client.report([Send(contact=contact, phone_number_id=number, message_id=wamid, template="offer")])
"""

from webhook_app.client.calls import ClientError, RefusedError, UnreachableError
from webhook_app.client.client import (
    Answer,
    ClaimedRetry,
    Client,
    JudgedMessage,
    MessageProblem,
    Report,
    RetryResult,
    Send,
)
from webhook_app.client.local_copy import LocalAnswer, LocalCopy

__all__ = [
    "Answer",
    "ClaimedRetry",
    "Client",
    "ClientError",
    "JudgedMessage",
    "LocalAnswer",
    "LocalCopy",
    "MessageProblem",
    "RefusedError",
    "Report",
    "RetryResult",
    "Send",
    "UnreachableError",
]
