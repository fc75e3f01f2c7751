"""One document for several changes, in the bytes Meta sends. Neither times nor order are decided here."""

import json
from collections.abc import Sequence

from webhook_app.simulator.message_events import Json
from webhook_app.simulator.plan import Timed

ITEM_LISTS = ("statuses", "messages", "user_preferences")
_Place = tuple[str, int, str, str, int]


def wire(document: Json) -> bytes:
    """JSON as Meta writes it: one line, ASCII, slashes and @ escaped."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("/", "\\/").replace("@", "\\u0040").encode("ascii")


def envelope(changes: Sequence[Timed]) -> Json:
    """An entry per account and, inside it, what is of one kind and business number in one change."""
    places: dict[_Place, list[Timed]] = {}
    for position, timed in enumerate(changes):
        places.setdefault(_place(timed, position), []).append(timed)
    entries: dict[tuple[str, int], Json] = {}
    for (waba_id, time, *_), together in places.items():
        # Only notices about accounts and templates carry the entry's time.
        head: Json = {"id": waba_id, "time": time} if time else {"id": waba_id}
        entry = entries.setdefault((waba_id, time), {**head, "changes": []})
        entry["changes"].append(_combined(together))
    return {"object": "whatsapp_business_account", "entry": list(entries.values())}


def item_count(change: Json) -> int:
    """How many statuses, messages and preferences a change holds; a notice is one item."""
    return max(1, sum(len(change["value"].get(name, ())) for name in ITEM_LISTS))


def _place(timed: Timed, position: int) -> _Place:
    value, field = timed.change["value"], timed.change["field"]
    for kind, name in enumerate(ITEM_LISTS):
        if name in value:
            return timed.waba_id, 0, field, value["metadata"]["phone_number_id"], kind
    return timed.waba_id, int(timed.at.timestamp()), field, "", position


def _combined(together: Sequence[Timed]) -> Json:
    values = [timed.change["value"] for timed in together]
    if len(values) == 1:
        return together[0].change
    value: Json = {name: values[0][name] for name in ("messaging_product", "metadata")}
    if contacts := {contact["user_id"]: contact for one in values for contact in one.get("contacts", ())}:
        value["contacts"] = list(contacts.values())
    for name in ITEM_LISTS:
        if name in values[0]:
            value[name] = [item for one in values for item in one[name]]
    return {"value": value, "field": together[0].change["field"]}
