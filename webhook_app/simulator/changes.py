"""The changes Meta wraps its news in: {"field", "value"} around a status, an inbound message and the like.

Shapes as on Meta's webhook reference pages of September 2026. Values only.
"""

import random
from datetime import datetime

from webhook_app.simulator.lives import Json, Message, wamid
from webhook_app.simulator.people import Person
from webhook_app.simulator.senders import BusinessNumber, Template


def status_change(message: Message, status: Json) -> Json:
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
