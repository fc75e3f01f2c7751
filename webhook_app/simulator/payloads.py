"""Webhook payloads in Meta's shape: changes, the document that holds them, and its bytes. Values only.

The shapes are those of Meta's webhook reference of September 2026.
"""

import json
import random
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.simulator.messages import BusinessNumber, Json, SimulatedMessage, Template, wamid
from webhook_app.simulator.people import Person

ITEM_LISTS = ("statuses", "messages", "user_preferences")
_GroupKey = tuple[str, int, str, str, int]


class TimedChange(Struct, frozen=True):
    """One change of one account and the time at which Meta sends it (aware UTC)."""

    at: datetime
    waba_id: str
    change: Json


def status_change(message: SimulatedMessage, status: Json) -> Json:
    """Return one status of a message. A failed status has no contacts[]; a sent one has no username."""
    value = _value(message.number)
    if status["status"] != "failed":
        value["contacts"] = [_contact(message.person, username=status["status"] != "sent")]
    value["statuses"] = [status]
    return {"value": value, "field": "messages"}


def inbound_change(
    rng: random.Random,
    number: BusinessNumber,
    person: Person,
    at: datetime,
    text: str,
    *,
    button: bool,
) -> Json:
    """Return an inbound message with `text`, typed or sent by a template's quick-reply button."""
    item: Json = {"from": person.phone} if person.phone else {}
    item |= {"from_user_id": person.user_id, "id": wamid(rng, person, inbound=True)}
    item |= {"timestamp": str(int(at.timestamp()))}
    if button:
        item |= {"type": "button", "button": {"payload": text, "text": text}}
    else:
        item |= {"type": "text", "text": {"body": text}}
    value = _value(number)
    value |= {"contacts": [_contact(person, username=True)], "messages": [item]}
    return {"value": value, "field": "messages"}


def preference_change(number: BusinessNumber, person: Person, at: datetime, preference: str) -> Json:
    """Return a request to 'stop' or 'resume' marketing messages; here Meta writes the timestamp as a number."""
    item: Json = {"wa_id": person.phone} if person.phone else {}
    item |= {
        "user_id": person.user_id,
        "detail": f"User requested to {preference} marketing messages",
        "category": "marketing_messages",
        "value": preference,
        "timestamp": int(at.timestamp()),
    }
    value = _value(number)
    value |= {"contacts": [_contact(person, username=True)], "user_preferences": [item]}
    return {"value": value, "field": "user_preferences"}


def template_paused_change(template: Template) -> Json:
    """Return the first pause of a template, for three hours."""
    change = template_status_change(template, "PAUSED")
    paused = {"title": "FIRST_PAUSE", "description": "Paused for 3 hours because of recipient feedback."}
    change["value"]["other_info"] = paused
    return change


def template_status_change(template: Template, event: str) -> Json:
    """Return a new status of a template, such as APPROVED or REJECTED."""
    value = {
        "event": event,
        **_template_fields(template),
        "reason": "NONE",
        "message_template_category": template.category.upper(),
    }
    return {"value": value, "field": "message_template_status_update"}


def template_quality_change(template: Template, before: str, score: str) -> Json:
    """Return a new quality score of a template: GREEN, YELLOW or RED."""
    scores = {"previous_quality_score": before, "new_quality_score": score}
    return {"value": scores | _template_fields(template), "field": "message_template_quality_update"}


def number_quality_change(number: BusinessNumber, event: str, limit: str) -> Json:
    """Return a number's quality event: FLAGGED or UNFLAGGED."""
    value: Json = {"display_phone_number": number.display, "event": event, "current_limit": limit}
    return {"value": value, "field": "phone_number_quality_update"}


def number_tier_change(number: BusinessNumber, tier: str) -> Json:
    """Return a number's new limit of recipients per day."""
    value: Json = {
        "display_phone_number": number.display,
        "event": "ONBOARDING",
        "max_daily_conversations_per_business": tier,
    }
    return {"value": value, "field": "phone_number_quality_update"}


def unknown_status_change(number: BusinessNumber, name: str, at: datetime) -> Json:
    """Return a status of an undocumented kind, as when Meta adds a new one."""
    status = {"id": f"wamid.{name}", "status": name, "timestamp": str(int(at.timestamp()))}
    value = _value(number) | {"statuses": [status | {"recipient_id": "12025550117"}]}
    return {"value": value, "field": "messages"}


def wire(document: Json) -> bytes:
    """Return JSON as Meta writes it: one line, ASCII, slashes and @ escaped."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("/", "\\/").replace("@", "\\u0040").encode("ascii")


def envelope(changes: Sequence[TimedChange]) -> Json:
    """Return one document: an entry per account, in it one change per kind of item and business number."""
    groups: dict[_GroupKey, list[TimedChange]] = {}
    for position, timed in enumerate(changes):
        groups.setdefault(_group_key(timed, position), []).append(timed)
    entries: dict[tuple[str, int], Json] = {}
    for (waba_id, time, *_), group in groups.items():
        # Only notices about accounts and templates carry the entry's time.
        head: Json = {"id": waba_id, "time": time} if time else {"id": waba_id}
        entry = entries.setdefault((waba_id, time), {**head, "changes": []})
        entry["changes"].append(_combined(group))
    return {"object": "whatsapp_business_account", "entry": list(entries.values())}


def item_count(change: Json) -> int:
    """Count the statuses, messages and preferences of a change; any other change is one item."""
    return max(1, sum(len(change["value"].get(name, ())) for name in ITEM_LISTS))


def _template_fields(template: Template) -> Json:
    return {
        "message_template_id": template.template_id,
        "message_template_name": template.name,
        "message_template_language": template.language,
    }


def _value(number: BusinessNumber) -> Json:
    metadata = {"display_phone_number": number.display, "phone_number_id": number.phone_number_id}
    return {"messaging_product": "whatsapp", "metadata": metadata}


def _contact(person: Person, *, username: bool) -> Json:
    profile = {"name": person.name}
    if username and person.username:
        profile["username"] = person.username
    contact: Json = {"profile": profile}
    if person.phone:
        contact["wa_id"] = person.phone
    contact["user_id"] = person.user_id
    return contact


def _group_key(timed: TimedChange, position: int) -> _GroupKey:
    value, field = timed.change["value"], timed.change["field"]
    for kind, name in enumerate(ITEM_LISTS):
        if name in value:
            return timed.waba_id, 0, field, value["metadata"]["phone_number_id"], kind
    return timed.waba_id, int(timed.at.timestamp()), field, "", position


def _combined(group: Sequence[TimedChange]) -> Json:
    values = [timed.change["value"] for timed in group]
    if len(values) == 1:
        return group[0].change
    value: Json = {name: values[0][name] for name in ("messaging_product", "metadata")}
    if contacts := {contact["user_id"]: contact for one in values for contact in one.get("contacts", ())}:
        value["contacts"] = list(contacts.values())
    for name in ITEM_LISTS:
        if name in values[0]:
            value[name] = [item for one in values for item in one[name]]
    return {"value": value, "field": group[0].change["field"]}
