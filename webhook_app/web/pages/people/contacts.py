"""/contacts: one person by any spelling of their number, what happened, and what stands against them. Read-only."""

from urllib.parse import quote, urlencode

from flask import Blueprint, Response, make_response, redirect, request
from msgspec import Struct

from webhook_app.store.postgres.engine import driver
from webhook_app.store.suppressions.checks import CheckRequest, ContactSuppression, known_of_many
from webhook_app.web.api.people.contacts import ContactQuery, ContactView, get_contact
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, call_of, render
from webhook_app.web.pages.people.contact_actions import WAITS
from webhook_app.web.pages.wording import CHANGES, REASONS, SCOPES
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.people.contacts import (
    Address,
    InvalidAddress,
    country_of,
    display,
    parse_address,
    spelling,
    variants,
)

_PAGE = 50
_MESSAGES = ("wamid.", "send:")


class FoundContact(Struct, frozen=True):
    """Whom the text means: the person's key for people to read, and what else would mean the same."""

    asked: str
    contact: str
    kind: str
    country: str
    others: tuple[str, ...]
    seen_as: str
    """Another spelling than the contact's, when that was typed."""


def add_contact_pages(blueprint: Blueprint, desk: PageContext) -> None:
    """The person's page."""

    def contact_page(visit: PageRequest) -> Response:
        asked = request.args.get("contact", "").strip()
        if asked.startswith(_MESSAGES):
            return make_response(redirect(f"/messages/{quote(asked, safe='')}", code=303))
        found: ContactView | None = None
        address = _address(desk, asked) if asked else None
        fault = address.reason if isinstance(address, InvalidAddress) else ""
        person = _understood(address) if isinstance(address, Address) else None
        wishes = _wishes_of_the_erased(visit, address.key) if isinstance(address, Address) else []
        if person is not None:
            query = ContactQuery(limit=_PAGE, cursor=request.args.get("cursor"))
            found = get_contact(call_of(visit, desk), person.contact, query)
        response = render(
            visit,
            "contact.html",
            asked=asked,
            fault=fault,
            person=person,
            found=found,
            wishes=wishes,
            following=found
            and found.next_cursor
            and urlencode({"contact": found.contact, "cursor": found.next_cursor}),
            is_first="cursor" not in request.args,
            reasons=REASONS,
            scopes=SCOPES,
            actions=CHANGES,
            waits=WAITS,
            explain=explain,
        )
        response.status_code = 400 if fault else 200
        return response

    add_page(blueprint, desk, "/contacts", contact_page)


def _wishes_of_the_erased(visit: PageRequest, key: str) -> list[ContactSuppression]:
    """What checks refuse although nothing can be listed: somebody with this key opted out before they were erased."""
    (known,) = known_of_many(driver(visit.connection), [CheckRequest([key], None)], visit.now)
    return [row for row in known.standing.get(key, ()) if row.since is None]


def _understood(address: Address) -> FoundContact:
    key, typed = address.key, spelling(address)
    return FoundContact(
        address.as_given,
        display(key),
        "a phone number" if address.kind == "phone" else "a business-scoped user id",
        country_of(key),
        tuple(display(other) for other in variants(key) if other != key),
        display(typed) if typed != key else "",
    )


def _address(desk: PageContext, text: str) -> Address | InvalidAddress:
    return parse_address(text, desk.room.settings.default_region.upper())
