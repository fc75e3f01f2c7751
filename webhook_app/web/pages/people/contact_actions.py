"""What people decide about one contact: stop messages, lift what stands, erase. Done as the API does it.

Erasing asks for the number once more. Who did it is written down by what every form goes through.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from msgspec import ValidationError, convert

from webhook_app.web.api.people.contacts import ContactQuery, get_contact
from webhook_app.web.api.people.erasure import ErasedContact, erase_contact
from webhook_app.web.api.suppressions.suppressions import (
    LiftQuery,
    SuppressBody,
    lift_suppression,
    put_suppression,
)
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, call_of, render, said
from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, display, parse_address

WAITS = {"1": "for a day", "7": "for a week", "30": "for 30 days", "90": "for 90 days", "365": "for a year"}
"""How long somebody can be suppressed, in days and in words."""


def add_contact_actions(blueprint: Blueprint, desk: PageContext) -> None:
    """The forms of a person's page, and the page that asks before erasing."""

    def suppress_contact(visit: PageRequest) -> Response:
        contact = _posted_contact(desk)
        days = request.form.get("days", "")
        until = visit.now + timedelta(days=int(days)) if days in WAITS else None
        asked = read_form(SuppressBody, "scope", "phone_number_id", "note", until=until)
        put_suppression(call_of(visit, desk), contact, asked)
        what = "No message" if asked.scope == "all" else "No marketing"
        how_long = WAITS[days] if until else "until this is lifted"
        return said(visit, _page_of(contact), f"{what} is to be sent to this contact {how_long}.")

    def lift_contact_suppression(visit: PageRequest) -> Response:
        contact = _posted_contact(desk)
        asked = read_form(LiftQuery, "scope", "reason", "phone_number_id", "note")
        try:
            with visit.connection.begin_nested():
                lifted = lift_suppression(call_of(visit, desk), contact, asked).lifted
        except ApiError as refused:
            return said(visit, _page_of(contact), refused.message, is_good=False)
        if "erased" in request.form:
            return said(visit, _page_of(contact), "What was asked for before the erasure is forgotten.")
        if not lifted:
            words = "Nothing was lifted: somebody was faster."
            return said(visit, _page_of(contact), words, is_good=False)
        many = "suppression was" if len(lifted) == 1 else "suppressions were"
        return said(visit, _page_of(contact), f"{len(lifted)} {many} lifted.")

    def erase_page(visit: PageRequest) -> Response:
        return _ask_to_erase(visit, desk, request.args.get("contact", ""))

    def erase_person(visit: PageRequest) -> Response:
        contact = _posted_contact(desk)
        typed = _address(desk, request.form.get("typed", "").strip())
        if isinstance(typed, InvalidAddress) or display(typed.key) != contact:
            fault = "What you typed is not this contact: nothing was erased."
            return _ask_to_erase(visit, desk, contact, fault)
        return said(visit, "/contacts", _erased(erase_contact(call_of(visit, desk), contact)))

    add_page(blueprint, desk, "/contacts/suppress", suppress_contact, method="POST")
    add_page(blueprint, desk, "/contacts/lift", lift_contact_suppression, method="POST")
    add_page(blueprint, desk, "/contacts/erase", erase_page)
    add_page(blueprint, desk, "/contacts/erase", erase_person, method="POST")


def _erased(done: ErasedContact) -> str:
    words = f"Erased from {sum(done.rows.values())} rows, as number {done.erasure} of the erasures."
    if done.archive == "pending":
        words += " The raw archive follows within minutes."
    if done.opted_out:
        words += " They had opted out: checks go on refusing them, by a mark that nobody can read."
    return words


def _ask_to_erase(visit: PageRequest, desk: PageContext, contact: str, fault: str = "") -> Response:
    address = _known_address(desk, contact)
    found = get_contact(call_of(visit, desk), display(address.key), ContactQuery(limit=1))
    response = render(visit, "erase.html", found=found, fault=fault)
    response.status_code = 400 if fault else 200
    return response


def _address(desk: PageContext, text: str) -> Address | InvalidAddress:
    return parse_address(text, desk.room.settings.default_region.upper())


def _known_address(desk: PageContext, text: str) -> Address:
    address = _address(desk, text)
    if isinstance(address, InvalidAddress):
        raise ApiError(400, "bad_contact", f"The contact cannot be used: {address.reason}.")
    return address


def _posted_contact(desk: PageContext) -> str:
    """Whom the form is about, as the pages write it."""
    return display(_known_address(desk, request.form.get("contact", "")).key)


def read_form(kind: Callable[..., Any], *names: str, **more: Any) -> Any:
    """What the form says, as the API takes it."""
    values = {name: request.form[name].strip() for name in names if name in request.form}
    try:
        return convert(values | more, kind)
    except ValidationError:
        raise ApiError(400, "bad_form", "The form holds something that cannot be stored.") from None


def _page_of(contact: str) -> str:
    return f"/contacts?{urlencode({'contact': contact})}"
