"""/suppressions: who is not to be written to and why, and one person by any spelling of their number. Read-only."""

from flask import Blueprint, Response, request
from msgspec import Struct

from webhook_app.store import contacts, suppressions
from webhook_app.store.suppressions import Change, Suppression
from webhook_app.web import cursor
from webhook_app.web.dashboard import wording
from webhook_app.web.dashboard.desk import Desk, Visit, add_page, render
from webhook_app.whatsapp.contacts import InvalidAddress, parse_address
from webhook_app.whatsapp.error_codes import explain

_PAGE = 50
_HISTORY = 20


class Found(Struct, frozen=True):
    """What a search gave: a fault in what was typed, or the person's keys, what stands against them and what did."""

    asked: str
    fault: str = ""
    key: str = ""
    keys: tuple[str, ...] = ()
    rows: list[Suppression] = []
    changes: list[Change] = []


def add_suppression_pages(blueprint: Blueprint, desk: Desk) -> None:
    """The one page."""

    def suppression_page(visit: Visit) -> Response:
        asked = request.args.get("contact", "").strip()
        reason = request.args.get("reason", "")
        values = {"reasons": wording.REASONS, "reason": reason, "explain": explain}
        if asked:
            found = _search(visit, asked)
            return render(visit, "suppressions.html", found=found, rows=found.rows, following=None, **values)
        place = cursor.decode_texts(request.args.get("cursor"), 4)
        after = None if place is None else (place[0], place[1], place[2], place[3])
        wanted = reason if reason in wording.REASONS else None
        rows = suppressions.list_page(visit.connection, _PAGE + 1, after, reason=wanted)
        following = cursor.encode(rows[_PAGE - 1].key) if len(rows) > _PAGE else None
        return render(
            visit, "suppressions.html", found=None, rows=rows[:_PAGE], following=following, **values
        )

    add_page(blueprint, desk, "/suppressions", suppression_page)


def _search(visit: Visit, asked: str) -> Found:
    address = parse_address(asked)
    if isinstance(address, InvalidAddress):
        return Found(asked, fault=address.reason)
    keys = contacts.keys_of(visit.connection, address.key)
    rows = suppressions.of_contacts(visit.connection, keys)
    changes = [change for key in keys for change in suppressions.history(visit.connection, key, _HISTORY)]
    changes.sort(key=lambda change: -change.seq)
    return Found(asked, "", address.key, keys, rows, changes[:_HISTORY])
