"""A verified delivery with its parsed items, and how it is split into parts that a transaction can store."""

from msgspec.structs import replace

from webhook_app.whatsapp.events import Parsed
from webhook_app.whatsapp.people.keywords import DEFAULT, Keywords
from webhook_app.whatsapp.receiving.payload import redact_and_parse

_ITEM_KINDS = ("statuses", "inbound", "preferences", "number_changes", "handovers", "signals", "unreadable")


class Delivery:
    """A verified body and its parsed items. `is_archived`: whether storing it stores the body.

    `rows`: the number of rows that hold its items. `bytes`: of the body, and of the large texts in these rows.
    """

    __slots__ = ("body", "bytes", "is_archived", "parsed", "rows")

    def __init__(
        self,
        body: bytes,
        parsed: Parsed | None = None,
        words: Keywords = DEFAULT,
        *,
        is_archived: bool = True,
    ) -> None:
        self.body, self.parsed = redact_and_parse(body, words) if parsed is None else (body, parsed)
        self.is_archived = is_archived
        found = self.parsed
        others = (
            len(found.preferences) + len(found.number_changes) + len(found.handovers) + len(found.signals)
        )
        self.rows = len(found.statuses) + len(found.inbound) + len(found.unreadable) + others
        self.bytes = len(self.body)
        if found.unreadable or found.signals:
            self.bytes += _bytes_beside(self.body, found)

    def split(self, rows: int) -> "list[Delivery]":
        """Split the delivery into parts of about as many rows, each fit for a transaction. The first is archived."""
        if max(self.rows, len(self.parsed.links), len(self.parsed.numbers)) <= rows:
            return [self]
        links, numbers = list(self.parsed.links.items()), list(self.parsed.numbers)
        items = [(kind, item) for kind in _ITEM_KINDS for item in getattr(self.parsed, kind)]
        parts: list[Delivery] = []
        for first in range(0, max(len(items), len(links), len(numbers)), rows):
            chosen = slice(first, first + rows)
            part = Parsed(links=dict(links[chosen]), numbers=set(numbers[chosen]))
            if not parts:
                part.ignored = self.parsed.ignored
            for kind, item in items[chosen]:
                getattr(part, kind).append(item)
            parts.append(Delivery(self.body, part, is_archived=not parts))
        return parts

    def without_ignored(self) -> "tuple[Delivery, int]":
        """The delivery without its ignored items, whose body is not archived again, and the number of those."""
        kept = replace(self.parsed, ignored={})
        return Delivery(self.body, kept, is_archived=False), sum(self.parsed.ignored.values())

    def halves(self) -> "list[Delivery]":
        """Split the delivery into two with half the items each; empty when there is only one item."""
        items = [(kind, item) for kind in _ITEM_KINDS for item in getattr(self.parsed, kind)]
        if len(items) < 2:
            return []
        first, second = Parsed(), replace(self.parsed, **{kind: [] for kind in _ITEM_KINDS})
        middle = (len(items) + 1) // 2
        for index, (kind, item) in enumerate(items):
            getattr(first if index < middle else second, kind).append(item)
        return [Delivery(self.body, half, is_archived=self.is_archived) for half in (first, second)]


def _bytes_beside(body: bytes, found: Parsed) -> int:
    texts = [text for each in found.unreadable for text in (each.item_json, each.document_json)]
    texts += [signal.payload_json for signal in found.signals]
    return sum(map(len, texts)) + sum(len(each.body) for each in found.unreadable if each.body is not body)
