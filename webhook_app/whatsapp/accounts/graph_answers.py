"""Reads answers of Meta's Graph API about tokens, apps, accounts, numbers and templates.

Every field may be missing and every enumeration may have new values: what cannot be read is empty or None, never an
exception. Field names: Meta's reference of Graph v25, read 2026-11.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from webhook_app.whatsapp.accounts.graph_values import a_list, a_number, a_text, a_time, a_word, an_object

_MOST_ENTITIES = 10


class GraphReadError(Exception):
    """Meta's Graph API refused a read. `code` and `subcode` are Meta's, or -1 if no Graph answered."""

    def __init__(self, code: int, subcode: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.subcode = subcode
        self.message = message


class TokenFacts(Struct, frozen=True, kw_only=True):
    """What debug_token says of an access token. `expires_at` and `data_access_expires_at`: None is never."""

    is_valid: bool
    app_id: str = ""
    kind: str = ""
    """SYSTEM_USER, USER, APP or PAGE."""
    expires_at: datetime | None = None
    data_access_expires_at: datetime | None = None
    scopes: frozenset[str] = frozenset()
    targets: Mapping[str, frozenset[str]] = {}
    """The ids to which a scope is limited. A scope that is missing here holds for all."""
    code: int = -1
    subcode: int = -1
    message: str = ""


class AppSubscription(Struct, frozen=True, kw_only=True):
    """The webhook that an app has for one kind of object."""

    object: str
    callback_url: str
    is_active: bool
    fields: frozenset[str]


class AccountApp(Struct, frozen=True, kw_only=True):
    """An app that receives an account's webhooks. `callback_url`: empty unless the account overrides the app's."""

    app_id: str
    callback_url: str


class EntityHealth(Struct, frozen=True, kw_only=True):
    """Whether one entity can send. `code` and `reason` are those of the first error, or of the first restriction."""

    kind: str
    entity_id: str
    can_send: str
    code: int
    reason: str
    solution: str


class AccountFacts(Struct, frozen=True, kw_only=True):
    """A WhatsApp Business Account."""

    waba_id: str
    name: str
    status: str
    review: str
    marketing_is_off: bool
    limit: str


class NumberFacts(Struct, frozen=True, kw_only=True):
    """A business number. `callbacks`: the webhook address of each level that has one."""

    phone_number_id: str
    waba_id: str
    display_phone_number: str
    verified_name: str
    status: str
    quality: str
    name_status: str
    platform: str
    mode: str
    throughput: str
    limit: str
    callbacks: Mapping[str, str]


def read_token(answer: Mapping[str, Any]) -> TokenFacts:
    """Reads the answer of /debug_token. An invalid token is described in `data.error`, with HTTP status 200."""
    data = an_object(answer.get("data"))
    error = an_object(data.get("error"))
    granular = [an_object(each) for each in a_list(data.get("granular_scopes"))]
    return TokenFacts(
        is_valid=data.get("is_valid") is True,
        app_id=a_text(data.get("app_id")),
        kind=a_text(data.get("type")).upper(),
        expires_at=a_time(data.get("expires_at")),
        data_access_expires_at=a_time(data.get("data_access_expires_at")),
        scopes=frozenset(a_text(each) for each in a_list(data.get("scopes"))),
        targets={
            a_text(each.get("scope")): frozenset(a_text(target) for target in a_list(each["target_ids"]))
            for each in granular
            if "target_ids" in each
        },
        code=a_number(error.get("code")),
        subcode=a_number(error.get("subcode")),
        message=a_text(error.get("message")),
    )


def read_subscriptions(rows: Iterable[Any]) -> list[AppSubscription]:
    """Reads the rows of /{app_id}/subscriptions."""
    return [
        AppSubscription(
            object=a_text(row.get("object")),
            callback_url=a_text(row.get("callback_url")),
            is_active=row.get("active") is not False,
            fields=frozenset(
                a_text(an_object(each).get("name") or each) for each in a_list(row.get("fields"))
            ),
        )
        for row in map(an_object, rows)
    ]


def read_account_apps(rows: Iterable[Any]) -> list[AccountApp]:
    """Reads the rows of /{waba_id}/subscribed_apps."""
    return [
        AccountApp(
            app_id=a_text(an_object(row.get("whatsapp_business_api_data")).get("id")),
            callback_url=a_text(row.get("override_callback_uri")),
        )
        for row in map(an_object, rows)
    ]


def read_account(row: Mapping[str, Any]) -> AccountFacts:
    """Reads a WhatsApp Business Account."""
    return AccountFacts(
        waba_id=a_text(row.get("id")),
        name=a_text(row.get("name")),
        status=a_word(row.get("status")),
        review=a_word(row.get("account_review_status")),
        marketing_is_off=row.get("disable_marketing_messages_on_cloud_api") is True,
        limit=a_word(row.get("whatsapp_business_manager_messaging_limit")),
    )


def read_number(row: Mapping[str, Any], waba_id: str) -> NumberFacts:
    """Reads a business number of this account."""
    return NumberFacts(
        phone_number_id=a_text(row.get("id")),
        waba_id=waba_id,
        display_phone_number=a_text(row.get("display_phone_number")),
        verified_name=a_text(row.get("verified_name")),
        status=a_word(row.get("status")),
        quality=a_word(an_object(row.get("quality_score")).get("score") or row.get("quality_rating")),
        name_status=a_word(row.get("name_status")),
        platform=a_word(row.get("platform_type")),
        mode=a_word(row.get("account_mode")),
        throughput=a_word(an_object(row.get("throughput")).get("level")),
        limit=a_word(row.get("whatsapp_business_manager_messaging_limit")),
        callbacks={
            name: a_text(url)
            for name, url in an_object(row.get("webhook_configuration")).items()
            if a_text(url)
        },
    )


def read_health(row: Mapping[str, Any]) -> list[EntityHealth]:
    """Reads `health_status` of any node: each entity that a message of it depends on."""
    found = []
    for each in map(an_object, a_list(an_object(row.get("health_status")).get("entities"))[:_MOST_ENTITIES]):
        errors = [an_object(error) for error in a_list(each.get("errors"))]
        first = errors[0] if errors else {}
        remarks = a_list(each.get("additional_info"))
        found.append(
            EntityHealth(
                kind=a_word(each.get("entity_type")),
                entity_id=a_text(each.get("id")),
                can_send=a_word(each.get("can_send_message")),
                code=a_number(first.get("error_code")),
                reason=a_text(first.get("error_description")) or a_text(remarks[0] if remarks else ""),
                solution=a_text(first.get("possible_solution")),
            )
        )
    return found


def read_error(answer: Any) -> GraphReadError:
    """Reads Meta's error object; -1 stands for a missing code."""
    error = an_object(an_object(answer).get("error"))
    user_text = a_text(error.get("error_user_msg"))
    message = a_text(error.get("message")) or "an answer without an error object"
    return GraphReadError(
        a_number(error.get("code")),
        a_number(error.get("error_subcode")),
        f"{message} ({user_text})" if user_text else message,
    )
