"""Checks accounts and business numbers as Meta's Graph API describes them."""

from collections.abc import Iterable, Mapping, Sequence

from webhook_app.rules.accounts.doctor_check import (
    AccountReading,
    Checked,
    DoctorCheck,
    Expected,
    Status,
    as_sentence,
)
from webhook_app.rules.accounts.doctor_templates import judge_templates
from webhook_app.whatsapp.accounts.graph_answers import (
    AccountApp,
    AccountFacts,
    EntityHealth,
    GraphReadError,
    NumberFacts,
)

_SUPPORT = "Business Support Home shows the reason, and whether an appeal is possible."
_MANAGER = "WhatsApp Manager shows its state."
_NUMBER_STATUS: Mapping[str, tuple[Status, int]] = {
    "PENDING": ("broken", 133010),
    "UNVERIFIED": ("broken", 133010),
    "DISCONNECTED": ("broken", 133010),
    "DELETED": ("broken", 133010),
    "MIGRATED": ("broken", 133010),
    "BANNED": ("broken", 131031),
    "RESTRICTED": ("broken", 131031),
    "RATE_LIMITED": ("warning", 130429),
    "FLAGGED": ("warning", -1),
}
_ENTITIES = {
    "WABA": "account",
    "BUSINESS": "business portfolio",
    "PHONE_NUMBER": "number",
    "MESSAGE_TEMPLATE": "template",
}
_LEVELS = {  # whose webhook address counts: the first one that is set
    "phone_number": "its own override",
    "whatsapp_business_account": "its account",
    "application": "its app",
}


def judge_account(waba_id: str, reading: AccountReading, expected: Expected) -> Iterable[DoctorCheck]:
    """The checks of an account and of its numbers."""
    if isinstance(reading.account, GraphReadError):
        yield Checked("account", waba_id, account=waba_id).unread("account", reading.account)
        return
    of = Checked("account", waba_id, reading.account.name, waba_id)
    yield from _judge_facts(of, reading.account)
    if isinstance(reading.apps, GraphReadError):
        yield of.unread("account_app", reading.apps)
    else:
        yield from _judge_apps(of, reading.apps, expected)
    yield from _judge_health(of, reading.health)
    yield from judge_templates(of, reading.templates)
    if isinstance(reading.numbers, GraphReadError):
        yield of.unread("numbers", reading.numbers)
        return
    for number in reading.numbers:
        name = " ".join(filter(None, (number.verified_name, number.display_phone_number)))
        one = Checked("number", number.phone_number_id, name, waba_id)
        yield from _judge_number(one, number, expected)
        yield from _judge_health(one, reading.number_health.get(number.phone_number_id, ()))


def _judge_facts(of: Checked, account: AccountFacts) -> Iterable[DoctorCheck]:
    if account.status in ("ACTIVE", ""):
        yield of.ok("account", "The account is active.")
    else:
        yield of.broken("account", f"The account is {account.status}. Sends are refused.", _SUPPORT, 131031)
    said = f"Meta's review of the account says {account.review}."
    if account.review in ("REJECTED", "RESTRICTED"):
        yield of.broken("review", said, _SUPPORT, 131031)
    elif account.review not in ("APPROVED", ""):
        yield of.warning("review", said, _SUPPORT)
    if account.marketing_is_off:
        fix = "Send marketing by /marketing_messages, or switch it on in WhatsApp Manager."
        yield of.warning("marketing", "Marketing by /messages is switched off for the account.", fix, 131063)


def _judge_apps(of: Checked, apps: Sequence[AccountApp], expected: Expected) -> Iterable[DoctorCheck]:
    own = next((each for each in apps if each.app_id == expected.app_id), None)
    path = f"/{of.subject_id}/subscribed_apps"
    if expected.app_id and own is None:
        said = "The app is not subscribed to the account: no webhook of its numbers arrives."
        yield of.broken("account_app", said, f"POST {path} once, with a token of the app.")
    elif own and expected.is_elsewhere(own.callback_url):
        said = f"The account overrides the callback URL: its webhooks go to {own.callback_url}."
        yield of.broken("account_callback", said, f"POST {path} without a body removes the override.")


def _judge_number(of: Checked, number: NumberFacts, expected: Expected) -> Iterable[DoctorCheck]:
    status, code = _NUMBER_STATUS.get(number.status, ("ok", -1))
    said = f"The number is {number.status or 'known'}."
    fix = "Register the number again." if code == 133010 else _MANAGER
    if status == "broken":
        yield of.broken("number", said, fix, code)
    elif status == "warning":
        yield of.warning("number", said, fix, code)
    elif number.platform == "NOT_APPLICABLE":
        fix = f"POST /{of.subject_id}/register, with the number's PIN."
        yield of.broken("number", "The number is not registered for the Cloud API. Sends fail.", fix, 133010)
    else:
        yield of.ok("number", said)
    if number.name_status == "DECLINED":
        fix = "Choose another display name in WhatsApp Manager."
        yield of.warning(
            "display_name", "Meta has declined the display name. Sends may be refused.", fix, 131037
        )
    if number.quality == "RED":
        said = "Meta rates the number's quality RED: many people block or report it."
        yield of.warning("quality", said, "Send less, and only to people who agreed.", 131048)
    if number.mode == "SANDBOX":
        said = "This is a test number: it reaches only the recipients on its list."
        yield of.warning("test_number", said, "Use a number of your own for real messages.", 131030)
    level = next((name for name in _LEVELS if number.callbacks.get(name)), "")
    if level and expected.is_elsewhere(url := number.callbacks[level]):
        said = f"Webhooks of the number go to {url}, as {_LEVELS[level]} says."
        yield of.broken("number_callback", said, f"Set it to {expected.callback_url}, or remove it.")


def _judge_health(of: Checked, health: Sequence[EntityHealth]) -> Iterable[DoctorCheck]:
    for each in health:
        kind = f"health_{each.kind.lower()}"
        cause = _ENTITIES.get(each.kind) or each.kind.lower().replace("_", " ")
        reason = as_sentence(each.reason or "no reason is given")
        fix = as_sentence(each.solution) if each.solution else _MANAGER
        if each.can_send == "BLOCKED":
            yield of.broken(kind, f"Meta blocks sending because of the {cause}: {reason}", fix, each.code)
        elif each.can_send == "LIMITED":
            yield of.warning(kind, f"Meta limits sending because of the {cause}: {reason}", fix, each.code)
