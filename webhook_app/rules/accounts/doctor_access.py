"""Checks the access token, the app's webhook subscription and the clock, as Meta's Graph API describes them."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from webhook_app.rules.accounts.doctor_check import (
    NEEDED_FIELD,
    CertificateFacts,
    Checked,
    DoctorCheck,
    Expected,
    GraphReading,
    as_sentence,
)
from webhook_app.whatsapp.accounts.graph_answers import AppSubscription, GraphReadError, TokenFacts

WARN_BEFORE = timedelta(days=7)
CERTIFICATE_ENDS = timedelta(days=14)
"""How long before its end a certificate should have been renewed; a third of its time if that is shorter."""
CLOCK_OFF = timedelta(seconds=60)
SCOPES = ("whatsapp_business_management", "whatsapp_business_messaging")

_TOKEN_REFUSED = (102, 190)
_NEW_TOKEN = (
    "In Business settings, under System users, make a token with both scopes, and set META_ACCESS_TOKEN."  # noqa: S105
)
_CONFIGURATION = "In the app's dashboard, under WhatsApp and Configuration"


def judge_access(reading: GraphReading, expected: Expected) -> Iterable[DoctorCheck]:
    """The checks of what all accounts share."""
    yield from _judge_token(reading.token, expected, reading.read_at)
    yield from _judge_subscription(reading.subscriptions, expected)
    if reading.server_time is not None:
        yield _judge_clock(abs(reading.read_at - reading.server_time))
    if reading.certificate is not None:
        yield _judge_certificate(reading.certificate, reading.read_at)


def _judge_token(
    token: TokenFacts | GraphReadError, expected: Expected, now: datetime
) -> Iterable[DoctorCheck]:
    of = Checked("token")
    if isinstance(token, GraphReadError):
        if token.code in _TOKEN_REFUSED:
            said = f"Meta refuses the access token: {as_sentence(token.message)} Sends with it fail."
            yield of.broken("token", said, _NEW_TOKEN, token.code)
        else:
            yield of.unread("token", token)
        return
    if not token.is_valid:
        reason = as_sentence(token.message or "Meta gives no reason")
        yield of.broken(
            "token", f"The access token is not valid: {reason} Every send fails.", _NEW_TOKEN, 190
        )
        return
    yield _judge_expiry(of, token, now)
    if token.kind == "USER":
        said = (
            "The access token belongs to a person: it ends after hours or weeks, or when the person leaves."
        )
        yield of.warning("token_type", said, _NEW_TOKEN, 190)
    if missing := [scope for scope in SCOPES if scope not in token.scopes]:
        said = f"The access token lacks {' and '.join(missing)}. Sends or reads with it are refused."
        yield of.broken("token_scopes", said, _NEW_TOKEN, 200)
    if expected.app_id and token.app_id and token.app_id != expected.app_id:
        said = (
            f"The access token is of app {token.app_id}, not of META_APP_ID {expected.app_id}. Webhooks for messages"
            " sent with it are signed with the other app's secret, and are refused here."
        )
        yield of.broken(
            "token_app", said, "Use a token of this app, or set META_APP_ID to the token's app.", 190
        )


def _judge_expiry(of: Checked, token: TokenFacts, now: datetime) -> DoctorCheck:
    ends = min((at for at in (token.expires_at, token.data_access_expires_at) if at), default=None)
    if ends is None:
        return of.ok("token", "The access token is valid and does not end.")
    if ends <= now:
        return of.broken("token", f"The access token ended at {_moment(ends)}.", _NEW_TOKEN, 190)
    said = f"The access token is valid until {_moment(ends)}."
    if ends - now > WARN_BEFORE:
        return of.ok("token", said)
    return of.warning("token", f"{said} From then on every send fails.", _NEW_TOKEN, 190)


def _judge_subscription(
    subscriptions: list[AppSubscription] | GraphReadError | None, expected: Expected
) -> Iterable[DoctorCheck]:
    of = Checked("app", expected.app_id)
    if not expected.app_id:
        said = "Without META_APP_ID it is unknown which webhooks the app subscribes to."
        yield of.unknown("subscription", said, "Set META_APP_ID.")
        return
    if subscriptions is None:
        return
    if isinstance(subscriptions, GraphReadError):
        yield of.unread("subscription", subscriptions)
        return
    row = next((each for each in subscriptions if each.object == "whatsapp_business_account"), None)
    if row is None or not row.is_active:
        said = "The app has no active webhook for WhatsApp: no webhook arrives."
        fix = f"{_CONFIGURATION}, enter this service's address with /webhook, and META_VERIFY_TOKEN."
        yield of.broken("subscription", said, fix)
        return
    if NEEDED_FIELD not in row.fields:
        said = "The app does not subscribe to the field messages: no status of a message arrives."
        yield of.broken("subscription", said, f"{_CONFIGURATION}, subscribe to messages.")
    elif missing := sorted(expected.fields - row.fields):
        said = f"The app does not subscribe to {', '.join(missing)}: such changes are not noticed."
        yield of.warning("subscription", said, f"{_CONFIGURATION}, subscribe to these fields.")
    else:
        yield of.ok("subscription", "The app subscribes to every field that is read here.")
    if expected.is_elsewhere(row.callback_url):
        said = f"Meta sends the app's webhooks to {row.callback_url}, not to {expected.callback_url}."
        yield of.broken("callback", said, f"{_CONFIGURATION}, correct the callback URL.")


def _judge_clock(off: timedelta) -> DoctorCheck:
    of, said = Checked("service"), f"This machine's clock differs from Meta's by {off.total_seconds():.0f} s."
    if off <= CLOCK_OFF:
        return of.ok("clock", said)
    return of.warning("clock", said, "Turn on time synchronisation: windows and deadlines follow this clock.")


def _judge_certificate(shown: CertificateFacts, now: datetime) -> DoctorCheck:
    of, said = Checked("service", shown.host), f"The TLS certificate of {shown.host}"
    if shown.ends_at is None or shown.begins_at is None:
        fix = "Meta delivers webhooks only to a trusted certificate. Let the server send the intermediate ones, too."
        return of.warning("certificate", f"{said} is not trusted here: {as_sentence(shown.fault)}", fix)
    said = f"{said} is valid until {_moment(shown.ends_at)}."
    if shown.ends_at - now > min(CERTIFICATE_ENDS, (shown.ends_at - shown.begins_at) / 3):
        return of.ok("certificate", said)
    return of.warning("certificate", f"{said} From then on Meta delivers no webhook.", "Renew it.")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
