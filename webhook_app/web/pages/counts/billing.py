"""/billing: billable and free messages by template, campaign, country, number, category or type, and their outcome."""

from datetime import timedelta

from flask import Response
from msgspec import Struct
from werkzeug.exceptions import BadRequest

from webhook_app.store.counts.messages.funnels import StageCounts
from webhook_app.store.counts.messages.funnels import funnel as read_funnel
from webhook_app.store.counts.rates import window
from webhook_app.web.pages.page import Page, PageRequest, render

_GROUPS = {
    "template": "Template",
    "campaign": "Campaign",
    "country": "Country",
    "phone_number_id": "Number",
    "category": "Category",
    "pricing_type": "Type",
}
_DAYS = (1, 7, 30)
_MOST = 200
_KEPT = timedelta(seconds=30)


class BillingRow(Struct):
    """Messages of one group, or of all: those that Meta calls billable, and the free and unknown ones sent."""

    group: str
    billable: StageCounts
    free: int = 0
    unknown: int = 0


def billing(request: PageRequest) -> Response:
    """The groups with the most billable deliveries, and the sum of all."""
    by = request.args.get("by", "template")
    days = request.args.get("days", "7")
    if by not in _GROUPS or days not in map(str, _DAYS):
        raise BadRequest("by or days: there is no such choice.")
    start, end = window(request.now, int(days) * 1440)
    key = ("billing", by, days)
    found = request.keep(key, _KEPT, lambda: read_funnel(request.connection, start, end, (by, "billing")))
    rows: dict[str, BillingRow] = {}
    total = BillingRow("", StageCounts())
    for (group, billed), counts in found.items():
        for row in (total, rows.setdefault(group, BillingRow(group, StageCounts()))):
            _add(row, billed, counts)
    largest = sorted(rows.values(), key=lambda row: (-row.billable.delivered, -row.billable.sent, row.group))
    return render(
        request,
        "billing.html",
        rows=largest[:_MOST],
        left_out=len(largest[_MOST:]),
        total=total,
        by=by,
        days=int(days),
        groups=_GROUPS,
        all_days=_DAYS,
    )


def _add(row: BillingRow, billed: str, counts: StageCounts) -> None:
    if billed == "billable":
        row.billable.add(counts)
    elif billed == "free":
        row.free += counts.sent
    else:
        row.unknown += counts.sent


PAGES = (Page("GET", "/billing", billing),)
