"""What a writer remembers of stored deliveries has a limit, whatever bodies hold."""

from datetime import datetime

from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.whatsapp.events import Parsed

_LONG = "\U0001f600" * 50


def test_made_up_numbers_do_not_fill_the_memory(writer: BatchWriter, now: datetime) -> None:
    for part in range(3):
        numbers = {(f"{_LONG}{part}.{n}", _LONG, _LONG) for n in range(6_000)}
        writer.store([Delivery(b"{}", Parsed(numbers=numbers))], now)
    assert 6_000 <= len(writer._rows._numbers) <= 12_000


def test_made_up_links_do_not_fill_the_memory(writer: BatchWriter, now: datetime) -> None:
    for part in range(3):
        links: dict[tuple[str, str], int | None] = {
            (f"US.{part}A{n}", f"US.{part}B{n}"): None for n in range(12_000)
        }
        writer.store([Delivery(b"{}", Parsed(links=links))], now)
    assert 12_000 <= len(writer._rows._links) <= 24_000
