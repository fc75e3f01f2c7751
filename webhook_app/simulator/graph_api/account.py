"""What the simulated Graph API knows: token, app, accounts, business numbers, and templates in several states."""

import json

from msgspec import Struct

from webhook_app.simulator.messages import (
    LOGIN_CODE,
    NUMBERS,
    ORDER_UPDATE,
    SEASONAL_OFFER,
    WIN_BACK,
    BusinessNumber,
    Json,
    Template,
)

TOKEN = "EAAsimulatedMetaAccessToken0000"  # noqa: S105  opens nothing
EXPIRED_TOKEN = "EAAsimulatedMetaExpiredToken000"  # noqa: S105
APP_ID = "900100200300400"
APP_SECRET = "a-simulated-app-secret-of-meta"  # noqa: S105

_BUSINESS = "330011002200330"
_VERSION = "v25.0"
_FIRST_ID = 918273645600000
_FIELDS = (
    "messages", "user_preferences", "account_update", "account_alerts", "account_review_update",
    "business_capability_update", "phone_number_quality_update", "phone_number_name_update", "security",
    "message_template_status_update", "message_template_quality_update", "template_category_update",
    "message_template_components_update", "template_correct_category_detection",
)  # fmt: skip
_FOOTER = {"type": "FOOTER", "text": "Reply STOP to stop offers"}
_STOP = {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop promotions"}]}


class SimulatedAccount(Struct, frozen=True, kw_only=True):
    """What the simulated Graph API knows: one app, the accounts of its numbers, and the templates that each has."""

    app_secret: str = APP_SECRET
    callback_url: str = ""
    """The app's webhook; empty if it has none."""
    numbers: tuple[BusinessNumber, ...] = tuple(
        each for each in NUMBERS if each.waba_id == NUMBERS[0].waba_id
    )
    low_quality: frozenset[str] = frozenset()
    """The phone_number_ids of the numbers that Meta rates RED."""
    templates: tuple[Json, ...] = ()
    """Rows of /message_templates."""

    @property
    def app_token(self) -> str:
        return f"{APP_ID}|{self.app_secret}"

    def number(self, phone_number_id: str) -> BusinessNumber | None:
        """The business number with this id, or None."""
        return next((each for each in self.numbers if each.phone_number_id == phone_number_id), None)

    @property
    def waba_ids(self) -> tuple[str, ...]:
        """The ids of the accounts."""
        return tuple(dict.fromkeys(each.waba_id for each in self.numbers))

    def token_data(self) -> Json:
        """What debug_token says of the valid token."""
        scopes = ["whatsapp_business_management", "whatsapp_business_messaging"]
        targets = list(self.waba_ids)
        return {
            "app_id": APP_ID,
            "type": "SYSTEM_USER",
            "application": "Acme sends",
            "data_access_expires_at": 0,
            "expires_at": 0,
            "is_valid": True,
            "issued_at": 1790000000,
            "scopes": scopes,
            "granular_scopes": [{"scope": scope, "target_ids": targets} for scope in scopes],
            "user_id": "777000111222333",
        }

    def nodes(self) -> dict[str, tuple[str, Json]]:
        """Every node by its id, with its type."""
        found: dict[str, tuple[str, Json]] = {APP_ID: ("Application", {"id": APP_ID, "name": "Acme sends"})}
        for waba_id in self.waba_ids:
            found[waba_id] = ("WhatsAppBusinessAccount", self._account_row(waba_id))
        for each in self.numbers:
            found[each.phone_number_id] = ("WhatsAppBusinessPhoneNumber", self._number_row(each))
        found |= {row["id"]: ("WhatsAppMessageTemplate", row) for row in self.templates if "id" in row}
        return found

    def edges(self) -> dict[str, tuple[str, list[Json]]]:
        """Every edge by its path, with the type of its rows."""
        app = {"id": APP_ID, "name": "Acme sends", "link": f"https://www.facebook.com/games/?app_id={APP_ID}"}
        found: dict[str, tuple[str, list[Json]]] = {}
        for waba_id in self.waba_ids:
            numbers = [self._number_row(each) for each in self.numbers if each.waba_id == waba_id]
            found[f"{waba_id}/phone_numbers"] = ("WhatsAppBusinessPhoneNumber", numbers)
            apps: list[Json] = [{"whatsapp_business_api_data": app}]
            found[f"{waba_id}/subscribed_apps"] = ("WhatsAppBusinessAccount", apps)
            found[f"{waba_id}/message_templates"] = ("WhatsAppMessageTemplate", list(self.templates))
        return found

    def subscriptions(self) -> list[Json]:
        """The rows of /{app_id}/subscriptions."""
        if not self.callback_url:
            return []
        fields = [{"name": name, "version": _VERSION} for name in _FIELDS]
        row: Json = {"object": "whatsapp_business_account", "callback_url": self.callback_url}
        return [row | {"active": True, "fields": fields}]

    def _account_row(self, waba_id: str) -> Json:
        place = self.waba_ids.index(waba_id)
        return {
            "id": waba_id,
            "name": f"Acme {place + 1}" if place else "Acme",
            "status": "ACTIVE",
            "currency": "EUR",
            "country": "DE",
            "timezone_id": "1",
            "account_review_status": "APPROVED",
            "business_verification_status": "verified",
            "ownership_type": "SELF",
            "message_template_namespace": "5f0c1d2e_3a4b_5968_7766_554433221100",
            "marketing_messages_onboarding_status": "ONBOARDED",
            "whatsapp_business_manager_messaging_limit": "TIER_10K",
            "owner_business_info": {"id": _BUSINESS, "name": "Acme GmbH"},
            "disable_marketing_messages_on_cloud_api": False,
            "health_status": _health(WABA=waba_id),
        }

    def _number_row(self, number: BusinessNumber) -> Json:
        quality = "RED" if number.phone_number_id in self.low_quality else "GREEN"
        row: Json = {
            "id": number.phone_number_id,
            "display_phone_number": f"+{number.display}",
            "verified_name": "Acme",
            "status": "CONNECTED",
            "quality_rating": quality,
            "quality_score": {"score": quality},
            "name_status": "APPROVED",
            "new_name_status": "NONE",
            "code_verification_status": "EXPIRED",
            "platform_type": "CLOUD_API",
            "throughput": {"level": "STANDARD"},
            "account_mode": "LIVE",
            "is_official_business_account": False,
            "is_on_biz_app": False,
            "is_pin_enabled": True,
            "last_onboarded_time": "2026-02-03T10:00:00+0000",
            "whatsapp_business_manager_messaging_limit": "TIER_10K",
            "health_status": _health(PHONE_NUMBER=number.phone_number_id, WABA=number.waba_id),
        }
        return row | (
            {"webhook_configuration": {"application": self.callback_url}} if self.callback_url else {}
        )


def read_templates(text: str) -> tuple[Json, ...]:
    """Parse what `GET /{waba_id}/message_templates` answers. The text of a ValueError is for the caller."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise ValueError(f"not JSON: {fault}") from fault
    rows = found.get("data") if isinstance(found, dict) else found
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(
            'expected Meta\'s answer {"data": [{"name": …, "language": …, "components": […]}, …]}'
        )
    for place, row in enumerate(rows):
        if not row.get("name") or not row.get("language"):
            raise ValueError(f"template {place} has no name or no language")
    usual = {"status": "APPROVED", "category": "UTILITY", "components": []}
    return tuple({"id": str(_FIRST_ID + place), **usual, **row} for place, row in enumerate(rows))


def example_templates() -> tuple[Json, ...]:
    """Templates of every category and kind of parameter, and some that may not be sent."""
    code = {"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy code"}
    track = {"type": "URL", "text": "Track", "url": "https://acme.example/t/{{1}}", "example": ["7"]}
    copy = {"type": "COPY_CODE", "text": "Copy offer code", "example": "AUTUMN26"}
    return (
        _template(ORDER_UPDATE, _body("Hello {{1}}, your order {{2}} is on its way."), _buttons(track)),
        _template(
            SEASONAL_OFFER, {"type": "HEADER", "format": "IMAGE"}, _body("Hello {{1}}!"), _FOOTER, _STOP
        ),
        _template(WIN_BACK, _body("We miss you."), _buttons(copy)),
        _template(LOGIN_CODE, _body("*{{1}}* is your code."), _buttons(code)),
        _template(
            Template("appointment", "utility", "", 918273645501950),
            {"type": "HEADER", "format": "TEXT", "text": "Appointment {{place}}"},
            _body("Hello {{name}}, see you on {{day}}."),
            _buttons({"type": "URL", "text": "Directions", "url": "https://acme.example/shops"}),
            parameter_format="NAMED",
        ),
        _template(
            Template("paused_offer", "marketing", "", 918273645501951), _body("Hello"), status="PAUSED"
        ),
        _template(
            Template("disabled_offer", "marketing", "", 918273645501952), _body("Hello"), status="DISABLED"
        ),
        _template(
            Template("pending_offer", "marketing", "", 918273645501953), _body("Hello"), status="PENDING"
        ),
    )


def _template(
    template: Template, *components: Json, status: str = "APPROVED", parameter_format: str = "POSITIONAL"
) -> Json:
    return {
        "id": str(template.template_id),
        "name": template.name,
        "language": template.language,
        "status": status,
        "category": template.category.upper(),
        "parameter_format": parameter_format,
        "quality_score": {"score": "RED" if status in ("PAUSED", "DISABLED") else "GREEN"},
        "rejected_reason": "NONE",
        "components": list(components),
    }


def _body(text: str) -> Json:
    return {"type": "BODY", "text": text}


def _buttons(*buttons: Json) -> Json:
    return {"type": "BUTTONS", "buttons": list(buttons)}


def _health(**ids: str) -> Json:
    """The health_status of a node: it and what it belongs to are available."""
    entities = {**ids, "BUSINESS": _BUSINESS, "APP": APP_ID}
    available = "AVAILABLE"
    return {
        "can_send_message": available,
        "entities": [
            {"entity_type": name, "id": each, "can_send_message": available}
            for name, each in entities.items()
        ],
    }
