"""The slots of writers in the count tables. What senders report has slots of its own, so that readers can leave it out.

What a sender's key says never excuses a failure of others and is no sign of life of Meta's webhooks.
"""

_FIRST_OF_REPORTS, _OF_REPORTS = 64, 64

OF_WEBHOOKS = f"(slot < {_FIRST_OF_REPORTS} OR slot >= {_FIRST_OF_REPORTS + _OF_REPORTS})"
"""SQL: whether a row of counts was written for webhooks and not for reports of senders."""

OF_REPORTS = f"NOT {OF_WEBHOOKS}"

CORRECTIONS_SLOT = -1
"""The slot of corrections of what webhooks were counted as."""


def report_slot(process_id: int) -> int:
    """The slot in which this process counts reports; ingest writers have those below it and never wait for them."""
    return _FIRST_OF_REPORTS + process_id % _OF_REPORTS


def for_reports(slot: int) -> int:
    """The slot in which the writer of this slot counts what is reported."""
    return slot if _FIRST_OF_REPORTS <= slot < _FIRST_OF_REPORTS + _OF_REPORTS else report_slot(slot)
