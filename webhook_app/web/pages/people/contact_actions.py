"""Actions on one contact: suppress, lift, erase. Uses the API's functions; erasing asks for the number again."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Response

from webhook_app.web.api.people.contacts import ContactQuery, get_contact
from webhook_app.web.api.people.erasure import ErasedContact, erase_contact
from webhook_app.web.api.suppressions.suppressions import (
    LiftQuery,
    SuppressBody,
    lift_suppression,
    put_suppression,
)
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.page import Page, PageRequest, read_form, redirect_with_message, render
from webhook_app.web.pages.people.contacts import known_address, typed_address
from webhook_app.web.pages.wording import SUPPRESS_DAYS
from webhook_app.whatsapp.people.contacts import InvalidAddress, display


def suppress_contact(request: PageRequest) -> Response:
    """Suppress the contact for as long as the form says."""
    contact = _posted_contact(request)
    days = request.form.get("days", "")
    until = request.now + timedelta(days=int(days)) if days in SUPPRESS_DAYS else None
    form = read_form(_fields(request, "scope", "phone_number_id", "note") | {"until": until}, SuppressBody)
    put_suppression(request.call, contact, form)
    what = "Messages" if form.scope == "all" else "Marketing messages"
    how_long = SUPPRESS_DAYS[days] if until else "until you lift this"
    words = f"{what} to this contact are suppressed {how_long}."
    return redirect_with_message(request, _page_of(contact), words)


def lift_contact_suppression(request: PageRequest) -> Response:
    """Lift the contact's suppressions, or remove an opt-out from before an erasure."""
    contact = _posted_contact(request)
    form = read_form(_fields(request, "scope", "reason", "phone_number_id", "note"), LiftQuery)
    try:
        with request.connection.begin_nested():
            lifted = lift_suppression(request.call, contact, form).lifted
    except ApiError as refused:
        return redirect_with_message(request, _page_of(contact), refused.message, is_good=False)
    if "erased" in request.form:
        words = "The opt-out from before the erasure was removed."
        return redirect_with_message(request, _page_of(contact), words)
    if not lifted:
        words = "Nothing to lift: it was lifted already."
        return redirect_with_message(request, _page_of(contact), words, is_good=False)
    many = "suppression was" if len(lifted) == 1 else "suppressions were"
    return redirect_with_message(request, _page_of(contact), f"{len(lifted)} {many} lifted.")


def erase_page(request: PageRequest) -> Response:
    """Ask for the number again before erasing."""
    return _ask_to_erase(request, request.args.get("contact", ""))


def erase_person(request: PageRequest) -> Response:
    """Erase the contact, if the number was typed again."""
    contact = _posted_contact(request)
    typed = typed_address(request, request.form.get("typed", "").strip())
    if isinstance(typed, InvalidAddress) or display(typed.key) != contact:
        fault = "What you typed does not match this contact. Nothing was erased."
        return _ask_to_erase(request, contact, fault)
    return redirect_with_message(request, "/contacts", _erased(erase_contact(request.call, contact)))


def _erased(done: ErasedContact) -> str:
    words = f"Erased from {sum(done.rows.values())} rows, erasure {done.erasure}."
    if done.archive == "pending":
        words += " The raw archive follows within minutes."
    if done.opted_out:
        words += " They had opted out: checks still refuse them, by a hash that does not reveal the number."
    if done.earlier_holder_stays:
        words += " Somebody else had this number before and is not erased."
    return words


def _ask_to_erase(request: PageRequest, contact: str, fault: str = "") -> Response:
    address = known_address(request, contact)
    found = get_contact(request.call, display(address.key), ContactQuery(limit=1))
    return render(request, "erase.html", status=400 if fault else 200, found=found, fault=fault)


def _posted_contact(request: PageRequest) -> str:
    """The contact of the form, as pages write it."""
    return display(known_address(request, request.form.get("contact", "")).key)


def _fields(request: PageRequest, *names: str) -> dict[str, Any]:
    return {name: request.form[name].strip() for name in names if name in request.form}


def _page_of(contact: str) -> str:
    return f"/contacts?{urlencode({'contact': contact})}"


PAGES = (
    Page("POST", "/contacts/suppress", suppress_contact),
    Page("POST", "/contacts/lift", lift_contact_suppression),
    Page("GET", "/contacts/erase", erase_page),
    Page("POST", "/contacts/erase", erase_person),
)
