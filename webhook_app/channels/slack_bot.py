"""Slack by a bot: one message per incident, edited in place, with its history in the thread and action buttons.

Uses httpx instead of slack_sdk: it needs two methods, and the outbox already does retries, pace and pauses; the SDK's
own retries would hide Slack's answers from it. Facts: https://docs.slack.dev/reference/methods/chat.postMessage and
/chat.update, https://docs.slack.dev/apis/web-api/rate-limits (read 2026-11).
"""

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.connections.http_client import TIMEOUT, HttpAnswer, HttpClient
from webhook_app.channels.findings import FindingMessage, compose_findings
from webhook_app.channels.incident_text import change_line, compose, compose_digest
from webhook_app.channels.notification import Notification
from webhook_app.channels.slack import DIGEST_FROM, DIGEST_SIZE, PACE_S
from webhook_app.channels.slack_blocks import Blocks, cut, digest_payload, escape, payload

API_URL = "https://slack.com/api"

_SYMBOLS = {
    "critical": ":red_circle:",
    "error": ":red_circle:",
    "warning": ":large_orange_circle:",
    "info": ":large_blue_circle:",
}
_MESSAGE_ERRORS = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text"}
)
_PERMANENT = _MESSAGE_ERRORS | {
    "access_denied",
    "account_inactive",
    "channel_not_found",
    "channel_is_archived",
    "invalid_auth",
    "is_archived",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "not_authed",
    "not_in_channel",
    "org_login_required",
    "restricted_action",
    "restricted_action_read_only_channel",
    "team_access_not_granted",
    "token_expired",
    "token_revoked",
}
_NOT_EDITABLE = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "update_failed", "channel_not_found"}
)
_THREAD_REASONS = ("acknowledged", "snoozed", "resolved", "past")
_REPLY_LENGTH = 2000


class _MessageReference(Struct, frozen=True, omit_defaults=True):
    """The id of a message, and whether it shows the incident's end; stored in the receipt."""

    channel: str
    ts: str
    ended: bool = False


class _SlackAnswer(Struct, frozen=True):
    """The relevant part of Slack's answer."""

    ok: bool
    error: str = ""
    channel: str = ""
    ts: str = ""


class SlackBot:
    """A bot in one Slack channel. Its token is a secret."""

    name = "slack"
    pace_s = PACE_S
    digest_from = DIGEST_FROM
    digest_size = DIGEST_SIZE

    def __init__(
        self, token: str, channel: str, api_url: str = API_URL, timeout: httpx.Timeout = TIMEOUT
    ) -> None:
        self._channel = channel
        self._api_url = api_url.rstrip("/")
        self._http = HttpClient("Slack", timeout, {"Authorization": f"Bearer {token}"})

    def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
        """Edit the incident's message and add the change to its thread; without a message, post one.

        After the incident's end only the thread grows, unless it opens again: a late notification must not show it as
        open.
        """
        if earlier is None:
            return self._open(notification)
        message = msgspec.json.decode(earlier.reference, type=_MessageReference)
        if message.ended and notification.reason == "again":
            return self._open(notification) if earlier.shared else self._edit(notification, message)
        if not message.ended and not earlier.shared:
            return self._edit(notification, message)
        if not message.ended and notification.reason not in _THREAD_REASONS:
            return self._open(notification)
        self._reply(message, compose(notification).headline)
        return _ended(message, shared=earlier.shared) if notification.is_over else None

    def send_digest(self, notifications: Sequence[Notification]) -> Receipt | None:
        """Post one message that lists each incident; later changes go to its thread."""
        posted = self._post({"channel": self._channel, **digest_payload(compose_digest(notifications))})
        return _receipt(_reference(posted), shared=True)

    def send_findings(self, message: FindingMessage) -> None:
        """Post a message without buttons, which is not edited later. Raises SendError."""
        self._post({"channel": self._channel, **payload(compose_findings(message))})

    def _open(self, notification: Notification) -> Receipt:
        posted = _reference(self._post({"channel": self._channel, **_message(notification)}))
        return _ended(posted) if notification.is_over else _receipt(posted)

    def _edit(self, notification: Notification, message: _MessageReference) -> Receipt | None:
        answer = self._call(
            "chat.update", {"channel": message.channel, "ts": message.ts, **_message(notification)}
        )
        if answer.error in _NOT_EDITABLE:  # it was deleted, or another bot wrote it
            return self._open(notification)
        _check_answer(answer)
        broadcast = notification.reason in ("escalated", "again")
        self._reply(message, change_line(notification), broadcast=broadcast)
        if message.ended:
            return _receipt(replace(message, ended=False))
        return _ended(message) if notification.is_over else None

    def _reply(self, message: _MessageReference, text: str, *, broadcast: bool = False) -> None:
        reply = {
            "channel": message.channel,
            "thread_ts": message.ts,
            "text": escape(cut(text, _REPLY_LENGTH)),
        }
        self._post(reply | ({"reply_broadcast": True} if broadcast else {}))

    def _post(self, message: dict[str, Any]) -> _SlackAnswer:
        answer = self._call("chat.postMessage", message)
        _check_answer(answer)
        if not answer.ts:
            raise SendError("Slack did not return the id of the message", permanent=False)
        return answer

    def _call(self, method: str, message: dict[str, Any]) -> _SlackAnswer:
        body = msgspec.json.encode(message)
        answer = self._http.post(
            f"{self._api_url}/{method}", body, {"Content-Type": "application/json; charset=utf-8"}
        )
        return _read(answer)


def _reference(posted: _SlackAnswer) -> _MessageReference:
    return _MessageReference(posted.channel, posted.ts)


def _receipt(message: _MessageReference, *, shared: bool = False) -> Receipt:
    return Receipt(msgspec.json.encode(message).decode(), shared)


def _ended(message: _MessageReference, *, shared: bool = False) -> Receipt:
    return _receipt(replace(message, ended=True), shared=shared)


def _read(response: HttpAnswer) -> _SlackAnswer:
    """Parse Slack's answer. Raises SendError if it is not an API answer, or asks for a pause."""
    try:
        answer = msgspec.json.decode(response.text, type=_SlackAnswer)
    except msgspec.DecodeError as fault:
        text = f"Slack answered {response.status} {response.excerpt!r}"
        raise SendError(text, permanent=False, retry_after=response.retry_after) from fault
    if response.status != httpx.codes.OK or answer.error == "ratelimited":
        text = f"Slack answered {response.status} {answer.error or 'without a reason'}"
        raise SendError(text, permanent=False, retry_after=response.retry_after)
    return answer


def _check_answer(answer: _SlackAnswer) -> None:
    """Raise SendError if the body reports an error; the status is nearly always 200."""
    if answer.ok:
        return
    error = answer.error[:100]
    permanent = error in _PERMANENT
    raise SendError(f"Slack answered {error!r}", permanent=permanent, of_message=error in _MESSAGE_ERRORS)


def _message(notification: Notification) -> dict[str, Any]:
    text = compose(notification)
    shown = payload(replace(text, headline=f"{_symbol(notification)} {text.headline}"))
    if not notification.is_over:
        shown["blocks"].append({"type": "actions", "elements": _buttons(notification)})
    return shown | {"text": payload(text)["text"]}


def _symbol(notification: Notification) -> str:
    match notification.reason:
        case "resolved" | "past":
            known = notification.ended_how in ("recovered", "faded")
            return ":large_green_circle:" if known else ":white_circle:"
        case _ if notification.acknowledged_by:
            return ":eyes:"
        case _:
            return _SYMBOLS.get(notification.severity, ":red_circle:")


def _buttons(notification: Notification) -> Blocks:
    incident = str(notification.incident_id)
    buttons = [_button("snooze", "Snooze 1 h", incident)]
    if not notification.acknowledged_by:
        buttons.insert(0, _button("acknowledge", "Acknowledge", incident) | {"style": "primary"})
    if notification.codes:
        code = notification.codes[0].code
        number = notification.numbers[0] if len(notification.numbers) == 1 else ""
        where = f"on business number {number}" if number else "on all business numbers"
        question = f"Mute all notifications about {code} {where} for 24 hours?"
        buttons.append(
            _button("silence", f"Silence {code} for 24 h", f"{incident}:{code}:{number}")
            | {
                "confirm": {
                    "title": _plain(f"Silence {code}?"),
                    "text": _plain(question),
                    "confirm": _plain("Silence"),
                    "deny": _plain("Cancel"),
                }
            }
        )
    return buttons


def _button(action: str, label: str, value: str) -> dict[str, Any]:
    return {"type": "button", "action_id": action, "text": _plain(label), "value": value}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}
