"""The shape of a request to Meta's messages endpoint, which is all that is stored of it. Pure.

Keys are those of Meta's message format (Graph API v25, 2026-11). Other keys may hold anything, and are only counted.
"""

from itertools import islice
from typing import Any

import msgspec

from webhook_app.whatsapp.json_text import scrub
from webhook_app.whatsapp.sends.call_redaction import without_credentials

_KEYS_BY_OBJECT = {
    "message": "messaging_product recipient_type recipient recipient_identity_key_hash to type category status context"
    " message_id biz_opaque_callback_data typing_indicator product_policy message_activity_sharing",
    "media": "text body preview_url image video audio document sticker id link caption filename voice provider reaction"
    " emoji location latitude longitude name address",
    "contacts": "contacts addresses street city state zip country country_code birthday emails email formatted_name"
    " first_name last_name middle_name suffix prefix org company department title phones phone wa_id urls url",
    "interactive": "interactive header sub_text footer action button buttons reply sections rows description"
    " product_items product_retailer_id catalog_id thumbnail_product_retailer_id parameters display_text cards"
    " card_index payload ttl_minutes",
    "flow": "flow mode flow_message_version flow_token flow_id flow_name flow_cta flow_action flow_action_payload"
    " screen data",
    "address": "values saved_addresses validation_errors in_pin_code floor_number building_name landmark_area"
    " house_number tower_number phone_number",
    "template": "template namespace language code policy components sub_type index format parameter_name currency"
    " fallback_value amount_1000 date_time day_of_week day_of_month year month hour minute calendar coupon_code"
    " limited_time_offer expiration_time_ms tap_target_configuration product",
    "order": "order_details order_status reference_id payment_type payment_settings payment_gateway configuration_name"
    " payment_configuration pix_dynamic_code payment_link boleto total_amount value offset order items retailer_id"
    " amount quantity sale_amount tax shipping discount discount_program_name subtotal expiration timestamp",
}
_KEYS = frozenset(key for keys in _KEYS_BY_OBJECT.values() for key in keys.split())
_VISIBLE_KEYS = {
    "": "messaging_product recipient_type type category status",
    "template": "name namespace",
    "language": "code policy",
    "components": "type sub_type index format",
    "cards": "card_index",
    "parameters": "type",
    "interactive": "type",
}
"""The keys whose word is kept, by parent key. Any other text may be personal data."""
_VISIBLE = frozenset((parent, key) for parent, keys in _VISIBLE_KEYS.items() for key in keys.split())
_LONGEST_WORD = 200
_LARGEST_INDEX = 99
_MOST_ITEMS = 50
_UNKNOWN = "[unknown keys]"
_DEPTHS = (16, 8, 4, 3, 2, 1, 0)  # a parameter of a card of a carousel is at 9


def request_shape(request: dict[str, Any], most_bytes: int) -> str:
    """Return JSON of at most `most_bytes` (20 or more): the keys and words of Meta's format, and lengths.

    What does not fit is replaced by the number of its keys or items, the innermost objects and lists first.
    """
    for depth in _DEPTHS:
        encoded = msgspec.json.encode(_shape(request, depth))
        if len(encoded) <= most_bytes:
            break
    return encoded.decode()


def _shape(value: Any, depth: int, key: str = "", parent: str = "") -> Any:
    if type(value) is dict:
        return _shape_of_object(value, depth, key) if depth else f"[{len(value)} keys]"
    if type(value) is list:
        return _shape_of_list(value, depth, key, parent) if depth else f"[{len(value)} items]"
    if value is None or type(value) is bool:
        return value
    is_visible = (parent, key) in _VISIBLE
    if type(value) is str:
        return _shape_of_text(value, is_visible=is_visible)
    return value if is_visible and type(value) is int and 0 <= value <= _LARGEST_INDEX else "[number]"


def _shape_of_object(value: dict[str, Any], depth: int, key: str) -> dict[str, Any]:
    kept = {name: _shape(inner, depth - 1, name, key) for name, inner in value.items() if name in _KEYS}
    unknown = len(value) - len(kept)
    return kept | {_UNKNOWN: unknown} if unknown else kept


def _shape_of_list(value: list[Any], depth: int, key: str, parent: str) -> list[Any]:
    items = [_shape(item, depth - 1, key, parent) for item in islice(value, _MOST_ITEMS)]
    left = len(value) - len(items)
    return [*items, f"[{left} more items]"] if left else items


def _shape_of_text(value: str, *, is_visible: bool) -> Any:
    if is_visible and len(value) <= _LONGEST_WORD:
        return without_credentials(scrub(value))
    return f"[{len(value)} characters]" if value else ""
