"""Messages for tests, stored by the real ingest: a number of sent or failed messages at one time."""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import Any

from tests.support.factories import NUMBER, WABA, body, message, status
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.postgres.engine import connect


class Traffic:
    """Stores messages in one database, each with a new id and contact."""

    def __init__(self, database_url: str) -> None:
        self._writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
        self._ids: Iterator[int] = count(1)

    def store(self, *statuses: dict[str, Any], at: datetime, number: str = NUMBER, waba: str = WABA) -> None:
        """Store one delivery with these statuses, received at `at`."""
        self._writer.store([Delivery(body(*statuses, number=number, waba=waba))], at)

    def deliver(self, body: bytes, at: datetime) -> None:
        """Store one delivery with this body, received at `at`."""
        self._writer.store([Delivery(body)], at)

    def sent(self, messages: int, at: datetime, **more: Any) -> list[str]:
        """Store new messages sent at `at`; returns their ids."""
        return self._feed(messages, at, "sent", **more)

    def failed(self, messages: int, at: datetime, code: int, **more: Any) -> list[str]:
        """Store new messages that failed at `at`, without a `sent`; returns their ids."""
        return self._feed(messages, at, "failed", code=code, **more)

    def wrote(self, message_id: str, at: datetime) -> None:
        """Store an inbound message received at `at`."""
        self._writer.store([Delivery(body(messages=[message(message_id, at)]))], at)

    def close(self) -> None:
        self._writer.close()

    def _feed(
        self,
        messages: int,
        at: datetime,
        kind: str,
        *,
        number: str = NUMBER,
        waba: str = WABA,
        template: str = "",
        **more: Any,
    ) -> list[str]:
        numbered = [next(self._ids) for _ in range(messages)]
        if template:
            more["biz_opaque_callback_data"] = json.dumps({"template": template})
        ids = [f"wamid.T{index}" for index in numbered]
        items = [
            status(message_id, kind, at, **({"recipient": f"1202555{index:04}"} | more))
            for message_id, index in zip(ids, numbered, strict=True)
        ]
        self.store(*items, at=at, number=number, waba=waba)
        return ids
