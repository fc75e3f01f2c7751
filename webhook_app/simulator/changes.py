"""The changes Meta wraps its news in: {"field", "value"} around a status, an inbound message and the like.

Shapes as on Meta's webhook reference pages of September 2026. Values only.
"""

import random
from datetime import datetime

from webhook_app.simulator.message_events import Json, SimulatedMessage, wamid
from webhook_app.simulator.people import Person
from webhook_app.simulator.senders import BusinessNumber, Template


def status_change(message: SimulatedMessage, status: Json) -> Json:
    """One status of a message; contacts[] stands beside all but failed, a username not beside sent."""
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
    """Somebody wrote `text` to the business, or pressed a template's quick reply that says it."""
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


def preference_change(number: BusinessNumber, person: Person, at: datetime, wish: str) -> Json:
    """Somebody told WhatsApp to 'stop' or 'resume' marketing; the timestamp is a number here."""
    item: Json = {"wa_id": person.phone} if person.phone else {}
    item |= {
        "user_id": person.user_id,
        "detail": f"User requested to {wish} marketing messages",
        "category": "marketing_messages",
        "value": wish,
        "timestamp": int(at.timestamp()),
    }
    value = _value(number)
    value |= {"contacts": [_contact(person, username=True)], "user_preferences": [item]}
    return {"value": value, "field": "user_preferences"}


def template_paused_change(template: Template) -> Json:
    """Meta paused a template for the first time, for three hours."""
    paused = {"title": "FIRST_PAUSE", "description": "Paused for 3 hours because of recipient feedback."}
    value: Json = {
        "event": "PAUSED",
        "message_template_id": template.template_id,
        "message_template_name": template.name,
        "message_template_language": template.language,
        "reason": "NONE",
        "message_template_category": template.category.upper(),
        "other_info": paused,
    }
    return {"value": value, "field": "message_template_status_update"}


def template_status_change(template: Template, event: str) -> Json:
    """Meta decided about a template: APPROVED, REJECTED and the like."""
    value: Json = {
        "event": event,
        "message_template_id": template.template_id,
        "message_template_name": template.name,
        "message_template_language": template.language,
        "reason": "NONE",
        "message_template_category": template.category.upper(),
    }
    return {"value": value, "field": "message_template_status_update"}


def template_quality_change(template: Template, before: str, score: str) -> Json:
    """What people who got a template think of it, as GREEN, YELLOW or RED."""
    value: Json = {
        "previous_quality_score": before,
        "new_quality_score": score,
        "message_template_id": template.template_id,
        "message_template_name": template.name,
        "message_template_language": template.language,
    }
    return {"value": value, "field": "message_template_quality_update"}


def number_quality_change(number: BusinessNumber, event: str, limit: str) -> Json:
    """A number was FLAGGED for low quality, or is UNFLAGGED again."""
    value: Json = {"display_phone_number": number.display, "event": event, "current_limit": limit}
    return {"value": value, "field": "phone_number_quality_update"}


def number_tier_change(number: BusinessNumber, tier: str) -> Json:
    """How many people a number may write to in a day."""
    value: Json = {
        "display_phone_number": number.display,
        "event": "ONBOARDING",
        "max_daily_conversations_per_business": tier,
    }
    return {"value": value, "field": "phone_number_quality_update"}


def unknown_status_change(number: BusinessNumber, name: str, at: datetime) -> Json:
    """A status that no documentation knows: what happens when Meta says something new."""
    status = {"id": f"wamid.{name}", "status": name, "timestamp": str(int(at.timestamp()))}
    value = _value(number) | {"statuses": [status | {"recipient_id": "12025550117"}]}
    return {"value": value, "field": "messages"}


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
