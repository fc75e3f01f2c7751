"""Slack by a bot: one message per incident, edited in place, its history in the thread, buttons to act on it.

Plain httpx rather than slack_sdk: two methods are called, and repeating, pacing and pausing is the outbox' business;
the SDK's own retries would only hide from it what Slack said. Facts: https://docs.slack.dev/reference/methods
/chat.postMessage and /chat.update, https://docs.slack.dev/apis/web-api/rate-limits (read 2026-11).
"""

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.alert_text import compose, compose_digest, news
from webhook_app.channels.notification import Notification
from webhook_app.channels.outgoing import TIMEOUT, HttpAnswer, Outgoing
from webhook_app.channels.slack import DIGEST_FROM, DIGEST_SIZE, PACE_S
from webhook_app.channels.slack_blocks import Blocks, cut, digest_payload, escape, payload

API_URL = "https://slack.com/api"

_SYMBOLS = {
    "critical": ":red_circle:",
    "error": ":red_circle:",
    "warning": ":large_orange_circle:",
    "info": ":large_blue_circle:",
}
_OF_MESSAGE = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text"}
)
_PERMANENT = _OF_MESSAGE | {
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
_NOT_TO_EDIT = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "update_failed", "channel_not_found"}
)
_FOR_THE_THREAD = ("acknowledged", "snoozed", "resolved")
_NEWS_LENGTH = 2000


class _Posted(Struct, frozen=True):
    """Where a message stands; kept in the receipt."""

    channel: str
    ts: str


class _Said(Struct, frozen=True):
    """The part of Slack's answer that counts."""

    ok: bool
    error: str = ""
    channel: str = ""
    ts: str = ""


class SlackBot:
    """Posts to one channel with a bot's token, which is a secret."""

    name = "slack"
    pace_s = PACE_S
    digest_from = DIGEST_FROM
    digest_size = DIGEST_SIZE

    def __init__(
        self, token: str, channel: str, api_url: str = API_URL, timeout: httpx.Timeout = TIMEOUT
    ) -> None:
        self._channel = channel
        self._api_url = api_url.rstrip("/")
        self._http = Outgoing("Slack", timeout, {"Authorization": f"Bearer {token}"})

    def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
        """Edit the incident's message and note the news in its thread; without a message, post one."""
        if earlier is None:
            return self._open(notification)
        at = msgspec.json.decode(earlier.reference, type=_Posted)
        if earlier.shared:
            if notification.reason not in _FOR_THE_THREAD:
                return self._open(notification)
            self._reply(at, compose(notification).headline)
            return None
        return self._edit(notification, at)

    def send_digest(self, notifications: Sequence[Notification]) -> Receipt | None:
        """One message that names each alert; what becomes of them is told in its thread."""
        posted = self._post({"channel": self._channel, **digest_payload(compose_digest(notifications))})
        return _receipt(posted, shared=True)

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def _open(self, notification: Notification) -> Receipt:
        return _receipt(self._post({"channel": self._channel, **_message(notification)}))

    def _edit(self, notification: Notification, at: _Posted) -> Receipt | None:
        said = self._call("chat.update", {"channel": at.channel, "ts": at.ts, **_message(notification)})
        if said.error in _NOT_TO_EDIT:  # somebody has deleted it, or another bot wrote it
            return self._open(notification)
        _judge(said)
        self._reply(at, news(notification), broadcast=notification.reason == "escalated")
        return None

    def _reply(self, at: _Posted, text: str, *, broadcast: bool = False) -> None:
        reply = {"channel": at.channel, "thread_ts": at.ts, "text": escape(cut(text, _NEWS_LENGTH))}
        self._post(reply | ({"reply_broadcast": True} if broadcast else {}))

    def _post(self, message: dict[str, Any]) -> _Said:
        said = self._call("chat.postMessage", message)
        _judge(said)
        if not said.ts:
            raise SendError("Slack did not say where it put the message", permanent=False)
        return said

    def _call(self, method: str, message: dict[str, Any]) -> _Said:
        body = msgspec.json.encode(message)
        answer = self._http.post(
            f"{self._api_url}/{method}", body, {"Content-Type": "application/json; charset=utf-8"}
        )
        return _read(answer)


def _receipt(posted: _Said, *, shared: bool = False) -> Receipt:
    return Receipt(msgspec.json.encode(_Posted(posted.channel, posted.ts)).decode(), shared)


def _read(answer: HttpAnswer) -> _Said:
    """What Slack said, good or bad. Raises SendError when it is not an answer of its API, or it wants a pause."""
    try:
        said = msgspec.json.decode(answer.text, type=_Said)
    except msgspec.DecodeError as fault:
        words = f"Slack answered {answer.status} {answer.words!r}"
        raise SendError(words, permanent=False, retry_after=answer.retry_after) from fault
    if answer.status != httpx.codes.OK or said.error == "ratelimited":
        words = f"Slack answered {answer.status} {said.error or 'without a reason'}"
        raise SendError(words, permanent=False, retry_after=answer.retry_after)
    return said


def _judge(said: _Said) -> None:
    """Slack answers 200 to nearly everything: whether it was done stands inside."""
    if said.ok:
        return
    error = said.error[:100]
    permanent = error in _PERMANENT
    raise SendError(f"Slack answered {error!r}", permanent=permanent, of_message=error in _OF_MESSAGE)


def _message(notification: Notification) -> dict[str, Any]:
    text = compose(notification)
    shown = payload(replace(text, headline=f"{_symbol(notification)} {text.headline}"))
    if notification.reason != "resolved":
        shown["blocks"].append({"type": "actions", "elements": _buttons(notification)})
    return shown | {"text": payload(text)["text"]}


def _symbol(notification: Notification) -> str:
    match notification.reason:
        case "resolved":
            return ":large_green_circle:"
        case _ if notification.acknowledged_by:
            return ":eyes:"
        case _:
            return _SYMBOLS.get(notification.severity, ":red_circle:")


def _buttons(notification: Notification) -> Blocks:
    alert = str(notification.alert_id)
    buttons = [_button("snooze", "Snooze 1 h", alert)]
    if not notification.acknowledged_by:
        buttons.insert(0, _button("acknowledge", "Acknowledge", alert) | {"style": "primary"})
    if notification.codes:
        code = notification.codes[0].code
        number = notification.group.get("phone_number_id")
        where = f"on business number {number}" if number else "on all business numbers"
        question = f"No news of alerts about {code} {where} for 24 hours, whoever they would wake?"
        buttons.append(
            _button("silence", f"Silence {code} for 24 h", f"{alert}:{code}")
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
