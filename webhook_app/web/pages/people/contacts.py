"""/contacts: one contact, found by any spelling of the number: history, suppressions, opt-outs. Read-only."""

from urllib.parse import quote, urlencode

from flask import Response, make_response, redirect
from msgspec import Struct

from webhook_app.store.postgres.engine import driver
from webhook_app.store.suppressions.checks import CheckRequest, ContactSuppression, read_facts
from webhook_app.web.api.people.addresses import find_address
from webhook_app.web.api.people.contacts import ContactQuery, ContactView, get_contact
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.page import Page, PageRequest, render
from webhook_app.web.pages.wording import CHANGES, REASONS, SCOPES, SUPPRESS_DAYS
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.people.contacts import (
    Address,
    InvalidAddress,
    country_of,
    display,
    spelling,
    variants,
)

_PAGE = 50
_MESSAGES = ("wamid.", "send:")


class FoundContact(Struct, frozen=True):
    """The contact that the text names, as people write it, and other spellings of the same contact."""

    typed: str
    contact: str
    kind: str
    country: str
    others: tuple[str, ...]
    seen_as: str
    """The spelling that was typed, when it differs from the contact's."""


def contact_page(request: PageRequest) -> Response:
    """The search form, and the contact that was asked for."""
    typed = request.args.get("contact", "").strip()
    if typed.startswith(_MESSAGES):
        return make_response(redirect(f"/messages/{quote(typed, safe='')}", code=303))
    found: ContactView | None = None
    address = typed_address(request, typed) if typed else None
    fault = address.reason if isinstance(address, InvalidAddress) else ""
    person = _found(address) if isinstance(address, Address) else None
    erased = _erased_opt_outs(request, address.key) if isinstance(address, Address) else []
    if person is not None:
        query = ContactQuery(limit=_PAGE, cursor=request.args.get("cursor"))
        found = get_contact(request.call, person.contact, query)
    return render(
        request,
        "contact.html",
        status=400 if fault else 200,
        typed=typed,
        fault=fault,
        person=person,
        found=found,
        erased_opt_outs=erased,
        following=found
        and found.next_cursor
        and urlencode({"contact": found.contact, "cursor": found.next_cursor}),
        is_first="cursor" not in request.args,
        reasons=REASONS,
        scopes=SCOPES,
        actions=CHANGES,
        suppress_days=SUPPRESS_DAYS,
        explain=explain,
    )


def typed_address(request: PageRequest, text: str) -> Address | InvalidAddress:
    """The contact that somebody typed, read with the default region."""
    return find_address(request.connection, text, request.settings.default_region.upper())


def known_address(request: PageRequest, text: str) -> Address:
    """The contact that somebody typed. Raises ApiError when it is none."""
    address = typed_address(request, text)
    if isinstance(address, InvalidAddress):
        raise ApiError(400, "bad_contact", f"The contact cannot be used: {address.reason}.")
    return address


def _erased_opt_outs(request: PageRequest, key: str) -> list[ContactSuppression]:
    """The opt-outs of this key from before an erasure: checks refuse them, but nothing else is stored."""
    (known,) = read_facts(driver(request.connection), [CheckRequest([key], None)], request.now)
    return [row for row in known.suppressions.get(key, ()) if row.since is None]


def _found(address: Address) -> FoundContact:
    key, written = address.key, spelling(address)
    return FoundContact(
        address.as_given,
        display(key),
        "a phone number" if address.kind == "phone" else "a business-scoped user id",
        country_of(key),
        tuple(display(other) for other in variants(key) if other != key),
        display(written) if written != key else "",
    )


PAGES = (Page("GET", "/contacts", contact_page),)
